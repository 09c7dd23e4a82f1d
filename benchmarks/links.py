"""Links: a TCP proxy in user space that adds delay, a limit of bandwidth and stalls like those after lost packets.

    with run_link(LINKS["100mbit"], "127.0.0.1:50051") as link, connect(link.address) as client: ...
    python -m benchmarks.links 127.0.0.1:50051 20mbit      # in a process of its own, until its standard input ends

What is modelled: each direction is one wire, shared by all connections, which take turns of half a millisecond of it (fair queueing, as
Linux' fq_codel has it). A connection may have two bandwidth-delay products and 64 KiB under way, after which its sender has to wait (a TCP
window). A stall holds back one connection in one direction, as lost packets do until they are sent again. What is not: slow start.
"""

import argparse
import asyncio
import contextlib
import math
import random
import selectors
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

TURN_SECONDS = 0.0005
"""What a connection sends before it is the next one's turn, in seconds of the wire."""
SEGMENT = 1460
"""Bytes of a segment on Ethernet. Loopback's are 64 KiB, by which the kernel would size the sender's buffer: to megabytes."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing a reset."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network between a client and a server; the same both ways."""

    bits_per_second: float
    round_trip: float
    """Seconds there and back, half of it each way."""
    stall_seconds: float = 0.0
    """How long a stall holds a connection back."""
    stall_every: float = math.inf
    """Mean seconds between two stalls of one connection in one direction, at random moments."""

    @property
    def bytes_per_second(self) -> float:
        """Of the wire, in each direction."""
        return self.bits_per_second / 8

    @property
    def window(self) -> int:
        """Bytes that a connection may have under way in one direction."""
        return int(2 * self.bytes_per_second * self.round_trip) + (64 << 10)

    @property
    def turn(self) -> int:
        """Bytes that a connection sends at a time."""
        return max(SEGMENT, int(self.bytes_per_second * TURN_SECONDS))


LINKS = {
    "1gbit": Link(1e9, 0.001),
    "100mbit": Link(100e6, 0.020),
    "20mbit": Link(20e6, 0.080, stall_seconds=0.25, stall_every=5.0),
}
"""A machine next door, a good connection, and a poor one that loses packets (0.25 s is about TCP's time to notice a lost tail)."""


class _Wire:
    """One direction of the link: sends what connections have, one turn each."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.bytes = 0
        self._waiting: deque[_Pipe] = deque()
        self._work = asyncio.Event()
        self._free = 0.0

    def add(self, pipe: "_Pipe") -> None:
        """A connection has something to send."""
        self._waiting.append(pipe)
        self._work.set()

    async def run(self) -> None:
        """Sends for ever. The wire is busy by the clock, however late this task wakes."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._work.clear()
                await self._work.wait()
                self._free = max(self._free, loop.time())
            pipe = self._waiting.popleft()
            size = pipe.send(self._free + self.link.round_trip / 2)
            self._free += size / self.link.bytes_per_second
            self.bytes += size
            if self._free > loop.time():
                await asyncio.sleep(self._free - loop.time())


