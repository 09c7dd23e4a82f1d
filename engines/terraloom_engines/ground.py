"""The ground as a viewpoint sees it: how far tiles are, and whether they may be seen. On the sphere, and on a plane.

Distances on planets are exact on the sphere of Web Mercator (radius 6378137 m), the sphere that ground sample distances come from;
against the WGS84 ellipsoid they are right within 0.7 %. A viewpoint beyond the square's rim, at 85.05 degrees, sees the square from there:
there are no tiles below it. A plane is flat: it has no horizon, and distances are exact.
"""

import math
from functools import lru_cache
from typing import NamedTuple, Protocol

from terraloom_engines.mesh import geometric_error
from terraloom_engines.tiling import TileId, WorldKind, lonlat_bounds, plane_bounds, tile_from_place
from terraloom_engines.viewpoint import RADIUS, ViewState

__all__ = ["GROUND_RANGE", "GroundPoint", "Viewer", "viewer_of"]

GROUND_RANGE = (-500.0, 9000.0)
"""Heights in metres that hold all surfaces of Earth: the range of a tile of which nothing is known."""
HORIZON_MARGIN = 1.01
"""Factor on the angle to the horizon: an ellipsoid is flatter than the sphere here and there, by up to 0.7 % in radius of curvature."""

Heights = tuple[float, float]


class Viewer(Protocol):
    """A viewpoint prepared for many tiles."""

    @property
    def view(self) -> ViewState:
        """The viewpoint."""
        ...

    def measure(self, tile: TileId) -> float:
        """How far along the ground the nearest point of a tile is; a number for the other methods, which grows with the distance."""
        ...

    def along_ground(self, measure: float) -> float:
        """A measure in metres."""
        ...

    def distance(self, measure: float, heights: Heights) -> float:
        """Metres from the viewpoint to the nearest point of a tile between two heights."""
        ...

    def sees(self, tile: TileId, measure: float, heights: Heights) -> bool:
        """Whether some part of a tile may be seen: above the horizon and, with a line of sight, in the cone round the picture's corners."""
        ...

    def ground_distance_to(self, other: ViewState) -> float:
        """Metres along the ground to below another viewpoint."""
        ...

    def reach_of(self, other: ViewState) -> float:
        """Upper bound in metres of how much nearer than this viewpoint another may be to anything."""
        ...


class _Region(NamedTuple):
    """A tile on the sphere: radians, its centre's unit vector, and the greatest chord from there to a corner (unit sphere)."""

    west: float
    width: float
    south: float
    north: float
    centre: tuple[float, float, float]
    chord: float


@lru_cache(maxsize=1 << 16)
def _region(tile: TileId) -> _Region:
    west, south, east, north = (math.radians(angle) for angle in lonlat_bounds(tile))
    centre = _unit_vector((west + east) / 2, (south + north) / 2)
    chord = max(math.dist(centre, _unit_vector(west, latitude)) for latitude in (south, north))
    return _Region(west, east - west, south, north, centre, chord)


def _dip(radius: float) -> float:
    """Angle at Earth's centre from a point at `radius` to its horizon on the sphere of the lowest ground; 0 below that."""
    return math.acos(min((RADIUS + GROUND_RANGE[0]) / radius, 1.0))


def _unit_vector(longitude: float, latitude: float) -> tuple[float, float, float]:
    return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)


def _in_cone(view: ViewState, offset: tuple[float, float, float], forward: tuple[float, float, float], reach: float) -> bool:
    """Whether a ball of radius `reach` at `offset` from the viewpoint meets the cone round the picture's corners."""
    distance = math.hypot(*offset)
    if distance <= reach:
        return True
    ahead = sum(axis * along for axis, along in zip(offset, forward, strict=True)) / distance
    return math.acos(min(max(ahead, -1.0), 1.0)) - math.asin(reach / distance) <= view.half_angle


