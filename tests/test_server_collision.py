"""Collision tiles on the wire, against a server in this process: what comes, in which order, on whose credit, and what is freed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from terraloom.errors import InternalError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.content import GridOptions, content_hash
from terraloom_engines.field import Field
from terraloom_engines.server import Server, ServerOptions, retries
from terraloom_engines.tiling import TileId, tile_from_lonlat
from test_server_stream import Stream, until

LEVEL = 7
DISC = pb.Selection(radius=pb.Radius(radius=100_000.0, level=LEVEL))
PLACE, ELSEWHERE = (10.0, 46.0), (24.0, 46.0)


@pytest.fixture
async def own() -> AsyncIterator[Server]:
    """A server in this process, to look into and to break."""
    async with Server(ServerOptions(port=0)) as server:
        yield server


@pytest.fixture
async def stub(server: str) -> AsyncIterator[TerraloomStub]:
    """Calls to the server that all tests share."""
    async with grpc.aio.insecure_channel(server) as channel:
        yield TerraloomStub(channel)


@asynccontextmanager
async def stub_of(server: Server) -> AsyncIterator[TerraloomStub]:
    """Calls to a server in this process."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield TerraloomStub(channel)


def view(place: tuple[float, float], sequence: int = 1, velocity: float = 0.0) -> pb.View:
    """A viewpoint, flying east."""
    where = pb.Geodetic(longitude_degrees=place[0], latitude_degrees=place[1], height=3000.0)
    return pb.View(sequence=sequence, geodetic=where, velocity=pb.Vector3(x=velocity))


def opening(first: pb.View | None = None, **options: object) -> pb.OpenSessionRequest:
    """A session for collision."""
    given = {"protocol_version": 1, "selection": DISC, "view": first, "priorities": [pb.PRIORITY_COLLISION], "stats": True}
    return pb.OpenSessionRequest(**{**given, **options})


def addresses(tiles: list[pb.Tile]) -> set[tuple[int, int, int]]:
    return {(tile.id.z, tile.id.x, tile.id.y) for tile in tiles}


async def test_the_ground_within_the_radius_comes_as_height_grids_that_get_tile_confirms(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(PLACE))) as stream:
        await stream.settled()
    middle = tile_from_lonlat(LEVEL, *PLACE)
    assert stream.visible == addresses(stream.tiles)
    assert (LEVEL, middle.x, middle.y) in stream.visible
    assert {tile.id.z for tile in stream.tiles} == {LEVEL} and len(stream.tiles) == len(stream.visible)
    for tile in stream.tiles:
        assert (tile.priority, tile.provisional, tile.refined_level, tile.view_sequence) == (pb.PRIORITY_COLLISION, False, LEVEL, 1)
        alone = await stub.GetTile(pb.GetTileRequest(id=tile.id, height_grid=True))
        assert tile.height_grid == alone.height_grid and tile.content_hash == alone.content_hash and tile.glb == b""
    assert [tile.delivery for tile in stream.tiles] == list(range(1, len(stream.tiles) + 1))
    assert stream.session.selection.radius == DISC.radius


async def test_the_nearest_comes_first_and_what_lies_ahead_after_it(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(PLACE))) as resting:
        await resting.settled()
    async with Stream(stub, opening(view(PLACE, velocity=25_000.0))) as moving:
        await moving.settled()
        now = addresses(resting.tiles)
        await moving.until(lambda: len(moving.tiles) >= len(now) + 2)
    assert addresses(moving.tiles[: len(now)]) == now
    ahead = addresses(moving.tiles[len(now) :])
    assert not ahead & now and max(x for _, x, _ in ahead) >= max(x for _, x, _ in now)
    assert {tile.priority for tile in moving.tiles} == {pb.PRIORITY_COLLISION}


async def test_defaults_are_200_metres_at_the_finest_level(stub: TerraloomStub) -> None:
    for selection, level in ((None, 18), (pb.Selection(max_level=9), 9), (pb.Selection(radius=pb.Radius(radius=50.0)), 18)):
        session = await stub.OpenSession(opening(selection=selection))
        radius = 50.0 if selection is not None and selection.WhichOneof("by") else 200.0
        assert session.selection.radius == pb.Radius(radius=radius, level=level)


async def test_credit_counts_grids_and_acknowledging_them_lets_more_come(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(PLACE), credit=pb.Credit(bytes=70_000)), acknowledge=False) as stream:
        await stream.until(lambda: stream.stats.tiles_sent == 1)
        assert len(stream.tiles) == 1 and 66_564 < stream.stats.bytes_unacknowledged < 70_000
        stream.acknowledge = True
        await stream.send(ack=pb.Ack(deliveries=[1]))
        await stream.settled()


async def test_what_is_held_is_not_sent_again_and_what_is_forgotten_is(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(PLACE))) as first:
        await first.settled()
    async with Stream(stub, opening(view(PLACE), have=first.held())) as second:
        await second.settled()
        assert second.tiles == [] and second.visible == first.visible
        await second.send(forget=pb.Forget(tiles=[first.tiles[0].id]))
        await second.until(lambda: len(second.tiles) == 1)
        await second.settled()
        assert second.tiles[0].content_hash == first.tiles[0].content_hash


async def test_what_is_left_behind_is_hidden_then_freed(stub: TerraloomStub) -> None:
    async with Stream(stub, opening(view(PLACE))) as stream:
        await stream.settled()
        former = set(stream.visible)
        await stream.send(view=view(ELSEWHERE, 2))
        await stream.settled(2)
        await stream.until(lambda: {(tile.z, tile.x, tile.y) for tile in stream.removed} == former)
        assert not former & stream.visible
        await stream.send(view=view(PLACE, 3))
        await stream.settled(3)
    assert stream.visible == former


