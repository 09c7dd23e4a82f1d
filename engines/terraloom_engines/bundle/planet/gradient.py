"""Gradient noise in three dimensions (Perlin, "Improving noise", SIGGRAPH 2002) with hashed gradients: no period, no table.

Every operation is elementwise and rounds alike wherever a value stands in its array, so that a place has one value in all windows.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.curves import Raster
from terraloom_engines.noise import pcg4d

Words = NDArray[np.uint32]

_PRIMES = (np.uint32(0x8DA6B343), np.uint32(0xD8163841), np.uint32(0xCB1AB31F))
_MULTIPLIERS = (np.uint32(0x7FEB352D), np.uint32(0x846CA68B))
_GOLDEN = np.uint32(0x9E3779B9)
_MASK = np.uint32(1023)
_UNIT = np.float32(1 / 98)
"""Makes the noise's variance 1: gradients have three parts of 10 bits."""


def uniforms(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """Numbers in 0..1, float64 (count,), for a seed and a stream of it."""
    zeros = np.zeros(count, np.uint32)
    words = pcg4d(np.arange(count, dtype=np.uint32), zeros + np.uint32(stream), zeros + np.uint32(0x70), zeros + np.uint32(seed))
    return words[0] / 2.0**32


def gradient_noise(places: list[Raster], key: int, channels: int = 1) -> list[Raster]:
    """`channels` independent rasters of noise with mean 0 and variance about 1 at places x, y, z counted in lattice cells.

    Written in place: most of a planet's time is spent here, and most of that is moving memory.
    """
    cells = [np.floor(axis) for axis in places]
    near = [axis - cell for axis, cell in zip(places, cells, strict=True)]
    ways = [(axis, axis - np.float32(1)) for axis in near]
    fades = [_fade(axis) for axis in near]
    hashes = []
    for cell, prime in zip(cells, _PRIMES, strict=True):
        word = cell.astype(np.int32).view(np.uint32)
        word *= prime
        hashes.append((word, word + prime))
    for word in hashes[2]:
        word ^= np.uint32(key)
    scratch = np.empty(places[0].shape, np.uint32)
    offset, both = np.empty_like(near[0]), np.empty_like(near[0])
    blends = [_Blend(fades) for _ in range(channels)]
    for k in (0, 1):
        for j in (0, 1):
            np.add(ways[1][j], ways[2][k], out=both)
            line = hashes[1][j] ^ hashes[2][k]
            for i in (0, 1):
                word = hashes[0][i] ^ line
                np.add(ways[0][i], both, out=offset)
                offset *= np.float32(-511.5)
                for blend in blends:
                    _mix(word, scratch)
                    blend.add(_projected(word, scratch, offset, ways[0][i], ways[1][j], ways[2][k]), 4 * k + 2 * j + i)
    return [blend.result() for blend in blends]


class _Blend:
    """Trilinear in the faded fractions, corner by corner in the order of their index: x fastest."""

    def __init__(self, fades: list[Raster]) -> None:
        self._fades = fades
        self._open: list[Raster] = []

    def add(self, values: Raster, corner: int) -> None:
        for axis in range(3):
            if not corner >> axis & 1:
                break
            before = self._open.pop()
            values -= before
            values *= self._fades[axis]
            values += before
        self._open.append(values)

    def result(self) -> Raster:
        self._open[0] *= _UNIT
        return self._open[0]


def _fade(t: Raster) -> Raster:
    """6 t^5 - 15 t^4 + 10 t^3."""
    out = t * np.float32(6)
    out -= np.float32(15)
    out *= t
    out += np.float32(10)
    for _ in range(3):
        out *= t
    return out


def _mix(word: Words, scratch: Words) -> None:
    """The next of a word's permutations of 32 bits, without visible order (Wellons, "Prospecting for hash functions", 2018)."""
    word += _GOLDEN
    for shift, multiplier in ((16, _MULTIPLIERS[0]), (15, _MULTIPLIERS[1])):
        np.right_shift(word, np.uint32(shift), out=scratch)
        word ^= scratch
        word *= multiplier
    np.right_shift(word, np.uint32(16), out=scratch)
    word ^= scratch


def _projected(word: Words, scratch: Words, offset: Raster, dx: Raster, dy: Raster, dz: Raster) -> Raster:
    """The gradient that `word` stands for times the way from the lattice point."""
    np.bitwise_and(word, _MASK, out=scratch)
    out = scratch.view(np.int32).astype(np.float32)
    out *= dx
    out += offset
    np.right_shift(word, np.uint32(10), out=scratch)
    scratch &= _MASK
    part = scratch.view(np.int32).astype(np.float32)
    part *= dy
    out += part
    np.right_shift(word, np.uint32(22), out=scratch)
    part = scratch.view(np.int32).astype(np.float32)
    part *= dz
    out += part
    return out
