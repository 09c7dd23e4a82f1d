"""A flight: a timed path, flown in real time over a running server through the client."""

import math
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise

from terraloom import Camera, Event, PlaneView, Stream, View
from terraloom.errors import InvalidArgumentError
from terraloom_engines.tiling import WorldKind

EARTH_RADIUS = 6371008.8
"""Mean radius in metres (IUGG): along the path a sphere is near enough."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One timed place of a path: seconds, longitude and latitude in degrees or x and y in metres on a plane, metres above mean sea level.

    `heading` (clockwise from north) and `pitch` (up from the horizon) say where to look; None looks where the flight goes, and as far up
    as the path does.
    """

    seconds: float
    east: float
    north: float
    height: float
    heading: float | None = None
    pitch: float | None = None


@dataclass(frozen=True, slots=True)
class FlightPath:
    """At least two fixes in order of time, joined by great circles, on a plane by straight lines, flown at constant speed and climb.

    Looks ahead, `pitch` degrees up.
    """

    fixes: tuple[Fix, ...]
    pitch: float = -20.0
    kind: WorldKind = WorldKind.PLANET

    def __post_init__(self) -> None:
        times = [fix.seconds for fix in self.fixes]
        if len(times) < 2 or any(later <= earlier for earlier, later in pairwise(times)):
            raise InvalidArgumentError("a path needs at least two places whose times increase")

    @property
    def duration(self) -> float:
        """Seconds from the first fix to the last."""
        return self.fixes[-1].seconds - self.fixes[0].seconds

    def until(self, seconds: float) -> "FlightPath":
        """The part of the path that is flown in the first `seconds`."""
        if seconds >= self.duration:
            return self
        view, end = self.view(seconds), self.fixes[0].seconds + seconds
        before = tuple(fix for fix in self.fixes if fix.seconds < end)
        camera = view.camera or Camera()
        looks = [
            angle if any(getattr(fix, name) is not None for fix in self.fixes) else None
            for name, angle in (("heading", camera.heading), ("pitch", camera.pitch))
        ]
        place = (view.x, view.y, view.z) if isinstance(view, PlaneView) else (view.longitude, view.latitude, view.height)
        return FlightPath((*before, Fix(end, *place, *looks)), self.pitch, self.kind)

    def view(self, seconds: float) -> View | PlaneView:
        """The viewpoint `seconds` after the start; before and after the path its ends."""
        moment = min(max(seconds, 0.0), self.duration) + self.fixes[0].seconds
        index = min(bisect_right([fix.seconds for fix in self.fixes], moment), len(self.fixes) - 1)
        start, end = self.fixes[index - 1], self.fixes[index]
        span = end.seconds - start.seconds
        part = (moment - start.seconds) / span
        plane = self.kind is WorldKind.PLANE
        if plane:
            east, north = _between(start.east, end.east, part, 0.0), _between(start.north, end.north, part, 0.0)
            heading = math.degrees(math.atan2(end.east - start.east, end.north - start.north)) % 360.0
        else:
            east, north = intermediate(start, end, part)
            heading = bearing(east, north, end) if part < 1 else bearing(start.east, start.north, end)
        speed = ground_distance(start, end, self.kind) / span
        velocity = (
            speed * math.sin(math.radians(heading)),
            speed * math.cos(math.radians(heading)),
            (end.height - start.height) / span,
        )
        height = start.height + (end.height - start.height) * part
        camera = Camera(
            heading=_turned(start.heading, end.heading, part, heading),
            pitch=_between(start.pitch, end.pitch, part, self.pitch),
        )
        return (PlaneView if plane else View)(east, north, height, velocity, camera)


def _between(start: float | None, end: float | None, part: float, otherwise: float) -> float:
    """The value at `part` (0..1) of the way; `otherwise` stands in for what is not given."""
    first, last = (otherwise if value is None else value for value in (start, end))
    return first + (last - first) * part


def _turned(start: float | None, end: float | None, part: float, otherwise: float) -> float:
    """The same for a heading in degrees, the shorter way round."""
    first, last = (otherwise if value is None else value for value in (start, end))
    return (first + ((last - first + 180.0) % 360.0 - 180.0) * part) % 360.0


def ground_distance(start: Fix, end: Fix, kind: WorldKind) -> float:
    """Metres between two fixes along the ground."""
    if kind is WorldKind.PLANE:
        return math.hypot(end.east - start.east, end.north - start.north)
    return great_circle(start, end)


def great_circle(start: Fix, end: Fix) -> float:
    """Metres between two fixes along the sphere (haversine)."""
    return EARTH_RADIUS * _angle(start, end)


def _angle(start: Fix, end: Fix) -> float:
    phi, psi = math.radians(start.north), math.radians(end.north)
    dlon = math.radians(end.east - start.east)
    haversine = math.sin((psi - phi) / 2) ** 2 + math.cos(phi) * math.cos(psi) * math.sin(dlon / 2) ** 2
    return 2 * math.asin(min(1.0, math.sqrt(haversine)))


def intermediate(start: Fix, end: Fix, part: float) -> tuple[float, float]:
    """Longitude and latitude in degrees at `part` (0..1) of the great circle between two fixes (spherical linear interpolation)."""
    angle = _angle(start, end)
    if angle == 0.0:
        return start.east, start.north
    weights = math.sin((1 - part) * angle) / math.sin(angle), math.sin(part * angle) / math.sin(angle)
    x, y, z = (sum(w * c for w, c in zip(weights, axis, strict=True)) for axis in zip(_unit(start), _unit(end), strict=True))
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _unit(fix: Fix) -> tuple[float, float, float]:
    lam, phi = math.radians(fix.east), math.radians(fix.north)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


def bearing(longitude: float, latitude: float, end: Fix) -> float:
    """Initial course in degrees clockwise from north of the great circle from a place (degrees) to `end`."""
    phi, psi, dlon = math.radians(latitude), math.radians(end.north), math.radians(end.east - longitude)
    east = math.sin(dlon) * math.cos(psi)
    north = math.cos(phi) * math.sin(psi) - math.sin(phi) * math.cos(psi) * math.cos(dlon)
    return math.degrees(math.atan2(east, north)) % 360.0


def straight(
    start: tuple[float, float], end: tuple[float, float], height: float, speed: float, kind: WorldKind = WorldKind.PLANET
) -> FlightPath:
    """The shortest way between two places (degrees, or metres on a plane) at one height (metres) and speed (metres per second)."""
    first, last = Fix(0.0, *start, height), Fix(0.0, *end, height)
    distance = ground_distance(first, last, kind)
    if distance == 0.0 or not 0.0 < speed < math.inf:
        raise InvalidArgumentError(f"a flight needs two different places and a speed above 0, got {start}, {end} and {speed:g} m/s")
    return FlightPath((first, Fix(distance / speed, *end, height)), kind=kind)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a flight has seen since the moment before: seconds from the start, the events taken, and whether the visible set was all
    that the view before asked for."""

    seconds: float
    events: list[Event]
    complete: bool


def fly(stream: Stream, path: FlightPath, rate: float = 20.0) -> Iterator[Moment]:
    """Fly `path` in real time on an open stream, moving the view `rate` times a second; yields after every move."""
    start = time.perf_counter()
    for step in count(1):
        seconds = time.perf_counter() - start
        events = stream.poll()
        complete = stream.complete
        stream.move(path.view(seconds))
        yield Moment(seconds, events, complete)
        if seconds >= path.duration:
            return
        time.sleep(max(start + step / rate - time.perf_counter(), 0.0))
