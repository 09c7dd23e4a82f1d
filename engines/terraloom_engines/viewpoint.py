"""Viewpoints: where somebody looks from, and where that will be in a while. On planets and on planes."""

import math
from dataclasses import dataclass, replace

from terraloom_engines.tiling import EQUATOR, WorldKind

__all__ = ["RADIUS", "ViewState", "Waypoint", "extrapolate"]

RADIUS = EQUATOR / math.tau
"""Radius of the Web Mercator sphere in metres."""


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place that the viewpoint will pass `seconds` from now; in the units of the viewpoint."""

    east: float
    north: float
    height: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ViewState:
    """A viewpoint at one moment: a place (longitude and latitude in degrees, or x and y in metres on a plane), metres above mean sea level,
    metres per second east, north, up."""

    east: float
    north: float
    height: float
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    forward: tuple[float, float, float] | None = None
    """Unit vector east, north, up of the line of sight; None: all directions count alike."""
    vertical_field_of_view: float = 60.0
    aspect_ratio: float = 16 / 9
    viewport_lines: int = 1080
    waypoints: tuple[Waypoint, ...] = ()
    """In order of time; they take the place of `velocity`."""
    kind: WorldKind = WorldKind.PLANET
    sim_time: float = 0.0
    """Simulated seconds, in lockstep."""

    @property
    def lines_per_radian(self) -> float:
        """Lines of the picture to a radian in its middle."""
        return self.viewport_lines / (2 * math.tan(math.radians(self.vertical_field_of_view) / 2))

    @property
    def half_angle(self) -> float:
        """Radians from the line of sight to the corners of the picture."""
        return math.atan(math.tan(math.radians(self.vertical_field_of_view) / 2) * math.hypot(1.0, self.aspect_ratio))


def extrapolate(view: ViewState, seconds: float) -> ViewState:
    """The viewpoint `seconds` later: along its waypoints if it has any (it rests at the last), else along its velocity."""
    if view.waypoints:
        return _along_waypoints(view, seconds)
    east, north, up = view.velocity
    height = view.height + up * seconds
    if view.kind is WorldKind.PLANE:
        return replace(view, east=view.east + east * seconds, north=view.north + north * seconds, height=height)
    angle = math.hypot(east, north) * seconds / (RADIUS + view.height)
    bearing, latitude = math.atan2(east, north), math.radians(view.north)
    sine = math.sin(latitude) * math.cos(angle) + math.cos(latitude) * math.sin(angle) * math.cos(bearing)
    turn = math.atan2(math.sin(bearing) * math.sin(angle) * math.cos(latitude), math.cos(angle) - math.sin(latitude) * sine)
    return replace(
        view,
        east=_wrapped(view.east + math.degrees(turn)),
        north=math.degrees(math.asin(min(max(sine, -1.0), 1.0))),
        height=height,
    )


def _along_waypoints(view: ViewState, seconds: float) -> ViewState:
    former = Waypoint(view.east, view.north, view.height, 0.0)
    for waypoint in view.waypoints:
        if seconds < waypoint.seconds:
            share = (seconds - former.seconds) / (waypoint.seconds - former.seconds)
            ahead = waypoint.east - former.east
            return replace(
                view,
                east=former.east + share * ahead if view.kind is WorldKind.PLANE else _wrapped(former.east + share * _wrapped(ahead)),
                north=former.north + share * (waypoint.north - former.north),
                height=former.height + share * (waypoint.height - former.height),
            )
        former = waypoint
    return replace(view, east=former.east, north=former.north, height=former.height)


def _wrapped(longitude: float) -> float:
    return (longitude + 180.0) % 360.0 - 180.0
