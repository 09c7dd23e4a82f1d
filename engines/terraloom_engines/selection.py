"""Selection: which tiles viewpoints need, in which order. Pure functions: `ViewState`s in, a `Selection` out.

The quadtree is walked from its root, on a plane from the roots below the viewpoint. A tile is refined while its geometric error, seen
from the viewpoint, exceeds a target (3D Tiles' screen-space error, as CesiumJS and cesium-native define it), or while it touches a disc
on the ground, or a region. With several viewpoints it is refined while one of them asks for it. Refinement replaces a tile by all four
children, so the leaves always cover the roots, and every leaf comes with all its ancestors, which precede it: whoever shows a tile until
all its children are there never shows a hole.

What lies behind the horizon is not refined, and with a line of sight, nor is what lies outside the picture. A radius culls nothing.

A tile is refined only once the heights of its content are known (`HeightRange`), since how near it is depends on them.
So a cold region is selected level by level as content arrives, and nothing is asked for that its parent makes needless.

A plane goes on for ever, a selection does not: it covers what Earth's horizon would leave in sight, at least 1000 km and at most 4000 km
around, and all of a radius.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.ground import GROUND_RANGE, viewer_of
from terraloom_engines.mesh import geometric_error
from terraloom_engines.tiling import MAX_LEVEL, TileId, WorldKind, lonlat_bounds, plane_bounds, plane_side, tile_from_place
from terraloom_engines.viewpoint import RADIUS, ViewState, extrapolate

FLATTEST = 1 / 256
"""Least height of the eye over its distance from ground that counts: what rises above the plain is seen though the plain is not."""
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
    """Visible; without it the error is over twice the target, by the share of the picture that it is seen in."""
    FAR = 3
    """Visible; the rest, down to the target."""
    PREFETCH = 4
    """Not needed yet."""


class Priority(NamedTuple):
    """Order of work, smallest first. A parent's never comes after that of its children."""

    work_class: WorkClass
    time_to_need: float
    """Seconds until the extrapolated viewpoint needs the tile; 0 when it does now."""
    rank: float = 0.0
    """Order of what is needed at the same time. Of pictures: how many times the error that is seen while the tile is missing, by the
    share of the picture that it is seen in, must be doubled to be the target, so that what it lacks most goes first; else a level."""
    level: int = 0


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
class Region:
    """Refine what touches a rectangle to the criteria's `max_level`; needs no viewpoint.

    In degrees, where west > east crosses the antimeridian, or in metres on a plane.
    """

    west: float
    south: float
    east: float
    north: float
    kind: WorldKind = WorldKind.PLANET

    def touches(self, tile: TileId) -> bool:
        """Whether a tile has a place in common with it."""
        plane = self.kind is WorldKind.PLANE
        west, south, east, north = plane_bounds(tile) if plane else lonlat_bounds(tile)
        if south > self.north or north < self.south:
            return False
        if self.west <= self.east:
            return west <= self.east and east >= self.west
        return west <= self.east or east >= self.west

    @property
    def centre(self) -> ViewState:
        """Where to look from when nobody says."""
        return ViewState((self.west + self.east) / 2, (self.south + self.north) / 2, 0.0, kind=self.kind)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is asked for. Tiles coarser than `min_level` are passed through but not selected."""

    by: ScreenSpaceError | Radius | Region = ScreenSpaceError()
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


class _Need(NamedTuple):
    """When a tile must be refined, for whom, and what its children are for; smallest first."""

    work_class: WorkClass
    seconds: float
    rank: float

    def after(self, other: "_Need") -> "_Need":
        """The same, but not before another."""
        return _Need(max(self.work_class, other.work_class), max(self.seconds, other.seconds), max(self.rank, other.rank))


class _Trajectory:
    """A viewpoint now and at the moments of the look-ahead: when does it first need a tile's children?"""

    def __init__(self, view: ViewState, by: ScreenSpaceError | Radius, lookahead: tuple[float, ...]) -> None:
        moving = any(view.velocity) or any(view.acceleration) or view.waypoints
        moments = (0.0, *(lookahead if moving else ()))
        self.by = by
        self.viewers = [(seconds, viewer_of(extrapolate(view, seconds) if seconds else view)) for seconds in moments]
        now = self.viewers[0][1]
        self.travel = max(now.reach_of(viewer.view) for _, viewer in self.viewers)
        """Upper bound in metres of how much nearer a moment of the look-ahead may be to anything."""
        self.lines_per_radian = view.lines_per_radian
        self.urgency = math.log2(view.weight)

    def need(self, tile: TileId, heights: tuple[float, float]) -> _Need | None:
        """When the tile must be refined and the class of its children; None when nothing asks for it."""
        by = self.by
        if isinstance(by, Radius):
            reach = by.radius if tile.z < by.level else 0.0
        else:
            reach = geometric_error(tile) * self.lines_per_radian / by.target_pixels
        before = 0.0, math.inf
        for seconds, viewer in self.viewers:
            measure = viewer.measure(tile)
            distance = viewer.along_ground(measure) if isinstance(by, Radius) else viewer.distance(measure, heights)
            if distance < reach and (isinstance(by, Radius) or viewer.sees(tile, measure, heights)):
                if isinstance(by, Radius):
                    near, rank = 2 * distance < reach, tile.z + 1.0
                else:
                    rank = _rank(distance, reach, viewer.view.height - heights[0])
                    near = rank < -1.0
                if seconds == 0.0:
                    return _Need(WorkClass.NEAR if near else WorkClass.FAR, 0.0, rank - self.urgency)
                return _Need(WorkClass.PREFETCH, _crossing(before, (seconds, distance), reach), rank - self.urgency)
            if seconds == 0.0 and distance - self.travel >= reach:
                return None  # out of reach all along the way
            before = seconds, distance
        return None


