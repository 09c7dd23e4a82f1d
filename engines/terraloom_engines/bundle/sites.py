"""A rectangle of pixels as noise sees it: fine noise at every pixel, broad noise at every fourth, bent and interpolated between.

Nodes of broad noise are the pixels whose global column and row divide by 4, wherever a rectangle begins, so a pixel's value is a
function of its place alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.lattice import PIXEL, Octave, Places, fractal, octaves

__all__ = ["Sites"]

Steps = NDArray[np.int32]

_STRIDE = 4
_WEIGHTS = ((0, 128, 0, 0), (-9, 111, 29, -3), (-8, 72, 72, -8), (-3, 29, 111, -9))
"""Cubic convolution (Keys 1981) at 0, 1/4, 1/2 and 3/4 between two nodes, in 1/128."""
_BEND_EAST, _BEND_SOUTH = octaves(10, 280.0, 3, gain=0.45), octaves(20, 280.0, 3, gain=0.45)
_BEND = 30 * PIXEL
"""Standard deviation of the bend, so that nothing broad is round."""


class Sites:
    """`height` x `width` pixels from (column, row) on; (0, 0) lies at position `origin` of the noise. Columns and rows may be negative."""

    def __init__(self, seed: int, origin: tuple[int, int], column: int, row: int, width: int, height: int) -> None:
        self._seed = seed
        self._fine = _positions(origin, np.arange(column, column + width), np.arange(row, row + height))
        nodes = [np.arange(start // _STRIDE - 1, (start + size - 1) // _STRIDE + 3) for start, size in ((column, width), (row, height))]
        self._phase, self._shape = (column % _STRIDE, row % _STRIDE), (height, width)
        x, y = _positions(origin, nodes[0] * _STRIDE, nodes[1] * _STRIDE)
        self._bent = x + _bend(seed, _BEND_EAST, x, y), y + _bend(seed, _BEND_SOUTH, x, y)

    def fine(self, layers: Sequence[Octave], where: NDArray[np.bool_] | None = None) -> Steps:
        """Noise at every pixel, int32 (height, width), in 1/4096 of a standard deviation; with `where`, 0 at the other pixels."""
        if where is None:
            return fractal(self._seed, layers, *self._fine)
        found = np.zeros(self._shape, np.int32)
        rows, columns = np.nonzero(where)
        if len(rows):
            found[rows, columns] = fractal(self._seed, layers, self._fine[0][0, columns], self._fine[1][rows, 0])
        return found

    def broad(self, layers: Sequence[Octave]) -> Steps:
        """The same of noise whose spacing is many times that of the nodes."""
        columns, rows = self._phase
        height, width = self._shape
        across = _interpolated(fractal(self._seed, layers, *self._bent))[:, columns : columns + width]
        return np.ascontiguousarray(_interpolated(across.T)[:, rows : rows + height].T)


def _positions(origin: tuple[int, int], columns: Places, rows: Places) -> tuple[Places, Places]:
    """Positions of pixel centres, to broadcast."""
    return (origin[0] + columns * PIXEL + PIXEL // 2)[None, :], (origin[1] + rows * PIXEL + PIXEL // 2)[:, None]


def _bend(seed: int, layers: Sequence[Octave], x: Places, y: Places) -> Places:
    return fractal(seed, layers, x, y).astype(np.int64) * _BEND >> 12


def _interpolated(nodes: Steps) -> Steps:
    """Four values for every pair of nodes along the last axis but the outermost."""
    count = nodes.shape[-1] - 3
    out = np.empty((len(nodes), count, _STRIDE), np.int32)
    for phase, weights in enumerate(_WEIGHTS):
        out[:, :, phase] = sum(np.int32(weight) * nodes[:, i : i + count] for i, weight in enumerate(weights)) >> 7
    return out.reshape(len(nodes), -1)
