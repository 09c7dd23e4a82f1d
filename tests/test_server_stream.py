"""Sessions against a server in this process, so that its counters can be read: what is sent, what is spared, what is wasted."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.content import ContentOptions, content_hash
from terraloom_engines.server import Server, ServerOptions, app, sessions
from terraloom_engines.server.viewpoints import MOST_VIEWPOINTS
from terraloom_engines.tiling import TileId

FINEST = 6
AROUND = pb.Selection(radius=pb.Radius(radius=1000.0, level=FINEST), min_level=4)
PATIENCE = 60.0


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the servers of these tests share, so that most tiles are generated once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
async def server(directory: Path) -> AsyncIterator[Server]:
    """A server of its own, with whatever others left in the store."""
    async with Server(ServerOptions(port=0, store=directory)) as server:
        yield server


@pytest.fixture
async def stub(server: Server) -> AsyncIterator[TerraloomStub]:
    """Calls to it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield TerraloomStub(channel)


def view(longitude: float, latitude: float, sequence: int = 1) -> pb.View:
    """A viewpoint at rest, 3 km above the sea."""
    place = pb.Geodetic(longitude_degrees=longitude, latitude_degrees=latitude, height=3000.0)
    return pb.View(sequence=sequence, geodetic=place)


def opening(first: pb.View | None = None, **options: object) -> pb.OpenSessionRequest:
    """A session around a small disc."""
    return pb.OpenSessionRequest(**{"protocol_version": 1, "selection": AROUND, "view": first, "stats": True, **options})