class _Pipe:
    """One direction of one connection."""

    def __init__(self, proxy: "Proxy", wire: _Wire, source: socket.socket, sink: socket.socket, chance: random.Random) -> None:
        self._proxy, self._wire, self._source, self._sink, self._chance = proxy, wire, source, sink, chance
        self._queued: deque[bytes] = deque()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._room, self._sent = asyncio.Event(), asyncio.Event()
        self._next_stall = self._stall_after(asyncio.get_running_loop().time())
        self._held_until = 0.0

    def _stall_after(self, now: float) -> float:
        every = self._wire.link.stall_every
        return now + self._chance.expovariate(1.0 / every) if every < math.inf else math.inf

    def send(self, arrival: float) -> int:
        """Puts one turn on the wire, to arrive at that time or after a stall; returns its bytes."""
        data = self._queued.popleft()
        turn = self._wire.link.turn
        if len(data) > turn:
            self._queued.appendleft(data[turn:])
            data = data[:turn]
        if arrival >= self._next_stall:
            self._held_until = arrival + self._wire.link.stall_seconds
            self._next_stall = self._stall_after(self._held_until)
        self._under_way.append((max(arrival, self._held_until), data))
        self._sent.set()
        if self._queued:
            self._wire.add(self)
        return len(data)

    async def read(self) -> None:
        """Takes from the source while the window has room; an end of the stream is passed on like data."""
        loop, ended = asyncio.get_running_loop(), False
        while not ended:
            while self._size >= self._wire.link.window:
                self._room.clear()
                await self._room.wait()
            data = await loop.sock_recv(self._source, 1 << 16)
            ended = not data
            if not self._queued:
                self._wire.add(self)
            self._queued.append(data)
            self._size += len(data)

    async def write(self) -> None:
        """Hands over what has arrived."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._under_way:
                self._sent.clear()
                await self._sent.wait()
            arrival, data = self._under_way.popleft()
            while (wait := max(arrival, self._proxy.silent_until) - loop.time()) > 0.0:
                await asyncio.sleep(min(wait, 0.05) if self._proxy.silent_until else wait)
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self._sink, data)
            self._size -= len(data)
            self._room.set()


class Proxy:
    """Listens on a free port of 127.0.0.1 and joins what connects to `target` ("host:port") over `link`. An async context manager.

    `seed` fixes the moments of stalls, given the order of connections.
    """

    def __init__(self, link: Link, target: str, seed: int = 0) -> None:
        host, port = target.rsplit(":", 1)
        self._target, self._link, self._seed = (host, int(port)), link, seed
        self._connections: dict[asyncio.Task[None], tuple[socket.socket, ...]] = {}
        self.accepted = 0
        """Connections so far."""
        self.silent_until = 0.0
        """Until this time of the loop's clock nothing comes out at either end."""

    async def __aenter__(self) -> Self:
        self._down, self._up = _Wire(self._link), _Wire(self._link)
        self._listener = self._shaped(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._tasks = [asyncio.create_task(work) for work in (self._down.run(), self._up.run(), self._accept())]
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    @property
    def bytes_down(self) -> int:
        """Bytes that went towards clients."""
        return self._down.bytes

    @property
    def bytes_up(self) -> int:
        """Bytes that went towards the target."""
        return self._up.bytes

    def cut(self) -> None:
        """Resets every connection at both ends; new ones are welcome."""
        for task, sockets in list(self._connections.items()):
            with contextlib.suppress(OSError):  # one that has just ended by itself
                for end in sockets:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            task.cancel()

    def silence(self, seconds: float) -> None:
        """Nothing comes through for that long, and nobody is told: connections stay, half open if it is `math.inf`."""
        self.silent_until = asyncio.get_running_loop().time() + seconds

    def _shaped(self, end: socket.socket) -> socket.socket:
        """A socket whose kernel buffers are those of a connection over the link, before it is connected."""
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, max(32 << 10, 2 * self._link.turn))
        return end

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            self.accepted += 1
            server = self._shaped(socket.socket())
            task = asyncio.create_task(self._join(client, server, random.Random(f"{self._seed} {self.accepted}")))
            self._connections[task] = (client, server)
            task.add_done_callback(self._connections.pop)

    async def _join(self, client: socket.socket, server: socket.socket, chance: random.Random) -> None:
        """Serves one connection until both its ends have ended, or one of them broke."""
        with client, server, contextlib.suppress(OSError, ExceptionGroup):
            await asyncio.get_running_loop().sock_connect(server, self._target)
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pipes = _Pipe(self, self._down, server, client, chance), _Pipe(self, self._up, client, server, chance)
            async with asyncio.TaskGroup() as group:
                for pipe in pipes:
                    group.create_task(pipe.read())
                    group.create_task(pipe.write())


class RunningLink:
    """A proxy on a thread of its own, for code that is not asynchronous."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self.proxy, self._loop = proxy, loop
        self.address = proxy.address

    def cut(self) -> None:
        """Resets every connection."""
        self._loop.call_soon_threadsafe(self.proxy.cut)

    def silence(self, seconds: float) -> None:
        """Nothing comes through for that long."""
        self._loop.call_soon_threadsafe(self.proxy.silence, seconds)


@contextmanager
def run_link(link: Link, target: str, seed: int = 0) -> Iterator[RunningLink]:
    """A link to `target` while the block runs, on a thread of its own."""
    started: list[RunningLink] = []
    ready = threading.Event()

    async def serve(stop: asyncio.Event) -> None:
        async with Proxy(link, target, seed) as proxy:
            started.append(RunningLink(proxy, asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    loop, stop = _precise_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(stop),), daemon=True)
    thread.start()
    ready.wait(60.0)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60.0)
        loop.close()


def _precise_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact to microseconds; epoll's round up to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _serve(target: str, link: Link) -> None:
    async with Proxy(link, target) as proxy:
        print(f"listening on {proxy.address}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(f"{proxy.bytes_down} bytes down, {proxy.bytes_up} up, {proxy.accepted} connections", flush=True)


def main() -> None:
    """A link until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="host:port")
    parser.add_argument("link", choices=LINKS)
    options = parser.parse_args()
    _precise_loop().run_until_complete(_serve(options.target, LINKS[options.link]))


if __name__ == "__main__":
    main()
