"""The proxy that stands for a network: what goes in comes out, no sooner than the link allows."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from benchmarks.links import LINKS, Link, run_link

FAST = Link(1e9, 0.0)


def answer(connection: socket.socket) -> None:
    """As many bytes as each 8 bytes of a client ask for, counting up; an end of the stream for an end of the stream."""
    with connection, suppress(ConnectionError):
        while request := connection.recv(8, socket.MSG_WAITALL):
            connection.sendall(bytes(i % 251 for i in range(int.from_bytes(request, "big"))))


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """Address of a server that answers numbers with so many bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def connection(address: str) -> socket.socket:
    host, port = address.split(":")
    made = socket.create_connection((host, int(port)), timeout=10.0)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def get(end: socket.socket, size: int) -> bytes:
    """What is answered to a request for `size` bytes, or what of it came before the end."""
    end.sendall(size.to_bytes(8, "big"))
    data = bytearray()
    while len(data) < size and (part := end.recv(1 << 16)):
        data += part
    return bytes(data)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_bytes_come_through_whole_and_the_end_after_them(target: str) -> None:
    with run_link(FAST, target) as link, closing(connection(link.address)) as end:
        assert get(end, 300_000) == bytes(i % 251 for i in range(300_000))
        end.sendall((70_000).to_bytes(8, "big"))
        end.shutdown(socket.SHUT_WR)
        assert sum(iter(lambda: len(end.recv(1 << 16)), 0)) == 70_000
        assert (link.proxy.bytes_down, link.proxy.bytes_up, link.proxy.accepted) == (370_000, 16, 1)


def test_nothing_comes_sooner_than_the_link_allows(target: str) -> None:
    with run_link(Link(8e6, 0.06), target) as link, closing(connection(link.address)) as end:
        assert seconds(lambda: get(end, 1)) >= 0.06
        assert seconds(lambda: get(end, 200_000)) >= 0.06 + 0.2 - 0.001, "a megabyte a second"


def test_connections_take_turns(target: str) -> None:
    with run_link(Link(8e6, 0.0), target) as link, closing(connection(link.address)) as bulk, closing(connection(link.address)) as urgent:
        get(urgent, 1)
        bulk.sendall((4_000_000).to_bytes(8, "big"))
        bulk.recv(1)  # it is under way
        get(urgent, 2000)
        assert link.proxy.bytes_down < 2_000_000, "it does not wait for 4 s of bulk"


def test_a_stall_holds_back_what_comes_after_it(target: str) -> None:
    stalling = Link(1e9, 0.0, stall_seconds=0.3, stall_every=1e-6)
    with run_link(stalling, target) as link, closing(connection(link.address)) as end:
        assert seconds(lambda: get(end, 1)) >= 0.6, "there and back"


def test_a_cut_resets_connections_and_lets_new_ones_in(target: str) -> None:
    with run_link(FAST, target) as link, closing(connection(link.address)) as end:
        get(end, 1)
        link.cut()
        with pytest.raises(ConnectionError):
            list(iter(lambda: get(end, 1), b""))
        with closing(connection(link.address)) as again:
            assert get(again, 2) == b"\x00\x01"


def test_silence_is_not_told_and_ends(target: str) -> None:
    with run_link(FAST, target) as link, closing(connection(link.address)) as end:
        get(end, 1)
        link.silence(0.4)
        assert seconds(lambda: get(end, 1)) > 0.3


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    with run_link(FAST, nobody) as link, closing(connection(link.address)) as end:
        assert end.recv(1) == b""


def test_the_links_of_the_benchmarks_hold_their_bandwidth_in_a_window() -> None:
    for link in LINKS.values():
        assert link.window >= link.bytes_per_second * link.round_trip + link.turn
