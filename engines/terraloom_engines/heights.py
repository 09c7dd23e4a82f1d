"""Heights: the height of any place, by the one grid that collision tiles and SampleHeights share.

A height grid holds the vertices of a tile on every second pixel corner, 129 a side: those of a mesh of 128 segments. Each is the sum of the
four pixels round its corner, an integer in 1/256 m, and the ones on an edge come out of the same pixels in both tiles. Between
vertices the height is bilinear in columns and rows, weighted so that on an edge only the vertices of that edge count. So heights are
continuous over all edges, the antimeridian's included, bit for bit.

As a body in the frame of a planet's tile the grid is flat: spacings are those of the tile's middle row, and Y is the height above mean sea
level. The ellipsoid's fall below the frame's plane, and the narrowing of the tile towards the pole, are left out (`docs/heights.md` has
numbers).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import ELEVATION_UNIT, Field
from terraloom_engines.geodesy import row_of
from terraloom_engines.mesh import corner_sums, surface_elevation
from terraloom_engines.tiling import MAX_LATITUDE, PLANE_METRES, TILE_SIZE, TileId, WorldKind, plane_side

__all__ = ["GRID_SEGMENTS", "GRID_SIDE", "HEIGHT_UNIT", "HeightGrid", "Part", "build_height_grid", "parts_by_tile", "sample_heights"]

GRID_SEGMENTS = 128
"""Cells along a side of a height grid."""
GRID_SIDE = GRID_SEGMENTS + 1
"""Vertices along a side."""
STEP = TILE_SIZE // GRID_SEGMENTS
"""Pixels between two vertices."""
HEIGHT_UNIT = ELEVATION_UNIT / STEP**2
"""Metres per step of a height grid: 1/256."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HeightGrid:
    """Heights above mean sea level at the vertices of a tile.

    `values` is int32, shape (129, 129), rows southward, columns eastward, in `HEIGHT_UNIT`s; the corners are those of the tile.
    """

    tile: TileId
    values: NDArray[np.int32] = field(repr=False)

    @property
    def min_height(self) -> float:
        """Lowest vertex in metres."""
        return float(self.values.min()) * HEIGHT_UNIT

    @property
    def max_height(self) -> float:
        """Highest vertex in metres."""
        return float(self.values.max()) * HEIGHT_UNIT

    @property
    def spacing(self) -> tuple[float, float]:
        """Metres between columns and between rows, on the tile's middle row."""
        if self.tile.kind is WorldKind.PLANE:
            return plane_side(self.tile.z) / GRID_SEGMENTS, plane_side(self.tile.z) / GRID_SEGMENTS
        row = row_of(self.tile.z, self.tile.y * TILE_SIZE + TILE_SIZE // 2)
        return STEP * row.east_metres, STEP * row.north_metres

    @property
    def origin(self) -> tuple[float, float]:
        """X and Z of the north-western vertex in the tile's frame, in metres."""
        east, south = self.spacing
        return -east * GRID_SEGMENTS / 2, -south * GRID_SEGMENTS / 2

    def sample(self, columns: Array, rows: Array) -> Array:
        """Heights in metres at places of the tile, given in pixels from its north-western corner, 0 to 256 both included."""
        along, down = columns / STEP, rows / STEP
        west, north = (np.minimum(axis.astype(np.int64), GRID_SEGMENTS - 1) for axis in (along, down))
        u, v = along - west, down - north
        upper = (1 - u) * self.values[north, west] + u * self.values[north, west + 1]
        lower = (1 - u) * self.values[north + 1, west] + u * self.values[north + 1, west + 1]
        heights: Array = ((1 - v) * upper + v * lower) * HEIGHT_UNIT
        return heights


class Part(NamedTuple):
    """The places of a list that lie in one tile: their indices in the list, and their pixels from the tile's north-western corner."""

    tile: TileId
    indices: NDArray[np.int64]
    columns: Array
    rows: Array


def build_height_grid(field: Field, *, water: bool = True) -> HeightGrid:
    """The height grid of a field's surface (see `mesh.surface_elevation`); the field needs a halo of at least one pixel."""
    sums = corner_sums(surface_elevation(field.crop(STEP // 2), water=water), STEP)
    return HeightGrid(field.tile, sums.astype(np.int32))


def parts_by_tile(kind: WorldKind, level: int, east: Sequence[float], north: Sequence[float]) -> list[Part]:
    """Places (degrees; metres on a plane), sorted by the tile of `level` that holds them.

    Longitudes are wrapped; latitudes beyond Web Mercator's 85.05 are clamped to its rim.
    """
    if not east:
        return []
    pixels = _pixels(kind, level, np.array(east, np.float64), np.array(north, np.float64))
    first, end = kind.rows(level)
    tiles = np.clip(pixels // TILE_SIZE, first, end - 1)
    inside = pixels - tiles * TILE_SIZE
    order = np.lexsort(tiles.T)
    starts = np.flatnonzero((np.diff(tiles[order], axis=0) != 0).any(axis=1)) + 1
    return [
        Part(_tile(kind, level, tiles[indices[0]]), indices, *inside[indices].T)  # one tile's places
        for indices in np.split(order, starts)
    ]


def _pixels(kind: WorldKind, level: int, east: Array, north: Array) -> Array:
    """What `tiling.pixel_from_place` answers for every place, bit for bit, shape (n, 2).

    Scalar functions project, since numpy's may round by place in the array, and a place's height must not hang on the others of a request.
    """
    if kind is WorldKind.PLANE:
        metres = PLANE_METRES / (1 << level)
        return np.stack([east / metres, -north / metres], axis=-1)
    size = TILE_SIZE << level
    angles = (np.clip(north, -MAX_LATITUDE, MAX_LATITUDE) * (math.pi / 180.0)).tolist()
    northing = np.array([math.asinh(math.tan(angle)) for angle in angles])
    rows = np.clip((1.0 - northing / math.pi) / 2.0 * size, 0.0, size)
    return np.stack([(east + 180.0) / 360.0 % 1.0 * size, rows], axis=-1)


def _tile(kind: WorldKind, level: int, address: Array) -> TileId:
    return TileId(level, int(address[0]), int(address[1]), kind)


def sample_heights(
    grid_of: Callable[[TileId], HeightGrid], kind: WorldKind, level: int, east: Sequence[float], north: Sequence[float]
) -> Array:
    """Heights in metres above mean sea level at places (degrees; metres on a plane), from the grids of the tiles of `level`, each asked
    for once."""
    heights = np.empty(len(east))
    for part in parts_by_tile(kind, level, east, north):
        heights[part.indices] = grid_of(part.tile).sample(part.columns, part.rows)
    return heights