def _rank(distance: float, reach: float, above: float) -> float:
    """Doublings that the error of ground at a distance lacks to be the target, which it is at `reach`; more, the flatter it is seen.

    Ground that is seen at a grazing angle takes as much less of the picture: its height below the eye (`above`) over its distance.
    """
    if distance <= 0.0:
        return -math.inf
    return math.log2(distance / reach) - math.log2(min(max(above / distance, FLATTEST), 1.0))


def plane_reach(height: float) -> float:
    """Metres along a plane that are in sight from a height: as far as to the horizon that Earth would have there, within bounds."""
    above = max(height, 0.0)
    horizon = math.sqrt(above * (2 * RADIUS + above))
    return min(max(horizon, plane_side(PLANE_ROOT_LEVEL) / 2), plane_side(WorldKind.PLANE.min_level) / 2)


def _crossing(before: tuple[float, float], after: tuple[float, float], reach: float) -> float:
    """Seconds at which a distance that was `before` and is `after` falls to `reach`; half-way where it was so near and came into sight."""
    share = (before[1] - reach) / (before[1] - after[1]) if before[1] > reach else 0.5
    return before[0] + share * (after[0] - before[0])


class _Whole:
    """Needs all of a region, for no eye in particular."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def need(self, tile: TileId, heights: tuple[float, float]) -> _Need | None:
        """That a tile of the region must be refined."""
        return _Need(WorkClass.FAR, 0.0, tile.z + 1.0) if self._region.touches(tile) else None


def _roots(views: Sequence[ViewState], criteria: Criteria) -> list[TileId]:
    """The tiles that the walk starts from: a planet's one; of a plane, those within the distance to the horizon that Earth would have.

    A plane's are as fine as may be, so that two by two tiles reach so far, and not finer than its base.
    """
    if views[0].kind is WorldKind.PLANET:
        return [TileId(0, 0, 0)]
    coarsest = views[0].kind.min_level
    sides = [_side(view, criteria) for view in views]
    level = max(min(PLANE_ROOT_LEVEL, criteria.max_level), coarsest)
    while level > coarsest and max(map(max, sides)) > plane_side(level) / 2:
        level -= 1
    roots: dict[TileId, None] = {}
    for view, (across, along) in zip(views, sides, strict=True):
        reach = plane_side(level) / 2
        across, along = max(across, reach), max(along, reach)
        first, last = (tile_from_place(view.kind, level, view.east + turn * across, view.north - turn * along) for turn in (-1, 1))
        rows = range(first.y, last.y + 1)
        roots |= dict.fromkeys(TileId(level, x, y, view.kind) for y in rows for x in range(first.x, last.x + 1))
    return list(roots)


def _side(view: ViewState, criteria: Criteria) -> tuple[float, float]:
    """Metres eastward and northward from a viewpoint on a plane that a selection reaches."""
    if isinstance(criteria.by, Region):
        return (criteria.by.east - criteria.by.west) / 2, (criteria.by.north - criteria.by.south) / 2
    reach = plane_reach(view.height)
    if isinstance(criteria.by, Radius):
        reach = max(reach, criteria.by.radius)
    return reach, reach


def select(view: ViewState, criteria: Criteria, heights: HeightRange, others: Sequence[ViewState] = ()) -> Selection:
    """The tiles that `view`, and `others` of the same world, need now and along their extrapolated paths.

    `heights` tells what is known of the tiles' content; a tile from `min_level` on that it does not know is not refined, unless it is of
    a region. Raises ResourceExhaustedError when it takes more than `MAX_TILES` tiles.
    """
    views, by = (view, *others), criteria.by
    if isinstance(by, Region):
        return Selection(tuple(_walk(_roots([by.centre], criteria), [_Whole(by)], criteria, lambda _: GROUND_RANGE)))
    trajectories = [_Trajectory(view, by, criteria.lookahead) for view in views]
    return Selection(tuple(_walk(_roots(views, criteria), trajectories, criteria, heights)))


def _walk(
    roots: list[TileId], trajectories: Sequence[_Trajectory | _Whole], criteria: Criteria, heights: HeightRange
) -> Iterator[SelectedTile]:
    """Breadth first. A child is never more urgent than its parent, whatever their heights say."""
    level = [(root, GROUND_RANGE, _Need(WorkClass.NEAR, 0.0, -math.inf)) for root in roots]
    visited = 0
    while level:
        finer = []
        visited += len(level)
        if visited > MAX_TILES:
            raise ResourceExhaustedError(f"the selection takes more than {MAX_TILES} tiles: raise its target, or lower its radius or level")
        for tile, inherited, own in level:
            known = heights(tile)
            span = known or inherited
            need = None
            if tile.z < criteria.max_level and (known is not None or tile.z < criteria.min_level):
                need = min(filter(None, (trajectory.need(tile, span) for trajectory in trajectories)), default=None)
            if need is not None:
                below = need.after(own)
                finer += [(child, span, below) for child in _children(tile)]
            if tile.z >= criteria.min_level:
                now = need is not None and WorkClass.PREFETCH not in (need.work_class, own.work_class)
                yield SelectedTile(tile, Priority(own.work_class, own.seconds, own.rank, tile.z), now)
        level = finer
