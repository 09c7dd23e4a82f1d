"""Provisional tiles: at a deadline something coarser stands in, until the final tile takes its place; nobody gets one unasked."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from terraloom import AsyncClient, CollisionOptions, HeightTile, Radius, StreamOptions, Tile, TileId, View, VisibleChange
from terraloom.errors import InvalidArgumentError
from terraloom_engines.content import ContentOptions, GridOptions
from terraloom_engines.field import LAND_FULL
from terraloom_engines.server import Server, ServerOptions
from terraloom_engines.server.contents import ContentKey
from terraloom_engines.tiling import TileId as Address
from terraloom_engines.upsampled import HALO, upsampled
from terraloom_engines.world import World, open_world

VIEW = View(longitude=8.0, latitude=46.0, height=3000.0)
LEVEL = 5
PICTURES = StreamOptions(Radius(radius=1000.0, level=LEVEL), min_level=4)
PATIENCE = 60.0


class Gate:
    """A server whose tiles of `LEVEL` are not made before it is opened."""

    def __init__(self, server: Server) -> None:
        self.server, self.opened, self._field = server, threading.Event(), server.world.field

    def field(self, tile: Address, *rest: Any) -> Any:
        if tile.z == LEVEL:
            self.opened.wait(PATIENCE)
        return self._field(tile, *rest)


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    async with Server(ServerOptions(port=0)) as server:
        gate = Gate(server)
        monkeypatch.setattr(server.world, "field", gate.field)
        yield gate
        gate.opened.set()


async def test_a_stand_in_comes_at_the_deadline_and_its_tile_takes_its_place_in_one_change(gate: Gate) -> None:
    options = replace(PICTURES, provisional=0.3)
    first: dict[TileId, Tile] = {}
    swapped: set[TileId] = set()
    async with AsyncClient(f"127.0.0.1:{gate.server.port}") as client, client.stream(VIEW, options) as stream:
        async with asyncio.timeout(PATIENCE):
            async for event in stream.events():
                if isinstance(event, Tile) and event.id.z == LEVEL:
                    if event.provisional:
                        first[event.id] = event
                        assert (event.refined_level, event.id in stream.visible) == (4, False)
                    else:
                        assert event.content_hash != first[event.id].content_hash and event.id in stream.visible
                if isinstance(event, VisibleChange):
                    assert not (event.complete and not gate.opened.is_set()), "a stand-in completes nothing"
                    if gate.opened.is_set():
                        swapped.update(set(event.show) & first.keys())
                    elif len(first) == 4 and first.keys() <= stream.visible:
                        await _nothing_is_final(gate, client)
                        gate.opened.set()
                if stream.complete:
                    break
        assert swapped == first.keys() and len(first) == 4
        assert stream.counters.provisional == 4
        final = await client.get_tile(*next(iter(first)))
    before, after = first[final.id].mesh().positions, final.mesh().positions
    assert before.shape == after.shape and 1.0 < np.abs(before - after)[:, 1].max() < 3000.0


async def _nothing_is_final(gate: Gate, client: AsyncClient) -> None:
    """Neither the memory nor a barrier takes a stand-in for a tile."""
    tiles = [Address(LEVEL, 16 + x, 11 + y) for x in range(2) for y in range(-1, 1)]
    assert all(gate.server.contents.cached(ContentKey(tile, ContentOptions(compression="meshopt"))) is None for tile in tiles)
    answer = await client.barrier(VIEW, PICTURES, deadline=0.2)
    assert (answer.complete, answer.world_hash) == (False, b"")


async def test_ground_never_changes_unless_the_client_asked_for_that(gate: Gate) -> None:
    async with AsyncClient(f"127.0.0.1:{gate.server.port}") as client:
        await client.get_tile(4, 8, 5)
        usual, hasty = CollisionOptions(radius=1000.0, level=LEVEL), CollisionOptions(radius=1000.0, level=LEVEL, provisional=0.2)
        async with client.collision_stream(VIEW, usual) as patient, client.collision_stream(VIEW, hasty) as stream:
            stand_in = await anext(aiter(stream))
            assert isinstance(stand_in, HeightTile) and stand_in.provisional
            await asyncio.sleep(0.5)
            assert patient.poll() == [] and not stream.complete
            gate.opened.set()
            (final,) = await stream.settle(PATIENCE)
            assert not final.provisional and final.id == stand_in.id and stream.ground[final.id] is final
            (only,) = await patient.settle(PATIENCE)
            assert only.content_hash == final.content_hash != stand_in.content_hash
            assert gate.server.contents.cached(ContentKey(Address(*final.id), GridOptions())) is not None


async def test_in_lockstep_no_clock_decides(gate: Gate) -> None:
    options = StreamOptions(PICTURES.selection, provisional=1.0)
    async with AsyncClient(f"127.0.0.1:{gate.server.port}") as client:
        with pytest.raises(InvalidArgumentError, match="provisional_seconds = 1 is out of range: allowed are 0 to 0"):
            async with client.lockstep(VIEW, options):
                pass


@pytest.fixture(scope="module")
def world() -> World:
    return open_world()


def test_an_upsampled_field_keeps_means_and_sides_and_agrees_with_its_neighbour(world: World) -> None:
    parent = world.field(Address(4, 8, 5))
    west, east = (upsampled(parent, Address(6, x, 22)) for x in (33, 34))
    for name in ("elevation", "land", "red", "green", "blue"):
        means = west.crop(0).channel(name).reshape(128, 2, 128, 2).sum(axis=(1, 3))
        assert np.array_equal(means, 4 * upsampled(parent, Address(5, 16, 11)).channel(name)[HALO : HALO + 128, HALO + 128 : HALO + 256])
        left, right = west.channel(name), east.channel(name)
        assert np.array_equal(left[:, 256:], right[:, : 2 * HALO]), "they are the same where they overlap"
    dry = west.channel("land") == LAND_FULL
    assert (west.channel("elevation") >= west.channel("water"))[dry].all()
    assert np.array_equal(upsampled(parent, parent.tile).data, parent.crop(HALO).data)
