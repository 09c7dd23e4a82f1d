"""Gradient noise in integers: a function of seed and place without bounds, period or rounding (Perlin, "An Image Synthesizer", 1985).

Positions are 64-bit integers in 1/256 of a pixel, so that a place may lie as far from the origin as its address reaches and still has all
its digits. Every octave has a lattice of its own, turned by an integer matrix: no two octaves share an axis, and none has the raster's.
Results are in 1/4096 of a standard deviation.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.noise import place_words

__all__ = ["ONE", "PIXEL", "Octave", "Places", "fractal", "gradient_noise", "octaves"]

ONE = 1 << 12
"""One standard deviation of noise; also 1 of a fraction."""
PIXEL = 1 << 8
"""Steps of a position to a pixel."""
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_FRACTION_BITS = 12
_DIRECTIONS = 256
_UNIT = 128
"""Length of a gradient."""
_GAIN = 4.63
"""From the standard deviation of gradient noise with unit gradients and quintic fade to 1."""

Steps = NDArray[np.int32]
Places = NDArray[np.int64]


class Octave(NamedTuple):
    """One lattice: a turned grid whose cells measure 2^shift / hypot(across, down) steps of position; `weight` is in 1/256."""

    stream: int
    across: int
    down: int
    shift: int
    weight: int


def octaves(stream: int, spacing: float, count: int, *, lacunarity: float = 2.1, gain: float = 0.5) -> tuple[Octave, ...]:
    """`count` octaves from `spacing` pixels on, each `lacunarity` finer and `gain` weaker than the last; together of unit variance."""
    norm = 256 / math.sqrt(sum(gain ** (2 * index) for index in range(count)))
    found = []
    for index in range(count):
        cell = spacing / lacunarity**index * PIXEL
        shift = math.floor(math.log2(cell * 128))
        angle, length = (stream + index) * GOLDEN_ANGLE, 2.0**shift / cell
        across, down = round(length * math.cos(angle)), round(length * math.sin(angle))
        found.append(Octave(stream + index, across, down, shift, round(norm * gain**index)))
    return tuple(found)


def fractal(seed: int, layers: Sequence[Octave], x: Places, y: Places) -> Steps:
    """The weighted sum of octaves at positions x and y, which broadcast."""
    total: Steps = np.int32(layers[0].weight) * gradient_noise(seed, layers[0], x, y)
    for layer in layers[1:]:
        total += np.int32(layer.weight) * gradient_noise(seed, layer, x, y)
    return total >> 8


def gradient_noise(seed: int, layer: Octave, x: Places, y: Places) -> Steps:
    """One octave, without its weight, at positions x and y (1/256 pixel), which broadcast."""
    u, v = layer.across * x + layer.down * y, layer.across * y - layer.down * x
    cells, fractions = [axis >> layer.shift for axis in (u, v)], [_fraction(axis, layer.shift) for axis in (u, v)]
    index, width, east, south = _gradients(seed, layer.stream, *cells)
    fu, fv = fractions
    wu, wv = _FADE[fu], _FADE[fv]

    def corner(offset: int, du: int, dv: int) -> Steps:
        at = index + offset if offset else index
        along: Steps = east[at] * (fu - np.int32(du)) + south[at] * (fv - np.int32(dv))
        return along >> 7

    whole = 1 << _FRACTION_BITS
    upper = _between(corner(0, 0, 0), corner(1, whole, 0), wu)
    lower = _between(corner(width, 0, whole), corner(width + 1, whole, whole), wu)
    scaled: Steps = _between(upper, lower, wv) * np.int32(round(_GAIN * 64)) >> 6
    return scaled


def _fraction(axis: Places, shift: int) -> Steps:
    return ((axis >> (shift - _FRACTION_BITS)) & ((1 << _FRACTION_BITS) - 1)).astype(np.int32)


def _between(low: Steps, high: Steps, weight: Steps) -> Steps:
    return low + ((high - low) * weight >> _FRACTION_BITS)


def _gradients(seed: int, stream: int, across: Places, down: Places) -> tuple[NDArray[np.int64], int, Steps, Steps]:
    """Index of every place's cell in a table of cells, the table's width, and the gradients at the cells' first corners."""
    left, top = int(across.min()), int(down.min())
    width, height = int(across.max()) - left + 2, int(down.max()) - top + 2
    words = place_words(seed, stream, np.arange(left, left + width), np.arange(top, top + height))[0]
    direction = (words >> np.uint32(24)).ravel()
    return (down - top) * width + (across - left), width, _EAST[direction], _SOUTH[direction]


_ANGLES = [math.tau * (index + 0.5) / _DIRECTIONS for index in range(_DIRECTIONS)]
_EAST = np.array([round(_UNIT * math.cos(angle)) for angle in _ANGLES], np.int32)
_SOUTH = np.array([round(_UNIT * math.sin(angle)) for angle in _ANGLES], np.int32)
_FADE = np.array(
    [(6 * t**5 - 15 * t**4 * ONE + 10 * t**3 * ONE**2 + ONE**4 // 2) // ONE**4 for t in range(ONE)],
    np.int32,
)
"""Quintic fade (Perlin, "Improving Noise", 2002) of every fraction."""
