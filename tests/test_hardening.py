"""What goes wrong outside: damaged stores, requests too large, servers that go in the middle; and sessions without two-way streams."""

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import grpc
import numpy as np
import pytest

from terraloom import Client, ContentOptions, StreamOptions, TileId, View, connect
from terraloom.errors import ResourceExhaustedError, UnavailableError
from terraloom.testing import run_server
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub

TILE = TileId(5, 16, 11)
PATIENCE = 60.0
HERE = pb.Geodetic(longitude_degrees=7.66, latitude_degrees=45.98, height=3000.0)
THERE = pb.Geodetic(longitude_degrees=-70.0, latitude_degrees=-32.65, height=3000.0)


def damaged(data: bytes, way: int) -> bytes:
    """The same bytes: cut off, emptied, with one bit flipped, or others of that length."""
    middle = len(data) // 2
    return (data[:middle], b"", data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], bytes(len(data)))[way % 4]


def test_a_damaged_store_is_made_again_and_never_served(tmp_path: Path) -> None:
    with run_server("--store", str(tmp_path)) as address, connect(address) as client:
        good = client.get_tile(*TILE)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    contents = {path: path.read_bytes() for path in files}
    assert len(files) >= 2
    for number, path in enumerate(files):
        path.write_bytes(damaged(contents[path], number))
    with run_server("--store", str(tmp_path)) as address, connect(address) as client:
        assert client.get_tile(*TILE) == good
    assert {path: path.read_bytes() for path in files if "content" in path.parts} == {
        path: data for path, data in contents.items() if "content" in path.parts
    }, "what was damaged was put right"


def test_a_request_that_is_too_large_is_refused_with_the_limit(client: Client) -> None:
    with pytest.raises(ResourceExhaustedError, match=r"larger than max \(\d+ vs\. 4194304\)"):
        client.sample_heights(np.zeros((300_000, 2)))
    with (
        pytest.raises(ResourceExhaustedError, match="larger than max"),
        client.stream(View(7.0, 46.0, 3000.0), StreamOptions(have={TileId(17, x, 0): bytes(64) for x in range(65_000)})),
    ):
        pass


def test_a_server_that_is_killed_in_the_middle_of_a_call_is_named() -> None:
    command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--port", "0", "--no-http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with connect(address) as client, client.stream(View(7.0, 46.0, 3000.0), StreamOptions(reconnect=None)) as stream:
            next(iter(stream))
            process.send_signal(signal.SIGKILL)
            with pytest.raises(UnavailableError, match=address):
                list(stream)
            with pytest.raises(UnavailableError, match=address) as caught:
                client.get_tile(12, 2134, 1456, ContentOptions())
    assert "\n" not in str(caught.value)


class TwoWay:
    """A session over the two-way stream."""

    def __init__(self, stub: TerraloomStub, opening: pb.OpenSessionRequest) -> None:
        self._send: list[pb.ClientMessage] = []
        self._up = _Mailbox()
        self._up.put(pb.ClientMessage(open=opening))
        self._call = stub.Stream(iter(self._up), timeout=PATIENCE)
        self.events: Iterator[pb.ServerEvent] = self._call
        self.opened = next(self.events).opened

    def send(self, name: str, message: object) -> None:
        self._up.put(pb.ClientMessage(**{name: message}))

    def close(self) -> None:
        self._call.cancel()
        self._up.put(None)


class OneWay:
    """The same over OpenSession, Subscribe and UpdateView."""

    def __init__(self, stub: TerraloomStub, opening: pb.OpenSessionRequest) -> None:
        self._stub, self.opened = stub, stub.OpenSession(opening)
        self._call = stub.Subscribe(pb.SubscribeRequest(session_id=self.opened.session_id), timeout=PATIENCE)
        self.events: Iterator[pb.ServerEvent] = self._call

    def send(self, name: str, message: object) -> None:
        self._stub.UpdateView(pb.UpdateViewRequest(session_id=self.opened.session_id, **{name: message}))

    def come_back(self) -> None:
        """Leaves the connection, and listens over another one once the server has noticed."""
        self._call.cancel()
        while True:
            self._call = self._stub.Subscribe(pb.SubscribeRequest(session_id=self.opened.session_id), timeout=PATIENCE)
            try:
                self._call.initial_metadata()
                if not self._call.done():
                    break
            except grpc.RpcError:
                pass
            time.sleep(0.005)
        self.events = self._call

    def close(self) -> None:
        self._call.cancel()


