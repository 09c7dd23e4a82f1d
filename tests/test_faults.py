"""Faults of processes, networks and disks: real processes, real sockets, real file systems."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from benchmarks.links import Link, run_link
from grpc._cython import cygrpc

from terraloom import Credit, Disconnected, Radius, Reconnect, StreamOptions, TileId, View, connect
from terraloom.errors import DeadlineExceededError, UnavailableError
from terraloom_engines.server import ServerOptions

ROOT = Path(__file__).parent.parent
PATIENCE = 120.0
HERE, THERE = View(7.66, 45.98, 60_000.0), View(-70.0, -32.65, 60_000.0)
COARSE = StreamOptions(Radius(30_000.0, 4), reconnect=None)
SHORT_PATIENCE = "import terraloom_engines.server.app as app; app.PING_SECONDS = app.ANSWER_SECONDS = 1.0;"
WATCHING = """
import sys
from terraloom import Radius, StreamOptions, View, connect
with connect(sys.argv[1]) as client, client.stream(View(7.66, 45.98, 6e4), StreamOptions(Radius(3e4, 4))) as stream:
    for tile in stream:
        print(tile.id, flush=True)
"""


class Server:
    """`terraloom serve` in a process of its own, which signals reach; `before` is Python that runs first, in `more` of an environment."""

    def __init__(self, *arguments: str, before: str = "", **more: str) -> None:
        code = before + "from terraloom_engines.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", "--port", "0", "--http-port", "0", "--log-level", "warning", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, env=os.environ | more)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]
        self.http = self.process.stdout.readline().split()[-1]

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric over its labels, or over those that hold `label`."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[{{ ]", line) and label in line)

    def log(self) -> str:
        """Ends it in good order; returns what it logged."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=PATIENCE)
        return errors


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """One server for all faults that it must survive, without a defect in its log."""
    with Server() as server:
        yield server
        assert "Traceback" not in server.log()


def soon(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether it becomes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# ------------------------------------------------------------------------------------------------------------- processes


def test_a_server_that_is_told_to_stop_finishes_calls_ends_streams_and_keeps_what_it_made(tmp_path: Path) -> None:
    with Server("--store", str(tmp_path)) as server, connect(server.address) as client, ThreadPoolExecutor(1) as pool:
        with client.stream(HERE, COARSE) as stream:
            stream.settle(PATIENCE)
            call = pool.submit(client.get_tile, 5, 16, 11)
            assert soon(lambda: server.metric("terraloom_queue_tiles") > 0 or call.done())
            server.process.terminate()
            with pytest.raises(UnavailableError, match="the server is shutting down"):
                list(stream.events())
        assert server.process.wait(PATIENCE) == 0
        try:
            tile = call.result(PATIENCE)
        except UnavailableError:
            pytest.skip(f"a tile takes longer here than the {ServerOptions().drain_seconds:g} s that calls may go on")
    with Server("--store", str(tmp_path)) as again, connect(again.address) as client:
        assert client.get_tile(5, 16, 11) == tile
        assert again.metric("terraloom_generation_seconds_count") == 0.0, "it was kept"


def test_a_server_that_is_frozen_for_a_while_loses_no_session(served: Server) -> None:
    with connect(served.address) as client, client.stream(HERE, COARSE) as stream:
        stream.settle(PATIENCE)
        served.process.send_signal(signal.SIGSTOP)
        try:
            stream.move(THERE)
            with pytest.raises(DeadlineExceededError):
                client.describe(timeout=1.0)
            time.sleep(9.0)
        finally:
            served.process.send_signal(signal.SIGCONT)
        assert stream.settle(PATIENCE) and stream.counters.reconnects == 0
        assert client.describe().protocol_version == 1


def test_a_client_that_is_killed_leaves_nothing_behind(served: Server) -> None:
    assert soon(lambda: served.metric("terraloom_sessions") == 0.0), "those of other tests have ended"
    with subprocess.Popen([sys.executable, "-c", WATCHING, served.address], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None and client.stdout.readline()
        assert served.metric("terraloom_sessions") == 1.0
        client.kill()
    assert soon(lambda: served.metric("terraloom_sessions") == 0.0 and served.metric("terraloom_queue_tiles") == 0.0)


def test_a_client_that_is_frozen_holds_up_nobody_and_goes_on(served: Server) -> None:
    with subprocess.Popen([sys.executable, "-c", WATCHING, served.address], stdout=subprocess.PIPE, text=True) as frozen:
        assert frozen.stdout is not None
        first = frozen.stdout.readline()
        frozen.send_signal(signal.SIGSTOP)
        with connect(served.address) as client, client.stream(THERE, COARSE) as stream:
            assert stream.settle(PATIENCE)
        frozen.send_signal(signal.SIGCONT)
        assert first and frozen.stdout.readline()
        frozen.kill()


def test_a_consumer_that_takes_nothing_stops_the_server_at_its_credit(served: Server) -> None:
    credit = Credit(tiles=3)
    with connect(served.address) as client, client.stream(HERE, StreamOptions(Radius(30_000.0, 4), credit=credit)) as stream:
        assert soon(lambda: stream.counters.tiles == 3)
        time.sleep(0.5)
        assert stream.counters.tiles == 3
        assert len(stream.settle(PATIENCE)) > 3


# -------------------------------------------------------------------------------------------------------------- networks


def test_a_client_that_vanished_without_a_word_loses_its_session_and_finds_another() -> None:
    """Half-open: the connection stays, nothing comes through. The patience of 50 s is shortened to 2."""
    options = StreamOptions(Radius(30_000.0, 4), reconnect=Reconnect(0.05, 0.2))
    with (
        Server(before=SHORT_PATIENCE) as server,
        run_link(Link(1e9, 0.0), server.address) as link,
        connect(link.address) as client,
        client.stream(HERE, options) as stream,
    ):
        stream.settle(PATIENCE)
        assert soon(lambda: server.metric("terraloom_sessions") == 1.0)
        link.silence(1e9)
        assert soon(lambda: server.metric("terraloom_sessions") == 0.0), "its session ended"
        link.silence(0.0)
        link.cut()
        stream.move(THERE)
        events = iter(stream.events())
        assert any(isinstance(event, Disconnected) for event in events)
        assert stream.settle(PATIENCE) and stream.counters.reconnects >= 1


def test_a_slow_reader_gets_everything_and_slows_down_nobody(served: Server) -> None:
    with (
        run_link(Link(4e6, 0.02), served.address) as link,
        connect(link.address) as slow,
        connect(served.address) as quick,
    ):
        assert quick.barrier(HERE, COARSE).complete, "what is slow from here on is the reader alone"
        with slow.stream(HERE, COARSE) as stream, quick.stream(HERE, COARSE) as other:
            others = {tile.id: tile.content_hash for tile in other.settle(PATIENCE)}
            assert not stream.complete
            assert {tile.id: tile.content_hash for tile in stream.settle(PATIENCE)} == others


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096])
def test_noise_on_the_port_of_grpc_ends_its_connection_and_nothing_else(served: Server, noise: bytes) -> None:
    host, port = served.address.split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(noise)
        while connection.recv(1 << 16):
            pass
    with connect(served.address) as client:
        assert client.describe().protocol_version == 1


