"""ETOPO5 put where it belongs: the sources it was made of lie beside each other's grid, by up to 1.8 cells of 5 arc-minutes.

ETOPO5 joins grids of many agencies. North America, western Europe and Japan lie right; the 10 arc-minute grid of most other land is half a
cell off, to the north-west; Australia and New Zealand are 1.8 cells off, Greenland and the Canadian Arctic 1.6. Four offsets, the peaks of
the correlation with a modern grid, are tried everywhere; that grid is compared with, and none of it comes into the result.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Raster = NDArray[np.float32]

OFFSETS = ((0.0, 0.0), (0.5, 0.5), (-1.25, 1.25), (-0.5, -1.5))
"""Cells south and east to move a source by: none, most of the world, Australia with New Zealand, Greenland with Arctic Canada."""
DETAIL = 4.0
"""Heights are compared over this many cells: what is coarser correlates wherever it lies."""
REGION = 12.0
"""Cells over which the comparison is averaged (Gaussian), and a quarter of it the width of a seam between sources."""
MARGIN = 0.01
"""Correlation by which another place must be the better for land to be moved."""


def registered(source: Raster, truth: Raster, land: NDArray[np.bool_]) -> Raster:
    """Heights `source` (H, W) of the whole globe moved to where they agree best with `truth` on `land`, blended between sources."""
    moved = [moved_by(source, offset) for offset in OFFSETS]
    scores = [agreement(candidate, truth, land) for candidate in moved]
    scores[0] = scores[0] + np.float32(MARGIN)
    chosen = np.argmax(scores, axis=0)
    shares = [smooth((chosen == number).astype(np.float32), REGION / 4) for number in range(len(OFFSETS))]
    parts = ", ".join(f"{(chosen[land] == number).mean():.1%} by {offset}" for number, offset in enumerate(OFFSETS))
    print(f"registered: of the land's cells {parts}", flush=True)
    total: Raster = sum(share * candidate for share, candidate in zip(shares, moved, strict=True)) / np.add.reduce(shares)
    return total.astype(np.float32)


def agreement(heights: Raster, truth: Raster, land: NDArray[np.bool_]) -> Raster:
    """Correlation (H, W) of the details of two global rasters on `land`, around every cell."""
    reference, shape = (detail(np.where(land, raster, 0)) * land for raster in (truth, heights))
    alike: Raster = region(reference * shape) / np.sqrt(region(reference**2) * region(shape**2) + 1)
    return alike


def moved_by(values: Raster, offset: tuple[float, float]) -> Raster:
    """A global raster moved by cells south and east (cubic splines; columns wrap, rows repeat)."""
    if offset == (0.0, 0.0):
        return values.astype(np.float32)
    margin = 16
    wide = np.pad(values.astype(np.float32), ((0, 0), (margin, margin)), mode="wrap")
    moved: Raster = ndimage.shift(wide, offset, order=3, mode="nearest")[:, margin:-margin]
    return moved


def smooth(values: Raster, width: float) -> Raster:
    """Gaussian mean of a global raster."""
    mean: Raster = ndimage.gaussian_filter(values.astype(np.float32), width, mode=("nearest", "wrap"))
    return mean


def detail(values: Raster) -> Raster:
    """What is finer than `DETAIL` cells."""
    return values - smooth(values, DETAIL)


def region(values: Raster) -> Raster:
    """Mean over `REGION`."""
    return smooth(values, REGION)
