"""Fields for tests of what comes after generation: rasters that are a function of the global pixel, as a world's are."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind

Raster = NDArray[np.int64]


def field_of(tile: TileId, halo: int, elevation: Callable[[Raster, Raster], NDArray[np.generic]]) -> Field:
    """A field whose elevation (1/64 m) is a function of global column and row; land and colours are hashed, water is the sea."""
    side = TILE_SIZE + 2 * halo
    columns, rows = (at * TILE_SIZE - halo + np.arange(side) for at in (tile.x, tile.y))
    if tile.kind is WorldKind.PLANET:
        columns, rows = columns % (TILE_SIZE << tile.z), np.clip(rows, 0, (TILE_SIZE << tile.z) - 1)
    grid = np.meshgrid(columns, rows)
    data = np.stack([hashed(*grid, index) % 256 for index in range(len(CHANNELS))])
    data[CHANNELS.index("elevation")] = elevation(*grid)
    data[CHANNELS.index("water")] = 0
    data[CHANNELS.index("red") : CHANNELS.index("blue") + 1] *= 64
    return Field(tile, halo, data.astype(np.int32))


def hashed(columns: Raster, rows: Raster, salt: int = 0) -> Raster:
    """Integers 0 to 2^20 - 1 that look random."""
    mixed = (columns * 73856093) ^ (rows * 19349663) ^ ((salt + 1) * 83492791)
    return ((mixed * 2654435761) >> 13) & 0xFFFFF


def rough(columns: Raster, rows: Raster) -> Raster:
    """Elevation of white noise between -4096 and +12287 m: the hardest case for seams."""
    return hashed(columns, rows, 99) - (4096 << 6)
