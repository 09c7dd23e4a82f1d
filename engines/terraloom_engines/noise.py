"""Counter-based noise: every pixel of every level has its own Gaussian numbers, whatever window they are asked for in.

The hash is pcg4d (Jarzynski & Olano, "Hash Functions for GPU Rendering", JCGT 2020); a committed table of normal quantiles
turns 12 bits of it into a float32, so that no platform's logarithm or cosine takes part.
"""

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.tiling import TILE_SIZE

_QUANTILE_BITS = 12
_MULTIPLIER, _INCREMENT = np.uint32(1664525), np.uint32(1013904223)


@lru_cache(maxsize=1)
def normal_quantiles() -> NDArray[np.float32]:
    """The 4096 mid-point quantiles of the standard normal distribution, rescaled to unit variance; float32 (4096,)."""
    table = np.frombuffer(files("terraloom_engines").joinpath("normal_quantiles.bin").read_bytes(), "<f4")
    return table.astype(np.float32)


def pcg4d(x: NDArray[np.uint32], y: NDArray[np.uint32], z: NDArray[np.uint32], w: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
    """Hash four uint32 arrays of one shape into four."""
    v = [word * _MULTIPLIER + _INCREMENT for word in (x, y, z, w)]
    for mixing in (True, False):
        v[0] += v[1] * v[3]
        v[1] += v[2] * v[0]
        v[2] += v[0] * v[1]
        v[3] += v[1] * v[2]
        if mixing:
            v = [word ^ (word >> np.uint32(16)) for word in v]
    return v


def gaussian_noise(seed: int, stream: int, level: int, column: int, row: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Standard normal numbers, float32 of `shape` (channels, rows, columns), for global pixels from (row, column) of `level`.

    `stream` separates networks and steps. Columns wrap at the antimeridian; rows beyond the square have numbers of their own.
    """
    channels, rows, columns = shape
    wrapped = (np.arange(column, column + columns) % (TILE_SIZE << level)).astype(np.uint32)
    x = np.broadcast_to(wrapped, (rows, columns))
    y = np.broadcast_to((np.arange(row, row + rows) & 0xFFFFFFFF).astype(np.uint32)[:, None], (rows, columns))
    table, mask = normal_quantiles(), np.uint32((1 << _QUANTILE_BITS) - 1)
    out = np.empty(shape, np.float32)
    for group in range(0, channels, 8):
        key = np.uint32(level | stream << 8 | (group // 8) << 16)
        words = pcg4d(x, y, np.full((rows, columns), key), np.full((rows, columns), np.uint32(seed & 0xFFFFFFFF)))
        for channel in range(group, min(group + 8, channels)):
            shift = np.uint32(20 if channel - group < 4 else 8)
            out[channel] = table[(words[channel % 4] >> shift) & mask]
    return out
