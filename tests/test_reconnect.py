"""Streams that outlive their server: killed without a word, started again on the same port."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from terraloom import (
    Disconnected,
    Event,
    Radius,
    Reconnect,
    Reconnected,
    Removed,
    Stream,
    StreamOptions,
    Tile,
    TileId,
    View,
    VisibleChange,
    connect,
)
from terraloom._arrivals import Arrivals
from terraloom.errors import InvalidArgumentError, UnavailableError

PATIENCE = 60.0
MATTERHORN = View(longitude=7.66, latitude=45.98, height=60_000.0)
ANDES = View(longitude=-70.0, latitude=-32.65, height=60_000.0)
COARSE = StreamOptions(selection=Radius(radius=30_000.0, level=4), reconnect=Reconnect(first_pause=0.05, longest_pause=0.2))
ROOT, CHILDREN = TileId(0, 0, 0), {TileId(1, x, y) for x in (0, 1) for y in (0, 1)}


class MortalServer:
    """A server process that can be killed without a word and started again on its port, over one store."""

    def __init__(self, store: Path) -> None:
        self.store, self.port = store, 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--port", str(self.port), "--store", str(self.store)]
        self._process = subprocess.Popen([*command, "--no-http", *arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = next(int(line.rpartition(":")[2]) for line in self._process.stdout if line.startswith("listening on "))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalServer]:
    server = MortalServer(tmp_path_factory.getbasetemp() / "mortal-store")
    server.start()
    yield server
    server.kill()


def take_until(stream: Stream, kind: type[Event]) -> list[Event]:
    """All events up to the first of a kind."""
    taken: list[Event] = []
    for event in stream.events():
        taken.append(event)
        if isinstance(event, kind):
            return taken
    raise AssertionError(f"the stream ended before {kind.__name__}")


def covers_the_world(visible: frozenset[TileId]) -> bool:
    return sum(4.0**-tile.z for tile in visible) == 1.0


def test_a_stream_goes_on_after_its_server_was_killed_and_nothing_comes_twice(mortal: MortalServer) -> None:
    with connect(mortal.address) as client, client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
        before, visible, session = stream.counters.bytes, stream.visible, stream.session.session_id
        world = client.barrier(session).world_hash
        mortal.kill()
        lost = take_until(stream, Disconnected)[-1]
        assert isinstance(lost, Disconnected) and isinstance(lost.error, UnavailableError) and mortal.address in str(lost.error)
        stream.move(MATTERHORN)
        assert stream.visible == visible and not stream.complete
        mortal.start()
        found = take_until(stream, Reconnected)
        back = found[-1]
        assert isinstance(back, Reconnected) and not back.world_changed and back.attempts >= 1 and back.seconds > 0.0
        assert stream.session.session_id != session
        for event in stream.events():
            assert not isinstance(event, Tile)
            assert stream.visible == visible, "what was drawn stays until as much is there again"
            if stream.complete:
                break
        assert (stream.counters.bytes, stream.counters.reconnects) == (before, 1)
        assert client.barrier(stream.session.session_id).world_hash == world
        stream.move(ANDES)
        new = stream.settle(PATIENCE)
        assert new and {tile.id for tile in new}.isdisjoint(visible)
        assert covers_the_world(stream.visible)


def test_views_and_tiles_go_on_when_the_cut_comes_in_the_middle(mortal: MortalServer) -> None:
    with connect(mortal.address) as client, client.stream(MATTERHORN, COARSE) as stream:
        first = next(iter(stream))
        mortal.kill()
        stream.move(ANDES)
        mortal.start()
        rest: list[Tile] = []
        for event in stream.events():
            rest += [event] if isinstance(event, Tile) else []
            if stream.complete:
                break
        ids = [tile.id for tile in (first, *rest)]
        assert len(ids) == len(set(ids)), "nothing that had arrived was sent again"
        assert covers_the_world(stream.visible) and TileId(4, 4, 9) in stream.visible


def test_another_world_behind_the_same_address_drops_what_was_held_and_says_so(mortal: MortalServer) -> None:
    with connect(mortal.address) as client, client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
        visible, held, identity = stream.visible, stream.held, stream.session.world.identity
        mortal.kill()
        mortal.start("--seed", "5")
        *_, hidden, removed, back = take_until(stream, Reconnected)
        assert isinstance(back, Reconnected) and back.world_changed
        assert isinstance(hidden, VisibleChange) and set(hidden.hide) == visible
        assert isinstance(removed, Removed) and set(removed.tiles) == held.keys()
        assert (stream.held, stream.visible, stream.complete) == ({}, frozenset(), False)
        assert stream.session.world.identity != identity
        tiles = {tile.id: tile.content_hash for tile in stream.settle(PATIENCE)}
        assert covers_the_world(stream.visible) and not tiles.items() & held.items()


def test_patience_ends_with_the_reason_and_the_effort(mortal: MortalServer) -> None:
    options = StreamOptions(selection=COARSE.selection, reconnect=Reconnect(0.05, 0.1, patience=0.5))
    with connect(mortal.address) as client, client.stream(MATTERHORN, options) as stream:
        stream.settle(PATIENCE)
        mortal.kill()
        start = time.monotonic()
        with pytest.raises(UnavailableError, match=rf"{mortal.address}: .*; gave up .* s and \d+ attempts later"):
            list(stream.events())
        assert time.monotonic() - start > 0.4


def test_a_stream_that_was_never_opened_is_not_tried_again() -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(UnavailableError), client.stream(MATTERHORN, COARSE):
        pass


@pytest.mark.parametrize("pauses", [(0.0, 1.0, 1.0), (2.0, 1.0, 1.0), (0.1, 1.0, -1.0), (0.1, float("inf"), 1.0), (float("nan"), 1.0, 1.0)])
def test_ways_to_try_again_that_make_no_sense_are_refused(pauses: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="pauses are above 0"):
        Reconnect(*pauses)


def test_what_a_reopened_session_draws_is_told_at_once_when_it_has_caught_up() -> None:
    arrivals = Arrivals(dict.fromkeys((ROOT, *CHILDREN), b""))
    assert arrivals.change(VisibleChange(tuple(CHILDREN), (), 1, True)) is not None
    assert arrivals.reopened(Reconnected(False, 1, 0.1)) == [Reconnected(False, 1, 0.1)]
    assert arrivals.change(VisibleChange((ROOT,), (), 2, False)) is None, "coarser than what is drawn"
    caught_up = arrivals.change(VisibleChange(tuple(CHILDREN), (ROOT,), 2, True))
    assert caught_up == VisibleChange((), (), 2, True)
    assert arrivals.drawn == CHILDREN


def test_a_reopened_session_that_lost_a_drawn_tile_is_followed_at_once() -> None:
    arrivals = Arrivals(dict.fromkeys((ROOT, *CHILDREN), b""))
    arrivals.change(VisibleChange(tuple(CHILDREN), (), 1, True))
    arrivals.reopened(Reconnected(False, 1, 0.1))
    arrivals.drop([TileId(1, 0, 0)])
    assert arrivals.change(VisibleChange((ROOT,), (), 2, False)) == VisibleChange((ROOT,), tuple(sorted(CHILDREN)), 2, False)
