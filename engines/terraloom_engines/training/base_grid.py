"""The grid of the base of the world `earth`: level 4 of EPSG:3857, 4096 pixels a side, and how cells of 5 arc-minutes come onto it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from terraloom_engines.tiling import TILE_SIZE, latitude_from_row

BASE_LEVEL = 4
SIDE = TILE_SIZE << BASE_LEVEL
CELL_METRES, PIXEL_METRES = 9276.0, 9784.0
"""Sides of a cell of 5 arc-minutes, north to south, and of a base pixel, both at the equator."""
GROWTH = 0.35
"""Exponent with which the spread inside a square grows with its side at 10 km: 0.3 on hills, 0.44 on high mountains (135 SRTM cells)."""
MISSED = 0.08
"""Octaves that the prior's typical spread is below that known of 17,683 base pixels (SRTM)."""
Raster = NDArray[np.float32]


def row_latitudes() -> NDArray[np.float64]:
    """Latitude in degrees of the middle of every row of the base."""
    return np.array([latitude_from_row(BASE_LEVEL, row + 0.5) for row in range(SIDE)])


def mercator(raster: NDArray[Any], order: int = 1) -> Raster:
    """Resample a global equirectangular raster (H, W) to the base grid (SIDE, SIDE)."""
    height, width = raster.shape
    rows = (90 - row_latitudes()) / 180 * height - 0.5
    columns = (np.arange(SIDE) + 0.5) / SIDE * width - 0.5 + 4
    wrapped = np.concatenate([raster[:, -4:], raster, raster[:, :4]], axis=1).astype(np.float32)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    out: Raster = ndimage.map_coordinates(wrapped, grid, order=order, mode="nearest")
    return out


def inside_pixels(cells: Raster) -> Raster:
    """log2 of the spread inside base pixels from that inside cells: pixels narrow with latitude both ways, cells one way."""
    narrowing = np.cos(np.radians(row_latitudes())) ** 2
    areas = PIXEL_METRES**2 * narrowing / (CELL_METRES**2 * (1 + narrowing) / 2)
    variance = mercator(np.exp2(2 * cells))
    correction = (GROWTH / 2 * np.log2(areas) + MISSED).astype(np.float32)
    return np.asarray(0.5 * np.log2(variance) + correction[:, None], np.float32)
