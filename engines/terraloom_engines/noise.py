"""Counter-based noise: every pixel of every level has its own Gaussian numbers, whatever window they are asked for in.

The hash is pcg4d (Jarzynski & Olano, "Hash Functions for GPU Rendering", JCGT 2020); a committed table of normal quantiles
turns 12 bits of it into a float32, so that no platform's logarithm or cosine takes part.
"""

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.tiling import TILE_SIZE, WorldKind

QUANTILES = 1 << 12
"""Entries of the table."""
CHANNELS_PER_HASH = 8
"""A hash has four words, and each serves two channels."""
_MULTIPLIER, _INCREMENT = np.uint32(1664525), np.uint32(1013904223)


@lru_cache(maxsize=1)
def normal_quantiles() -> NDArray[np.float32]:
    """The 4096 mid-point quantiles of the standard normal distribution, rescaled to unit variance; float32 (4096,)."""
    table = np.frombuffer(files("terraloom_engines").joinpath("normal_quantiles.bin").read_bytes(), "<f4")
    return table.astype(np.float32)


def pcg4d(x: NDArray[np.uint32], y: NDArray[np.uint32], z: NDArray[np.uint32], w: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
    """Hash four uint32 arrays of one shape into four."""
    v = [word * _MULTIPLIER + _INCREMENT for word in (x, y, z, w)]
    product = np.empty_like(v[0])
    for mixing in (True, False):
        for target, first, second in ((0, 1, 3), (1, 2, 0), (2, 0, 1), (3, 1, 2)):
            v[target] += np.multiply(v[first], v[second], out=product)
        for word in v if mixing else ():
            word ^= np.right_shift(word, np.uint32(16), out=product)
    return v


def place_words(seed: int, key: int, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> list[NDArray[np.uint32]]:
    """Four hashes of every pair of a row and a column, each uint32 (rows, columns); all 64 bits of both count."""
    shape = (len(rows), len(columns))
    (x, far_columns), (y, far_rows) = column_words(columns), row_words(seed, rows)
    x, y = np.broadcast_to(x[None, :], shape), np.broadcast_to(y[:, None], shape)
    return pcg4d(x, y, np.full(shape, np.uint32(key)), far_columns[None, :] + far_rows[:, None])


def column_words(columns: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What columns put into the hash: their low words, and what is added to the last word for their high ones."""
    return _low_word(columns), _mixed(_high_word(columns), _FAR_COLUMNS)


def row_words(seed: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The same of rows, and of the seed."""
    return _low_word(rows), np.uint32(seed & 0xFFFFFFFF) + _mixed(_high_word(rows), _FAR_ROWS)


_FAR_COLUMNS, _FAR_ROWS = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)


def _low_word(values: NDArray[np.int64]) -> NDArray[np.uint32]:
    return (values & 0xFFFFFFFF).astype(np.uint32)


def _high_word(values: NDArray[np.int64]) -> NDArray[np.uint32]:
    return _low_word(values >> 32)


def _mixed(words: NDArray[np.uint32], multiplier: np.uint32) -> NDArray[np.uint32]:
    """A hash of each word; 0 stays 0."""
    for _ in range(2):
        words = words * multiplier
        words = words ^ (words >> np.uint32(15))
    return words


def gaussian_noise(
    seed: int, stream: int, level: int, column: int, row: int, shape: tuple[int, int, int], kind: WorldKind = WorldKind.PLANET
) -> NDArray[np.float32]:
    """Standard normal numbers, float32 of `shape` (channels, rows, columns), for global pixels from (row, column) of `level`.

    `stream` separates networks and steps. On a planet columns wrap at the antimeridian, and rows beyond the square have numbers of their
    own; on a plane nothing wraps.
    """
    channels, height, width = shape
    columns, rows = pixel_numbers(level, column, row, (height, width), kind)
    table = normal_quantiles()
    out = np.empty(shape, np.float32)
    for group in range(0, channels, CHANNELS_PER_HASH):
        words = place_words(seed, hash_key(level, stream, group), columns, rows)
        for channel in range(group, min(group + CHANNELS_PER_HASH, channels)):
            number = (words[channel % 4] >> np.uint32(word_shift(channel))) & np.uint32(QUANTILES - 1)
            table.take(number, out=out[channel], mode="clip")
    return out


STREAK_REACH = 2
"""Pixels on each side that `without_streaks` averages over, and loses."""
GAINED_VARIANCE = 0.7
"""Variance over 1 that noise without streaks has per share: what a network makes of it is then as rough as what it makes of white noise."""


@lru_cache(maxsize=64)
def streak_weights(share: float) -> tuple[np.float32, np.float32]:
    """What `share` of the means over a row and a column is multiplied by before it is taken from a number, and the rest after that."""
    side = 2 * STREAK_REACH + 1
    variance = (1 - 2 * share / side) ** 2 + 2 * (side - 1) * (share / side) ** 2
    return np.float32(share / side), np.float32(((1 + GAINED_VARIANCE * share) / variance) ** 0.5)


def without_streaks(noise: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Noise (C, H, W) with less of what is alike along rows and columns: (C, H - 4, W - 4).

    From every number `share` of the mean of five in its row is taken, and of five in its column. The geometry network makes lines
    along the grid of just that, be there such lines in what it has learnt from or not.
    """
    taken, scale = streak_weights(share)
    rows, columns = noise.shape[-2] - 2 * STREAK_REACH, noise.shape[-1] - 2 * STREAK_REACH
    inner = noise[:, STREAK_REACH : STREAK_REACH + rows]
    total = inner[..., :columns] + inner[..., 1 : 1 + columns]
    for step in range(2, 2 * STREAK_REACH + 1):
        total += inner[..., step : step + columns]
    for step in range(2 * STREAK_REACH + 1):
        total += noise[:, step : step + rows, STREAK_REACH : STREAK_REACH + columns]
    total *= -taken
    total += inner[..., STREAK_REACH : STREAK_REACH + columns]
    total *= scale
    return total


def pixel_numbers(level: int, column: int, row: int, size: tuple[int, int], kind: WorldKind) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of a window of `size` (rows, columns) as the hash counts them."""
    columns, rows = np.arange(column, column + size[1]), np.arange(row, row + size[0])
    if kind is WorldKind.PLANET:
        columns, rows = columns % (TILE_SIZE << level), rows & 0xFFFFFFFF
    return columns, rows


def hash_key(level: int, stream: int, channel: int) -> int:
    """The word of the hash that says for what the numbers are."""
    return level | stream << 8 | (channel // CHANNELS_PER_HASH) << 16


def word_shift(channel: int) -> int:
    """Which bits of its word of the hash a channel takes."""
    return 20 if channel % CHANNELS_PER_HASH < 4 else 8
