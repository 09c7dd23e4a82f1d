"""Sessions over connections that are cut, fall silent or are left: they go on where they were, and nothing comes twice."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from benchmarks.links import Link, run_link

from terraloom import (
    Client,
    CollisionOptions,
    Disconnected,
    HeightTile,
    Radius,
    Reconnect,
    StreamOptions,
    Tile,
    TileId,
    View,
    _connection,
    connect,
)
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.server import Server, ServerOptions, app

HERE, THERE = View(longitude=8.0, latitude=46.0, height=3000.0), View(longitude=-70.0, latitude=-33.0, height=3000.0)
QUICK = Reconnect(first_pause=0.01, longest_pause=0.02)
PICTURES = StreamOptions(Radius(radius=600_000.0, level=4), min_level=2, reconnect=QUICK)
GROUND = CollisionOptions(radius=900_000.0, level=4, reconnect=QUICK)
SLOW = Link(8e6, 0.02)
"""A megabyte a second, so that there is a middle to be cut in."""
PATIENCE = 60.0


def test_a_cut_in_the_middle_costs_no_tile_twice_and_ends_in_the_same_world(server: str, client: Client) -> None:
    with client.stream(HERE, PICTURES) as stream:
        stream.settle(PATIENCE)
        usual, visible, world = stream.held, stream.visible, client.barrier(stream.session.session_id).world_hash
    with run_link(SLOW, server) as link, connect(link.address) as far, far.stream(HERE, PICTURES) as stream:
        came: list[TileId] = []
        for event in stream.events():
            if isinstance(event, Tile):
                came.append(event.id)
                if len(came) in (2, 5):
                    link.cut()
            if stream.complete:
                break
        assert len(came) == len(set(came)) == len(usual)
        assert (stream.held, stream.visible) == (usual, visible) and stream.counters.reconnects >= 1
        assert client.barrier(stream.session.session_id).world_hash == world


def test_ground_goes_on_after_a_cut_too(server: str, client: Client) -> None:
    with client.collision_stream(HERE, GROUND) as stream:
        usual = {tile.id: tile.content_hash for tile in stream.settle(PATIENCE)}
    with run_link(SLOW, server) as link, connect(link.address) as far, far.collision_stream(HERE, GROUND) as stream:
        first = next(iter(stream))
        link.cut()
        rest = [event for event in _until_complete(stream) if isinstance(event, HeightTile)]
        assert [first.id, *[tile.id for tile in rest]].count(first.id) == 1
        assert {tile.id: tile.content_hash for tile in (first, *rest)} == usual == stream.held


def _until_complete(stream):  # type: ignore[no-untyped-def]
    for event in stream.events():
        yield event
        if stream.complete:
            return


async def test_a_network_that_fell_silent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LEAST_PING_SECONDS", 0.1)
    patient = dict(_connection.CHANNEL_OPTIONS)
    pings = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")
    monkeypatch.setattr(_connection, "CHANNEL_OPTIONS", tuple((patient | dict.fromkeys(pings, 1000)).items()))
    async with Server(ServerOptions(port=0)) as own:
        with run_link(SLOW, f"127.0.0.1:{own.port}") as link:
            await asyncio.to_thread(_outlast_silence, link)


def _outlast_silence(link) -> None:  # type: ignore[no-untyped-def]
    with connect(link.address) as client, client.stream(HERE, PICTURES) as stream:
        stream.settle(PATIENCE)
        link.silence(1e9)
        stream.move(THERE)
        assert any(isinstance(event, Disconnected) for event in stream.events()), "it ends by itself"
        link.silence(0.0)
        assert {tile.id for tile in stream.settle(PATIENCE)}.isdisjoint({TileId(2, 2, 1)})
        assert stream.counters.reconnects >= 1


# ------------------------------------------------------------------------------------------- without bidirectional streaming


@pytest.fixture
async def stub(server: str) -> AsyncIterator[TerraloomStub]:
    async with grpc.aio.insecure_channel(server) as channel:
        yield TerraloomStub(channel)


class Subscriber:
    """One connection of a session: takes events until it has enough."""

    def __init__(self, stub: TerraloomStub, session: str, **options: object) -> None:
        self._stub, self._session = stub, session
        self._call = stub.Subscribe(pb.SubscribeRequest(session_id=session, **options))
        self.drawn: set[tuple[int, int, int]] = set()
        self.tiles: list[pb.Tile] = []

    async def take(self, count: int = 1 << 30, acknowledge: bool = True) -> "Subscriber":
        """Takes so many tiles, or all until the view is complete, and leaves."""
        async for event in self._call:
            if event.HasField("tile"):
                self.tiles.append(event.tile)
                if acknowledge:
                    await self.acknowledge(event.tile)
            self.drawn |= {(tile.z, tile.x, tile.y) for tile in event.visible.show}
            self.drawn -= {(tile.z, tile.x, tile.y) for tile in event.visible.hide}
            if event.visible.complete or event.HasField("step") or len(self.tiles) == count:
                break
        self._call.cancel()
        return self

    async def acknowledge(self, *tiles: pb.Tile) -> None:
        ack = pb.Ack(deliveries=[tile.delivery for tile in tiles])
        await self._stub.UpdateView(pb.UpdateViewRequest(session_id=self._session, ack=ack))


def names(tiles: list[pb.Tile]) -> list[tuple[int, int, int]]:
    return [(tile.id.z, tile.id.x, tile.id.y) for tile in tiles]


def opening(**options: object) -> pb.OpenSessionRequest:
    view = pb.View(sequence=1, geodetic=pb.Geodetic(longitude_degrees=8.0, latitude_degrees=46.0, height=3000.0))
    selection = pb.Selection(radius=pb.Radius(radius=600_000.0, level=4), min_level=2)
    credit = pb.Credit(bytes=1 << 26)  # some here acknowledge nothing
    return pb.OpenSessionRequest(**{"protocol_version": 1, "selection": selection, "view": view, "credit": credit, **options})


async def back(stub: TerraloomStub, session: str, **options: object) -> Subscriber:
    """Another connection, once the server has noticed that the former one ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await Subscriber(stub, session, **options).take()
            except grpc.aio.AioRpcError as error:
                if "has a subscriber already" not in (error.details() or ""):
                    raise
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("lockstep", [False, True])
async def test_who_comes_back_gets_what_was_not_acknowledged_and_all_that_is_drawn(stub: TerraloomStub, lockstep: bool) -> None:
    whole = await stub.OpenSession(opening(lockstep=lockstep))
    usual = await Subscriber(stub, whole.session_id).take()
    session = (await stub.OpenSession(opening(lockstep=lockstep))).session_id
    first = await Subscriber(stub, session).take(4, acknowledge=False)
    await first.acknowledge(*first.tiles[:2])
    second = await back(stub, session)
    assert sorted(names(first.tiles[:2] + second.tiles)) == sorted(names(usual.tiles)), "what was acknowledged does not come again"
    assert second.drawn == usual.drawn
    third = await back(stub, session)
    assert (third.tiles, third.drawn) == ([], usual.drawn)
    assert min(tile.delivery for tile in second.tiles) > max(tile.delivery for tile in first.tiles)


async def test_ground_over_a_second_connection_comes_back_alike(stub: TerraloomStub) -> None:
    session = (await stub.OpenSession(opening())).session_id
    collision = {"priorities": [pb.PRIORITY_COLLISION]}
    first = await Subscriber(stub, session, **collision).take(1, acknowledge=False)
    second = await back(stub, session, **collision)
    assert names(first.tiles)[0] in names(second.tiles) and len(second.drawn) == len(second.tiles)
    pictures = await Subscriber(stub, session).take()
    assert pictures.drawn and all(tile.glb for tile in pictures.tiles)


async def test_a_session_of_a_server_that_is_gone_goes_on_in_a_new_one(stub: TerraloomStub) -> None:
    usual = await Subscriber(stub, (await stub.OpenSession(opening())).session_id).take()
    have = [pb.HeldTile(id=tile.id, content_hash=tile.content_hash) for tile in usual.tiles[:5]]
    again = await Subscriber(stub, (await stub.OpenSession(opening(have=have))).session_id).take()
    assert sorted(names(usual.tiles[:5] + again.tiles)) == sorted(names(usual.tiles)) and again.drawn == usual.drawn
