"""An urgent tile beside bulk at 100 Mbit/s: how long from the moment that a body needs a height grid until it is there."""

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import quantiles
from benchmarks.streaming import linked
from benchmarks.traces import TRACES
from terraloom import CollisionOptions, HeightTile, StreamOptions, Tile
from terraloom._async_client import AsyncClient
from terraloom._async_stream import AsyncStream
from terraloom.testing import run_server

LINK = "100mbit"
SECONDS, EVERY = 20.0, 0.1


async def _bulk(stream: AsyncStream, arrived: list[tuple[float, int]]) -> None:
    """Takes tiles, and has those without children forgotten, so that they come again without end."""
    finest = max(tile.z for tile in stream.held)
    leaves = [tile for tile in stream.held if tile.z == finest]
    stream.forget(leaves)
    async for event in stream.events():
        if isinstance(event, Tile):
            arrived.append((time.perf_counter(), len(event.glb)))
            stream.forget([event.id])


async def _measure(address: str) -> dict[str, Any]:
    from benchmarks.push import view_at

    trace = TRACES["uav120"]
    view = view_at(trace, 0.0)
    arrived: list[tuple[float, int]] = []
    waits: list[float] = []
    async with AsyncClient(address) as client:
        await client.wait_ready()
        collision = CollisionOptions(trace.radius, trace.collision_level)
        async with client.collision_stream(view, collision) as ground, client.stream(view, StreamOptions(max_level=trace.max_level)) as eye:
            for stream in (ground, eye):
                await stream.settle(120.0)
            bulk = asyncio.create_task(_bulk(eye, arrived))
            await asyncio.sleep(2.0)
            start = time.perf_counter()
            while time.perf_counter() < start + SECONDS:
                tile, asked = next(iter(ground.ground)), time.perf_counter()
                ground.forget([tile])
                async for event in ground.events():
                    if isinstance(event, HeightTile):
                        break
                waits.append(time.perf_counter() - asked)
                await asyncio.sleep(max(asked + EVERY - time.perf_counter(), 0.0))
            end = time.perf_counter()
            bulk.cancel()
    received = sum(size for moment, size in arrived if start <= moment <= end)
    return {
        "urgent_ms": quantiles(waits, 1e3),
        "bulk_megabits_per_s": round(8e-6 * received / (end - start), 1),
        "urgent_megabits_per_s": round(8e-6 * 66_564 * len(waits) / (end - start), 1),
        "link": LINK,
        "what": "a height grid of 66,564 bytes, forgotten and sent again, from the call to its arrival; bulk are tiles for the eye",
    }


def measure(store: Path) -> dict[str, Any]:
    """All figures, over the store of the flights."""
    with run_server("--store", str(store)) as address, linked(LINK, str(address)) as end:
        return asyncio.run(_measure(end))
