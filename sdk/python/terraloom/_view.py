"""The viewpoint: where it is, how it moves and, if it looks somewhere, how."""

from dataclasses import dataclass

from terraloom.v1 import terraloom_pb2 as pb


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the viewpoint looks and through what; angles in degrees.

    `heading` is clockwise from north, `pitch` up from the horizon (-90 looks straight down), `roll` positive with the right wing down.
    """

    heading: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    vertical_field_of_view: float = 60.0
    aspect_ratio: float = 16 / 9


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place (degrees, metres above mean sea level) that the viewpoint means to pass `seconds` from now."""

    longitude: float
    latitude: float
    height: float
    seconds: float


@dataclass(frozen=True, slots=True)
class View:
    """The viewpoint at one moment: degrees, metres above mean sea level, metres per second east, north and up.

    Without a camera, tiles all around count alike. `lines` is the height of the picture in pixels, against which the
    screen-space error is measured. The server prepares what the viewpoint will need ahead: along the `waypoints`, in order of time, or
    by its velocity and `acceleration` (metres per second squared east, north and up); a camera is taken to turn with the path. In a
    stream with several viewpoints, `weight` says how much this one's errors count beside those of the others.
    """

    longitude: float
    latitude: float
    height: float
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera: Camera | None = None
    lines: int = 1080
    waypoints: tuple[Waypoint, ...] = ()
    acceleration: tuple[float, float, float] = (0.0, 0.0, 0.0)
    weight: float = 1.0

    @staticmethod
    def on_plane(
        x: float,
        y: float,
        z: float,
        velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
        camera: Camera | None = None,
        lines: int = 1080,
        waypoints: "tuple[PlaneWaypoint, ...]" = (),
        acceleration: tuple[float, float, float] = (0.0, 0.0, 0.0),
        weight: float = 1.0,
    ) -> "PlaneView":
        """The same in a plane world: metres east, north and up of its origin."""
        return PlaneView(x, y, z, velocity, camera, lines, waypoints, acceleration, weight)

    def message(self, sequence: int) -> pb.View:
        """The view on the wire, numbered `sequence` within its session."""
        waypoints = [pb.Waypoint(geodetic=_geodetic(waypoint), seconds_ahead=waypoint.seconds) for waypoint in self.waypoints]
        return _message(self, pb.View(sequence=sequence, geodetic=_geodetic(self), waypoints=waypoints))


@dataclass(frozen=True, slots=True)
class PlaneWaypoint:
    """A place on a plane (metres) that the viewpoint means to pass `seconds` from now."""

    x: float
    y: float
    z: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PlaneView:
    """The viewpoint in a plane world: metres east, north and up of its origin (z 0 is the sea); for the rest see `View`.

    `heading` of a camera is clockwise from north, which is +y.
    """

    x: float
    y: float
    z: float
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera: Camera | None = None
    lines: int = 1080
    waypoints: tuple[PlaneWaypoint, ...] = ()
    acceleration: tuple[float, float, float] = (0.0, 0.0, 0.0)
    weight: float = 1.0

    def message(self, sequence: int) -> pb.View:
        """The view on the wire, numbered `sequence` within its session."""
        waypoints = [pb.Waypoint(plane=_plane(waypoint), seconds_ahead=waypoint.seconds) for waypoint in self.waypoints]
        return _message(self, pb.View(sequence=sequence, plane=_plane(self), waypoints=waypoints))


AnyView = View | PlaneView
"""A viewpoint, whatever the world."""


def _message(view: AnyView, message: pb.View) -> pb.View:
    """Fills in what does not depend on the kind of world."""
    message.velocity.x, message.velocity.y, message.velocity.z = view.velocity
    message.acceleration.x, message.acceleration.y, message.acceleration.z = view.acceleration
    message.viewport_lines = view.lines
    message.weight = view.weight
    if view.camera is not None:
        camera = view.camera
        message.heading_pitch_roll.heading_degrees = camera.heading
        message.heading_pitch_roll.pitch_degrees = camera.pitch
        message.heading_pitch_roll.roll_degrees = camera.roll
        message.vertical_field_of_view_degrees = camera.vertical_field_of_view
        message.aspect_ratio = camera.aspect_ratio
    return message


def _geodetic(place: View | Waypoint) -> pb.Geodetic:
    return pb.Geodetic(longitude_degrees=place.longitude, latitude_degrees=place.latitude, height=place.height)


def _plane(place: PlaneView | PlaneWaypoint) -> pb.Vector3:
    return pb.Vector3(x=place.x, y=place.y, z=place.z)
