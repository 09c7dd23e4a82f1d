"""Messages of the wire become checked values. Everything here raises InvalidArgumentError or FailedPreconditionError with one line."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import get_args

from terraloom.errors import FailedPreconditionError, InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import ContentOptions, GridOptions, Surface
from terraloom_engines.selection import Criteria, Radius, Region, ScreenSpaceError, WorkClass
from terraloom_engines.server.checks import count_in_range, finite, in_range, one_of, visible
from terraloom_engines.server.credit import Credit
from terraloom_engines.server.plans import COLLISION, PICTURES, collision_disc
from terraloom_engines.tiling import PLANE_REACH, TileId, WorldKind
from terraloom_engines.viewpoint import ViewState, Waypoint
from terraloom_engines.world import World

HEIGHT_LIMITS = (-12_000.0, 1e8)
"""Metres; of a viewpoint."""
SPEED_LIMIT = 30_000.0
"""Metres per second along each axis."""
LONGEST_DEADLINE = 3600.0
"""Seconds; for provisional tiles."""
ACCELERATION_LIMIT = 1_000.0
"""Metres per second squared along each axis."""
WEIGHT_LIMITS = (0.01, 100.0)
"""Of a viewpoint beside others."""
MOST_WAYPOINTS = 64
MOST_HELD_TILES = 65_536
MOST_POINTS = 10_000
"""Points of one SampleHeights; to find their tiles takes 1 ms a thousand of the event loop."""
PLANE_LIMIT = PLANE_REACH / 2
"""Metres from a plane's origin, of a viewpoint: it sees as far again."""
DEFAULT_VIEW = ViewState(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session is opened with."""

    criteria: Criteria
    content: ContentOptions
    credit: Credit
    classes: frozenset[WorkClass]
    have: dict[TileId, bytes] = field(repr=False)
    stats: bool = False
    client: str = ""
    """As it names itself."""
    lockstep: bool = False
    provisional_seconds: float = 0.0
    """How long a tile may be needed and lack before it comes provisionally; 0 for ever."""
    provisional_collision_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """Places whose heights are asked for (degrees, or metres on a plane), and the level and surface that they are read from."""

    kind: WorldKind
    east: list[float] = field(repr=False)
    north: list[float] = field(repr=False)
    level: int
    options: GridOptions


def check_version(message: pb.OpenSessionRequest) -> None:
    """Raises FailedPreconditionError for another protocol version."""
    if message.protocol_version != pb.PROTOCOL_VERSION_1:
        raise FailedPreconditionError(f"protocol_version = {message.protocol_version} is not spoken here: this server speaks 1")


def check_world(message: pb.WorldId, world: World) -> None:
    """Raises InvalidArgumentError when `message` names another world than that of a session."""
    if (message.name, message.seed) not in (("", 0), (world.name, world.seed)):
        text = f"world {message.name!r} with seed {message.seed} is not that of the session: it is {world.name!r} with seed {world.seed}"
        raise InvalidArgumentError(text, field="world")


def opening(message: pb.OpenSessionRequest, world: World) -> Opening:
    """What a client asks for when it opens a session."""
    count_in_range("have", len(message.have), 0, MOST_HELD_TILES)
    carried = classes(message.priorities) or PICTURES
    return Opening(
        selection(message.selection, world, carried),
        content_options(message.content),
        Credit.from_message(message.credit),
        carried,
        {tile_id(held.id, world): held.content_hash for held in message.have},
        message.stats,
        visible(message.client),
        message.lockstep,
        _provisional("provisional_seconds", message),
        _provisional("provisional_collision_seconds", message),
    )


def _provisional(name: str, message: pb.OpenSessionRequest) -> float:
    """A deadline for provisional tiles; in lockstep, where no clock decides, there is none."""
    return in_range(name, getattr(message, name), 0.0, 0.0 if message.lockstep else LONGEST_DEADLINE)


def tile_id(message: pb.TileId, world: World) -> TileId:
    """An address within the world."""
    count_in_range("id.z", message.z, world.min_level, world.max_level)
    return world.tile(message.z, message.x, message.y)


def classes(priorities: Iterable[int]) -> frozenset[WorkClass]:
    """Classes of work named in a request; COLLISION goes alone, on a connection of its own."""
    names = tuple(work_class.name for work_class in WorkClass)
    found = frozenset(WorkClass[one_of("priorities", priority_name(priority), names)] for priority in priorities)
    if found > COLLISION:
        text = "priorities: COLLISION goes on a connection of its own: name it alone, in another OpenSession, Stream or Subscribe"
        raise InvalidArgumentError(text, field="priorities", allowed=("COLLISION", ", ".join(sorted(kind.name for kind in PICTURES))))
    return found


def priority_name(priority: int) -> str:
    """Name of a priority without the prefix of its enumeration; the number where it has none."""
    known = priority in pb.Priority.values()
    return pb.Priority.Name(pb.Priority.ValueType(priority)).removeprefix("PRIORITY_") if known else str(priority)


def selection(message: pb.Selection, world: World, carried: frozenset[WorkClass]) -> Criteria:
    """What a session that carries some classes asks for: for COLLISION a disc of one level, else what `criteria` says."""
    if carried != COLLISION:
        return criteria(message, world)
    by = message.WhichOneof("by")
    if by not in ("radius", None):
        text = f"selection.{by} has no sense for COLLISION: give selection.radius, or neither"
        raise InvalidArgumentError(text, field=f"selection.{by}", allowed=("selection.radius",))
    filled = pb.Selection()
    filled.CopyFrom(message)
    filled.radius.level = message.radius.level or (message.max_level if message.HasField("max_level") else world.max_level)
    asked = criteria(filled, world)
    return replace(asked, by=collision_disc(asked))


def criteria(message: pb.Selection, world: World) -> Criteria:
    """What is asked for, with defaults filled in."""
    finest = message.max_level if message.HasField("max_level") else world.max_level
    count_in_range("selection.max_level", finest, world.min_level, world.max_level)
    coarsest = max(count_in_range("selection.min_level", message.min_level, 0, finest), world.min_level)
    by: ScreenSpaceError | Radius | Region
    if message.WhichOneof("by") == "region":
        if not message.HasField("max_level"):
            levels = f"{coarsest}..{world.max_level}"
            raise InvalidArgumentError("selection.max_level is missing: a region needs it", field="selection.max_level", allowed=(levels,))
        by = region("selection.region", message.region, world.kind)
    elif message.WhichOneof("by") == "radius":
        in_range("selection.radius.radius", message.radius.radius, 0.0, 2.1e7)
        by = Radius(message.radius.radius, count_in_range("selection.radius.level", message.radius.level, coarsest, finest))
    else:
        default = ScreenSpaceError().target_pixels
        by = ScreenSpaceError(
            in_range("selection.screen_space_error.target_pixels", message.screen_space_error.target_pixels or default, 1, 1024)
        )
    return Criteria(by, coarsest, finest)


def region(where: str, message: pb.Rectangle, kind: WorldKind) -> Region:
    """A rectangle in degrees, where west > east crosses the antimeridian, or in metres on a plane."""
    plane = kind is WorldKind.PLANE
    across, along = (PLANE_LIMIT, PLANE_LIMIT) if plane else (180.0, 90.0)
    west = in_range(f"{where}.west", message.west, -across, across)
    south = in_range(f"{where}.south", message.south, -along, along)
    east = in_range(f"{where}.east", message.east, west if plane else -across, across)
    return Region(west, south, east, in_range(f"{where}.north", message.north, south, along), kind)


def content_options(message: pb.ContentOptions) -> ContentOptions:
    """How content is made, with defaults filled in."""
    default = ContentOptions()
    formats = {
        pb.TEXTURE_FORMAT_UNSPECIFIED: default.texture_format,
        pb.TEXTURE_FORMAT_JPEG: "jpeg",
        pb.TEXTURE_FORMAT_WEBP: "webp",
        pb.TEXTURE_FORMAT_NONE: "none",
    }
    compressions = {
        pb.MESH_COMPRESSION_UNSPECIFIED: default.compression,
        pb.MESH_COMPRESSION_NONE: "none",
        pb.MESH_COMPRESSION_MESHOPT: "meshopt",
    }
    return ContentOptions(
        segments=message.segments or default.segments,
        texture_format=formats.get(message.texture_format, str(message.texture_format)),  # type: ignore[arg-type]
        texture_quality=message.texture_quality or default.texture_quality,
        unlit=message.unlit,
        surface=surface("content.surface", message.surface),
        compression=compressions.get(message.compression, str(message.compression)),  # type: ignore[arg-type]
    )


def surface(name: str, value: int) -> Surface:
    """Which surface is meant; what a vehicle meets where nothing is said."""
    surfaces: dict[int, Surface] = {
        pb.SURFACE_UNSPECIFIED: "ground_or_water",
        pb.SURFACE_GROUND_OR_WATER: "ground_or_water",
        pb.SURFACE_GROUND: "ground",
    }
    one_of(name, str(surfaces.get(value, value)), get_args(Surface))
    return surfaces[value]


def sampling(message: pb.SampleHeightsRequest, world: World) -> Sampling:
    """Places whose heights are asked for."""
    east, north = list(message.east), list(message.north)
    count_in_range("east (its points)", len(east), 0, MOST_POINTS)
    if len(north) != len(east):
        text = f"north has {len(north)} values and east {len(east)}: every point needs one of each"
        raise InvalidArgumentError(text, field="north", allowed=(str(len(east)),))
    plane = world.kind is WorldKind.PLANE
    limits = {"east": (east, PLANE_LIMIT if plane else math.inf), "north": (north, PLANE_LIMIT if plane else 90.0)}
    for name, (values, limit) in limits.items():
        for i, value in enumerate(values):
            if not -limit <= value <= limit or math.isinf(value):
                finite(f"{name}[{i}]", value) if math.isinf(limit) else in_range(f"{name}[{i}]", value, -limit, limit)
    level = message.level if message.HasField("level") else world.max_level
    count_in_range("level", level, world.min_level, world.max_level)
    return Sampling(world.kind, east, north, level, GridOptions(surface("surface", message.surface)))


def view_state(message: pb.View, world: World) -> ViewState:
    """A viewpoint in a world, with defaults filled in."""
    place = _plane if world.kind is WorldKind.PLANE else _geodetic
    east, north, height = place("view", message)
    default = DEFAULT_VIEW
    fov = message.vertical_field_of_view_degrees or default.vertical_field_of_view
    return ViewState(
        east,
        north,
        height,
        _vector("view.velocity", message.velocity, SPEED_LIMIT),
        _forward(message),
        in_range("view.vertical_field_of_view_degrees", fov, 1.0, 170.0),
        in_range("view.aspect_ratio", message.aspect_ratio or default.aspect_ratio, 0.05, 20.0),
        count_in_range("view.viewport_lines", message.viewport_lines or default.viewport_lines, 1, 65_536),
        _waypoints(message.waypoints, place),
        world.kind,
        finite("view.sim_time", message.sim_time),
        _vector("view.acceleration", message.acceleration, ACCELERATION_LIMIT),
        in_range("view.weight", message.weight or default.weight, *WEIGHT_LIMITS),
    )


def _vector(where: str, message: pb.Vector3, limit: float) -> tuple[float, float, float]:
    x, y, z = (in_range(f"{where}.{axis}", getattr(message, axis), -limit, limit) for axis in "xyz")
    return x, y, z


def _geodetic(where: str, message: pb.View | pb.Waypoint) -> tuple[float, float, float]:
    if message.WhichOneof("position") != "geodetic":
        raise InvalidArgumentError(f"{where}.geodetic is missing: the world is a planet", field=f"{where}.geodetic")
    place = message.geodetic
    return (
        (finite(f"{where}.geodetic.longitude_degrees", place.longitude_degrees) + 180.0) % 360.0 - 180.0,
        in_range(f"{where}.geodetic.latitude_degrees", place.latitude_degrees, -90.0, 90.0),
        in_range(f"{where}.geodetic.height", place.height, *HEIGHT_LIMITS),
    )


def _plane(where: str, message: pb.View | pb.Waypoint) -> tuple[float, float, float]:
    if message.WhichOneof("position") != "plane":
        raise InvalidArgumentError(f"{where}.plane is missing: the world is a plane", field=f"{where}.plane")
    place = message.plane
    return (
        in_range(f"{where}.plane.x", place.x, -PLANE_LIMIT, PLANE_LIMIT),
        in_range(f"{where}.plane.y", place.y, -PLANE_LIMIT, PLANE_LIMIT),
        in_range(f"{where}.plane.z", place.z, *HEIGHT_LIMITS),
    )


def _forward(message: pb.View) -> tuple[float, float, float] | None:
    """Unit vector east, north, up of the body's x axis."""
    match message.WhichOneof("orientation"):
        case "quaternion":
            q = message.quaternion
            in_range("view.quaternion (its norm)", math.hypot(q.x, q.y, q.z, q.w), 0.99, 1.01)
            x, y, z = 1 - 2 * (q.y**2 + q.z**2), 2 * (q.x * q.y + q.w * q.z), 2 * (q.x * q.z - q.w * q.y)
            norm = math.hypot(x, y, z)
            return x / norm, y / norm, z / norm
        case "heading_pitch_roll":
            angles = message.heading_pitch_roll
            finite("view.heading_pitch_roll.roll_degrees", angles.roll_degrees)
            heading = math.radians(finite("view.heading_pitch_roll.heading_degrees", angles.heading_degrees))
            pitch = math.radians(in_range("view.heading_pitch_roll.pitch_degrees", angles.pitch_degrees, -90.0, 90.0))
            return math.sin(heading) * math.cos(pitch), math.cos(heading) * math.cos(pitch), math.sin(pitch)
    return None


def _waypoints(
    messages: Iterable[pb.Waypoint], place: Callable[[str, pb.View | pb.Waypoint], tuple[float, float, float]]
) -> tuple[Waypoint, ...]:
    waypoints: list[Waypoint] = []
    for i, message in enumerate(messages):
        count_in_range("view.waypoints", i + 1, 0, MOST_WAYPOINTS)
        where = f"view.waypoints[{i}]"
        earliest = waypoints[-1].seconds if waypoints else 0.0
        if not earliest < message.seconds_ahead < math.inf:
            raise InvalidArgumentError(f"{where}.seconds_ahead = {message.seconds_ahead} must be more than {earliest} s", field=where)
        waypoints.append(Waypoint(*place(where, message), message.seconds_ahead))
    return tuple(waypoints)
