"""Viewpoints: where somebody looks from, and where that will be in a while. On planets and on planes."""

import math
from dataclasses import dataclass, replace

from terraloom_engines.tiling import EQUATOR, WorldKind

__all__ = ["RADIUS", "ViewState", "Waypoint", "extrapolate", "travel", "turned"]

RADIUS = EQUATOR / math.tau
"""Radius of the Web Mercator sphere in metres."""
MANOEUVRE_SECONDS = 4.0
"""How long an acceleration is taken to last; after that a viewpoint goes straight on."""
SLOWEST = 1e-3
"""Metres per second below which there is no direction to turn from."""
MOST_TURN = 1.0
"""Radians per second; an F-16 at its limits does half of that."""


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
    acceleration: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Metres per second squared east, north, up."""
    weight: float = 1.0
    """How much its errors count beside those of other viewpoints."""

    @property
    def lines_per_radian(self) -> float:
        """Lines of the picture to a radian in its middle."""
        return self.viewport_lines / (2 * math.tan(math.radians(self.vertical_field_of_view) / 2))

    @property
    def half_angle(self) -> float:
        """Radians from the line of sight to the corners of the picture."""
        return math.atan(math.tan(math.radians(self.vertical_field_of_view) / 2) * math.hypot(1.0, self.aspect_ratio))


def extrapolate(view: ViewState, seconds: float) -> ViewState:
    """The viewpoint `seconds` later: along its waypoints if it has any (it rests at the last), else as `travel` says.

    The line of sight turns with the path, as that of a camera on a craft does.
    """
    if view.waypoints:
        return _along_waypoints(view, seconds)
    view = _facing(view, turned(view.velocity, view.acceleration, seconds))
    east, north, up = travel(view.velocity, view.acceleration, seconds)
    height = view.height + up
    if view.kind is WorldKind.PLANE:
        return replace(view, east=view.east + east, north=view.north + north, height=height)
    angle = math.hypot(east, north) / (RADIUS + view.height)
    bearing, latitude = math.atan2(east, north), math.radians(view.north)
    sine = math.sin(latitude) * math.cos(angle) + math.cos(latitude) * math.sin(angle) * math.cos(bearing)
    turn = math.atan2(math.sin(bearing) * math.sin(angle) * math.cos(latitude), math.cos(angle) - math.sin(latitude) * sine)
    return replace(
        view,
        east=_wrapped(view.east + math.degrees(turn)),
        north=math.degrees(math.asin(min(max(sine, -1.0), 1.0))),
        height=height,
    )


def travel(velocity: tuple[float, float, float], acceleration: tuple[float, float, float], seconds: float) -> tuple[float, float, float]:
    """Metres east, north and up after `seconds`, accelerated for `MANOEUVRE_SECONDS` and then straight on.

    A turn is an arc of constant turn rate, not a parabola (the CTRA model: Schubert, Richter and Wanielik 2008), unless it is faster than
    `MOST_TURN`: then it is no turn, but a craft that hovers and moves aside. Who brakes stops and does not go back.
    """
    active = min(seconds, MANOEUVRE_SECONDS) if any(acceleration) else 0.0
    rest = seconds - active
    rising = velocity[2] + acceleration[2] * active
    up = (velocity[2] + rising) / 2 * active + rising * rest
    if active == 0.0 or (turn := _turn_rate(velocity, acceleration)) is None:
        reach = active * active / 2 + active * rest
        return velocity[0] * seconds + acceleration[0] * reach, velocity[1] * seconds + acceleration[1] * reach, up
    speed = math.hypot(velocity[0], velocity[1])
    along_x, along_y = velocity[0] / speed, velocity[1] / speed
    forward = acceleration[0] * along_x + acceleration[1] * along_y
    moving = min(active, -speed / forward) if forward < 0.0 else active
    along, aside = _arc(speed, forward, turn, moving)
    if moving == active:
        further, heading = (speed + forward * active) * rest, turn * active
        along, aside = along + further * math.cos(heading), aside + further * math.sin(heading)
    return along * along_x - aside * along_y, along * along_y + aside * along_x, up


def turned(velocity: tuple[float, float, float], acceleration: tuple[float, float, float], seconds: float) -> float:
    """Radians to the left by which the path of `travel` has turned after `seconds`."""
    turn = _turn_rate(velocity, acceleration)
    if not turn:
        return 0.0
    active = min(seconds, MANOEUVRE_SECONDS)
    along = velocity[0] * acceleration[0] + velocity[1] * acceleration[1]
    return turn * (min(active, -(velocity[0] ** 2 + velocity[1] ** 2) / along) if along < 0.0 else active)


def _turn_rate(velocity: tuple[float, float, float], acceleration: tuple[float, float, float]) -> float | None:
    """Radians per second to the left; None for a craft that has no direction, or moves aside instead."""
    speed = math.hypot(velocity[0], velocity[1])
    if speed <= SLOWEST:
        return None
    turn = (velocity[0] * acceleration[1] - velocity[1] * acceleration[0]) / speed**2
    return turn if abs(turn) <= MOST_TURN else None


def _facing(view: ViewState, angle: float) -> ViewState:
    """The same viewpoint, its line of sight turned to the left by some radians."""
    if view.forward is None or angle == 0.0:
        return view
    (east, north, up), sine, cosine = view.forward, math.sin(angle), math.cos(angle)
    return replace(view, forward=(cosine * east - sine * north, sine * east + cosine * north, up))


def _arc(speed: float, forward: float, turn: float, seconds: float) -> tuple[float, float]:
    """Metres along the first direction and to its left, with a constant turn rate in radians per second."""
    if abs(turn) < 1e-4:  # flatter than a metre in the seconds at hand
        return speed * seconds + forward * seconds**2 / 2, 0.0
    end, heading = speed + forward * seconds, turn * seconds
    along = (end * math.sin(heading)) / turn + forward * (math.cos(heading) - 1.0) / turn**2
    aside = (speed - end * math.cos(heading)) / turn + forward * math.sin(heading) / turn**2
    return along, aside


def _along_waypoints(view: ViewState, seconds: float) -> ViewState:
    former, first, course = Waypoint(view.east, view.north, view.height, 0.0), None, None
    for waypoint in view.waypoints:
        course = _course(former, waypoint, view.kind, course)
        first = course if first is None else first
        if seconds < waypoint.seconds:
            share = (seconds - former.seconds) / (waypoint.seconds - former.seconds)
            ahead = waypoint.east - former.east
            view = replace(
                view,
                east=former.east + share * ahead if view.kind is WorldKind.PLANE else _wrapped(former.east + share * _wrapped(ahead)),
                north=former.north + share * (waypoint.north - former.north),
                height=former.height + share * (waypoint.height - former.height),
            )
            break
        former = waypoint
    else:
        view = replace(view, east=former.east, north=former.north, height=former.height)
    return _facing(view, course - first) if course is not None and first is not None else view


def _course(start: Waypoint, end: Waypoint, kind: WorldKind, before: float | None) -> float | None:
    """Radians to the left of east from one place to another; what it was `before` where they are the same."""
    east, north = end.east - start.east, end.north - start.north
    if kind is WorldKind.PLANET:
        east = _wrapped(east) * math.cos(math.radians((start.north + end.north) / 2))
    return math.atan2(north, east) if east or north else before


def _wrapped(longitude: float) -> float:
    return (longitude + 180.0) % 360.0 - 180.0
