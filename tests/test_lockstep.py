"""Lockstep: what a step brings depends on the steps alone, whatever the server had, however slow the client is, and wherever it was cut."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import grpc
import pytest
from benchmarks.links import Link, run_link

from terraloom import (
    AsyncClient,
    Client,
    CollisionOptions,
    Credit,
    Radius,
    Step,
    StreamOptions,
    Tile,
    TileId,
    View,
    connect,
)
from terraloom.errors import DataLossError, InvalidArgumentError
from terraloom.testing import run_server
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub

COARSE = StreamOptions(selection=Radius(radius=600_000.0, level=4), min_level=2)
GROUND = CollisionOptions(radius=300_000.0, level=4)
FLIGHT = [View(longitude, 46.0, 3000.0, velocity=(20_000.0, 0.0, 0.0)) for longitude in (8.0, 11.0, 30.0, -30.0, 11.0)]


def fly(client: Client, options: StreamOptions | CollisionOptions = COARSE) -> list[Step[Tile]]:
    """The steps of the flight, without what numbers connections."""
    with client.lockstep(FLIGHT[0], options) as lockstep:
        steps = [lockstep.first, *(lockstep.step(view, 0.1 * i) for i, view in enumerate(FLIGHT[1:], 1))]
        assert lockstep.sim_time == pytest.approx(0.4)
    return [replace(step, tiles=tuple(map(comparable, step.tiles))) for step in steps]


def comparable(tile: Tile) -> tuple[object, ...]:
    return tile.id, tile.content_hash, tile.view_sequence, tile.delivery, getattr(tile, "glb", b"")


@pytest.fixture(scope="module")
def cold() -> Iterator[list[list[Step[Tile]]]]:
    """The flight on a server of its own that has nothing yet, and again when it has everything; and over the ground."""
    with run_server() as address, connect(address) as client:
        client.wait_ready()
        yield [fly(client), fly(client), fly(client, GROUND)]


def test_a_run_repeats_on_another_server_whatever_that_had_before(client: Client, cold: list[list[Step[Tile]]]) -> None:
    first, again, ground = cold
    client.barrier(FLIGHT[3], COARSE)
    assert fly(client) == first == again
    assert fly(client, GROUND) == ground
    assert len({step.state_hash for step in first}) > 2


def test_a_step_brings_all_that_its_view_needs_parents_first_and_shows_it_at_once(client: Client) -> None:
    with client.stream(FLIGHT[0], COARSE) as stream:
        stream.settle(60.0)
        visible = stream.visible
    with client.lockstep(FLIGHT[0], COARSE) as lockstep:
        step = lockstep.first
        assert set(step.show) == lockstep.visible == visible
        assert (step.hide, step.removed) == ((), ()) and lockstep.held.keys() == {tile.id for tile in step.tiles}
        assert [tile.id.z for tile in step.tiles] == sorted(tile.id.z for tile in step.tiles)
        after = lockstep.step(FLIGHT[2], 1.0)
        assert lockstep.visible == (visible | set(after.show)) - set(after.hide)
        assert not {tile.id for tile in after.tiles} & {tile.id for tile in step.tiles}


def test_nothing_comes_between_two_steps(client: Client) -> None:
    with client.lockstep(FLIGHT[0], COARSE) as lockstep:
        before = lockstep.counters.tiles
        time.sleep(0.5)
        assert (lockstep._lockstep._stream.poll(), lockstep.counters.tiles) == ([], before)
        assert lockstep.step(FLIGHT[0], 5.0).tiles == ()


def test_the_ground_is_all_there_with_every_step(client: Client) -> None:
    with client.lockstep(FLIGHT[0], GROUND) as lockstep:
        tiles = {tile.id: tile for tile in lockstep.first.tiles}
        for i, view in enumerate(FLIGHT[1:], 1):
            step = lockstep.step(view, float(i))
            tiles |= {tile.id: tile for tile in step.tiles}
            column, row = (view.longitude + 180.0) / 360.0 * 16, 5
            assert TileId(4, int(column), row) in lockstep.visible <= tiles.keys()
            for tile in step.removed:
                del tiles[tile]
        assert tiles.keys() == lockstep.held.keys()


def test_the_smallest_credit_brings_the_same(client: Client, cold: list[list[Step[Tile]]]) -> None:
    assert fly(client, replace(COARSE, credit=Credit(bytes=1, tiles=1))) == cold[0]


def test_a_step_that_was_cut_goes_on_and_ends_the_same(server: str, cold: list[list[Step[Tile]]]) -> None:
    with run_link(Link(20e6, 0.02), server) as link, connect(link.address) as client, client.lockstep(FLIGHT[0], COARSE) as lockstep:
        for i, view in enumerate(FLIGHT[1:], 1):
            if i in (1, 3):
                link.cut()
            step = lockstep.step(view, 0.1 * i)
            assert (step.state_hash, step.show, step.hide) == (cold[0][i].state_hash, cold[0][i].show, cold[0][i].hide)
        assert lockstep.counters.reconnects >= 1
        assert lockstep.counters.tiles == sum(len(step.tiles) for step in cold[0]), "nothing came twice"


async def test_the_asynchronous_client_steps_alike(server: str, cold: list[list[Step[Tile]]]) -> None:
    async with AsyncClient(server) as client, client.lockstep(FLIGHT[0], COARSE, sim_time=7.0) as lockstep:
        hashes = [lockstep.first.state_hash, *[(await lockstep.step(view, 7.0 + i)).state_hash for i, view in enumerate(FLIGHT[1:])]]
    assert hashes == [step.state_hash for step in cold[0]]


def test_what_is_held_from_before_does_not_come_and_what_is_of_another_world_is_freed(client: Client) -> None:
    with client.lockstep(FLIGHT[0], COARSE) as lockstep:
        held, usual = lockstep.held, lockstep.first
    stale = TileId(6, 1, 1)
    with client.lockstep(FLIGHT[0], replace(COARSE, have={**held, stale: b"stale"})) as again:
        assert (again.first.tiles, again.first.removed) == ((), (stale,))
        assert again.first.state_hash == usual.state_hash


def test_time_does_not_go_back(client: Client) -> None:
    with client.lockstep(FLIGHT[0], COARSE, sim_time=3.0) as lockstep:
        for wrong in (2.9, float("nan"), float("inf")):
            with pytest.raises(InvalidArgumentError, match="is no time at or after 3, that of the last step"):
                lockstep.step(FLIGHT[0], wrong)
        assert lockstep.step(FLIGHT[0], 3.0).tiles == ()


def test_a_client_that_does_not_hold_what_the_server_says_is_told(client: Client) -> None:
    with client.lockstep(FLIGHT[0], COARSE) as lockstep:
        lockstep._lockstep._stream.held.popitem()
        with pytest.raises(DataLossError, match="is not what the server says it does"):
            lockstep.step(FLIGHT[0], 1.0)


# ------------------------------------------------------------------------------------------------------------------------------ on the wire


@pytest.fixture
async def stub(server: str) -> AsyncIterator[TerraloomStub]:
    async with grpc.aio.insecure_channel(server) as channel:
        yield TerraloomStub(channel)


def message(sequence: int, longitude: float = 8.0, sim_time: float = 0.0) -> pb.View:
    place = pb.Geodetic(longitude_degrees=longitude, latitude_degrees=46.0, height=3000.0)
    return pb.View(sequence=sequence, geodetic=place, sim_time=sim_time)


def opening(**options: object) -> pb.OpenSessionRequest:
    selection = pb.Selection(radius=pb.Radius(radius=300_000.0, level=4), min_level=3)
    credit = pb.Credit(bytes=1 << 26)  # nothing here acknowledges
    return pb.OpenSessionRequest(**{"protocol_version": 1, "selection": selection, "credit": credit, "lockstep": True, **options})


async def answer(events: AsyncIterator[pb.ServerEvent]) -> list[str]:
    """The kinds of events of one step."""
    kinds = []
    async for event in events:
        kinds.append(event.WhichOneof("event"))
        if kinds[-1] == "step":
            break
    return kinds


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        (message(1), "INVALID_ARGUMENT", "view.sequence = 1 was there already"),
        (message(2, sim_time=-1.0), "INVALID_ARGUMENT", "view.sim_time = -1 lies before 0"),
        (message(2, sim_time=float("nan")), "INVALID_ARGUMENT", "view.sim_time = nan is not a finite number"),
    ],
)
async def test_steps_that_make_no_sense_are_told(stub: TerraloomStub, wrong: pb.View, code: str, text: str) -> None:
    session = await stub.OpenSession(opening(view=message(1)))
    await answer(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id)))
    with pytest.raises(grpc.aio.AioRpcError, match=text) as caught:
        await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, view=wrong))
    assert caught.value.code().name == code


async def test_a_step_waits_until_the_former_is_complete(stub: TerraloomStub) -> None:
    session = await stub.OpenSession(opening(view=message(1)))
    with pytest.raises(grpc.aio.AioRpcError, match="step 2 came before step 1 was complete") as caught:
        await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, view=message(2)))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(grpc.aio.AioRpcError, match="is in lockstep and carries what it was opened with"):
        await anext(aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id, priorities=[pb.PRIORITY_COLLISION]))))


async def test_what_was_drawn_and_dropped_is_told_anew(stub: TerraloomStub) -> None:
    """Shown when it came again, hidden when nothing needs it any more."""
    session = await stub.OpenSession(opening(view=message(1)))
    drawn: set[tuple[int, int, int]] = set()
    held: set[tuple[int, int, int]] = set()
    events = aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id)))
    for sequence, longitude in ((1, 8.0), (2, 8.0), (3, 60.0)):
        forget = pb.Forget(tiles=[pb.TileId(z=z, x=x, y=y) for z, x, y in drawn])
        if sequence > 1:
            await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, forget=forget, view=message(sequence, longitude)))
        held, shown = held - drawn, set()
        async for event in events:
            held |= {(event.tile.id.z, event.tile.id.x, event.tile.id.y)} if event.HasField("tile") else set()
            drawn -= {(tile.z, tile.x, tile.y) for tile in event.visible.hide}
            shown |= {(tile.z, tile.x, tile.y) for tile in event.visible.show}
            if event.HasField("step"):
                break
        drawn |= shown
        assert drawn == shown <= held, "all that is drawn is there, and was told in this step"


async def test_other_wishes_take_effect_with_the_next_step(stub: TerraloomStub) -> None:
    session = await stub.OpenSession(opening(view=message(1)))
    events = aiter(stub.Subscribe(pb.SubscribeRequest(session_id=session.session_id)))
    first = await answer(events)
    assert first[-2:] == ["visible", "step"] and set(first[:-2]) == {"tile"}
    finer = pb.Selection(radius=pb.Radius(radius=300_000.0, level=3), min_level=3)
    await stub.UpdateView(pb.UpdateViewRequest(session_id=session.session_id, selection=finer, forget=pb.Forget(tiles=[])))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(anext(events))), 0.2)
    barrier = await stub.Barrier(pb.BarrierRequest(session_id=session.session_id))
    assert barrier.complete and barrier.tiles == len(first) - 2
