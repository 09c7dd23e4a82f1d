"""Many who ask a lot of one real server: nobody starves another, nobody fills its queue, and who is turned away comes back."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import grpc
import pytest

from terraloom import AsyncClient
from terraloom.errors import ResourceExhaustedError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines import scheduler
from terraloom_engines.scheduler import Subscription
from terraloom_engines.selection import Priority
from terraloom_engines.server import Server, ServerOptions, worlds
from terraloom_engines.server.contents import ContentKey, Found
from terraloom_engines.tiling import TileId

VARIANTS = [pb.ContentOptions(segments=32, texture_quality=quality) for quality in range(1, 4)]
TILES = [pb.TileId(z=z, x=x, y=y) for z in range(5) for x in range(1 << z) for y in range(1 << z)]
BATCH = 64
"""Calls that are made at once: gRPC turns some away that come faster than the server takes them."""


class Record:
    """What a server's worker does, in order, how much it had done when a tile was first asked for, and how many it turned away.

    It works when the gate is open.
    """

    def __init__(self, server: Server) -> None:
        scheduler = server.contents.scheduler
        self._build, self._want = scheduler.build, scheduler.want
        self.done: list[ContentKey] = []
        self.before: dict[ContentKey, int] = {}
        self.refused = 0
        self.gate = threading.Event()
        self._require_room = scheduler.require_room
        scheduler.build, scheduler.want, scheduler.require_room = self.build, self.want, self.require_room  # type: ignore[method-assign]

    def build(self, key: ContentKey, cancelled: Callable[[], bool]) -> Found:
        assert self.gate.wait(600)
        self.done.append(key)
        return self._build(key, cancelled)

    def want(self, key: ContentKey, subscription: Subscription[ContentKey, Found], priority: Priority) -> None:
        self.before.setdefault(key, len(self.done))
        self._want(key, subscription, priority)

    def require_room(self, new: int, client: str) -> None:
        try:
            self._require_room(new, client)
        except ResourceExhaustedError:
            self.refused += 1
            raise


async def test_a_client_with_thousands_of_tiles_does_not_starve_a_modest_one() -> None:
    async with Server(ServerOptions(port=0)) as server, AsyncExitStack() as stack:
        record, stubs, greedy = Record(server), [], []
        for _ in VARIANTS:  # a connection carries 512 calls
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", [("grpc.use_local_subchannel_pool", 1)])
            stubs.append(TerraloomStub(await stack.enter_async_context(channel)))
        requests = [
            (stub, pb.GetTileRequest(id=tile, content=options)) for stub, options in zip(stubs, VARIANTS, strict=True) for tile in TILES
        ]
        for first in range(0, len(requests), BATCH):
            greedy += [stub.GetTile(request) for stub, request in requests[first : first + BATCH]]
            while len(server.contents.scheduler) + sum(call.done() for call in greedy) < len(greedy):
                await asyncio.sleep(0.005)
        assert len(server.contents.scheduler) > 900, "nearly all that was asked for waits"
        record.gate.set()
        async with AsyncClient(f"127.0.0.1:{server.port}") as modest:
            tiles = [(await modest.get_tile(4, x, 5)).id for x in range(12)]
        assert len(server.contents.scheduler.workers) > 500, "the greedy client still waits for most of what it asked for"
        modest_keys = [key for key in record.done if key.options.segments == 64]  # type: ignore[union-attr]
        assert [key.tile for key in modest_keys] == [TileId(tile.z, tile.x, tile.y) for tile in tiles]
        between = sorted(record.done.index(key) - record.before[key] for key in modest_keys)
        assert between[len(between) // 2] <= 4, "the piece that was running when it came, and a few that were due, of a thousand"
        assert between[-1] <= 50, "even where this loop is slow to notice"
        for call in greedy:
            call.cancel()


async def test_a_full_queue_turns_away_with_a_hint_that_the_client_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "MOST_WANTS", 4)
    async with Server(ServerOptions(port=0)) as server, AsyncClient(f"127.0.0.1:{server.port}") as client:
        await client.get_tile(3, 0, 0)  # reads the base for the first time
        record = Record(server)
        others = [asyncio.create_task(client.get_tile(3, i, 2)) for i in range(2)]
        while len(server.contents.scheduler) < 2:
            await asyncio.sleep(0.001)
        monkeypatch.setattr(scheduler, "SHORTEST_RETRY", 30.0)
        with pytest.raises(ResourceExhaustedError, match="no room for 1 more") as caught:
            await client.get_tile(3, 3, 3, timeout=29.0)
        assert (caught.value.retry_after, record.refused) == (30.0, 1), "the client does not wait for what comes too late"
        monkeypatch.setattr(scheduler, "SHORTEST_RETRY", 1.0)
        started, again = time.monotonic(), asyncio.create_task(client.get_tile(3, 3, 3))
        while record.refused < 2:
            await asyncio.sleep(0.001)
        record.gate.set()
        assert (await again).id.x == 3
        assert time.monotonic() - started >= 1.0
        await asyncio.gather(*others)


async def test_sessions_wait_for_room_in_a_full_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "MOST_WANTS", 6)
    async with Server(ServerOptions(port=0)) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        record = Record(server)
        record.gate.set()
        place = pb.Geodetic(longitude_degrees=10.0, latitude_degrees=46.0, height=3000.0)
        selection = pb.Selection(radius=pb.Radius(radius=1000.0, level=4))
        opening = pb.OpenSessionRequest(protocol_version=1, selection=selection, view=pb.View(sequence=1, geodetic=place))
        call = TerraloomStub(channel).Stream()
        await call.write(pb.ClientMessage(open=opening))
        tiles = 0
        async for event in call:
            if event.WhichOneof("event") == "tile":
                tiles += 1
                await call.write(pb.ClientMessage(ack=pb.Ack(deliveries=[event.tile.delivery])))
            if event.visible.complete:
                break
        assert tiles == 17
        call.cancel()
