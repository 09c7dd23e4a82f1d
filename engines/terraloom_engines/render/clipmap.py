"""Nested windows of heights and colours round an eye, one a level, out of the tiles that a client holds.

After geometry clipmaps (Losasso and Hoppe, SIGGRAPH 2004): every level has a window of the same number of pixels, half as wide on the
ground as the one before. Where no tile of a level is held, the window shows the level above, interpolated.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.render.received import SEGMENTS, TileSurface
from terraloom_engines.texture import SEA_COLOUR
from terraloom_engines.tiling import TILE_SIZE, pixel_from_lonlat

__all__ = ["WINDOW", "Window", "windows"]

WINDOW = 1280
"""Pixels along a side of a window."""
_STEP = TILE_SIZE // SEGMENTS
"""Pixels between vertices."""
_GRID = 2 * _STEP
"""Origins of windows are multiples of this, so that the vertices of two levels coincide."""


@dataclass(frozen=True, slots=True)
class Window:
    """One level round the eye: its global pixel of the top left (the column may lie beyond the antimeridian).

    `vertices` (metres) lie on pixel corners, as far apart as those of the tiles (`_STEP`), one more than fit in a row.
    `colour` is sRGB, shape (rows, columns, 3).
    """

    level: int
    column: int
    row: int
    vertices: NDArray[np.float32]
    colour: NDArray[np.uint8]

    def heights(self) -> NDArray[np.float32]:
        """Heights at pixel centres, shape (rows, columns), interpolated by cubic convolution (Keys 1981)."""
        return _resized(self.vertices, (0.5, 0.5), 1 / _STEP)


def windows(surfaces: Iterable[TileSurface], longitude: float, latitude: float) -> Iterator[Window]:
    """Windows of level 0 to the finest level among `surfaces`, in that order, round a place in degrees."""
    by_level: dict[int, list[TileSurface]] = {}
    for surface in surfaces:
        by_level.setdefault(surface.tile.z, []).append(surface)
    window: Window | None = None
    for level in range(max(by_level, default=-1) + 1):
        column, row = (_aligned(at) for at in pixel_from_lonlat(level, longitude, latitude))
        window = _blank(level, column, row) if window is None else _refined(window, column, row)
        for surface in by_level.get(level, ()):
            _paste(window, surface)
        yield window


def _aligned(centre: float) -> int:
    return round((centre - WINDOW / 2) / _GRID) * _GRID


def _blank(level: int, column: int, row: int) -> Window:
    side = WINDOW // _STEP + 1
    colour = np.empty((WINDOW, WINDOW, 3), np.uint8)
    colour[:] = SEA_COLOUR
    return Window(level, column, row, np.zeros((side, side), np.float32), colour)


def _refined(parent: Window, column: int, row: int) -> Window:
    """The window of the next level at (column, row), interpolated."""
    left, top = column / 2 - parent.column, row / 2 - parent.row
    side = WINDOW / 2
    colour = Image.fromarray(parent.colour).resize((WINDOW, WINDOW), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    vertices = _resized(parent.vertices, (left / _STEP + 0.25, top / _STEP + 0.25), 0.5, WINDOW // _STEP + 1)
    return Window(parent.level + 1, column, row, vertices, np.array(colour))


def _resized(values: NDArray[np.float32], start: tuple[float, float], scale: float, size: int = WINDOW) -> NDArray[np.float32]:
    """`size` x `size` samples, the centre of sample i at `start` + (i + 1/2) `scale` in a raster whose sample j is centred on j + 1/2."""
    box = (start[0], start[1], start[0] + size * scale, start[1] + size * scale)
    return np.array(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC, box=box))


def _paste(window: Window, surface: TileSurface) -> None:
    """Puts a tile of the window's level in its place, as often as it is there: the coarsest levels go round the Earth."""
    around, tile = TILE_SIZE << window.level, surface.tile
    top, east = tile.y * TILE_SIZE - window.row, tile.x * TILE_SIZE - window.column
    for turn in range(-((east + TILE_SIZE) // around), (WINDOW - east) // around + 1):
        left = east + turn * around
        _place(window.colour, surface.colour, top, left)
        _place(window.vertices, surface.heights, top // _STEP, left // _STEP)


def _place(target: NDArray[Any], patch: NDArray[Any], top: int, left: int) -> None:
    """Copies the part of `patch` that falls inside `target` when its first element lies at (top, left)."""
    first_row, last_row = max(top, 0), min(top + patch.shape[0], target.shape[0])
    first_column, last_column = max(left, 0), min(left + patch.shape[1], target.shape[1])
    if first_row < last_row and first_column < last_column:
        part = patch[first_row - top : last_row - top, first_column - left : last_column - left]
        target[first_row:last_row, first_column:last_column] = part
