"""Bounds: between which heights a tile and everything generated below it lies, known from the tile's own rasters.

The promise of the cascade is |child - parent| <= 4 of the child's ground sample distances, so all descendants of a pixel stay within 4
of its own. Land and water that are pure stay so below the coast's level, and water keeps the height of its surface; a mixed pixel may
become either. Skirts hang 8 ground sample distances of their own tile below its rim. A pixel of level z with ground sample distance g(z)
bounds tiles of level l >= z by

    height - 4 g(z) - 4 g(l)  <=  content  <=  height + 4 g(z)

since a rim at level l has sunk by at most 4 g(z) - 4 g(l), and its skirt by 8 g(l) more.

Within a base the promise is another: a pixel is the mean of the N base pixels below it, and its relief their standard deviation s or more,
so none of them is farther from it than s sqrt(N - 1) (Samuelson, J. Am. Stat. Assoc. 63, 1968).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import DataLossError
from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, LOG_UNIT, Field
from terraloom_engines.tiling import TILE_SIZE, TileId, row_ground_sample_distance

__all__ = ["COAST_LEVEL", "HeightBounds", "decode_bounds", "encode_bounds", "height_bounds"]

COAST_LEVEL = 7
"""Level from which a pixel that is land altogether, or water altogether, has no others below it."""
DRIFT = 4.0
"""Ground sample distances of a pixel that its descendants may be away from it."""
STORED_OCTAVES = 1 / 8
"""How coarsely bases may store relief."""
MARGIN = 4
"""Pixels beyond a tile's edge that its vertices read, in pixels of its own level: half a square of the coarsest mesh."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HeightBounds:
    """Bounds of a tile and its descendants for some levels, in metres above mean sea level, skirts included.

    `low[d]` and `high[d]`, shape (2^d, 2^d), rows southward and columns eastward, bound the tiles `d` levels below `tile` and all
    that is generated below them.
    """

    tile: TileId
    low: tuple[Array, ...] = field(repr=False)
    high: tuple[Array, ...] = field(repr=False)

    def of(self, tile: TileId) -> tuple[float, float]:
        """The bounds of `self.tile` or one of its descendants."""
        depth = tile.z - self.tile.z
        row, column = tile.y - (self.tile.y << depth), tile.x - (self.tile.x << depth)
        return float(self.low[depth][row, column]), float(self.high[depth][row, column])


def height_bounds(tile: TileId, levels: int, field_of: Callable[[TileId], Field], base_level: int, depth: int = 0) -> HeightBounds:
    """Bounds of `tile` and its descendants, `levels` levels in all, from the rasters of its descendants `depth` levels below.

    Coarse pixels bound little: where rasters are cheap, as in a base (down to `base_level`), several of a finer level bound more than
    one. Fields need a halo of `MARGIN` pixels.
    """
    side, known = 1 << depth, range(max(levels - depth, 1))
    lowest = [np.empty((side << below, side << below)) for below in known]
    highest = [np.empty_like(array) for array in lowest]
    for row in range(side):
        for column in range(side):
            source = TileId(tile.z + depth, (tile.x << depth) + column, (tile.y << depth) + row, tile.kind)
            low, high = _pixel_bounds(field_of(source).crop(MARGIN), base_level)
            for below in known:
                here = np.s_[row << below : row + 1 << below, column << below : column + 1 << below]
                lowest[below][here], highest[below][here] = -_block_maxima(-low, below), _block_maxima(high, below)
    for _ in range(depth):
        lowest.insert(0, -_halved_maxima(-lowest[0]))
        highest.insert(0, _halved_maxima(highest[0]))
    hangs = [DRIFT * _greatest_gsd(tile) / 2**level * (2 if level < depth else 1) for level in range(levels)]
    return HeightBounds(tile, tuple(low - hang for low, hang in zip(lowest, hangs, strict=False)), tuple(highest[:levels]))


def encode_bounds(bounds: HeightBounds) -> bytes:
    """Bounds as bytes: float64, level by level, low before high."""
    return b"".join(array.astype("<f8").tobytes() for pair in zip(bounds.low, bounds.high, strict=True) for array in pair)


def decode_bounds(data: bytes, tile: TileId) -> HeightBounds:
    """The bounds of `tile` that `encode_bounds` was given; raises DataLossError for a length that cannot be."""
    numbers, start, low, high = np.frombuffer(data[: len(data) // 8 * 8], "<f8"), 0, [], []
    for depth in range(16):
        if start >= len(numbers):
            break
        side, count = 1 << depth, 1 << 2 * depth
        if start + 2 * count > len(numbers):
            raise DataLossError(f"stored bounds of {tile} have {len(data)} bytes, which is no whole number of levels")
        low.append(numbers[start : start + count].reshape(side, side))
        high.append(numbers[start + count : start + 2 * count].reshape(side, side))
        start += 2 * count
    return HeightBounds(tile, tuple(low), tuple(high))


def _pixel_bounds(field: Field, base_level: int) -> tuple[Array, Array]:
    """Lowest and highest surface, in metres, of everything below each pixel; water is as low as its skirt takes it below the formula's."""
    ground, water = field.channel("elevation") * ELEVATION_UNIT, field.channel("water") * ELEVATION_UNIT
    land, (drift, sink) = field.channel("land"), _drift(field, base_level)
    fall = drift + np.where(drift > sink, sink, 0.0)  # below steep pixels of a base a rim may sink before its skirt hangs
    pure = np.full(land.shape, field.tile.z >= COAST_LEVEL)
    wet, dry = pure & (land == 0), pure & (land == LAND_FULL)
    low = np.where(dry, ground - fall, np.minimum(ground - fall, water - sink))
    high = np.where(dry, ground + drift, np.maximum(ground + drift, water))
    return np.where(wet, water - sink, low), np.where(wet, water, high)


def _drift(field: Field, base_level: int) -> tuple[Array, float]:
    """Metres that descendants of each pixel may be away from it, shape (row, column), and those that the cascade promises."""
    promised = DRIFT * _greatest_gsd(field.tile)
    if field.tile.z >= base_level:
        return np.full(field.data.shape[1:], promised), promised
    below = base_level - field.tile.z
    spread = np.exp2(field.channel("relief") * LOG_UNIT + STORED_OCTAVES) * math.sqrt(4**below - 1)
    return np.maximum(promised, spread + promised / 2**below), promised


def _block_maxima(values: Array, below: int) -> Array:
    """Maxima over the 2^below x 2^below blocks of a tile with a margin, each with the margin that the vertices of its tile read."""
    side, margin = TILE_SIZE >> below, max(MARGIN >> below, 1)
    cut = slice(MARGIN - margin, MARGIN + TILE_SIZE + margin)
    windows = np.lib.stride_tricks.sliding_window_view(values[cut, cut], (side + 2 * margin, side + 2 * margin))
    maxima: Array = windows[::side, ::side].max(axis=(2, 3))
    return maxima


def _halved_maxima(values: Array) -> Array:
    maxima: Array = values.reshape(len(values) // 2, 2, -1, 2).max(axis=(1, 3))
    return maxima


def _greatest_gsd(tile: TileId) -> float:
    """Metres per pixel where they are most: on a planet, of the tile's row nearest to the equator, its margin included."""
    first, last = tile.y * TILE_SIZE - MARGIN, (tile.y + 1) * TILE_SIZE + MARGIN
    equator = TILE_SIZE << tile.z >> 1
    return row_ground_sample_distance(tile.z, min(max(equator, first), last), tile.kind)
