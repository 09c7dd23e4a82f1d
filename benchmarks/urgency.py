"""How long an urgent tile waits behind bulk, and how much of the link the bulk gets: the window that the server chooses, and fixed ones.

One stream over a link of `links.py`, one connection. Bulk is a ring of tiles that the client forgets four times a second, so that they come
again; urgent is a tile near the viewpoint that it forgets with them. All are in the server's memory.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.links import LINKS, Link, run_link
from benchmarks.machine import quantiles
from terraloom import AsyncClient, Credit, Radius, StreamOptions, Tile, TileId, View, connect
from terraloom.testing import run_server

VIEW = View(longitude=10.0, latitude=46.5, height=3000.0)
LEVEL, RADIUS = 9, 260_000.0
PERIOD = 0.25
"""Seconds between two rounds of bulk; an urgent tile is asked for half a round after each, in the middle of it."""
SETTLING = 2.0
"""Seconds of bulk before anything counts."""
INNER = 30
"""Tiles in the middle, which are no bulk."""
CREDITS = {"chosen by the server": Credit(), "1 MiB": Credit(bytes=1 << 20), "400 kB": Credit(bytes=400_000)}


@dataclass
class _Run:
    """What one stream saw."""

    urgent: TileId
    asked_at: float | None = None
    waits: list[float] = field(default_factory=list)
    bytes: int = 0
    sizes: list[int] = field(default_factory=list)


async def _take(stream: Any, run: _Run) -> None:
    async for event in stream.events():
        if isinstance(event, Tile):
            run.bytes += len(event.glb)
            run.sizes.append(len(event.glb))
            if event.id == run.urgent and run.asked_at is not None:
                run.waits.append(time.perf_counter() - run.asked_at)
                run.asked_at = None


async def behind_bulk(address: str, credit: Credit, seconds: float) -> dict[str, Any]:
    """Seconds from asking for an urgent tile to having it while bulk runs, and megabits of tiles a second."""
    options = StreamOptions(Radius(RADIUS, LEVEL), credit=credit)
    async with AsyncClient(address) as client, client.stream(VIEW, options) as stream:
        await stream.settle(600.0)
        leaves = sorted(tile for tile in stream.visible if tile.z == LEVEL)
        middle = (sum(tile.x for tile in leaves) / len(leaves), sum(tile.y for tile in leaves) / len(leaves))
        leaves.sort(key=lambda tile: (tile.x - middle[0]) ** 2 + (tile.y - middle[1]) ** 2)
        run, bulk = _Run(leaves[0]), leaves[INNER:]
        taking = asyncio.create_task(_take(stream, run))
        started = time.perf_counter() + SETTLING
        while (now := time.perf_counter()) - started < seconds:
            if now < started:
                run.waits, run.bytes = [], 0
            stream.forget(bulk)
            await asyncio.sleep(PERIOD / 2)
            run.asked_at = time.perf_counter()
            stream.forget([run.urgent])
            await asyncio.sleep(PERIOD / 2)
        rate = run.bytes / (time.perf_counter() - started)
        taking.cancel()
    return {
        "urgent_ms": quantiles(run.waits, 1e3),
        "megabits_per_s": round(rate * 8e-6, 1),
        "tile_bytes": round(sum(run.sizes) / len(run.sizes)),
        "bulk_tiles": len(bulk),
    }


def measure(seconds: float = 20.0, store: str = "") -> dict[str, Any]:
    """The window that the server chooses beside fixed ones, over two links, one after the other. `store` spares making the tiles anew."""
    found: dict[str, Any] = {}
    with run_server(*(["--store", store] if store else [])) as server:
        with connect(server) as client, client.stream(VIEW, StreamOptions(Radius(RADIUS, LEVEL))) as stream:
            stream.settle(1800.0)
        for link in (Link(100e6, 0.001), LINKS["100mbit"]):
            with run_link(link, server) as proxy:
                for name, credit in CREDITS.items():
                    figures = asyncio.run(behind_bulk(proxy.address, credit, seconds))
                    found[f"{link.bits_per_second / 1e6:g} Mbit/s, {1e3 * link.round_trip:g} ms, {name}"] = figures
    return found
