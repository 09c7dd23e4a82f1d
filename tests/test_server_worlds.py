"""Several worlds on one server: each request gets the world that it names, and worlds are opened once, when first asked for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from terraloom import Client, connect
from terraloom.errors import NotFoundError, ResourceExhaustedError
from terraloom_engines.server import worlds as module
from terraloom_engines.server.worlds import Worlds


@pytest.fixture
async def worlds() -> AsyncIterator[Worlds]:
    async with Worlds(["earth"], 0, threads=1, store=None, cache_bytes=1 << 20) as worlds:
        yield worlds


async def test_a_world_is_opened_once_however_many_ask(worlds: Worlds) -> None:
    first, second = await asyncio.gather(worlds.get("earth", 5), worlds.get("", 5))
    assert first is second is await worlds.get("earth", 5)
    assert first is not worlds.default
    assert await worlds.get() is await worlds.get("earth") is worlds.default


async def test_who_stops_waiting_for_a_world_leaves_it_to_the_others(worlds: Worlds) -> None:
    impatient = asyncio.create_task(worlds.get("earth", 6))
    patient = asyncio.create_task(worlds.get("earth", 6))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).world.seed == 6


async def test_a_world_that_cannot_be_opened_is_not_remembered(worlds: Worlds) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError, match="unknown world 'mars'"):
            await worlds.get("mars")
    assert [served.world.name for served in worlds.opened] == ["earth"]


async def test_too_many_worlds_close_the_one_idle_longest_and_never_one_in_use(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WORLDS", 3)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)
    with (await worlds.get("earth", 1)).in_use() as held:
        await worlds.get("earth", 2)
        await worlds.get("earth", 3)
        assert [served.world.seed for served in worlds.opened] == [0, 3, 1]
        assert await worlds.get("earth", 1) is held
        with (await worlds.get("earth", 3)).in_use(), pytest.raises(ResourceExhaustedError, match="3 worlds are in use"):
            await worlds.get("earth", 4)
    assert worlds.opened[0] is worlds.default


def test_clients_of_one_server_have_worlds_of_their_own(server: str, client: Client) -> None:
    with connect(server, world="earth", seed=9) as other:
        theirs, ours = other.get_tile(5, 16, 11), client.get_tile(5, 16, 11)
        assert other.describe().world.id.seed == 9
        assert theirs.content_hash != ours.content_hash
        assert client.get_tile(5, 16, 11) == ours
    worlds = client.worlds()
    assert [(world.id.name, world.id.seed) for world in worlds[:1]] == [("earth", 0)]
    assert 9 in [world.id.seed for world in worlds]
