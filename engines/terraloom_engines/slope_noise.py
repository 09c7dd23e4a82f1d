"""Noise that runs down the slopes: what water and rockfall carve into a hillside does so too.

White noise knows no direction, and a small network can hardly turn it: spurs and gullies want the noise of places above and below one
another to be alike. So some channels of the geometry network's noise are drawn out along the slope of the parents, at the children's
pixels (line integral convolution, Cabral & Leedom, SIGGRAPH 1993). What to make of it, the network learns.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.conservation import interleave

Real = NDArray[np.float32]

CHANNELS = 8
"""Noise channels: the four children of a pixel of a fine raster, and of a broad one."""
REACH = 6
"""Children on each side, along the slope, that a number is a mean of."""
STREAM = 8
"""What is added to the number of a stage's noise stream."""
MARGIN = 4
"""Parent pixels of white noise that are needed on each side."""
_SHAPE = 1 - (np.arange(-REACH, REACH + 1) / (REACH + 1)) ** 2
TAPS = tuple(float(tap) for tap in _SHAPE.astype(np.float32))
"""Weights of the children along the slope."""
DRAWN_OUT = float(np.float32((_SHAPE**2).sum() ** -0.5))
"""What makes the variance of the fine raster 1."""
BROADENED = float(np.float32(0.04))
"""Nearly the same of the broad one, whose variance depends on the direction."""


def along_slopes(noise: Real, elevation: NDArray[np.int32]) -> Real:
    """Noise (8, h, w) drawn out along the slopes of stored elevation (h, w), out of white noise (8, h + 2 MARGIN, w + 2 MARGIN).

    The outermost ring of elevation sees itself repeated: what is drawn there is not to be used.
    """
    height, width = elevation.shape
    fine, broad = interleave(noise[:4]), interleave(noise[4:])
    broad = broad[1:-1] * 2 + broad[2:] + broad[:-2]
    broad = broad[:, 1:-1] * 2 + broad[:, 2:] + broad[:, :-2]
    pairs = np.empty((*broad.shape, 2), np.float32)
    np.multiply(fine[1:-1, 1:-1], np.float32(DRAWN_OUT), out=pairs[..., 0])
    np.multiply(broad, np.float32(BROADENED), out=pairs[..., 1])
    both = pairs.view(np.float64).ravel()  # the two numbers of a child as the eight bytes of one: read at once, never computed with
    step = broad.shape[1]
    first = 2 * np.arange(max(height, width), dtype=np.float32) + np.float32(2 * MARGIN - 1)
    start = first[:height, None] * np.float32(step) + first[None, :width]
    aside = asides(noise)
    out = np.zeros((4, height, width, 2), np.float32)
    across, down = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    place, found = np.empty((height, width), np.intp), np.empty((height, width), np.float64)
    weighed = found.view(np.float32).reshape(height, width, 2)
    for child, (total, east, south) in enumerate(zip(out, *directions(elevation), strict=True)):
        steep = np.abs(south) == 1
        right, low = np.where(steep, aside, np.float32(0)), np.where(steep, np.float32(0), aside)
        here = start + np.float32(child // 2 * step + child % 2)
        for number, tap in enumerate(TAPS):
            np.multiply(south, np.float32(number - REACH), out=down)
            down += low
            np.rint(down, out=down)
            down *= np.float32(step)
            np.multiply(east, np.float32(number - REACH), out=across)
            across += right
            np.rint(across, out=across)
            down += across
            down += here
            np.copyto(place, down, casting="unsafe")
            both.take(place, out=found, mode="clip")
            weighed *= np.float32(tap)
            total += weighed
    return np.ascontiguousarray(out.transpose(3, 0, 1, 2)).reshape(2 * len(out), height, width)


def asides(noise: Real) -> Real:
    """By how many children the ways through a pixel are shifted before they are rounded, -0.5 to 0.5 (h, w): or ways that are nearly those
    of the grid would be taken for them. As good as chance, out of the same white noise."""
    eighths = noise[4, MARGIN:-MARGIN, MARGIN:-MARGIN] * np.float32(8)
    return eighths - np.floor(eighths) - np.float32(0.5)


def directions(elevation: NDArray[np.int32]) -> tuple[Real, Real]:
    """Which way slopes rise at the four children, eastward and southward, the larger one 1 or -1; due east where there is none.

    Both (4, h, w), as given. Half is the slope over a parent's eight neighbours, half that between the four parents nearest to a child: so
    directions do not change in squares.
    """
    height, width = elevation.shape
    around = np.pad(elevation.astype(np.float32), 1, mode="edge")
    across, down = around[:, 2:] - around[:, :-2], around[2:] - around[:-2]
    wide_east = across[1:-1] * 2 + across[2:] + across[:-2]
    wide_south = down[:, 1:-1] * 2 + down[:, 2:] + down[:, :-2]
    falling, rising = around[1:, 1:] - around[:-1, :-1], around[:-1, 1:] - around[1:, :-1]
    near_east, near_south = (falling + rising) * 4, (falling - rising) * 4
    east, south = np.empty((4, height, width), np.float32), np.empty((4, height, width), np.float32)
    for child in range(4):
        corner = np.s_[child // 2 : child // 2 + height, child % 2 : child % 2 + width]
        np.add(wide_east, near_east[corner], out=east[child])
        np.add(wide_south, near_south[corner], out=south[child])
    largest = np.maximum(np.abs(east), np.abs(south))
    flat = largest == 0
    largest[flat] = 1
    east /= largest
    south /= largest
    east[flat] = 1
    return east, south
