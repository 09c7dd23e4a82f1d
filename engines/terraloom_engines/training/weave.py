"""Which DEMs are woven: lines along the rows and columns of their grid, left by how they were made.

On land, power does not know the grid: at equal wavelength there is as much along its axes as along its diagonals. DEMs that were
interpolated from contours, from lines of flight or from coarser cells have several times as much along the axes at their finest
wavelengths, and a network that learns from them draws such lines everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.training.rasters import Source

WOVEN = 1.6
"""Power along the axes over that along the diagonals from which on a raster counts as woven; SRTM has 1.0 to 1.3."""
JUDGED = 120.0
"""Metres per pixel up to which rasters are judged: coarser ones are few pixels, and what they lean to is the lie of the land."""
SIDE = 64
"""Pixels of the windows whose power is added up."""


def axis_power(raster: NDArray[np.floating]) -> float:
    """Power along the axes over that along the diagonals at 0.25 to 0.5 cycles per pixel, whitened; 1 where (H, W) is too small."""
    taper = np.hanning(SIDE)
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    far, angle = np.hypot(fy, fx), np.degrees(np.arctan2(np.abs(fy), fx))
    ring = (far >= 0.25) & (far <= 0.5)
    along, across = ring & ((angle < 15) | (angle > 75)), ring & (angle > 30) & (angle < 60)
    place = np.linspace(-1, 1, SIDE)
    plane = place / (place @ place * SIDE)
    total = np.zeros(far.shape)
    for top in range(0, raster.shape[0] - SIDE + 1, SIDE // 2):
        for left in range(0, raster.shape[1] - SIDE + 1, SIDE // 2):
            window = raster[top : top + SIDE, left : left + SIDE].astype(np.float64)
            window = window - window.mean()
            window = window - (window.sum(axis=1) @ plane) * place[:, None] - (window.sum(axis=0) @ plane) * place[None, :]
            power = np.abs(np.fft.rfft2(window * taper[:, None] * taper[None, :])) ** 2
            if (loud := power[ring].mean()) > 0:
                total += power / loud
    white = total * far**4
    return float(white[along].mean() / white[across].mean()) if total.any() else 1.0


def straight(sources: list[Source]) -> list[Source]:
    """The DEMs that are not woven; those that judge stay as they are."""
    return [source for source in sources if source.held_out or source.level.gsd > JUDGED or axis_power(source.level.mean[0]) <= WOVEN]