async def test_another_level_replaces_the_ground_in_one_change(stub: TerraloomStub) -> None:
    changes: list[set[int]] = []
    async with Stream(stub, opening(view(PLACE))) as stream:
        await stream.settled()
        finer = pb.Selection(radius=pb.Radius(radius=30_000.0, level=LEVEL + 1))
        await stream.send(selection=finer)
        while not (changes and changes[-1] == {LEVEL + 1}):
            await stream.until(lambda: True)
            changes.append({z for z, _, _ in stream.visible})
            await asyncio.sleep(0.005)
    assert all(len(levels) == 1 for levels in changes), "the ground is of one level at any time"


async def collision_events(address: str, session: str) -> AsyncIterator[pb.ServerEvent]:
    """What a second connection of a session gets, each tile acknowledged on it."""
    async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        second = TerraloomStub(channel)
        request = pb.SubscribeRequest(session_id=session, priorities=[pb.PRIORITY_COLLISION], credit=pb.Credit(tiles=1))
        async for event in second.Subscribe(request):
            yield event
            if event.HasField("tile"):
                await second.UpdateView(pb.UpdateViewRequest(session_id=session, ack=pb.Ack(deliveries=[event.tile.delivery])))


async def test_a_streams_session_has_a_second_connection_for_collision(server: str, stub: TerraloomStub) -> None:
    pictures = pb.Selection(radius=pb.Radius(radius=1000.0, level=6), min_level=4)
    grids: list[pb.Tile] = []
    barriers: list[pb.BarrierResponse] = []

    async def follow(stream: Stream) -> None:
        name = stream.session.session_id
        async for event in collision_events(server, name):
            if event.HasField("tile"):
                grids.append(event.tile)
            elif event.visible.complete and event.visible.view_sequence == 1:
                await stream.send(view=view(ELSEWHERE, 2))
            elif event.visible.complete:
                await stream.settled(2)
                barriers.append(await stub.Barrier(pb.BarrierRequest(session_id=name)))
                stream.call.cancel()

    async with Stream(stub, opening(view(PLACE), priorities=[], selection=pictures)) as stream:
        await stream.settled()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await follow(stream)
        assert caught.value.code() is grpc.StatusCode.CANCELLED, "it ends with the stream"
    assert {tile.id.z for tile in grids} == {6} and all(tile.height_grid.heights for tile in grids)
    assert all(tile.glb for tile in stream.tiles)
    deliveries = [tile.delivery for tile in [*stream.tiles, *grids]]
    assert sorted(deliveries) == list(range(1, len(deliveries) + 1)), "numbered over both connections"
    pictures_alone = await stub.Barrier(pb.BarrierRequest(view=view(ELSEWHERE), selection=pictures))
    (both,) = barriers
    assert both.complete and both.tiles == pictures_alone.tiles + sum(tile.view_sequence == 2 for tile in grids)
    assert both.world_hash != pictures_alone.world_hash


async def test_a_session_listened_to_for_collision_alone_stays(own: Server) -> None:
    async with stub_of(own) as stub:
        session = await stub.OpenSession(opening(view(PLACE), priorities=[], stats=False))
        events = stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id, priorities=[pb.PRIORITY_COLLISION]))
        assert (await anext(aiter(events))).tile.height_grid.heights
        assert own.sessions[session.session_id].attached and not own.sessions._idle
        events.cancel()
        await until(lambda: session.session_id in own.sessions._idle)


WRONG: dict[str, Callable[[], pb.OpenSessionRequest]] = {
    "selection.screen_space_error": lambda: opening(selection=pb.Selection(screen_space_error=pb.ScreenSpaceError(target_pixels=8))),
    "selection.radius.radius": lambda: opening(selection=pb.Selection(radius=pb.Radius(radius=-1.0))),
    "selection.radius.level": lambda: opening(selection=pb.Selection(radius=pb.Radius(radius=10.0, level=19))),
}


@pytest.mark.parametrize("field", WRONG)
async def test_wrong_selections_are_named(stub: TerraloomStub, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=field.replace(".", r"\.")) as caught:
        await stub.OpenSession(WRONG[field]())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_collision_session_carries_nothing_else_and_too_much_ground_ends_it(stub: TerraloomStub) -> None:
    session = await stub.OpenSession(opening(view(PLACE), selection=pb.Selection(radius=pb.Radius(radius=90_000.0, level=16))))
    with pytest.raises(grpc.aio.AioRpcError, match="carries nothing else"):
        await anext(aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id, priorities=[pb.PRIORITY_NEAR]))))
    with pytest.raises(grpc.aio.AioRpcError, match="takes over 1024 tiles of level 16") as caught:
        await anext(aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id))))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_tile_that_fails_is_told_once_and_tried_again_until_it_succeeds(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.05)
    broken, generate, failures = tile_from_lonlat(LEVEL, *PLACE), own.world.field, 0

    def failing(tile: TileId, *asked: Callable[..., bool]) -> Field:
        nonlocal failures
        if tile == broken and failures < 3:
            failures += 1
            raise InternalError("no luck")
        return generate(tile, *asked)

    monkeypatch.setattr(own.world, "field", failing)
    errors: list[pb.ErrorDetail] = []
    async with stub_of(own) as stub:
        session = await stub.OpenSession(opening(view(PLACE)))
        async for event in stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id)):
            errors += [event.error] if event.HasField("error") else []
            if event.visible.complete:
                break
    assert failures == 3
    told = pb.ErrorDetail(status="INTERNAL", message="no luck", tile=pb.TileId(z=broken.z, x=broken.x, y=broken.y))
    assert errors == [told]
    kept = own.sessions[session.session_id].held
    assert kept[broken] == content_hash(own.world.identity, broken, GridOptions())
