"""Selection: which tiles a viewpoint needs, in which order. Pure functions: a `ViewState` in, a `Selection` out.

The quadtree is walked from its root. A tile is refined while its geometric error, seen from the viewpoint, exceeds a
target (3D Tiles' screen-space error, as CesiumJS and cesium-native define it), or while it touches a disc on the ground.
Refinement replaces a tile by all four children, so the leaves always cover the root, and every leaf comes with all its
ancestors, which precede it: whoever shows a tile until all its children are there never shows a hole.

What lies behind the horizon is not refined, and with a line of sight, nor is what lies outside the picture. A radius culls nothing.

A tile is refined only once the heights of its content are known (`HeightRange`), since how near it is depends on them.
So a cold region is selected level by level as content arrives, and nothing is asked for that its parent makes needless.

Distances are exact on the sphere of Web Mercator (radius 6378137 m), the sphere that ground sample distances come from;
against the WGS84 ellipsoid they are right within 0.7 %. A viewpoint beyond the square's rim, at 85.05 degrees, sees the square from there:
there are no tiles below it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.mesh import geometric_error
from terraloom_engines.tiling import EQUATOR, MAX_LEVEL, TileId, lonlat_bounds, tile_from_lonlat

RADIUS = EQUATOR / math.tau
"""Radius of the Web Mercator sphere in metres."""
GROUND_RANGE = (-500.0, 9000.0)
"""Heights in metres that hold all surfaces of Earth: the range of a tile of which nothing is known."""
LOOKAHEAD = (1.0, 2.0, 4.0, 8.0)
"""Seconds ahead at which a moving viewpoint is extrapolated."""
MAX_TILES = 8192
"""Most tiles of one selection; the default screen-space error needs about 450."""

HORIZON_MARGIN = 1.01
"""Factor on the angle to the horizon: an ellipsoid is flatter than the sphere here and there, by up to 0.7 % in radius of curvature."""

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
class Waypoint:
    """A place (degrees, metres above mean sea level) that the viewpoint will pass `seconds` from now."""

    longitude: float
    latitude: float
    height: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ViewState:
    """A viewpoint at one moment: degrees, metres above mean sea level, metres per second east, north, up."""

    longitude: float
    latitude: float
    height: float
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    forward: tuple[float, float, float] | None = None
    """Unit vector east, north, up of the line of sight; None: all directions count alike."""
    vertical_field_of_view: float = 60.0
    aspect_ratio: float = 16 / 9
    viewport_lines: int = 1080
    waypoints: tuple[Waypoint, ...] = ()
    """In order of time; they take the place of `velocity`."""


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


def extrapolate(view: ViewState, seconds: float) -> ViewState:
    """The viewpoint `seconds` later: along its waypoints if it has any (it rests at the last), else along its velocity."""
    if view.waypoints:
        return _along_waypoints(view, seconds)
    east, north, up = view.velocity
    angle = math.hypot(east, north) * seconds / (RADIUS + view.height)
    bearing, latitude = math.atan2(east, north), math.radians(view.latitude)
    sine = math.sin(latitude) * math.cos(angle) + math.cos(latitude) * math.sin(angle) * math.cos(bearing)
    turn = math.atan2(math.sin(bearing) * math.sin(angle) * math.cos(latitude), math.cos(angle) - math.sin(latitude) * sine)
    return replace(
        view,
        longitude=_wrapped(view.longitude + math.degrees(turn)),
        latitude=math.degrees(math.asin(min(max(sine, -1.0), 1.0))),
        height=view.height + up * seconds,
    )


def _along_waypoints(view: ViewState, seconds: float) -> ViewState:
    former = Waypoint(view.longitude, view.latitude, view.height, 0.0)
    for waypoint in view.waypoints:
        if seconds < waypoint.seconds:
            share = (seconds - former.seconds) / (waypoint.seconds - former.seconds)
            return replace(
                view,
                longitude=_wrapped(former.longitude + share * _wrapped(waypoint.longitude - former.longitude)),
                latitude=former.latitude + share * (waypoint.latitude - former.latitude),
                height=former.height + share * (waypoint.height - former.height),
            )
        former = waypoint
    return replace(view, longitude=former.longitude, latitude=former.latitude, height=former.height)


def _wrapped(longitude: float) -> float:
    return (longitude + 180.0) % 360.0 - 180.0


class _Region(NamedTuple):
    """A tile on the sphere: radians, its centre's unit vector, and the greatest chord from there to a corner (unit sphere)."""

    west: float
    width: float
    south: float
    north: float
    centre: tuple[float, float, float]
    chord: float
    geometric_error: float


