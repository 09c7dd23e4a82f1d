"""Selection: which tiles a viewpoint needs, in which order. Pure functions: a `ViewState` in, a `Selection` out.

The quadtree is walked from its root, on a plane from the roots below the viewpoint. A tile is refined while its geometric error, seen
from the viewpoint, exceeds a target (3D Tiles' screen-space error, as CesiumJS and cesium-native define it), or while it touches a disc
on the ground. Refinement replaces a tile by all four children, so the leaves always cover the roots, and every leaf comes with all its
ancestors, which precede it: whoever shows a tile until all its children are there never shows a hole.

What lies behind the horizon is not refined, and with a line of sight, nor is what lies outside the picture. A radius culls nothing.

A tile is refined only once the heights of its content are known (`HeightRange`), since how near it is depends on them.
So a cold region is selected level by level as content arrives, and nothing is asked for that its parent makes needless.

A plane goes on for ever, a selection does not: it covers what Earth's horizon would leave in sight, at least 1000 km and at most 4000 km
around, and all of a radius.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.ground import GROUND_RANGE, viewer_of
from terraloom_engines.mesh import geometric_error
from terraloom_engines.tiling import MAX_LEVEL, TileId, WorldKind, plane_side, tile_from_place
from terraloom_engines.viewpoint import RADIUS, ViewState, extrapolate

LOOKAHEAD = (1.0, 2.0, 4.0, 8.0)
"""Seconds ahead at which a moving viewpoint is extrapolated."""
MAX_TILES = 8192
"""Most tiles of one selection; the default screen-space error needs about 450."""
PLANE_ROOT_LEVEL = 4
"""The finest level at which a plane's selections start: that of its base."""

HeightRange = Callable[[TileId], tuple[float, float] | None]
"""Lowest and highest height of a tile's content in metres above mean sea level; None while it is not known."""


class WorkClass(IntEnum):
    """What a tile is for, most urgent first."""

    COLLISION = 1
    """A body is about to touch it."""
    NEAR = 2
    """Visible; without it the error is over twice the target."""
    FAR = 3
    """Visible; brings the error from twice the target down to the target."""
    PREFETCH = 4
    """Not needed yet."""


class Priority(NamedTuple):
    """Order of work, smallest first. A parent's never comes after that of its children."""

    work_class: WorkClass
    time_to_need: float
    """Seconds until the extrapolated viewpoint needs the tile; 0 when it does now."""
    level: int


@dataclass(frozen=True, slots=True)
class ScreenSpaceError:
    """Refine while geometric error * viewport_lines / (distance * 2 tan(field of view / 2)) exceeds `target_pixels`."""

    target_pixels: float = 16.0


@dataclass(frozen=True, slots=True)
class Radius:
    """Refine to `level` what touches the disc of `radius` metres on the ground below the viewpoint; needs no camera."""

    radius: float
    level: int


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is asked for. Tiles coarser than `min_level` are passed through but not selected."""

    by: ScreenSpaceError | Radius = ScreenSpaceError()
    min_level: int = 0
    max_level: int = MAX_LEVEL
    lookahead: tuple[float, ...] = LOOKAHEAD


class SelectedTile(NamedTuple):
    """One tile of a selection; `refined` says that its four children are needed now as well."""

    tile: TileId
    priority: Priority
    refined: bool

    @property
    def visible(self) -> bool:
        """Needed from where the viewpoint is now, as a leaf or as an ancestor of leaves."""
        return self.priority.work_class is not WorkClass.PREFETCH


@dataclass(frozen=True, slots=True)
class Selection:
    """The tiles of one viewpoint, coarse to fine, so that each tile's parent precedes it."""

    tiles: tuple[SelectedTile, ...]

    @property
    def leaves(self) -> tuple[TileId, ...]:
        """What is to be drawn once all is there: disjoint tiles that cover the region."""
        return tuple(selected.tile for selected in self.tiles if selected.visible and not selected.refined)


@lru_cache(maxsize=1 << 14)
def _children(tile: TileId) -> tuple[TileId, TileId, TileId, TileId]:
    return tile.children