@pytest.mark.parametrize("method", ["Terraloom/GetTile", "Terraloom/Subscribe", "Terraloom/Stream", "Operations/GetServerStats"])
def test_bytes_that_are_no_message_are_refused_and_fill_no_log(served: Server, method: str) -> None:
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError, match="is no message of its kind") as caught:
        list(channel.stream_stream(f"/terraloom.v1.{method}")(iter([b"\xff" * 20]), timeout=PATIENCE))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_every_option_of_a_channel_is_one_that_grpc_knows() -> None:
    """A name that it does not know is passed over in silence: one such cut every quiet stream after two minutes."""
    sources = [*(ROOT / "sdk/python/terraloom").rglob("*.py"), *(ROOT / "engines").rglob("*.py")]
    names = {name for path in sources for name in re.findall(r'"(grpc\.[a-z0-9_.]+)"', path.read_text())}
    library = Path(cygrpc.__file__).read_bytes()
    assert "grpc.http2.min_ping_interval_without_data_ms" in names
    assert {name for name in names if name.encode() + b"\0" not in library} == set()


# ----------------------------------------------------------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, which hold the rasters of one tile."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    )
    if os.geteuid() != 0 or not mounted or mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_and_then_a_read_only_one_cost_time_and_not_the_server(small_disk: Path) -> None:
    tiles = [TileId(5, 16 + i, 11) for i in range(3)]
    with Server("--store", str(small_disk)) as server, connect(server.address) as client:
        made = [client.get_tile(*tile) for tile in tiles]
        assert [client.get_tile(*tile) for tile in tiles] == made
        log = server.log()
    assert log.count("cannot be written") == 1 and "damaged" not in log
    kept = [path for path in small_disk.rglob("*") if path.is_file()]
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with Server("--store", str(small_disk)) as server, connect(server.address) as client:
        assert [client.get_tile(*tile) for tile in tiles] == made
        assert kept and 1.0 <= server.metric("terraloom_contents_total", 'source="store"') < 3.0
        log = server.log()
    assert log.count("cannot be written") == 1 and "damaged" not in log and "Traceback" not in log


def test_two_servers_on_one_store_agree_and_damage_nothing(tmp_path: Path) -> None:
    tiles = [TileId(4, 8 + i, 5) for i in range(3)] + [TileId(5, 16, 11)]
    with Server("--store", str(tmp_path)) as one, Server("--store", str(tmp_path)) as other, ThreadPoolExecutor(8) as pool:
        with connect(one.address) as first, connect(other.address) as second:
            calls = [pool.submit(client.get_tile, *tile) for tile in tiles for client in (first, second)]
            answers = [call.result(PATIENCE) for call in calls]
        assert answers[::2] == answers[1::2]
        logs = one.log() + other.log()
    assert "damaged" not in logs and "cannot be written" not in logs
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "#" in path.name], "no staging file stays"


def test_a_store_that_is_wiped_while_the_server_runs_fills_again(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Server("--store", str(store)) as server, connect(server.address) as client:
        first = client.get_tile(4, 8, 5)
        shutil.rmtree(store)
        assert client.get_tile(4, 8, 5) == first, "from memory"
        second = client.get_tile(4, 9, 5)
        assert any(path.is_file() for path in store.rglob("*")), "it is filled again"
        log = server.log()
    assert "cannot be written" not in log
    with Server("--store", str(store)) as again, connect(again.address) as client:
        assert [client.get_tile(4, 8, 5), client.get_tile(4, 9, 5)] == [first, second]


def test_damaged_entries_of_a_store_are_made_again_and_told(tmp_path: Path) -> None:
    with Server("--store", str(tmp_path)) as server, connect(server.address) as client:
        made = [client.get_tile(4, 8 + i, 5) for i in range(2)]
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    for entry in entries:
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 0xFF
        entry.write_bytes(data)
    for damaged in (True, False):
        with Server("--store", str(tmp_path)) as server, connect(server.address) as client:
            assert [client.get_tile(4, 8 + i, 5) for i in range(2)] == made
            assert server.metric("terraloom_contents_total", 'source="generated"') == (2.0 if damaged else 0.0)
            log = server.log()
        assert entries and ("damaged" in log) == damaged and "Traceback" not in log
