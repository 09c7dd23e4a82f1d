"""Frames of simulators and engines: where a tile, a pose or a place lies in the axes and units of each.

    frame = LocalFrame(Geodetic(7.66, 45.98, 3000.0), axes="unity")
    matrix = frame.local_from_tile(tile.ecef_from_tile)          # (4, 4) float64
    positions = frame.placed(tile.mesh().positions, tile.ecef_from_tile)  # (n, 3) float32, metres round the anchor
    longitude, latitude, height = frame.geodetic_from_local(pose)
    new_from_old = frame.rebase(frame.anchor_at(pose))           # floating origin: apply to all that was placed

Matrices are float64, shape (4, 4), act on column vectors and are named `a_from_b`, so that names cancel:
`ned_from_tile = ned_from_enu @ enu_from_ecef @ ecef_from_tile`. Angles are degrees. Heights are metres above mean sea level, taken as
heights above the WGS84 ellipsoid, as everywhere in Terraloom. Points are arrays of shape (..., 3).

Axes are listed in `AXES`; docs/frames.md shows them with an example each.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terraloom.errors import InvalidArgumentError

__all__ = [
    "AXES",
    "Geodetic",
    "LocalFrame",
    "PlanePoint",
    "a_from_b",
    "ecef_from_enu",
    "ecef_from_geodetic",
    "enu_from_ecef",
    "geodetic_from_ecef",
    "heading_pitch_roll",
    "transformed",
]

Array = NDArray[np.float64]

SEMI_MAJOR_AXIS = 6378137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
SEMI_MINOR_AXIS = SEMI_MAJOR_AXIS * (1 - FLATTENING)
SAFE_DISTANCE = 8192.0
"""Metres from the anchor within which float32 metres keep half a millimetre."""


class Geodetic(NamedTuple):
    """A place on a planet: degrees, metres above mean sea level."""

    longitude: float
    latitude: float
    height: float = 0.0


class PlanePoint(NamedTuple):
    """A place in a plane world: metres east, north, up."""

    x: float
    y: float
    z: float = 0.0


def _axes(rows: str, scale: float = 1.0) -> Array:
    """`axes_from_enu` from what X, Y and Z point to, a letter each of East, North, Up, West, South, Down."""
    directions = {"E": (1, 0, 0), "N": (0, 1, 0), "U": (0, 0, 1), "W": (-1, 0, 0), "S": (0, -1, 0), "D": (0, 0, -1)}
    matrix = np.eye(4)
    matrix[:3, :3] = scale * np.array([directions[row] for row in rows], dtype=np.float64)
    matrix.flags.writeable = False
    return matrix


AXES: Mapping[str, Array] = MappingProxyType(
    {
        "enu": _axes("ENU"),
        "ros": _axes("ENU"),
        "mujoco": _axes("ENU"),
        "ned": _axes("NED"),
        "gltf": _axes("EUS"),
        "unity": _axes("EUN"),
        "unreal": _axes("ESU", 100.0),
        "airsim_level": _axes("NEU", 100.0),
    }
)
"""`axes_from_enu` by name: metres, but "unreal" and "airsim_level", which count centimetres. The last three are left-handed.