class _Trajectory:
    """A viewpoint now and at the moments of the look-ahead: when does it first need a tile's children?"""

    def __init__(self, view: ViewState, criteria: Criteria) -> None:
        moving = any(view.velocity) or view.waypoints
        moments = (0.0, *(criteria.lookahead if moving else ()))
        self.by = criteria.by
        self.viewers = [(seconds, viewer_of(extrapolate(view, seconds) if seconds else view)) for seconds in moments]
        now = self.viewers[0][1]
        self.travel = max(now.reach_of(viewer.view) for _, viewer in self.viewers)
        """Upper bound in metres of how much nearer a moment of the look-ahead may be to anything."""
        self.lines_per_radian = view.lines_per_radian

    def need(self, tile: TileId, heights: tuple[float, float]) -> tuple[float, WorkClass] | None:
        """Seconds until the tile must be refined and the class of its children; None when nothing asks for it."""
        if isinstance(self.by, Radius):
            reach = self.by.radius if tile.z < self.by.level else 0.0
        else:
            reach = geometric_error(tile) * self.lines_per_radian / self.by.target_pixels
        for seconds, viewer in self.viewers:
            measure = viewer.measure(tile)
            distance = viewer.along_ground(measure) if isinstance(self.by, Radius) else viewer.distance(measure, heights)
            if distance < reach and (isinstance(self.by, Radius) or viewer.sees(tile, measure, heights)):
                near = WorkClass.NEAR if 2 * distance < reach else WorkClass.FAR
                return seconds, near if seconds == 0.0 else WorkClass.PREFETCH
            if seconds == 0.0 and distance - self.travel >= reach:
                return None  # out of reach all along the way
        return None


def plane_reach(height: float) -> float:
    """Metres along a plane that are in sight from a height: as far as to the horizon that Earth would have there, within bounds."""
    above = max(height, 0.0)
    horizon = math.sqrt(above * (2 * RADIUS + above))
    return min(max(horizon, plane_side(PLANE_ROOT_LEVEL) / 2), plane_side(WorldKind.PLANE.min_level) / 2)


def _roots(view: ViewState, criteria: Criteria) -> list[TileId]:
    """The tiles that the walk starts from: a planet's one; of a plane, those within the distance to the horizon that Earth would have.

    A plane's are as fine as may be, so that two by two tiles reach so far, and not finer than its base.
    """
    if view.kind is WorldKind.PLANET:
        return [TileId(0, 0, 0)]
    reach, coarsest = plane_reach(view.height), view.kind.min_level
    if isinstance(criteria.by, Radius):
        reach = max(reach, criteria.by.radius)
    level = max(min(PLANE_ROOT_LEVEL, criteria.max_level), coarsest)
    while level > coarsest and reach > plane_side(level) / 2:
        level -= 1
    reach = max(reach, plane_side(level) / 2)
    corners = [tile_from_place(view.kind, level, view.east + turn * reach, view.north - turn * reach) for turn in (-1, 1)]
    rows = range(corners[0].y, corners[1].y + 1)
    return [TileId(level, x, y, view.kind) for y in rows for x in range(corners[0].x, corners[1].x + 1)]


def select(view: ViewState, criteria: Criteria, heights: HeightRange) -> Selection:
    """The tiles that `view` needs now and along its extrapolated path.

    `heights` tells what is known of the tiles' content; a tile from `min_level` on that it does not know is not refined.
    Raises ResourceExhaustedError when it takes more than `MAX_TILES` tiles.
    """
    return Selection(tuple(_walk(_roots(view, criteria), _Trajectory(view, criteria), criteria, heights)))


def _walk(roots: list[TileId], trajectory: _Trajectory, criteria: Criteria, heights: HeightRange) -> Iterator[SelectedTile]:
    """Breadth first. A child is never more urgent than its parent, whatever their heights say."""
    level = [(root, GROUND_RANGE, WorkClass.NEAR, 0.0) for root in roots]
    visited = 0
    while level:
        finer = []
        visited += len(level)
        if visited > MAX_TILES:
            raise ResourceExhaustedError(f"the selection takes more than {MAX_TILES} tiles: raise its target, or lower its radius or level")
        for tile, inherited, work_class, seconds in level:
            known = heights(tile)
            span = known or inherited
            need = None
            if tile.z < criteria.max_level and (known is not None or tile.z < criteria.min_level):
                need = trajectory.need(tile, span)
            if need is not None:
                after, below = max(need[0], seconds), max(need[1], work_class)
                finer += [(child, span, below, after) for child in _children(tile)]
            if tile.z >= criteria.min_level:
                refined = need is not None and need[0] == 0.0 and work_class is not WorkClass.PREFETCH
                yield SelectedTile(tile, Priority(work_class, seconds, tile.z), refined)
        level = finer
