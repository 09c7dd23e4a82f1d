"""What is left inside pixels: the variance of the octaves that a raster does not resolve, extrapolated from the finest that it does.

The squared deviations of 2x2 blocks from their mean, taken at pixels of 1, 2 and 4 times the size, are three octaves of variance. The
finest is left out, since resampling has blurred it; the ratio of the other two, lowered since land gets smoother the finer one looks,
continues as a geometric series. On 69 pairs of real elevation (17 to 800 m a pixel, of nine regions and Taiwan), averaged to coarser
pixels, the median of what is predicted lies 0.05 octaves of standard deviation above what was lost, with a deviation of 0.28 between them.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.rasters.blocks import doubled, quarters

__all__ = ["WINDOW", "inner_variance"]

Raster = NDArray[np.float32]

WINDOW = 8
"""Pixels along a side of the cells that octaves are measured in; windows start at multiples of it."""
RATIOS, LOWERED = (0.2, 0.5), 0.75
"""Bounds of the ratio of an octave's variance to that of the next coarser one, and the factor on what is measured."""


def inner_variance(values: Raster) -> Raster:
    """Variance inside the pixels of a raster (H, W), whose sides are multiples of `WINDOW`, in squared units of the raster."""
    means, octaves = values.astype(np.float64), []
    for _ in range(3):
        blocks = quarters(means)
        octaves.append(blocks.var(axis=0))
        means = blocks.mean(axis=0)
    rows, columns = means.shape
    cells = [_smooth(octave.reshape(rows, octave.shape[0] // rows, columns, -1).mean(axis=(1, 3))) for octave in octaves]
    ratio = np.clip(LOWERED * cells[1] / np.maximum(cells[2], 1e-9), *RATIOS)
    inside: Raster = (cells[1] * ratio * ratio / (1 - ratio)).astype(np.float32)
    for _ in range(3):
        inside = doubled(inside)
    return inside


def _smooth(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means over 3 x 3 cells."""
    ring = np.pad(cells, 1, mode="edge")
    down = (ring[:-2] + 2 * ring[1:-1] + ring[2:]) / 4
    across: NDArray[np.float64] = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 4
    return across
