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

from terraloom_engines.render.received import TileSurface
from terraloom_engines.texture import SEA_COLOUR
from terraloom_engines.tiling import TILE_SIZE, WorldKind, pixel_from_place

__all__ = ["WINDOW", "Window", "windows"]

WINDOW = 1280
"""Most pixels along a side of a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """One level round the eye: its global pixel of the top left (the column may lie beyond the antimeridian).

    `vertices` (metres) lie on pixel corners, `step` pixels apart as those of the tiles, one more than fit in a row. `colour` is sRGB,
    shape (rows, columns, 3), `water` the share of water in 1/255, shape (rows, columns).
    """

    level: int
    column: int
    row: int
    step: int
    vertices: NDArray[np.float32]
    colour: NDArray[np.uint8]
    water: NDArray[np.uint8]

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return len(self.colour)

    def heights(self) -> NDArray[np.float32]:
        """Heights at pixel centres, shape (rows, columns), interpolated by cubic convolution (Keys 1981)."""
        return _resized(self.vertices, (0.5, 0.5), 1 / self.step, self.side)


def windows(
    surfaces: Iterable[TileSurface],
    place: tuple[float, float],
    ahead: tuple[float, float] = (0.0, 0.0),
    side: int = WINDOW,
    kind: WorldKind = WorldKind.PLANET,
) -> Iterator[Window]:
    """Windows of the coarsest level to the finest among `surfaces`, in that order, round a place (degrees, or metres on a plane).

    They are `side` pixels wide, a multiple of 64, and their middle lies `ahead` of the place, east and south, in widths of a window. All
    surfaces have vertices equally far apart.
    """
    by_level: dict[int, list[TileSurface]] = {}
    for surface in surfaces:
        by_level.setdefault(surface.tile.z, []).append(surface)
    step = max((TILE_SIZE // (len(found[0].heights) - 1) for found in by_level.values()), default=1)
    window: Window | None = None
    for level in range(kind.min_level, max(by_level, default=-1) + 1):
        middle = pixel_from_place(kind, level, *place)
        column, row = (_aligned(at + side * (offset - 0.5), step) for at, offset in zip(middle, ahead, strict=True))
        window = _blank(level, column, row, step, side) if window is None else _refined(window, column, row)
        for surface in by_level.get(level, ()):
            _paste(window, surface)
        yield window


def _aligned(origin: float, step: int) -> int:
    """An origin near `origin` where the vertices of two levels coincide."""
    return round(origin / (2 * step)) * 2 * step


def _blank(level: int, column: int, row: int, step: int, side: int) -> Window:
    colour = np.empty((side, side, 3), np.uint8)
    colour[:] = SEA_COLOUR
    vertices, water = np.zeros((side // step + 1, side // step + 1), np.float32), np.full((side, side), 255, np.uint8)
    return Window(level, column, row, step, vertices, colour, water)


def _refined(parent: Window, column: int, row: int) -> Window:
    """The window of the next level at (column, row), interpolated."""
    left, top = (column - 2 * parent.column) / 2, (row - 2 * parent.row) / 2
    step, side = parent.step, parent.side
    box = (left, top, left + side / 2, top + side / 2)
    rasters = (Image.fromarray(raster) for raster in (parent.colour, parent.water))
    colour, water = (np.array(raster.resize((side, side), Image.Resampling.BILINEAR, box=box)) for raster in rasters)
    vertices = _resized(parent.vertices, (left / step + 0.25, top / step + 0.25), 0.5, side // step + 1)
    return Window(parent.level + 1, column, row, step, vertices, colour, water)


def _resized(values: NDArray[np.float32], start: tuple[float, float], scale: float, size: int) -> NDArray[np.float32]:
    """`size` x `size` samples, the centre of sample i at `start` + (i + 1/2) `scale` in a raster whose sample j is centred on j + 1/2."""
    box = (start[0], start[1], start[0] + size * scale, start[1] + size * scale)
    return np.array(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC, box=box))


def _paste(window: Window, surface: TileSurface) -> None:
    """Puts a tile of the window's level in its place, as often as it is there: the coarsest levels go round a planet."""
    around, tile = TILE_SIZE << window.level, surface.tile
    top, east = tile.y * TILE_SIZE - window.row, tile.x * TILE_SIZE - window.column
    water = np.uint8(255) * (_at_sea_level(surface, window.step) if surface.water is None else surface.water)
    turns = range(-((east + TILE_SIZE) // around), (window.side - east) // around + 1) if tile.kind is WorldKind.PLANET else (0,)
    for turn in turns:
        left = east + turn * around
        _place(window.colour, surface.colour, top, left)
        _place(window.water, water, top, left)
        _place(window.vertices, surface.heights, top // window.step, left // window.step)


def _at_sea_level(surface: TileSurface, step: int) -> NDArray[np.bool_]:
    """Pixels whose vertices lie at 0 m, as exactly as the level's coordinates in single precision tell."""
    level = np.abs(surface.heights) < 0.02 + 100.0 / (1 << surface.tile.z)
    cells = level[:-1, :-1] & level[1:, :-1] & level[:-1, 1:] & level[1:, 1:]
    return cells.repeat(step, axis=0).repeat(step, axis=1)


def _place(target: NDArray[Any], patch: NDArray[Any], top: int, left: int) -> None:
    """Copies the part of `patch` that falls inside `target` when its first element lies at (top, left)."""
    first_row, last_row = max(top, 0), min(top + patch.shape[0], target.shape[0])
    first_column, last_column = max(left, 0), min(left + patch.shape[1], target.shape[1])
    if first_row < last_row and first_column < last_column:
        part = patch[first_row - top : last_row - top, first_column - left : last_column - left]
        target[first_row:last_row, first_column:last_column] = part
