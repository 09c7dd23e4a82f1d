"""Functions of one variable that give the same bits for the same argument, wherever it stands in its array."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Raster = NDArray[np.float32]
Numbers = Sequence[float] | NDArray[np.floating]


class Curve:
    """Straight lines between knots, read from a table of even steps; constant beyond the first and the last knot."""

    def __init__(
        self, knots: Sequence[float] | NDArray[np.float64], values: Sequence[float] | NDArray[np.float64], steps: int = 4096
    ) -> None:
        at = np.asarray(knots, np.float64)
        self._low, self._scale = np.float32(at[0]), np.float32(steps / (at[-1] - at[0]))
        self._last = np.float32(steps - 0.001)
        self._table = np.interp(np.linspace(at[0], at[-1], steps + 1), at, values).astype(np.float32)

    def __call__(self, x: Raster) -> Raster:
        at = np.clip((x - self._low) * self._scale, np.float32(0), self._last)
        cell = at.astype(np.int32)
        left = np.take(self._table, cell)
        out: Raster = left + (at - cell.astype(np.float32)) * (np.take(self._table, cell + np.int32(1)) - left)
        return out


def curve_of(points: Sequence[tuple[float, float]]) -> Curve:
    """A curve through points (x, y)."""
    return Curve([x for x, _ in points], [y for _, y in points])


def smoothstep(values: Raster, low: float, high: float) -> Raster:
    """0 up to `low`, 1 from `high`, a cubic between."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), np.float32(0), np.float32(1))
    return t * t * (np.float32(3) - np.float32(2) * t)


_POWERS = np.linspace(-14, 14, 1793)
power_of_two = Curve(_POWERS, np.exp2(_POWERS), steps=1 << 14)
"""2^x for x of -14 to 14."""
_MANTISSAS = np.linspace(0.5, 1, 513)
_log2_of_mantissa = Curve(_MANTISSAS, np.log2(_MANTISSAS))


def log2(values: Raster) -> Raster:
    """log2 of positive numbers."""
    mantissa, exponent = np.frexp(values)
    out: Raster = exponent.astype(np.float32) + _log2_of_mantissa(mantissa)
    return out