class _SphereViewer:
    """On a planet. Measures are haversines: sin^2 of half the angle at Earth's centre."""

    def __init__(self, view: ViewState) -> None:
        self.view = view
        self.longitude, self.latitude = math.radians(view.east), math.radians(view.north)
        self.sine, self.cosine = math.sin(self.latitude), math.cos(self.latitude)
        self.radius = max(RADIUS + view.height, 1.0)
        self.forward = None if view.forward is None else self._in_earth_axes(view.forward)
        self.position = tuple(self.radius * axis for axis in _unit_vector(self.longitude, self.latitude))
        self.dip = _dip(self.radius)

    def _in_earth_axes(self, vector: tuple[float, float, float]) -> tuple[float, float, float]:
        east, north, up = vector
        sine, cosine = math.sin(self.longitude), math.cos(self.longitude)
        outward = self.cosine * up - self.sine * north
        return cosine * outward - sine * east, sine * outward + cosine * east, self.cosine * north + self.sine * up

    def measure(self, tile: TileId) -> float:
        region = _region(tile)
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

    def along_ground(self, measure: float) -> float:
        return 2 * RADIUS * math.asin(min(math.sqrt(measure), 1.0))

    def distance(self, measure: float, heights: Heights) -> float:
        nearest = min(max(self.radius * (1 - 2 * measure), RADIUS + heights[0]), RADIUS + heights[1])
        return math.sqrt((self.radius - nearest) ** 2 + 4 * self.radius * nearest * measure)

    def sees(self, tile: TileId, measure: float, heights: Heights) -> bool:
        return self._before_horizon(tile, measure, heights[1]) and self._in_picture(_region(tile), heights)

    def _before_horizon(self, tile: TileId, measure: float, highest: float) -> bool:
        """Whether anything on a tile may rise above the sphere of the lowest ground; finer tiles may be higher than `highest`."""
        top = max(min(highest + geometric_error(tile), GROUND_RANGE[1]), highest)
        return 2 * math.asin(min(math.sqrt(measure), 1.0)) <= HORIZON_MARGIN * (self.dip + _dip(RADIUS + top))

    def _in_picture(self, region: _Region, heights: Heights) -> bool:
        if self.forward is None or region.width > math.pi / 4:
            return True
        middle = RADIUS + (heights[0] + heights[1]) / 2
        reach = region.chord * (RADIUS + heights[1]) + (heights[1] - heights[0]) / 2
        x, y, z = (middle * axis - own for axis, own in zip(region.centre, self.position, strict=True))
        return _in_cone(self.view, (x, y, z), self.forward, reach)

    def ground_distance_to(self, other: ViewState) -> float:
        return self.along_ground(self._haversine_to(self.longitude - math.radians(other.east), math.radians(other.north)))

    def reach_of(self, other: ViewState) -> float:
        radius = max(self.radius, RADIUS + other.height, RADIUS)
        return self.ground_distance_to(other) / RADIUS * radius + abs(self.radius - max(RADIUS + other.height, 1.0)) + 1.0


class _PlaneViewer:
    """On a plane. Measures are metres."""

    def __init__(self, view: ViewState) -> None:
        self.view = view

    def measure(self, tile: TileId) -> float:
        west, south, east, north = plane_bounds(tile)
        x, y = self.view.east, self.view.north
        return math.hypot(max(west - x, x - east, 0.0), max(south - y, y - north, 0.0))

    def along_ground(self, measure: float) -> float:
        return measure

    def distance(self, measure: float, heights: Heights) -> float:
        nearest = min(max(self.view.height, heights[0]), heights[1])
        return math.hypot(measure, self.view.height - nearest)

    def sees(self, tile: TileId, measure: float, heights: Heights) -> bool:
        if self.view.forward is None:
            return True
        west, south, east, _ = plane_bounds(tile)
        half = (east - west) / 2
        offset = west - self.view.east + half, south - self.view.north + half, (heights[0] + heights[1]) / 2 - self.view.height
        return _in_cone(self.view, offset, self.view.forward, math.hypot(half, half) + (heights[1] - heights[0]) / 2)

    def ground_distance_to(self, other: ViewState) -> float:
        return math.hypot(other.east - self.view.east, other.north - self.view.north)

    def reach_of(self, other: ViewState) -> float:
        return self.ground_distance_to(other) + abs(other.height - self.view.height) + 1.0


def viewer_of(view: ViewState) -> Viewer:
    """A viewpoint prepared for many tiles of its kind of world."""
    return _PlaneViewer(view) if view.kind is WorldKind.PLANE else _SphereViewer(view)


class GroundPoint:
    """The point on the ground below a viewpoint; distances are metres along the ground, whatever the viewpoint's height."""

    def __init__(self, view: ViewState) -> None:
        self._viewer = viewer_of(view)

    def tile(self, level: int) -> TileId:
        """The tile of `level` that holds the point, or the nearest one."""
        view = self._viewer.view
        return tile_from_place(view.kind, level, view.east, view.north)

    def distance(self, tile: TileId) -> float:
        """Metres to the nearest point of a tile."""
        return self._viewer.along_ground(self._viewer.measure(tile))

    def distance_to(self, other: "GroundPoint") -> float:
        """Metres to another point."""
        return self._viewer.ground_distance_to(other._viewer.view)
