"""Geodesy: places on the WGS84 ellipsoid, and the frames of tiles there and on planes.

Columns and rows of a level are computed by scalar functions of their global index, once each: numpy's vectorised functions may round
differently by place in the array, and two tiles that share a row must not.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, latitude_from_row, longitude_from_column, plane_bounds

__all__ = ["Column", "Row", "column_of", "ecef_from_geodetic", "ecef_from_tile", "parallel", "plane_from_tile", "row_of", "world_from_tile"]

SEMI_MAJOR_AXIS = 6378137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)


@dataclass(frozen=True, slots=True)
class Column:
    """A meridian on pixel corners: longitude in degrees, its cosine and sine."""

    longitude: float
    cosine: float
    sine: float


@dataclass(frozen=True, slots=True)
class Row:
    """A parallel on pixel corners: latitude in degrees, its cosine and sine, the radius of curvature in the prime vertical, metres a pixel.

    East and north metres differ by up to 0.7 %: Mercator's pixels are square on the sphere, not on the ellipsoid.
    """

    latitude: float
    cosine: float
    sine: float
    prime_vertical: float
    east_metres: float
    north_metres: float


@lru_cache(maxsize=1 << 13)
def column_of(level: int, index: int) -> Column:
    """The meridian west of global pixel column `index` of `level`; both sides of the antimeridian have one cosine and sine."""
    angle = math.radians(longitude_from_column(level, index % (TILE_SIZE << level)))
    return Column(longitude_from_column(level, index), math.cos(angle), math.sin(angle))


@lru_cache(maxsize=1 << 13)
def row_of(level: int, index: int) -> Row:
    """The parallel north of global pixel row `index` of `level`."""
    pixel = 2 * math.pi / (TILE_SIZE << level)
    latitude = latitude_from_row(level, index)
    return parallel(latitude, pixel, pixel * math.cos(math.radians(latitude)))


def parallel(latitude: float, east: float, north: float) -> Row:
    """The parallel at a latitude in degrees, for pixels that span `east` of longitude and `north` of latitude, in radians."""
    cosine, sine = math.cos(math.radians(latitude)), math.sin(math.radians(latitude))
    prime_vertical = SEMI_MAJOR_AXIS / math.sqrt(1 - ECCENTRICITY_SQUARED * sine * sine)
    meridional = prime_vertical * (1 - ECCENTRICITY_SQUARED) / (1 - ECCENTRICITY_SQUARED * sine * sine)
    return Row(latitude, cosine, sine, prime_vertical, prime_vertical * (east * cosine), meridional * north)


def ecef_from_geodetic(longitude: float, latitude: float, height: float) -> NDArray[np.float64]:
    """Earth-centred earth-fixed metres, shape (3,), of a place in degrees and metres above the ellipsoid."""
    phi, lam = math.radians(latitude), math.radians(longitude)
    prime_vertical = SEMI_MAJOR_AXIS / math.sqrt(1 - ECCENTRICITY_SQUARED * math.sin(phi) ** 2)
    across = (prime_vertical + height) * math.cos(phi)
    along = (prime_vertical * (1 - ECCENTRICITY_SQUARED) + height) * math.sin(phi)
    return np.array([across * math.cos(lam), across * math.sin(lam), along])


@lru_cache(maxsize=1 << 12)
def ecef_from_tile(tile: TileId) -> NDArray[np.float64]:
    """Rigid transform of the tile's frame, shape (4, 4), for column vectors on glTF axes; read-only.

    Origin: the ellipsoid under the tile's middle. X east, Y up, Z south there.
    """
    middle = TILE_SIZE // 2
    column = column_of(tile.z, tile.x * TILE_SIZE + middle)
    row = row_of(tile.z, tile.y * TILE_SIZE + middle)
    matrix = np.eye(4)
    matrix[:3, 0] = (-column.sine, column.cosine, 0.0)
    matrix[:3, 1] = (row.cosine * column.cosine, row.cosine * column.sine, row.sine)
    matrix[:3, 2] = (row.sine * column.cosine, row.sine * column.sine, -row.cosine)
    matrix[:3, 3] = ecef_from_geodetic(column.longitude, row.latitude, 0.0)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=1 << 12)
def plane_from_tile(tile: TileId) -> NDArray[np.float64]:
    """Transform of a plane's tile to x east, y north, z up, shape (4, 4), for column vectors on glTF axes; exact, read-only.

    Origin: the tile's middle at height 0. X east, Y up, Z south.
    """
    west, south, east, north = plane_bounds(tile)
    middle = west + (east - west) / 2, south + (north - south) / 2
    matrix = np.array([[1.0, 0.0, 0.0, middle[0]], [0.0, 0.0, -1.0, middle[1]], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    matrix.flags.writeable = False
    return matrix


def world_from_tile(tile: TileId) -> NDArray[np.float64]:
    """Transform of a tile's frame to the coordinates of its world: `ecef_from_tile` or `plane_from_tile`."""
    return plane_from_tile(tile) if tile.kind is WorldKind.PLANE else ecef_from_tile(tile)
