"""Smooth upsampling that keeps averages: what four children are when nothing new happens between them.

Average-interpolating refinement of degree 6 (Donoho 1993; the low-pass part of the CDF 1,7 wavelets), along rows, columns and both.
Repeated for ever it has continuous slopes: with the three taps of degree 2 every border of a coarse pixel stays a kink in the finest
hillshade.
"""

import numpy as np
from numpy.typing import NDArray

TAPS = (201 / 1024, -44 / 1024, 5 / 1024)
"""Weights of the differences at 1, 2 and 3 pixels in half the difference of a pixel's two halves."""
REACH = len(TAPS)
"""Pixels lost on each side."""


def smooth_details(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Haar details (3, H - 6, W - 6) of the smooth children of a raster (H, W): west-east, north-south, diagonal."""
    across = _half_difference(values)
    south = _half_difference(values.T).T
    return np.stack([across[REACH:-REACH], south[:, REACH:-REACH], _half_difference(across.T).T]).astype(np.float32)


def kinks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the smooth children of degree 6 have over those of degree 2, in Haar details: (3, H - 6, W - 6) of a raster (H, W).

    The network whose graph upsamples by degree 2 has learnt on real parents to mend its kinks; on its own, which have steps at the borders
    of blocks, it mends too few, level after level.
    """
    inner = values[REACH - 1 : values.shape[0] - REACH + 1, REACH - 1 : values.shape[1] - REACH + 1]
    west_east = (inner[1:-1, 2:] - inner[1:-1, :-2]) / np.float32(8)
    north_south = (inner[2:, 1:-1] - inner[:-2, 1:-1]) / np.float32(8)
    diagonal = (inner[2:, 2:] - inner[2:, :-2] - inner[:-2, 2:] + inner[:-2, :-2]) / np.float32(64)
    return smooth_details(values) - np.stack([west_east, north_south, diagonal])


def _half_difference(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the difference of every pixel's east and west halves, (H, W - 6)."""
    side = values.shape[1] - 2 * REACH
    total = np.zeros((values.shape[0], side), np.float32)
    for step, tap in enumerate(TAPS, start=1):
        total += np.float32(tap) * (values[:, REACH + step : REACH + step + side] - values[:, REACH - step : REACH - step + side])
    return total
