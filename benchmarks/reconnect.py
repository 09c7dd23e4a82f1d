"""From a lost connection to the first new tile: over links that are cut, and after a server that was killed answers again."""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from benchmarks.links import LINKS, Link, run_link
from benchmarks.machine import quantiles
from terraloom import Client, Disconnected, Radius, Reconnect, Stream, StreamOptions, Tile, View, connect
from terraloom.testing import run_server

PLACES = [View(longitude, 46.0, 3000.0) for longitude in (8.0, 80.0)]
OPTIONS = StreamOptions(Radius(1000.0, 5), min_level=3, reconnect=Reconnect(first_pause=0.01, longest_pause=0.02))
"""Little to make; attempts as often as the promise asks for."""


def _first_new_tile(stream: Stream, view: View) -> float:
    """When the first tile came that was missing; `view` is told as soon as the connection is lost."""
    for event in stream.events():
        if isinstance(event, Disconnected):
            stream.move(view)
        elif isinstance(event, Tile):
            return time.perf_counter()
    raise AssertionError("the stream ended")


def _warm(client: Client) -> None:
    for view in PLACES:
        with client.stream(view, OPTIONS) as stream:
            stream.settle(600.0)


def after_a_cut(link: Link, repeats: int) -> dict[str, Any]:
    """Milliseconds from the cut; the port answers all the time."""
    seconds = []
    with run_server() as server, connect(server) as near, run_link(link, server) as proxy, connect(proxy.address) as client:
        _warm(near)
        for _ in range(repeats):
            with client.stream(PLACES[0], OPTIONS) as stream:
                stream.settle(60.0)
                start = time.perf_counter()
                proxy.cut()
                seconds.append(_first_new_tile(stream, PLACES[1]) - start)
    return {"ms": quantiles(seconds, 1e3), "promised_ms": round(1e3 * (3 * link.round_trip + 0.05 + OPTIONS.reconnect.first_pause))}  # type: ignore[union-attr]


def after_a_kill(repeats: int) -> dict[str, Any]:
    """Milliseconds from when the port answers again, on this machine; the tiles are on disk."""
    seconds, ports, process = [], [0], None

    def start(store: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--port", str(ports[0]), "--no-http", "--store", store]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert started.stdout is not None
        ports[0] = next(int(line.rpartition(":")[2]) for line in started.stdout if line.startswith("listening on "))
        return started

    with tempfile.TemporaryDirectory() as store:
        process = start(store)
        with connect(f"127.0.0.1:{ports[0]}") as client:
            _warm(client)
            for _ in range(repeats):
                with client.stream(PLACES[0], OPTIONS) as stream:
                    stream.settle(60.0)
                    process.kill()
                    process.wait()
                    answered: list[float] = []
                    watch = threading.Thread(target=_watch, args=(ports[0], answered))
                    watch.start()
                    process = start(store)
                    came = _first_new_tile(stream, PLACES[1])
                    watch.join()
                    seconds.append(came - answered[0])
            process.kill()
            process.wait()
    return {"ms": quantiles(seconds, 1e3), "promised_ms": 50}


def _watch(port: int, answered: list[float]) -> None:
    while not answered:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            answered.append(time.perf_counter())
        except OSError:
            time.sleep(0.001)


def measure(repeats: int = 12) -> dict[str, Any]:
    """All figures of this module."""
    found = {name: after_a_cut(LINKS[name], repeats) for name in ("1gbit", "100mbit")}
    return {**found, "killed": after_a_kill(repeats)}
