"""Tile addresses and their geometry: the quadtree that is also the recursion of the generator.

Planets use the slippy-map scheme: EPSG:3857, XYZ (row 0 in the north), 256 px tiles, so that every map tool
knows the addresses. Web Mercator is conformal: a raster is isotropic everywhere and only its ground sample
distance varies, with latitude.

Planes use the same scheme in metres, from the origin on: a pixel of level z measures 2^(17-z) m, column 0 begins at x = 0 and goes east,
row 0 begins at y = 0 and goes south, so columns and rows have signs. An address says which scheme it is of. Places are pairs east, north:
longitude and latitude in degrees on planets, x and y in metres on planes.
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
PLANE_MIN_LEVEL = 2
"""The coarsest level of planes: 32,768 m per pixel."""
PLANE_METRES = 1 << 17
"""Metres per pixel of a plane's level 0, if it had one."""
PLANE_REACH = float(1 << 59)
"""Planes end this many metres from their origin, where a double still tells the middle of every tile; all their arithmetic goes as far."""


class WorldKind(IntEnum):
    """How a world is addressed."""

    PLANET = 1
    """On the WGS84 ellipsoid, by Web Mercator."""
    PLANE = 2
    """In local metres, without bounds but those of a double."""

    @property
    def min_level(self) -> int:
        """The coarsest level."""
        return 0 if self is WorldKind.PLANET else PLANE_MIN_LEVEL

    def rows(self, level: int) -> tuple[int, int]:
        """First row (and column) of tiles of a level, and the one after the last."""
        if self is WorldKind.PLANET:
            return 0, 1 << level
        last = int(PLANE_REACH) // (TILE_SIZE * PLANE_METRES) << level
        return -last, last


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """Address of one tile: level `z`, column `x` eastward, row `y` southward.

    Planets begin at -180 and +85.05 degrees, planes at their origin, with negative columns west and negative rows north of it.
    """

    z: int
    x: int
    y: int
    kind: WorldKind = WorldKind.PLANET

    def __post_init__(self) -> None:
        coarsest = self.kind.min_level
        if not coarsest <= self.z <= MAX_LEVEL:
            raise InvalidArgumentError(f"tile level z={self.z} is out of range: allowed are {coarsest} to {MAX_LEVEL}")
        first, end = self.kind.rows(self.z)
        if not (first <= self.x < end and first <= self.y < end):
            raise InvalidArgumentError(
                f"tile {self.z}/{self.x}/{self.y} is out of range: x and y at level {self.z} go from {first} to {end - 1}"
            )

    @property
    def has_parent(self) -> bool:
        """Whether there is a coarser level."""
        return self.z > self.kind.min_level

    @property
    def parent(self) -> "TileId":
        """The tile one level up that contains this one; the coarsest level has none."""
        return TileId(self.z - 1, self.x >> 1, self.y >> 1, self.kind)

    @property
    def children(self) -> tuple["TileId", "TileId", "TileId", "TileId"]:
        """The four tiles one level down: north-west, north-east, south-west, south-east."""
        z, x, y, kind = self.z + 1, self.x << 1, self.y << 1, self.kind
        return TileId(z, x, y, kind), TileId(z, x + 1, y, kind), TileId(z, x, y + 1, kind), TileId(z, x + 1, y + 1, kind)

    def ancestor(self, level: int) -> "TileId":
        """The tile of `level` (at most `self.z`) that contains this one."""
        shift = self.z - level
        return TileId(level, self.x >> shift, self.y >> shift, self.kind)

    def neighbour(self, dx: int, dy: int) -> "TileId | None":
        """The tile `dx` columns east and `dy` rows south; a planet's columns wrap at the antimeridian. None beyond the last."""
        column, row = self.x + dx, self.y + dy
        if self.kind is WorldKind.PLANET:
            column %= 1 << self.z
        first, end = self.kind.rows(self.z)
        return TileId(self.z, column, row, self.kind) if first <= row < end and first <= column < end else None

    def __str__(self) -> str:
        return f"{self.z}/{self.x}/{self.y}"


def ground_sample_distance(level: int, latitude: float) -> float:
    """Metres per pixel of a 256 px tile of `level` at `latitude` (degrees)."""
    return EQUATOR / (TILE_SIZE << level) * math.cos(math.radians(latitude))


def row_ground_sample_distance(level: int, row: int, kind: WorldKind = WorldKind.PLANET) -> float:
    """Metres per pixel at the centre of global pixel row `row` of `level`; rows past a planet's square repeat its rim."""
    return PLANE_METRES / (1 << level) if kind is WorldKind.PLANE else _planet_row_ground_sample_distance(level, row)


@lru_cache(maxsize=1 << 16)
def _planet_row_ground_sample_distance(level: int, row: int) -> float:
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
    return row_ground_sample_distance(tile.z, tile.y * TILE_SIZE + TILE_SIZE // 2, tile.kind)


def pixel_from_place(kind: WorldKind, level: int, east: float, north: float) -> tuple[float, float]:
    """Global pixel (column, row), fractional, of a place; see `pixel_from_lonlat` for planets. Exact on planes."""
    if kind is WorldKind.PLANET:
        return pixel_from_lonlat(level, east, north)
    metres = PLANE_METRES / (1 << level)
    return east / metres, -north / metres


def tile_from_place(kind: WorldKind, level: int, east: float, north: float) -> TileId:
    """The tile of `level` that contains a place. Raises InvalidArgumentError for one beyond a plane's reach."""
    if kind is WorldKind.PLANET:
        return tile_from_lonlat(level, east, north)
    column, row = pixel_from_place(kind, level, east, north)
    return TileId(level, math.floor(column / TILE_SIZE), math.floor(row / TILE_SIZE), kind)


def plane_side(level: int) -> float:
    """Metres along the side of a plane's tile."""
    return TILE_SIZE * PLANE_METRES / (1 << level)


def plane_bounds(tile: TileId) -> tuple[float, float, float, float]:
    """West, south, east, north of a plane's tile in metres, exact."""
    side = plane_side(tile.z)
    return tile.x * side, -(tile.y + 1) * side, (tile.x + 1) * side, -tile.y * side
