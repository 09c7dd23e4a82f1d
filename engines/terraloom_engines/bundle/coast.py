"""The real coast: land fraction of any pixel from the GLOBE 30 arc-second mask, in exact integers."""

import math

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.archive import RasterArchive
from terraloom_engines.field import LAND_FULL
from terraloom_engines.tiling import TILE_SIZE, latitude_from_row

MASK_COLUMNS, MASK_ROWS = 43200, 21600
TILE_DEGREES = 10
TILE_CELLS = MASK_COLUMNS * TILE_DEGREES // 360
_FRACTIONS = 16
"""Pixel rims are rounded to 1/16 of a mask cell, so that areas are integers."""
COAST_LEVEL = 7
"""The finest level whose land fraction the mask gives: about one mask cell a pixel; below, the coast is the zero contour of elevation."""


class CoastMask:
    """Land fractions of Web Mercator pixels.

    The footprint of a pixel is twice as wide as the pixel: beside the coast a pixel then counts as mixed, and the generator, not the
    staircase of mask cells, draws the shore. The footprints of children lie inside their parent's: what is pure stays pure.
    """

    def __init__(self, archive: RasterArchive) -> None:
        self._archive = archive

    def land(self, level: int, column: int, row: int, height: int, width: int) -> NDArray[np.int32]:
        """Land fraction 0..255, int32 (height, width), of the global pixels from (row, column); columns wrap, rows repeat at the rim."""
        across = [self._column_rims(level, column + i) for i in range(width)]
        down = [self._row_rims(level, row + i) for i in range(height)]
        top, bottom = min(r[0] for r in down) // _FRACTIONS, max(r[1] for r in down) // _FRACTIONS + 1
        left, right = across[0][0] // _FRACTIONS, across[-1][1] // _FRACTIONS + 1
        cells = self._cells(top, left, bottom - top, right - left)
        first = _integral(cells, [(a - left * _FRACTIONS, b - left * _FRACTIONS) for a, b in across])
        sums = _integral(np.ascontiguousarray(first.T), [(a - top * _FRACTIONS, b - top * _FRACTIONS) for a, b in down]).T
        area = np.array([b - a for a, b in down], np.int64)[:, None] * np.array([b - a for a, b in across], np.int64)[None, :]
        return ((sums.astype(np.int64) * LAND_FULL * 2 + area) // (2 * area)).astype(np.int32)

    def _column_rims(self, level: int, column: int) -> tuple[int, int]:
        per_pixel = MASK_COLUMNS * _FRACTIONS / (TILE_SIZE << level)
        return round((column - 0.5) * per_pixel), round((column + 1.5) * per_pixel)

    def _row_rims(self, level: int, row: int) -> tuple[int, int]:
        rows = TILE_SIZE << level
        clamped = min(max(row, 0), rows - 1)
        north, south = (latitude_from_row(level, min(max(edge, 0), rows)) for edge in (clamped - 0.5, clamped + 1.5))
        scale = MASK_ROWS * _FRACTIONS / 180
        return math.floor((90 - north) * scale), math.ceil((90 - south) * scale)

    def _cells(self, top: int, left: int, height: int, width: int) -> NDArray[np.int32]:
        """Mask cells (1 = land) from (top, left); columns wrap."""
        out = np.empty((height, width), np.int32)
        for tile_row in range(top // TILE_CELLS, (top + height - 1) // TILE_CELLS + 1):
            rows = slice(max(top, tile_row * TILE_CELLS), min(top + height, (tile_row + 1) * TILE_CELLS))
            for tile_column in range(left // TILE_CELLS, (left + width - 1) // TILE_CELLS + 1):
                columns = slice(max(left, tile_column * TILE_CELLS), min(left + width, (tile_column + 1) * TILE_CELLS))
                tile = self._tile(tile_row, tile_column % (360 // TILE_DEGREES))
                inside = tile[
                    rows.start - tile_row * TILE_CELLS : rows.stop - tile_row * TILE_CELLS,
                    columns.start - tile_column * TILE_CELLS : columns.stop - tile_column * TILE_CELLS,
                ]
                out[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = inside
        return out

    def _tile(self, row: int, column: int) -> NDArray[np.generic]:
        name = f"land/{row}/{column}"
        if name in self._archive:
            return self._archive.read(name)
        return np.full((TILE_CELLS, TILE_CELLS), f"{name}/whole" in self._archive)


def _integral(cells: NDArray[np.int32], spans: list[tuple[int, int]]) -> NDArray[np.int32]:
    """Sums of `cells` (H, W) along columns over spans given in 1/16 of a cell, fractions of cells counted: int32 (H, len(spans))."""
    total = np.zeros((cells.shape[0], cells.shape[1] + 1), np.int32)
    np.cumsum(cells, axis=1, dtype=np.int32, out=total[:, 1:])

    def upto(edges: list[int]) -> NDArray[np.int32]:
        whole = np.array([edge // _FRACTIONS for edge in edges])
        part = np.array([edge % _FRACTIONS for edge in edges], np.int32)
        inside: NDArray[np.int32] = total[:, whole] * np.int32(_FRACTIONS) + cells[:, np.minimum(whole, cells.shape[1] - 1)] * part
        return inside

    return upto([b for _, b in spans]) - upto([a for a, _ in spans])
