"""Windows on a lattice, half overlapped and blended: for networks that are not local.

The lattice belongs to the level, not to whoever asks, so a window is the same for every tile that it is under, as MetaEarth has it for one
picture (arXiv 2405.13570). Weights are a squared sine: 0 at a window's rim, 1 together.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.stages import Window

Array = NDArray[np.float32]
WINDOWS_KEPT = 512
"""Drawn windows that are kept for the next tiles, of each network of a world: at the paper's size 0.6 GB for both."""


def weights(side: int) -> Array:
    """Of the pixels along a window's side; those of two windows that overlap by half add up to 1."""
    return (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2).astype(np.float32)


def lattice(first: int, end: int, side: int) -> range:
    """Where windows of `side` pixels begin that have a part in pixels `first` to `end`: at multiples of half a side."""
    step = side // 2
    return range((first - side) // step * step + step, end, step)


class Drawn:
    """The windows drawn last."""

    def __init__(self, capacity: int = WINDOWS_KEPT) -> None:
        self._capacity, self._kept = capacity, OrderedDict[Window, Array]()

    def get(self, window: Window, draw: Callable[[Window], Array]) -> Array:
        """What the window has become, drawn unless it is kept."""
        if window not in self._kept:
            self._kept[window] = draw(window)
        self._kept.move_to_end(window)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return self._kept[window]


def blended(region: Window, side: int, draw: Callable[[Window], Array]) -> Array:
    """Children (C, 2 n, 2 n) of the n = region.side - 2 side inner parent pixels of a region, blended of all windows that touch them.

    `draw` gives the children (C, 2 side, 2 side) of a window of `side` parent pixels, which lies within the region.
    """
    inner, along, total = region.inner(side), weights(2 * side), None
    weight = along[:, None] * along[None, :]
    for row in lattice(inner.row, inner.row + inner.side, side):
        for column in lattice(inner.column, inner.column + inner.side, side):
            made = draw(Window(region.level, column, row, side, region.kind)) * weight
            if total is None:
                total = np.zeros((len(made), 2 * inner.side, 2 * inner.side), np.float32)
            rows, kept_rows = _overlap(row - inner.row, side, inner.side)
            columns, kept_columns = _overlap(column - inner.column, side, inner.side)
            total[:, rows, columns] += made[:, kept_rows, kept_columns]
    assert total is not None
    return total


def _overlap(offset: int, side: int, length: int) -> tuple[slice, slice]:
    """Of child pixels, along one axis: where a window lies in the raster, and which part of the window that is."""
    first, end = max(offset, 0), min(offset + side, length)
    return slice(2 * first, 2 * end), slice(2 * (first - offset), 2 * (end - offset))
