"""Barrier: wait until every tile of a region, or all that a view asks for, is generated; lockstep for training and tests."""

import asyncio
import hashlib
from collections.abc import Collection, Coroutine, Sequence

from terraloom.errors import FailedPreconditionError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import ContentOptions, GridOptions
from terraloom_engines.selection import Criteria, Priority, WorkClass
from terraloom_engines.server.abreast import for_each
from terraloom_engines.server.checks import count_in_range, in_range
from terraloom_engines.server.contents import ContentKey, Contents
from terraloom_engines.server.plans import make_plan
from terraloom_engines.server.requests import PLANE_LIMIT
from terraloom_engines.server.sessions import AnySession
from terraloom_engines.tiling import TileId, WorldKind, tile_from_lonlat, tile_from_place
from terraloom_engines.viewpoint import ViewState

MOST_TILES = 4096
"""Tiles of one barrier."""
PLANNED_TILES = 2048
"""What a barrier on a view or a session counts for, of which it is not known beforehand how many tiles it needs; most need some 500."""
AT_ONCE = 64
"""Tiles of one barrier that wait in the scheduler's queue at a time."""


class Barrier:
    """The contents that are ready so far, and whether they are all."""

    def __init__(self, contents: Contents, client: str) -> None:
        self._contents, self._client = contents, client
        self.ready: set[ContentKey] = set()
        self.complete = False

    async def region(self, tiles: Collection[TileId], options: ContentOptions) -> None:
        """Waits for exactly these tiles."""
        await self._gather([ContentKey(tile, options) for tile in tiles])
        self.complete = True

    async def view(self, view: ViewState, criteria: Criteria, options: ContentOptions) -> None:
        """Waits for all that `view` asks for now; what it will need ahead does not count."""
        await self._plan([view], criteria, options)
        self.complete = True

    async def session(self, session: AnySession) -> None:
        """The same for the newest views of a session, its part for collision included. Raises FailedPreconditionError without a view."""
        if not session.knows_where:
            raise FailedPreconditionError(f"session {session.name} has no view yet")
        views = session.views
        async with asyncio.TaskGroup() as group:
            for part in (session, session.collision):
                if part is not None:
                    group.create_task(self._plan(views, part.criteria, part.options))
        self.complete = True

    async def _plan(self, views: Sequence[ViewState], criteria: Criteria, options: ContentOptions | GridOptions) -> None:
        heights = self._contents.heights(ContentOptions(surface=options.surface))
        while missing := {ContentKey(tile, options) for tile in make_plan(views, criteria, options, heights).needed} - self.ready:
            await self._gather(missing)

    async def _gather(self, keys: Collection[ContentKey]) -> None:
        async def obtain(key: ContentKey) -> None:
            work_class = WorkClass.COLLISION if isinstance(key.options, GridOptions) else WorkClass.NEAR
            await self._contents.get(key, Priority(work_class, 0.0, key.tile.z, key.tile.z), self._client)
            self.ready.add(key)

        await for_each(keys, AT_ONCE, obtain)

    def response(self) -> pb.BarrierResponse:
        """What is ready; the hash covers the content hashes in order of address, a tile's height grid after its mesh."""
        digest = hashlib.blake2b(digest_size=16)
        for key in sorted(self.ready, key=lambda key: (key.tile, isinstance(key.options, GridOptions))):
            digest.update(self._contents.content_hash(key))
        return pb.BarrierResponse(complete=self.complete, tiles=len(self.ready), world_hash=digest.digest() if self.complete else b"")


def region_tiles(region: pb.Rectangle, level: int, kind: WorldKind) -> list[TileId]:
    """All tiles of a level that touch a rectangle: in degrees, where west > east crosses the antimeridian, or in metres on a plane.

    Raises InvalidArgumentError for a rectangle that is none, or one of more than `MOST_TILES` tiles.
    """
    return _plane_tiles(region, level) if kind is WorldKind.PLANE else _planet_tiles(region, level)


def _plane_tiles(region: pb.Rectangle, level: int) -> list[TileId]:
    for side in ("west", "south"):
        in_range(f"region.{side}", getattr(region, side), -PLANE_LIMIT, PLANE_LIMIT)
    in_range("region.east", region.east, region.west, PLANE_LIMIT)
    in_range("region.north", region.north, region.south, PLANE_LIMIT)
    first = tile_from_place(WorldKind.PLANE, level, region.west, region.north)
    last = tile_from_place(WorldKind.PLANE, level, region.east, region.south)
    count_in_range("region (its tiles)", (last.x - first.x + 1) * (last.y - first.y + 1), 1, MOST_TILES)
    return [TileId(level, x, y, WorldKind.PLANE) for y in range(first.y, last.y + 1) for x in range(first.x, last.x + 1)]


def _planet_tiles(region: pb.Rectangle, level: int) -> list[TileId]:
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
        raise _first(group) from None
    return barrier.response()


def _first(error: Exception) -> Exception:
    """The first error of a group, however deep."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