@lru_cache(maxsize=1 << 16)
def _region(tile: TileId) -> _Region:
    west, south, east, north = (math.radians(angle) for angle in lonlat_bounds(tile))
    centre = _unit_vector((west + east) / 2, (south + north) / 2)
    chord = max(math.dist(centre, _unit_vector(west, latitude)) for latitude in (south, north))
    return _Region(west, east - west, south, north, centre, chord, geometric_error(tile))


@lru_cache(maxsize=1 << 14)
def _children(tile: TileId) -> tuple[TileId, TileId, TileId, TileId]:
    return tile.children


def _dip(radius: float) -> float:
    """Angle at Earth's centre from a point at `radius` to its horizon on the sphere of the lowest ground; 0 below that."""
    return math.acos(min((RADIUS + GROUND_RANGE[0]) / radius, 1.0))


def _unit_vector(longitude: float, latitude: float) -> tuple[float, float, float]:
    return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)


class _Viewer:
    """A viewpoint prepared for many distances."""

    def __init__(self, view: ViewState, seconds: float) -> None:
        self.seconds = seconds
        self.longitude, self.latitude = math.radians(view.longitude), math.radians(view.latitude)
        self.sine, self.cosine = math.sin(self.latitude), math.cos(self.latitude)
        self.radius = max(RADIUS + view.height, 1.0)
        half = math.tan(math.radians(view.vertical_field_of_view) / 2)
        self.lines_per_radian = view.viewport_lines / (2 * half)
        self.half_angle = math.atan(half * math.hypot(1.0, view.aspect_ratio))
        self.forward = None if view.forward is None else self._in_earth_axes(view.forward)
        self.position = tuple(self.radius * axis for axis in _unit_vector(self.longitude, self.latitude))
        self.dip = _dip(self.radius)

    def _in_earth_axes(self, vector: tuple[float, float, float]) -> tuple[float, float, float]:
        east, north, up = vector
        sine, cosine = math.sin(self.longitude), math.cos(self.longitude)
        outward = self.cosine * up - self.sine * north
        return cosine * outward - sine * east, sine * outward + cosine * east, self.cosine * north + self.sine * up

    def haversine(self, region: _Region) -> float:
        """sin^2 of half the angle at Earth's centre to the nearest point of the region."""
        offset = (self.longitude - region.west) % math.tau
        aside = 0.0 if offset <= region.width else min(offset - region.width, math.tau - offset)
        if aside == 0.0:
            latitude = min(max(self.latitude, region.south), region.north)
            return math.sin((latitude - self.latitude) / 2) ** 2
        if aside < math.pi / 2:  # the great circle at right angles to the meridian meets it here
            latitude = math.atan2(self.sine, self.cosine * math.cos(aside))
            return self._haversine_to(aside, min(max(latitude, region.south), region.north))
        return min(self._haversine_to(aside, region.south), self._haversine_to(aside, region.north))

    def _haversine_to(self, aside: float, latitude: float) -> float:
        return math.sin((latitude - self.latitude) / 2) ** 2 + math.cos(latitude) * self.cosine * math.sin(aside / 2) ** 2

    def distance(self, haversine: float, heights: tuple[float, float]) -> float:
        """Metres to the nearest point of a region between two heights."""
        nearest = min(max(self.radius * (1 - 2 * haversine), RADIUS + heights[0]), RADIUS + heights[1])
        return math.sqrt((self.radius - nearest) ** 2 + 4 * self.radius * nearest * haversine)

    def sees(self, region: _Region, haversine: float, heights: tuple[float, float]) -> bool:
        """Whether some part of a region may be above the horizon and, with a line of sight, inside the cone round the picture's corners."""
        return self._before_horizon(region, haversine, heights[1]) and self._in_cone(region, heights)

    def _before_horizon(self, region: _Region, haversine: float, highest: float) -> bool:
        """Whether anything on a region may rise above the sphere of the lowest ground; finer tiles may be higher than `highest`."""
        top = max(min(highest + region.geometric_error, GROUND_RANGE[1]), highest)
        return 2 * math.asin(min(math.sqrt(haversine), 1.0)) <= HORIZON_MARGIN * (self.dip + _dip(RADIUS + top))

    def _in_cone(self, region: _Region, heights: tuple[float, float]) -> bool:
        if self.forward is None or region.width > math.pi / 4:
            return True
        middle = RADIUS + (heights[0] + heights[1]) / 2
        reach = region.chord * (RADIUS + heights[1]) + (heights[1] - heights[0]) / 2
        x, y, z = (middle * axis - own for axis, own in zip(region.centre, self.position, strict=True))
        distance = math.sqrt(x * x + y * y + z * z)
        if distance <= reach:
            return True
        ahead = (x * self.forward[0] + y * self.forward[1] + z * self.forward[2]) / distance
        return math.acos(min(max(ahead, -1.0), 1.0)) - math.asin(reach / distance) <= self.half_angle