"ros" (REP 103) and "mujoco" are ENU by other names. "ned" is what AirSim, PX4 and ArduPilot speak. "unreal" is X east, Y south, as in
Cesium for Unreal and as Unreal's glTF importer turns Y-up models; "airsim_level" is the Unreal level that AirSim takes NED from.
"""


def a_from_b(a: str, b: str) -> Array:
    """The matrix from axes `b` to axes `a` about one origin, such as `a_from_b("unity", "ned")`; raises InvalidArgumentError."""
    for name in (a, b):
        if name not in AXES:
            raise InvalidArgumentError(f"axes {name!r} are unknown: allowed are {', '.join(AXES)}", field="axes", allowed=tuple(AXES))
    product: Array = AXES[a] @ _inverse(AXES[b])
    return product


def _inverse(matrix: Array) -> Array:
    """Inverse of a rotation, reflection or uniform scale with a translation; exact for axes, where a solver would round."""
    inverse, linear = np.eye(4), matrix[:3, :3]
    inverse[:3, :3] = linear.T / (linear[0] @ linear[0])
    inverse[:3, 3] = -inverse[:3, :3] @ matrix[:3, 3]
    return inverse


def transformed(a_from_b: ArrayLike, points: ArrayLike) -> Array:
    """Points, shape (..., 3), through a matrix of shape (4, 4)."""
    matrix, given = np.asarray(a_from_b, np.float64), np.asarray(points, np.float64)
    result: Array = given @ matrix[:3, :3].T + matrix[:3, 3]
    return result


def ecef_from_geodetic(longitude: ArrayLike, latitude: ArrayLike, height: ArrayLike = 0.0) -> Array:
    """Earth-centred earth-fixed metres, shape (..., 3), of places; arguments are broadcast. Raises InvalidArgumentError."""
    lam, phi, up = np.broadcast_arrays(*(np.asarray(given, np.float64) for given in (longitude, latitude, height)))
    if not (np.isfinite(lam).all() and np.isfinite(up).all() and (np.abs(phi) <= 90.0).all()):
        raise InvalidArgumentError("a place needs a finite longitude and height, and a latitude from -90 to 90 degrees", field="latitude")
    lam, phi = np.radians(lam), np.radians(phi)
    prime_vertical = SEMI_MAJOR_AXIS / np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(phi) ** 2)
    across = (prime_vertical + up) * np.cos(phi)
    along = (prime_vertical * (1 - ECCENTRICITY_SQUARED) + up) * np.sin(phi)
    return np.stack([across * np.cos(lam), across * np.sin(lam), along], axis=-1)


def geodetic_from_ecef(ecef: ArrayLike) -> Array:
    """Longitude, latitude (degrees) and height (metres), shape (..., 3), of earth-centred earth-fixed metres.

    Bowring's iteration on the parametric latitude (Survey Review 23, 1976), thrice: within a micrometre from 100 km below the surface up.
    """
    x, y, z = np.moveaxis(np.asarray(ecef, np.float64), -1, 0)
    across = np.hypot(x, y)
    second = ECCENTRICITY_SQUARED / (1 - ECCENTRICITY_SQUARED)
    parametric = np.arctan2(z * SEMI_MAJOR_AXIS, across * SEMI_MINOR_AXIS)
    for _ in range(3):
        latitude = np.arctan2(
            z + second * SEMI_MINOR_AXIS * np.sin(parametric) ** 3,
            across - ECCENTRICITY_SQUARED * SEMI_MAJOR_AXIS * np.cos(parametric) ** 3,
        )
        parametric = np.arctan2(SEMI_MINOR_AXIS * np.sin(latitude), SEMI_MAJOR_AXIS * np.cos(latitude))
    sine, cosine = np.sin(latitude), np.cos(latitude)
    height = across * cosine + z * sine - SEMI_MAJOR_AXIS * np.sqrt(1 - ECCENTRICITY_SQUARED * sine**2)
    return np.stack([np.degrees(np.arctan2(y, x)), np.degrees(latitude), height], axis=-1)


def ecef_from_enu(longitude: float, latitude: float, height: float = 0.0) -> Array:
    """The east-north-up frame at a place, to earth-centred earth-fixed metres. Raises InvalidArgumentError."""
    origin = ecef_from_geodetic(longitude, latitude, height)
    lam, phi = math.radians(longitude), math.radians(latitude)
    matrix = np.eye(4)
    matrix[:3, 0] = -math.sin(lam), math.cos(lam), 0.0
    matrix[:3, 1] = -math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi)
    matrix[:3, 2] = math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)
    matrix[:3, 3] = origin
    return matrix


def enu_from_ecef(longitude: float, latitude: float, height: float = 0.0) -> Array:
    """The inverse of `ecef_from_enu`."""
    return _inverse(ecef_from_enu(longitude, latitude, height))


def heading_pitch_roll(forward: ArrayLike, up: ArrayLike, axes: str = "enu") -> tuple[float, float, float]:
    """Angles in degrees for `terraloom.Camera`, from where a body's or a camera's front and top point, vectors in `axes`.

    Heading is clockwise from north, 0 to 360; pitch up from the horizon; roll positive with the right wing down. Looking straight up or
    down, heading is that of the top of the picture and roll is 0. Raises InvalidArgumentError for vectors without direction.
    """
    enu_from_axes = a_from_b("enu", axes)[:3, :3]
    front, top = (enu_from_axes @ np.asarray(vector, np.float64) for vector in (forward, up))
    side = np.cross(front, top)
    if not (np.isfinite(side).all() and side.any()):
        raise InvalidArgumentError(f"forward {forward!r} and up {up!r} must be finite and point in different directions", field="forward")
    front, side = front / np.linalg.norm(front), side / np.linalg.norm(side)
    pitch = math.degrees(math.atan2(front[2], math.hypot(front[0], front[1])))
    if math.hypot(front[0], front[1]) < 1e-9:
        towards = -math.copysign(1.0, front[2]) * top
        return math.degrees(math.atan2(towards[0], towards[1])) % 360.0, pitch, 0.0
    level = np.array([front[1], -front[0], 0.0]) / math.hypot(front[0], front[1])  # to the right, on the horizon
    roll = math.degrees(math.atan2(-side @ np.cross(level, front), side @ level))
    return math.degrees(math.atan2(front[0], front[1])) % 360.0, pitch, roll


class LocalFrame:
    """A Cartesian frame at an anchor, in the axes of one engine; moves with `rebase`, as a floating origin.

    A `Geodetic` anchor is on a planet, whose tiles have `ecef_from_tile`; a `PlanePoint` is in a plane world, whose tiles have
    `plane_from_tile`. "World" below means those coordinates: earth-centred earth-fixed, or the plane's. Axes are those of `AXES`.
    """

    def __init__(self, anchor: Geodetic | PlanePoint, axes: str = "enu") -> None:
        """Raises InvalidArgumentError for unknown axes and an anchor that is no place."""
        self.axes = axes
        self._enu_from_local = a_from_b("enu", axes)
        self._place(anchor)

    def _place(self, anchor: Geodetic | PlanePoint) -> None:
        if isinstance(anchor, Geodetic):
            world_from_enu = ecef_from_enu(*anchor)
        elif all(map(math.isfinite, anchor)):
            world_from_enu = np.eye(4)
            world_from_enu[:3, 3] = anchor
        else:
            raise InvalidArgumentError(f"{anchor} is not a place: allowed are finite metres", field="anchor")
        self.anchor = anchor
        self.world_from_local: Array = world_from_enu @ self._enu_from_local
        """Matrix to the world's coordinates, float64."""
        self.local_from_world: Array = _inverse(self.world_from_local)
        """Its inverse."""

    @property
    def metre(self) -> float:
        """Units to a metre: 1, or 100 where axes count centimetres."""
        return float(np.linalg.norm(AXES[self.axes][0, :3]))

    def local_from_tile(self, world_from_tile: ArrayLike) -> Array:
        """Matrix from a tile's frame (glTF axes, metres), given its `ecef_from_tile` or `plane_from_tile`, shape (4, 4)."""
        product: Array = self.local_from_world @ np.asarray(world_from_tile, np.float64)
        return product

    def placed(self, positions: ArrayLike, world_from_tile: ArrayLike) -> NDArray[np.float32]:
        """Positions of a tile's vertices, shape (n, 3), in this frame: computed in float64, then rounded once.

        In left-handed axes the triangles turn over: exchange two indices of each.
        """
        return transformed(self.local_from_tile(world_from_tile), positions).astype(np.float32)

    def local_from_geodetic(self, longitude: ArrayLike, latitude: ArrayLike, height: ArrayLike = 0.0) -> Array:
        """Local coordinates, shape (..., 3), of places on a planet. Raises InvalidArgumentError in a plane world."""
        self._require_planet()
        return transformed(self.local_from_world, ecef_from_geodetic(longitude, latitude, height))

    def geodetic_from_local(self, points: ArrayLike) -> Array:
        """Longitude, latitude (degrees), height (metres), shape (..., 3), of local points. Raises InvalidArgumentError in a plane world."""
        self._require_planet()
        return geodetic_from_ecef(transformed(self.world_from_local, points))

    def anchor_at(self, point: ArrayLike) -> Geodetic | PlanePoint:
        """The anchor that lies at a local point, shape (3,)."""
        if isinstance(self.anchor, Geodetic):
            return Geodetic(*self.geodetic_from_local(point).tolist())
        return PlanePoint(*transformed(self.world_from_local, point).tolist())

    def is_safe(self, point: ArrayLike, distance: float = SAFE_DISTANCE) -> bool:
        """Whether a local point, shape (3,), is within `distance` metres of the anchor; beyond the default, rebase."""
        return bool(np.linalg.norm(np.asarray(point, np.float64)) <= distance * self.metre)

    def rebase(self, anchor: Geodetic | PlanePoint) -> Array:
        """Move the frame to a new anchor; returns `new_from_old`, the matrix to apply to all that was placed before.

        On a planet it also tilts, since up is elsewhere: 1 degree for 111 km. Raises InvalidArgumentError for an anchor of another kind.
        """
        if type(anchor) is not type(self.anchor):
            raise InvalidArgumentError(f"{anchor} is not a {type(self.anchor).__name__}, as the frame's anchor is", field="anchor")
        world_from_old = self.world_from_local
        self._place(anchor)
        new_from_old: Array = self.local_from_world @ world_from_old
        return new_from_old

    def _require_planet(self) -> None:
        if not isinstance(self.anchor, Geodetic):
            raise InvalidArgumentError("longitude and latitude are of planets; this frame's anchor is a PlanePoint", field="anchor")
