"""Crowds of calls: what they ask for is taken in hand bit by bit, no more than there is room for, and who comes too many comes back."""

import asyncio
from functools import partial

import grpc
import pytest

from terraloom import AsyncClient, Region
from terraloom.errors import InternalError, ResourceExhaustedError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.server import Server, ServerOptions, servicer
from terraloom_engines.server.abreast import for_each
from terraloom_engines.server.admission import LEAST_PLACES, RETRY_SECONDS, Admission
from test_server_fairness import Record


def test_one_client_takes_at_most_half_and_leaves_room_for_another() -> None:
    admission = Admission(16 * LEAST_PLACES)
    with admission("greedy", 8 * LEAST_PLACES):
        with pytest.raises(ResourceExhaustedError, match="as many of your calls in hand") as caught, admission("greedy", 1):
            pass
        assert caught.value.retry_after == RETRY_SECONDS
        with admission("modest", 4 * LEAST_PLACES), admission("third"):
            pass
        with pytest.raises(InternalError), admission("modest", 4 * LEAST_PLACES):
            raise InternalError("it failed")
        with admission("modest", 4 * LEAST_PLACES):
            pass
    with admission("greedy", 8 * LEAST_PLACES):
        pass


async def test_a_lot_is_done_by_a_few_tasks_in_order() -> None:
    before, begun, at_once = len(asyncio.all_tasks()), [], 0

    async def do(item: int) -> None:
        nonlocal at_once
        begun.append(item)
        at_once = max(at_once, len(asyncio.all_tasks()) - before)
        await asyncio.sleep(0.0001 * (item % 3))

    await for_each(range(200), 7, do)
    assert (begun, at_once) == (list(range(200)), 7)
    await for_each([], 7, do)
    assert len(begun) == 200


async def test_the_first_error_ends_all_and_nothing_more_begins() -> None:
    begun = []

    async def do(item: int) -> None:
        begun.append(item)
        if item == 5:
            raise InternalError("no luck")
        await asyncio.sleep(60.0 if item < 5 else 0.0)

    with pytest.raises(InternalError, match="no luck"):
        await asyncio.wait_for(for_each(range(100), 6, do), 20.0)
    assert begun == [0, 1, 2, 3, 4, 5]


async def test_others_go_on_while_nothing_is_waited_for() -> None:
    """A barrier on a thousand tiles that are in memory does not hold up a stream."""
    turns = []

    async def other() -> None:
        for _ in range(10):
            turns.append(len(done))
            await asyncio.sleep(0)

    done: list[int] = []

    async def do(item: int) -> None:
        done.append(item)

    task = asyncio.create_task(other())
    await for_each(range(1000), 1, do)
    await task
    assert turns[:10] == sorted(turns) and 0 < turns[5] < 500


async def test_a_server_turns_barriers_away_that_it_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicer, "Admission", partial(Admission, 2048))
    async with (
        Server(ServerOptions(port=0)) as server,
        AsyncClient(f"127.0.0.1:{server.port}") as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        record = Record(server)
        rectangle = pb.Rectangle(west=0.0, south=0.0, east=44.0, north=30.0)  # 32 by 22 tiles of level 8
        first = TerraloomStub(channel).Barrier(pb.BarrierRequest(region=rectangle, level=8))
        async with asyncio.timeout(60.0):
            while not len(server.contents.scheduler):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        assert len(server.contents.scheduler) <= 64, "bit by bit"
        with pytest.raises(grpc.aio.AioRpcError, match="as many of your calls") as caught:
            await TerraloomStub(channel).Barrier(pb.BarrierRequest(region=rectangle, level=8))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        other = asyncio.create_task(client.barrier(Region(10.0, 45.0, 10.0, 45.0, level=3)))
        await asyncio.sleep(0.05)
        first.cancel()
        record.gate.set()
        assert (await other).complete
        async with asyncio.timeout(60.0):
            while len(server.contents.scheduler):  # until the server has noticed
                await asyncio.sleep(0.005)
        again = await TerraloomStub(channel).Barrier(pb.BarrierRequest(region=rectangle, level=8, deadline=0.05))
        assert (again.complete, again.world_hash) == (False, b"")
