"""Barrier: wait until every tile of a region, or all that a view asks for, is generated; lockstep for training and tests."""

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable

from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import ContentOptions
from terraloom_engines.selection import Criteria, Priority, ViewState, WorkClass, select
from terraloom_engines.server.checks import count_in_range, in_range
from terraloom_engines.server.contents import ContentKey, Contents
from terraloom_engines.tiling import TileId, tile_from_lonlat

MOST_TILES = 4096
"""Tiles of one barrier."""
AT_ONCE = 64
"""Tiles of one barrier that wait in the scheduler's queue at a time."""


class Barrier:
    """The tiles that are ready so far, and whether they are all."""

    def __init__(self, contents: Contents, options: ContentOptions) -> None:
        self._contents = contents
        self._options = options
        self.ready: set[TileId] = set()
        self.complete = False

    async def region(self, tiles: Iterable[TileId]) -> None:
        """Waits for exactly these tiles."""
        await self._gather(tiles)
        self.complete = True

    async def view(self, view: ViewState, criteria: Criteria) -> None:
        """Waits for all that `view` asks for now; what it will need ahead does not count."""
        heights = self._contents.heights(self._options)
        while missing := [entry.tile for entry in select(view, criteria, heights).tiles if entry.visible and entry.tile not in self.ready]:
            await self._gather(missing)
        self.complete = True

    async def _gather(self, tiles: Iterable[TileId]) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(tile: TileId) -> None:
            async with room:
                await self._contents.get(ContentKey(tile, self._options), Priority(WorkClass.NEAR, 0.0, tile.z))
            self.ready.add(tile)

        async with asyncio.TaskGroup() as group:
            for tile in tiles:
                group.create_task(one(tile))

    def response(self) -> pb.BarrierResponse:
        """What is ready; the hash covers the content hashes in order of address."""
        digest = hashlib.blake2b(digest_size=16)
        for tile in sorted(self.ready):
            digest.update(self._contents.content_hash(ContentKey(tile, self._options)))
        return pb.BarrierResponse(complete=self.complete, tiles=len(self.ready), world_hash=digest.digest() if self.complete else b"")


def region_tiles(region: pb.Rectangle, level: int) -> list[TileId]:
    """All tiles of a level that touch a rectangle in degrees; west > east crosses the antimeridian.

    Raises InvalidArgumentError for a rectangle that is none, or one of more than `MOST_TILES` tiles.
    """
    for side, limit in (("west", 180.0), ("east", 180.0), ("south", 90.0), ("north", 90.0)):
        in_range(f"region.{side}", getattr(region, side), -limit, limit)
    in_range("region.north", region.north, region.south, 90.0)
    west = -180.0 if region.west == 180.0 else region.west
    first, last = tile_from_lonlat(level, west, region.north), _south_east(level, region)
    columns = min(last.x - first.x + 1 + (1 << level if west > region.east else 0), 1 << level)
    count_in_range("region (its tiles)", columns * (last.y - first.y + 1), 1, MOST_TILES)
    return [TileId(level, (first.x + i) % (1 << level), y) for y in range(first.y, last.y + 1) for i in range(columns)]


def _south_east(level: int, region: pb.Rectangle) -> TileId:
    corner = tile_from_lonlat(level, region.east, region.south)
    return TileId(level, (1 << level) - 1, corner.y) if region.east == 180.0 else corner


async def within(deadline: float, barrier: Barrier, work: Coroutine[None, None, None]) -> pb.BarrierResponse:
    """The barrier's answer when `work` is done, or after `deadline` seconds, whichever comes first; 0 sets no limit."""
    try:
        await asyncio.wait_for(work, deadline or None)
    except TimeoutError:
        pass  # the answer says what is ready
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return barrier.response()
