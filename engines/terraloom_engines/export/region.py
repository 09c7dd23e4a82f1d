"""Regions: which part of a world, and the tiles and pixels that cover it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from terraloom.errors import InvalidArgumentError
from terraloom_engines.tiling import MAX_LATITUDE, TILE_SIZE, TileId, WorldKind, ground_sample_distance, pixel_from_place

__all__ = ["MOST_TILES", "PixelBox", "Region"]

MOST_TILES = 65_536
"""Tiles of the finest level in one export: at five a second they take nearly four hours."""
DEGREE = 111_320.0
"""Metres in a degree of the equator."""


class PixelBox(NamedTuple):
    """Global pixels of a level: columns `left` to `right`, rows `top` to `bottom`, the last ones excluded.

    Columns run on over the antimeridian.
    """

    level: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def grown(self, pixels: int) -> "PixelBox":
        """The same with a margin."""
        return PixelBox(self.level, self.left - pixels, self.top - pixels, self.right + pixels, self.bottom + pixels)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle between parallels and meridians in degrees, or on a plane in metres; west > east crosses the antimeridian."""

    kind: WorldKind
    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        sides = (self.west, self.south, self.east, self.north)
        text = ",".join(f"{side:g}" for side in sides)
        if not all(map(math.isfinite, sides)) or self.south >= self.north:
            raise InvalidArgumentError(f"region {text}: west,south,east,north are numbers, and south is less than north")
        if self.kind is WorldKind.PLANE:
            if self.west >= self.east:
                raise InvalidArgumentError(f"region {text}: west is less than east")
        elif max(abs(self.west), abs(self.east)) > 180 or max(abs(self.south), abs(self.north)) > MAX_LATITUDE + 0.01:
            raise InvalidArgumentError(f"region {text}: longitudes go from -180 to 180, latitudes from -85.05 to 85.05")

    @classmethod
    def around(cls, kind: WorldKind, east: float, north: float, metres: float) -> "Region":
        """The square of that width whose middle is a place: longitude and latitude, or x and y on a plane."""
        if not 0 < metres < 2e7:
            raise InvalidArgumentError(f"size {metres / 1000:g} km is out of range: allowed is more than 0 and less than 20,000 km")
        half = metres / 2
        if kind is WorldKind.PLANE:
            return cls(kind, east - half, north - half, east + half, north + half)
        high, wide = half / DEGREE, min(half / DEGREE / math.cos(math.radians(min(abs(north), MAX_LATITUDE))), 179.0)
        south, top = max(north - high, -MAX_LATITUDE), min(north + high, MAX_LATITUDE)
        return cls(kind, _wrapped(east - wide), south, _wrapped(east + wide), top)

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle: longitude and latitude, or x and y."""
        east = self.east + (360.0 if self._crosses else 0.0)
        longitude = (self.west + east) / 2
        return (_wrapped(longitude) if self.kind is WorldKind.PLANET else longitude), (self.south + self.north) / 2

    @property
    def _crosses(self) -> bool:
        return self.kind is WorldKind.PLANET and self.west >= self.east

    def pixels(self, level: int) -> PixelBox:
        """The pixels of a level that touch it."""
        left, top = pixel_from_place(self.kind, level, self.west, self.north)
        right, bottom = pixel_from_place(self.kind, level, self.east, self.south)
        if self.kind is WorldKind.PLANET and right <= left:
            right += TILE_SIZE << level
        return PixelBox(level, math.floor(left), math.floor(top), max(math.ceil(right), math.floor(left) + 1), math.ceil(bottom))

    def tiles(self, level: int) -> list[TileId]:
        """The tiles of a level that touch it, such that relatives come together. Raises InvalidArgumentError for too many."""
        return tiles_of(self.kind, self.pixels(level))

    def metres_per_pixel(self, level: int) -> float:
        """At its middle."""
        if self.kind is WorldKind.PLANE:
            return 1 / pixel_from_place(self.kind, level, 1.0, 0.0)[0]
        return ground_sample_distance(level, self.middle[1])


def tiles_of(kind: WorldKind, box: PixelBox) -> list[TileId]:
    """The tiles that hold the pixels of a box, each once, along a Z-order curve; rows beyond a planet's square are left out."""
    columns = range(box.left // TILE_SIZE, (box.right - 1) // TILE_SIZE + 1)
    rows = range(box.top // TILE_SIZE, (box.bottom - 1) // TILE_SIZE + 1)
    if len(columns) * len(rows) > MOST_TILES:
        text = f"the region has {len(columns) * len(rows):,} tiles at level {box.level}, allowed are {MOST_TILES:,}"
        raise InvalidArgumentError(f"{text}: choose a smaller region or a coarser level")
    if kind is WorldKind.PLANET:
        wide = 1 << box.level
        columns, rows = range(columns.start, min(columns.stop, columns.start + wide)), range(max(rows.start, 0), min(rows.stop, wide))
    found = {TileId(box.level, x % (1 << box.level) if kind is WorldKind.PLANET else x, y, kind) for y in rows for x in columns}
    return sorted(found, key=_z_order)


def _z_order(tile: TileId) -> tuple[int, ...]:
    """Quadrants from the coarsest level down; the addresses above it come first."""
    path = [(tile.y >> shift & 1) << 1 | (tile.x >> shift & 1) for shift in reversed(range(tile.z))]
    return tile.y >> tile.z, tile.x >> tile.z, *path


def _wrapped(longitude: float) -> float:
    return (longitude + 180.0) % 360.0 - 180.0