class Stream:
    """One bidirectional call: sends when told, notes what comes."""

    def __init__(self, stub: TerraloomStub, request: pb.OpenSessionRequest, *, acknowledge: bool = True) -> None:
        self.acknowledge = acknowledge
        self.tiles: list[pb.Tile] = []
        self.visible: set[tuple[int, int, int]] = set()
        self.complete_view = -1
        self.removed: list[pb.TileId] = []
        self.stats = pb.Stats()
        self.session = pb.SessionOpened()
        self.call = stub.Stream()
        self._opening = request
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()  # a call takes one write at a time; the test and the reader both write

    async def __aenter__(self) -> "Stream":
        await self.send(open=self._opening)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def send(self, **message: object) -> None:
        async with self._writing:
            await self.call.write(pb.ClientMessage(**message))

    async def _read(self) -> None:
        try:
            async for event in self.call:
                await self._note(event)
                self._news.set()
        finally:
            self._news.set()

    async def _note(self, event: pb.ServerEvent) -> None:
        match event.WhichOneof("event"):
            case "opened":
                self.session = event.opened
            case "tile":
                self.tiles.append(event.tile)
                if self.acknowledge:
                    await self.send(ack=pb.Ack(deliveries=[event.tile.delivery]))
            case "visible":
                self.visible |= {(tile.z, tile.x, tile.y) for tile in event.visible.show}
                self.visible -= {(tile.z, tile.x, tile.y) for tile in event.visible.hide}
                self.complete_view = event.visible.view_sequence if event.visible.complete else -1
            case "remove":
                self.removed += event.remove.tiles
            case "stats":
                self.stats = event.stats

    async def until(self, holds: Callable[[], bool]) -> "Stream":
        """Waits until `holds()`; fails after a while, or with the error that ends the stream."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                if self._reader.done():
                    self._reader.result()
                self._news.clear()
                await self._news.wait()
        return self

    async def settled(self, sequence: int = 1) -> "Stream":
        """Waits until the view of that number is complete."""
        return await self.until(lambda: self.complete_view == sequence)

    def held(self) -> list[pb.HeldTile]:
        """What came, as a have-set."""
        return [pb.HeldTile(id=tile.id, content_hash=tile.content_hash) for tile in self.tiles]


async def test_several_clients_share_one_generation(server: Server, stub: TerraloomStub) -> None:
    streams = [Stream(stub, opening(view(20.0, 68.0))) for _ in range(4)]
    async with streams[0], streams[1], streams[2], streams[3]:
        for stream in streams:
            await stream.settled()
    counters = server.contents.scheduler.counters
    tiles = {(tile.id.z, tile.id.x, tile.id.y) for tile in streams[0].tiles}
    assert all({(tile.id.z, tile.id.x, tile.id.y) for tile in stream.tiles} == tiles for stream in streams)
    assert counters.generated == len(tiles) == 12
    assert counters.wasted_seconds == 0.0


async def test_the_newest_view_wins_and_former_work_is_given_up(server: Server, stub: TerraloomStub) -> None:
    places = [(-60.0 + 10 * i, -20.0 - i) for i in range(6)]
    async with Stream(stub, opening(view(*places[0]))) as stream:
        for i, place in enumerate(places[1:], 2):
            await stream.send(view=view(*place, sequence=i))
            await asyncio.sleep(0.08)
        await stream.settled(len(places))
    counters = server.contents.scheduler.counters
    assert counters.dropped > 0
    assert counters.generated < 12 * len(places) / 2
    finest = {(tile.id.x, tile.id.y) for tile in stream.tiles if tile.id.z == FINEST}
    assert {(x, y) for z, x, y in stream.visible if z == FINEST} <= finest
    assert stream.tiles[-1].view_sequence == len(places)


async def test_a_session_has_so_many_viewpoints_and_knows_their_names(stub: TerraloomStub) -> None:
    views = [pb.View(sequence=1, geodetic=view(10.0, 46.0).geodetic, viewpoint=f"camera {i}") for i in range(MOST_VIEWPOINTS)]
    async with Stream(stub, opening(views=views)) as stream:
        await stream.settled()
        await stream.send(leave=pb.Leave(viewpoints=["camera 3"], sequence=2))
        await stream.settled(2)
        await stream.send(view=pb.View(sequence=3, geodetic=view(10.0, 46.0).geodetic, viewpoint="another"))
        await stream.settled(3)
        await stream.send(view=pb.View(sequence=4, geodetic=view(10.0, 46.0).geodetic, viewpoint="one too many"))
        with pytest.raises(grpc.aio.AioRpcError, match="at most 16") as caught:
            await stream.until(lambda: False)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("credit", "most"), [(pb.Credit(tiles=3), 3), (pb.Credit(bytes=1), 1), (pb.Credit(bytes=700_000), 3)])
async def test_a_stalled_client_gets_its_credit_and_no_more(stub: TerraloomStub, credit: pb.Credit, most: int) -> None:
    async with Stream(stub, opening(view(10.0, 46.0), credit=credit), acknowledge=False) as stream:
        await stream.until(lambda: len(stream.tiles) == most)
        await stream.until(lambda: stream.stats.tiles_sent == most and stream.stats.tiles_queued == 0)
        await asyncio.sleep(0.3)
        assert len(stream.tiles) == most
        assert stream.stats.bytes_unacknowledged <= max(credit.bytes or 1 << 20, stream.tiles[0].ByteSize())
        stream.acknowledge = True
        await stream.send(ack=pb.Ack(deliveries=[tile.delivery for tile in stream.tiles]))
        await stream.send(ack=pb.Ack(deliveries=[1, 1]))  # repeating one is harmless
        await stream.settled()
    assert [tile.delivery for tile in stream.tiles] == list(range(1, 13))


async def test_what_is_generated_and_then_not_sent_is_waste_until_it_is_sent_after_all(server: Server, stub: TerraloomStub) -> None:
    counters, coarse = server.contents.scheduler.counters, pb.Selection(radius=pb.Radius(radius=1000.0, level=5), min_level=4)
    frugal = opening(view(-100.0, 61.0), credit=pb.Credit(tiles=1), selection=coarse)
    async with Stream(stub, frugal, acknowledge=False) as stream:
        await until(lambda: counters.generated >= 5 and len(server.contents.scheduler) == 0)
        await stream.until(lambda: len(stream.tiles) > 0)
        assert (len(stream.tiles), counters.unsent, counters.wasted_seconds) == (1, 0, 0.0)
        await stream.send(view=view(-100.0, -61.0, sequence=2))
        await stream.until(lambda: stream.stats.tiles_wasted > 0)
        assert counters.unsent == stream.stats.tiles_wasted > 2
        assert 0.0 == counters.reclaimed_seconds < counters.wasted_seconds <= counters.busy_seconds
        before = counters.wasted_seconds
        async with Stream(stub, opening(view(-100.0, 61.0), selection=coarse)) as other:
            await other.settled()
        assert counters.reclaimed_seconds == pytest.approx(before), "somebody else could use it"


async def test_what_the_client_holds_is_never_sent_again(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(10.0, 46.0))) as first:
        await first.settled()
    async with Stream(stub, opening(view(10.0, 46.0), have=first.held())) as second:
        await second.settled()
    assert second.tiles == []
    assert second.visible == first.visible
    stale = [pb.HeldTile(id=held.id, content_hash=b"other") for held in first.held()]
    async with Stream(stub, opening(view(10.0, 46.0), have=stale)) as third:
        await third.settled()
    assert len(third.tiles) == len(first.tiles)


async def test_a_tile_that_the_client_dropped_comes_again(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(10.0, 46.0))) as stream:
        await stream.settled()
        dropped = next(tile for tile in stream.tiles if tile.id.z == FINEST)
        await stream.send(forget=pb.Forget(tiles=[dropped.id]))
        await stream.until(lambda: len(stream.tiles) == 13)
        await stream.settled()
        assert stream.tiles[-1].content_hash == dropped.content_hash


async def test_dropping_tiles_wants_them_anew_and_selects_nothing(server: Server, stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(10.0, 46.0))) as stream:
        await stream.settled()
        (own,) = server.sessions.all
        plan = own._plan
        for tile in list(stream.tiles):
            await stream.send(forget=pb.Forget(tiles=[tile.id]))
        await stream.until(lambda: len(stream.tiles) == 24)
        assert own._plan is plan, "what is needed has not changed"
        await stream.send(view=view(10.1, 46.0, sequence=2))
        await stream.settled(2)
        assert own._plan is not plan
    assert sorted(tile.content_hash for tile in stream.tiles[:12]) == sorted(tile.content_hash for tile in stream.tiles[12:24])


async def test_a_client_that_holds_too_much_is_told_what_to_free(server: Server, stub: TerraloomStub) -> None:
    identity = server.world.identity
    old = [TileId(9, x, y) for x in range(64) for y in range(64)]
    have = [pb.HeldTile(id=pb.TileId(z=9, x=t.x, y=t.y), content_hash=content_hash(identity, t, ContentOptions())) for t in old]
    async with Stream(stub, opening(view(10.0, 46.0), have=have)) as stream:
        await stream.until(lambda: bool(stream.removed))
        await stream.settled()
    assert len(old) - 2048 <= len(stream.removed) < len(old)
    assert {tile.z for tile in stream.removed} == {9}


async def test_another_selection_takes_effect_at_once(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(10.0, 46.0))) as stream:
        await stream.settled()
        await stream.send(selection=pb.Selection(radius=pb.Radius(radius=1000.0, level=5), min_level=4))
        await stream.until(lambda: max(z for z, _, _ in stream.visible) == 5)


async def test_only_the_classes_asked_for_are_carried(stub: TerraloomStub) -> None:
    moving = view(10.0, 46.0)
    moving.velocity.x = 20_000.0
    async with Stream(stub, opening(moving)) as everything, Stream(stub, opening(moving, priorities=[pb.PRIORITY_NEAR])) as near:
        await everything.until(lambda: any(tile.priority == pb.PRIORITY_PREFETCH for tile in everything.tiles))
        await near.settled()
    assert {tile.priority for tile in near.tiles} == {pb.PRIORITY_NEAR}


async def test_stats_tell_generated_from_stored(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(10.0, 46.0))) as warm:
        await warm.settled()
    async with Stream(stub, opening(view(10.0, 46.0))) as stream:
        await stream.settled()
        await stream.until(lambda: stream.stats.tiles_sent == 12)
    assert (stream.stats.tiles_from_store, stream.stats.tiles_generated, stream.stats.tiles_wasted) == (12, 0, 0)
    assert stream.stats.bytes_sent == pytest.approx(sum(tile.ByteSize() for tile in stream.tiles), abs=12 * 11)


async def test_a_stream_that_the_client_half_closes_ends_without_an_error(server: Server, stub: TerraloomStub) -> None:
    call = stub.Stream(iter([pb.ClientMessage(open=opening(view(10.0, 46.0)))]))
    events = [event.WhichOneof("event") async for event in call]
    assert events[0] == "opened"
    assert await call.code() is grpc.StatusCode.OK


async def test_work_for_a_client_that_vanished_is_given_up(server: Server, stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(-120.0, 55.0))):
        await until(lambda: len(server.contents.scheduler.workers) > 2)  # looked for, not stored, and waiting to be generated
    await until(lambda: len(server.contents.scheduler) == 0)
    assert server.contents.scheduler.counters.dropped > 0


async def test_the_same_without_bidirectional_streaming(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(10.0, 46.0))) as bidirectional:
        await bidirectional.settled()
    session = await stub.OpenSession(opening())
    events = stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id))
    answer = await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, view=view(10.0, 46.0, sequence=5)))
    assert answer.view_sequence == 5
    tiles = []
    async for event in events:
        if event.WhichOneof("event") == "tile":
            tiles.append(event.tile)
            ack = pb.Ack(deliveries=[event.tile.delivery])
            await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, ack=ack))
        if event.visible.complete:
            break
    assert sorted(tile.content_hash for tile in tiles) == sorted(tile.content_hash for tile in bidirectional.tiles)
    late = await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, view=view(50.0, 50.0, sequence=2)))
    assert late.view_sequence == 5, "an older view is passed over"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id))))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpdateView(pb.UpdateViewRequest(session_id="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    events.cancel()


async def test_a_subscriber_may_leave_and_come_back(server: Server, stub: TerraloomStub) -> None:
    session = await stub.OpenSession(opening(view(10.0, 46.0)))
    for _ in range(2):
        events = stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id))
        assert (await anext(aiter(events))).WhichOneof("event") in ("tile", "stats")
        events.cancel()
        while server.sessions[session.session_id].attached:
            await asyncio.sleep(0.01)


async def test_a_client_that_freezes_loses_its_session(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PING_SECONDS", 0.5)
    monkeypatch.setattr(app, "ANSWER_SECONDS", 0.5)
    code = "import terraloom as t, sys; s = t.connect(sys.argv[1]).stream(t.View(10.0, 46.0, 3000.0)); s.__enter__(); list(s.events())"
    async with Server(ServerOptions(port=0, store=directory)) as server:
        client = await asyncio.create_subprocess_exec(sys.executable, "-c", code, f"127.0.0.1:{server.port}")
        try:
            await until(lambda: len(server.sessions) == 1)
            client.send_signal(signal.SIGSTOP)
            await until(lambda: len(server.sessions) == 0)
        finally:
            client.kill()
            await client.wait()


async def until(holds: Callable[[], bool]) -> None:
    """Waits until `holds()`; fails after a while."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


