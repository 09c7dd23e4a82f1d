"""Plans: what a session needs from its newest views, and what of it the client should show. One kind for pictures, one for collision."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from terraloom_engines.collision import DISTANCE_MARGIN, select_ground
from terraloom_engines.content import ContentOptions, GridOptions
from terraloom_engines.ground import GroundPoint
from terraloom_engines.selection import Criteria, HeightRange, Priority, Radius, Region, WorkClass, select
from terraloom_engines.server.coverage import drawn_tiles
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState

PICTURES = frozenset({WorkClass.NEAR, WorkClass.FAR, WorkClass.PREFETCH})
"""Classes of work for the eye: what a session carries that names none."""
COLLISION = frozenset({WorkClass.COLLISION})
"""The class of work for bodies; it has a stream of its own."""
COLLISION_RADIUS = 200.0
"""Metres; of a collision selection that names none."""
KEPT_RADII = 2.0
"""Collision tiles farther away than this are freed, so that a body on the rim of its disc does not have them come and go."""
HELD_TILES = 2048
"""Tiles that a client is asked to keep for the eye; the ones longest out of the selection go first."""


class Plan(Protocol):
    """The needs of the newest views. `held` and `former` are what the client holds and what it showed so far."""

    tiles: dict[TileId, Priority]
    """What the client should hold."""
    needed: set[TileId]
    """The part of it that is needed now, not ahead."""
    unknown: set[TileId]
    """The part of it whose heights must become known before all of the plan is."""

    def may_follow(self, tile: TileId, held: Collection[TileId]) -> bool:
        """Whether a tile may be sent now."""
        ...

    def shown(self, held: Collection[TileId], former: Collection[TileId]) -> set[TileId]:
        """What to show; disjoint tiles, all of them held."""
        ...

    def used(self) -> Iterator[TileId]:
        """Tiles in the order in which they count as used."""
        ...

    def surplus(self, held: Collection[TileId], shown: Collection[TileId]) -> list[TileId]:
        """What the client need not hold any longer."""
        ...


class PicturePlan:
    """For the eye: the quadtree refined where it is seen, of which a session carries some `classes`."""

    def __init__(self, views: Sequence[ViewState], criteria: Criteria, heights: HeightRange, classes: frozenset[WorkClass]) -> None:
        region = criteria.by if isinstance(criteria.by, Region) else None
        self._entries = select(region.centre if region else views[0], criteria, heights, views[1:]).tiles
        self.tiles = {entry.tile: entry.priority for entry in self._entries if entry.priority.work_class in classes}
        self.needed = {entry.tile for entry in self._entries if entry.visible and entry.tile in self.tiles}
        self.unknown = set() if region else {tile for tile in self.tiles if heights(tile) is None}

    def may_follow(self, tile: TileId, held: Collection[TileId]) -> bool:
        """Parents come before children."""
        return not tile.has_parent or tile.parent in held or tile.parent not in self.tiles

    def shown(self, held: Collection[TileId], former: Collection[TileId]) -> set[TileId]:
        """What was covered stays covered."""
        return drawn_tiles(self._entries, held.__contains__, former)

    def used(self) -> Iterator[TileId]:
        """Parents after their children."""
        return (entry.tile for entry in reversed(self._entries))

    def surplus(self, held: Collection[TileId], shown: Collection[TileId]) -> list[TileId]:
        """What was used longest ago, once there is too much; never what is selected or shown."""
        excess = len(held) - HELD_TILES - len(self._entries)
        if excess <= 0:
            return []
        selected = {entry.tile for entry in self._entries}
        return [tile for tile in held if tile not in selected and tile not in shown][: excess + HELD_TILES // 8]


class CollisionPlan:
    """For bodies: the height grids of one level near the viewpoint and its path."""

    def __init__(self, views: Sequence[ViewState], disc: Radius) -> None:
        self._disc, self._points = disc, [GroundPoint(view) for view in views]
        seconds = select_ground(views[0], disc, views[1:])
        self.tiles = {tile: Priority(WorkClass.COLLISION, soon, level=tile.z) for tile, soon in seconds.items()}
        self.needed = {tile for tile, soon in seconds.items() if soon == 0.0}
        self.unknown: set[TileId] = set()

    def may_follow(self, tile: TileId, held: Collection[TileId]) -> bool:
        """No grid needs another."""
        return True

    def shown(self, held: Collection[TileId], former: Collection[TileId]) -> set[TileId]:
        """All grids held that are near; those of another level until this one's are complete, since two grounds must not overlap."""
        other_level = {tile for tile in former if tile in held and tile.z != self._disc.level}
        if other_level and not all(tile in held for tile in self.needed):
            return {tile for tile in former if tile in held}
        return {tile for tile in held if self._is_near(tile)}

    def used(self) -> Iterator[TileId]:
        """No order: what to free is a matter of distance."""
        return iter(())

    def surplus(self, held: Collection[TileId], shown: Collection[TileId]) -> list[TileId]:
        """What is far, and hidden."""
        return [tile for tile in held if tile not in shown and not self._is_near(tile)]

    def _is_near(self, tile: TileId) -> bool:
        if tile.z != self._disc.level:
            return False
        reach = KEPT_RADII * DISTANCE_MARGIN * self._disc.radius
        return tile in self.tiles or any(point.distance(tile) <= reach for point in self._points)


def collision_disc(criteria: Criteria) -> Radius:
    """The ground that a session's collision tiles cover: its radius if it selects by one, else the default at its finest level."""
    by = criteria.by if isinstance(criteria.by, Radius) else Radius(0.0, 0)
    return Radius(by.radius or COLLISION_RADIUS, by.level or criteria.max_level)


def make_plan(
    views: Sequence[ViewState],
    criteria: Criteria,
    options: ContentOptions | GridOptions,
    heights: HeightRange,
    classes: frozenset[WorkClass] = PICTURES,
) -> Plan:
    """The plan of one or several views, or of none with a region: for collision where the content is height grids, else for pictures.

    Raises ResourceExhaustedError.
    """
    if isinstance(options, GridOptions):
        return CollisionPlan(views, collision_disc(criteria))
    return PicturePlan(views, criteria, heights, classes)