class _Mailbox:
    """An iterator over what is put into it, up to None."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[pb.ClientMessage | None] = SimpleQueue()
        self.put: Callable[[pb.ClientMessage | None], None] = self._queue.put

    def __iter__(self) -> Iterator[pb.ClientMessage]:
        return iter(self._queue.get, None)


def address(tile: pb.TileId) -> tuple[int, int, int]:
    return tile.z, tile.x, tile.y


def settle(session: TwoWay | OneWay, view: int) -> dict[tuple[int, int, int], bytes]:
    """Takes and acknowledges tiles until a view is complete; returns those that came."""
    came = {}
    for event in session.events:
        if event.WhichOneof("event") == "tile":
            came[address(event.tile.id)] = event.tile.content_hash
            session.send("ack", pb.Ack(deliveries=[event.tile.delivery]))
        elif event.visible.complete and event.visible.view_sequence == view:
            return came
    raise AssertionError("the session ended before its view was complete")


def test_one_way_calls_do_all_that_the_two_way_stream_does(server: str) -> None:
    """Views, acknowledgements under a small credit, another selection, tiles forgotten, have-sets and statistics; message by message."""
    level = lambda finest: pb.Selection(radius=pb.Radius(radius=1000.0, level=finest))  # noqa: E731
    stories = []
    with grpc.insecure_channel(server) as channel:
        stub = TerraloomStub(channel)
        for transport in (TwoWay, OneWay):
            credit = pb.Credit(tiles=2)
            opening = pb.OpenSessionRequest(
                protocol_version=1, selection=level(3), credit=credit, stats=True, view=pb.View(sequence=1, geodetic=HERE)
            )
            session = transport(stub, opening)
            story = [settle(session, 1)]
            session.send("selection", level(4))
            session.send("view", pb.View(sequence=2, geodetic=HERE))
            story.append(settle(session, 2))
            session.send("forget", pb.Forget(tiles=[pb.TileId(z=4, x=8, y=5)]))
            session.send("credit", pb.Credit(tiles=30))
            session.send("view", pb.View(sequence=3, geodetic=HERE))
            story.append(settle(session, 3))
            session.send("view", pb.View(sequence=4, geodetic=THERE))
            story.append(settle(session, 4))
            assert any(event.WhichOneof("event") == "stats" for event in itertools.islice(session.events, 3))
            session.close()
            have = [pb.HeldTile(id=pb.TileId(z=z, x=x, y=y), content_hash=digest) for part in story for (z, x, y), digest in part.items()]
            again = transport(
                stub, pb.OpenSessionRequest(protocol_version=1, selection=level(4), have=have, view=pb.View(sequence=1, geodetic=HERE))
            )
            story.append(settle(again, 1))
            again.close()
            stories.append((story, session.opened.world, session.opened.selection, session.opened.content, session.opened.credit))
    assert stories[0] == stories[1]
    (first, finer, forgotten, elsewhere, nothing), *_ = stories[0]
    assert (0, 0, 0) in first and {z for z, _, _ in finer} == {4} and set(forgotten) == {(4, 8, 5)} and elsewhere and not nothing


def test_a_wrong_update_is_refused_and_the_session_goes_on(server: str) -> None:
    """Where the two-way stream ends with the error, a call has a status of its own."""
    with grpc.insecure_channel(server) as channel:
        stub = TerraloomStub(channel)
        session = OneWay(stub, pb.OpenSessionRequest(protocol_version=1, selection=pb.Selection(max_level=1)))
        with pytest.raises(grpc.RpcError) as caught:
            session.send("view", pb.View(sequence=1, geodetic=pb.Geodetic(latitude_degrees=91.0)))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        session.send("view", pb.View(sequence=2, geodetic=HERE))
        assert (0, 0, 0) in settle(session, 2)
        session.close()
