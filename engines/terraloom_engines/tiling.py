"""Tile addresses and their geometry: the quadtree that is also the recursion of the generator.

`earth` uses the slippy-map scheme: EPSG:3857, XYZ (row 0 in the north), 256 px tiles, so that every map tool
knows the addresses. Web Mercator is conformal: a raster is isotropic everywhere and only its ground sample
distance varies, with latitude.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from terraloom.errors import InvalidArgumentError

TILE_SIZE = 256
MAX_LEVEL = 18
"""The finest level: 0.6 m per pixel at the equator."""
MAX_LATITUDE = 85.05112877980659
EQUATOR = 40075016.685578488
"""Length of the WGS84 equator in metres: the width of the Web Mercator square."""


class WorldKind(IntEnum):
    """How a world is addressed."""

    PLANET = 1
    """On the WGS84 ellipsoid, by Web Mercator."""
    PLANE = 2
    """In local metres, without bounds."""


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """Address of one tile: level `z`, column `x` eastward from -180 degrees, row `y` southward from +85.05 degrees."""

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not 0 <= self.z <= MAX_LEVEL:
            raise InvalidArgumentError(f"tile level z={self.z} is out of range: allowed are 0 to {MAX_LEVEL}")
        if not (0 <= self.x < 1 << self.z and 0 <= self.y < 1 << self.z):
            raise InvalidArgumentError(
                f"tile {self.z}/{self.x}/{self.y} is out of range: x and y at level {self.z} go from 0 to {(1 << self.z) - 1}"
            )

    @property
    def parent(self) -> "TileId":
        """The tile one level up that contains this one; level 0 is its own parent's end and has none."""
        return TileId(self.z - 1, self.x >> 1, self.y >> 1)

    @property
    def children(self) -> tuple["TileId", "TileId", "TileId", "TileId"]:
        """The four tiles one level down: north-west, north-east, south-west, south-east."""
        z, x, y = self.z + 1, self.x << 1, self.y << 1
        return TileId(z, x, y), TileId(z, x + 1, y), TileId(z, x, y + 1), TileId(z, x + 1, y + 1)

    def ancestor(self, level: int) -> "TileId":
        """The tile of `level` (at most `self.z`) that contains this one."""
        shift = self.z - level
        return TileId(level, self.x >> shift, self.y >> shift)

    def neighbour(self, dx: int, dy: int) -> "TileId | None":
        """The tile `dx` columns east and `dy` rows south; columns wrap at the antimeridian, rows end at the caps (None)."""
        row = self.y + dy
        return TileId(self.z, (self.x + dx) % (1 << self.z), row) if 0 <= row < 1 << self.z else None

    def __str__(self) -> str:
        return f"{self.z}/{self.x}/{self.y}"


def ground_sample_distance(level: int, latitude: float) -> float:
    """Metres per pixel of a 256 px tile of `level` at `latitude` (degrees)."""
    return EQUATOR / (TILE_SIZE << level) * math.cos(math.radians(latitude))


@lru_cache(maxsize=1 << 16)
def row_ground_sample_distance(level: int, row: int) -> float:
    """Metres per pixel at the centre of global pixel row `row` of `level`; rows past the square repeat its rim."""
    rows = TILE_SIZE << level
    northing = math.pi * (1.0 - 2.0 * (min(max(row, 0), rows - 1) + 0.5) / rows)
    return EQUATOR / rows / math.cosh(northing)


def longitude_from_column(level: int, column: float) -> float:
    """Longitude in degrees of global pixel column `column` (0 is the west rim of the square, not a pixel centre)."""
    return column / (TILE_SIZE << level) * 360.0 - 180.0


def latitude_from_row(level: int, row: float) -> float:
    """Latitude in degrees of global pixel row `row` (0 is the north rim of the square, not a pixel centre)."""
    return math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * row / (TILE_SIZE << level)))))


def pixel_from_lonlat(level: int, longitude: float, latitude: float) -> tuple[float, float]:
    """Global pixel (column, row), fractional, of a place in degrees. Latitudes beyond the square are clamped to its rim."""
    size = TILE_SIZE << level
    phi = math.radians(min(max(latitude, -MAX_LATITUDE), MAX_LATITUDE))
    column = ((longitude + 180.0) / 360.0 % 1.0) * size
    row = (1.0 - math.asinh(math.tan(phi)) / math.pi) / 2.0 * size
    return column, min(max(row, 0.0), size)


def tile_from_lonlat(level: int, longitude: float, latitude: float) -> TileId:
    """The tile of `level` that contains a place in degrees."""
    column, row = pixel_from_lonlat(level, longitude, latitude)
    last = (1 << level) - 1
    return TileId(level, min(int(column) // TILE_SIZE, last), min(int(row) // TILE_SIZE, last))


def lonlat_bounds(tile: TileId) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees."""
    column, row = tile.x * TILE_SIZE, tile.y * TILE_SIZE
    return (
        longitude_from_column(tile.z, column),
        latitude_from_row(tile.z, row + TILE_SIZE),
        longitude_from_column(tile.z, column + TILE_SIZE),
        latitude_from_row(tile.z, row),
    )


def tile_ground_sample_distance(tile: TileId) -> float:
    """Metres per pixel at the tile's middle row."""
    return row_ground_sample_distance(tile.z, tile.y * TILE_SIZE + TILE_SIZE // 2)