class GroundPoint:
    """The point on the ground below a viewpoint; distances are metres along the ground, whatever the viewpoint's height."""

    def __init__(self, view: ViewState) -> None:
        self._view, self._viewer = view, _Viewer(view, 0.0)

    def tile(self, level: int) -> TileId:
        """The tile of `level` that holds the point, or the nearest one."""
        return tile_from_lonlat(level, self._view.longitude, self._view.latitude)

    def distance(self, tile: TileId) -> float:
        """Metres to the nearest point of a tile."""
        return 2 * RADIUS * math.asin(min(math.sqrt(self._viewer.haversine(_region(tile))), 1.0))

    def distance_to(self, other: "GroundPoint") -> float:
        """Metres to another point."""
        own, its = self._viewer, other._viewer
        haversine = own._haversine_to(own.longitude - its.longitude, its.latitude)
        return 2 * RADIUS * math.asin(min(math.sqrt(haversine), 1.0))


class _Trajectory:
    """A viewpoint now and at the moments of the look-ahead: when does it first need a tile's children?"""

    def __init__(self, view: ViewState, criteria: Criteria) -> None:
        moving = any(view.velocity) or view.waypoints
        ahead = tuple(extrapolate(view, seconds) for seconds in criteria.lookahead) if moving else ()
        self.by = criteria.by
        self.viewers = [_Viewer(view, 0.0), *(_Viewer(later, t) for later, t in zip(ahead, criteria.lookahead, strict=False))]
        self.travel = max((self._travel(viewer) for viewer in self.viewers), default=0.0)

    def _travel(self, later: _Viewer) -> float:
        """Upper bound in metres of how much nearer a moment of the look-ahead may be to anything."""
        now = self.viewers[0]
        angle = math.acos(
            min(max(now.sine * later.sine + now.cosine * later.cosine * math.cos(now.longitude - later.longitude), -1.0), 1.0)
        )
        return angle * max(now.radius, later.radius, RADIUS) + abs(now.radius - later.radius) + 1.0

    def need(self, tile: TileId, heights: tuple[float, float]) -> tuple[float, WorkClass] | None:
        """Seconds until the tile must be refined and the class of its children; None when nothing asks for it."""
        region = _region(tile)
        for viewer in self.viewers:
            haversine = viewer.haversine(region)
            if isinstance(self.by, Radius):
                reach = self.by.radius if tile.z < self.by.level else 0.0
                distance = 2 * RADIUS * math.asin(min(math.sqrt(haversine), 1.0))
            else:
                reach = region.geometric_error * viewer.lines_per_radian / self.by.target_pixels
                distance = viewer.distance(haversine, heights)
            if distance < reach and (isinstance(self.by, Radius) or viewer.sees(region, haversine, heights)):
                near = WorkClass.NEAR if 2 * distance < reach else WorkClass.FAR
                return viewer.seconds, near if viewer.seconds == 0.0 else WorkClass.PREFETCH
            if viewer.seconds == 0.0 and distance - self.travel >= reach:
                return None  # out of reach all along the way
        return None


def select(view: ViewState, criteria: Criteria, heights: HeightRange) -> Selection:
    """The tiles that `view` needs now and along its extrapolated path.

    `heights` tells what is known of the tiles' content; a tile from `min_level` on that it does not know is not refined.
    Raises ResourceExhaustedError when it takes more than `MAX_TILES` tiles.
    """
    return Selection(tuple(_walk(_Trajectory(view, criteria), criteria, heights)))


def _walk(trajectory: _Trajectory, criteria: Criteria, heights: HeightRange) -> Iterator[SelectedTile]:
    """Breadth first. A child is never more urgent than its parent, whatever their heights say."""
    level = [(TileId(0, 0, 0), GROUND_RANGE, WorkClass.NEAR, 0.0)]
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
