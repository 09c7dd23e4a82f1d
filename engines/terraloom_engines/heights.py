"""Heights: the height of any place, by the one grid that collision tiles and SampleHeights share.

A height grid holds the vertices of a tile on every second pixel corner, 129 a side: those of a mesh of 128 segments. Each is the sum of the
four pixels round its corner, an integer in 1/256 m, and the ones on an edge come out of the same pixels in both tiles. Between
vertices the height is bilinear in columns and rows, weighted so that on an edge only the vertices of that edge count. So heights are
continuous over all edges, the antimeridian's included, bit for bit.

As a body in a tile's frame the grid is flat: spacings are those of the tile's middle row, and Y is the height above mean sea level. The
ellipsoid's fall below the frame's plane, and the narrowing of the tile towards the pole, are left out (`docs/heights.md` has numbers).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import ELEVATION_UNIT, Field
from terraloom_engines.geodesy import row_of
from terraloom_engines.mesh import corner_sums, surface_elevation
from terraloom_engines.tiling import TILE_SIZE, TileId, pixel_from_lonlat

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


def parts_by_tile(level: int, longitudes: Sequence[float], latitudes: Sequence[float]) -> list[Part]:
    """Places in degrees, sorted by the tile of `level` that holds them.

    Longitudes are wrapped; latitudes beyond Web Mercator's 85.05 are clamped to its rim. Scalar functions project, since numpy's
    may round by place in the array, and a place's height must not hang on the others of a request.
    """
    if not longitudes:
        return []
    places = zip(longitudes, latitudes, strict=True)
    pixels = np.array([pixel_from_lonlat(level, longitude, latitude) for longitude, latitude in places])
    tiles = np.minimum(pixels // TILE_SIZE, (1 << level) - 1).astype(np.int64)
    inside = pixels - tiles * TILE_SIZE
    keys = tiles[:, 1] << level | tiles[:, 0]
    order = np.argsort(keys, kind="stable")
    starts = np.unique(keys[order], return_index=True)[1]
    return [
        Part(TileId(level, *tiles[indices[0]].tolist()), indices, *inside[indices].T)  # one tile's places
        for indices in np.split(order, starts[1:])
    ]


def sample_heights(grid_of: Callable[[TileId], HeightGrid], level: int, longitudes: Sequence[float], latitudes: Sequence[float]) -> Array:
    """Heights in metres above mean sea level at places in degrees, from the grids of the tiles of `level`, each asked for once."""
    heights = np.empty(len(longitudes))
    for part in parts_by_tile(level, longitudes, latitudes):
        heights[part.indices] = grid_of(part.tile).sample(part.columns, part.rows)
    return heights