async def test_who_is_turned_away_from_a_session_does_not_end_it(
    server: Server, stub: TerraloomStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await stub.OpenSession(opening(view(10.0, 46.0)))
    events = stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id))
    await anext(aiter(events))
    monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.2)  # not before: until it has a subscriber, its time runs
    with pytest.raises(grpc.aio.AioRpcError, match="has a subscriber already"):
        await anext(aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id))))
    await asyncio.sleep(0.4)
    assert server.sessions[session.session_id].attached
    events.cancel()
    await until(lambda: len(server.sessions) == 0)  # now that nobody listens it ends after a while


async def test_sessions_are_limited(server: Server, stub: TerraloomStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 8)
    for _ in range(8):
        await stub.OpenSession(opening())
    with pytest.raises(grpc.aio.AioRpcError, match="sessions are open, which is the limit") as caught:
        await stub.OpenSession(opening())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(caught.value)
    infos = [detail for detail in status.details if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert [error_details_pb2.RetryInfo.FromString(info.value).retry_delay.seconds for info in infos] == [sessions.RETRY_SECONDS]


async def test_after_a_barrier_a_view_needs_no_generation(server: Server, stub: TerraloomStub) -> None:
    where = view(-70.0, -33.0)
    answer = await stub.Barrier(pb.BarrierRequest(view=where, selection=AROUND))
    assert (answer.complete, answer.tiles) == (True, 12)
    generated = server.contents.scheduler.counters.generated
    async with Stream(stub, opening(where)) as stream:
        await stream.settled()
        session = await stub.Barrier(pb.BarrierRequest(session_id=stream.session.session_id))
    assert server.contents.scheduler.counters.generated == generated
    assert session.world_hash == answer.world_hash
