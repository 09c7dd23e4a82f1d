"""Colour that follows relief where it does so already: snow on ridges, green in valleys, at every scale.

Colour paired with fine elevation is scarce, so the imagery network has hardly learnt how the two go together. What it was not taught is in
the parents themselves: where their colours rise or fall with their heights, those of the children do so too, by the children's own
heights. That is the local linear model of guided image filtering (He, Sun & Tang 2013), with what the relief explains of the texture in
place of what the network would draw. On real land at 9 to 40 km per pixel details of colour and height correlate by 0.5 to 0.7 where
their surroundings do by more than 0.6, and hardly at all where those do not.

Sums over boxes are sums of integers, so a pixel's result does not depend on the window it was computed in.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.conservation import block_details
from terraloom_engines.upsampling import REACH as SMOOTH_REACH
from terraloom_engines.upsampling import smooth_details

Steps = NDArray[np.int32]
Real = NDArray[np.float32]

RADIUS = 6
"""Pixels on each side of the one whose surroundings tell how colour goes with height; and of those over which that is averaged."""
REACH = 2 * RADIUS
"""Parent pixels that must be known on each side."""
ROUGHNESS_RADIUS = 4
"""Pixels on each side over which the typical detail of height is taken."""
LEAST_CORRELATION = 0.1
"""What boxes of unrelated texture show by chance."""
GAIN = 1.4
"""What correlation beyond that grows by, so that details that the network adds do not wash it out level after level."""
LARGEST_DETAIL = 2.5
"""Details of height count no more than so many typical ones."""
HEIGHT_NOISE, COLOUR_NOISE = 4.0, 8.0
"""Standard deviations (stored steps) below which heights and colours are taken for flat."""
SCALE = 1 << 16
"""Of correlations, when they are summed as integers."""


def box_sums(values: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """Sums over squares of 2 `radius` + 1 pixels: (..., H, W) to (..., H - 2 radius, W - 2 radius)."""
    side = 2 * radius + 1
    total = np.cumsum(row_sums(values, side), axis=-1)
    out = np.empty((*total.shape[:-1], total.shape[-1] - side + 1), total.dtype)
    out[..., 0] = total[..., side - 1]
    np.subtract(total[..., side:], total[..., :-side], out=out[..., 1:])
    return out


def row_sums(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Sums of `count` rows that follow each other: (..., H, W) to (..., H - count + 1, W), by sums of 1, 2, 4, ... of them."""
    rows = values.shape[-2] - count + 1
    total, done, run, length = None, 0, values, 1
    while done < count:
        if count & length:
            part = run[..., done : done + rows, :]
            total = part if total is None else total + part
            done += length
        if done < count:
            run = run[..., :-length, :] + run[..., length:, :]
            length *= 2
    assert total is not None
    return total


def correlations(colour: Steps, elevation: Steps) -> tuple[Real, Real]:
    """How light goes with height round every pixel, -1..1, (H', W'), and each band's part in it, 1 on average, (3, H', W').

    `colour` is (3, H, W), `elevation` (H, W); H' = H - 2 REACH, W' = W - 2 REACH. A band that goes the other way has no part: what hue
    there is in so few pixels is mostly chance.
    """
    count = (2 * RADIUS + 1) ** 2
    rasters = np.empty((9, *elevation.shape), np.int64)
    rasters[0], rasters[3:6] = elevation, colour
    height, bands = rasters[0], rasters[3:6]
    light = colour[0] + colour[1] + colour[2]
    np.multiply(height, height, out=rasters[1])
    np.multiply(light, light, out=rasters[2], dtype=np.int64)
    np.multiply(bands, height, out=rasters[6:])
    sums = box_sums(rasters, RADIUS)
    mean, means = sums[0], sums[3:6]
    together = (count * sums[6:] - means * mean).astype(np.float64)
    height_variance = (count * sums[1] - mean * mean).astype(np.float64) + (count * HEIGHT_NOISE) ** 2
    light_variance = (count * sums[2] - means.sum(axis=0) ** 2).astype(np.float64) + (count * 3 * COLOUR_NOISE) ** 2
    whole = together[0] + together[1] + together[2]
    found = np.empty((4, *whole.shape))
    found[0] = whole / np.sqrt(height_variance * light_variance)
    found[1:] = np.clip(together * np.sign(whole), 0, None)
    found[1:] *= 3 / np.maximum(found[1] + found[2] + found[3], 1)
    averaged = box_sums(np.rint(found * SCALE).astype(np.int64), RADIUS).astype(np.float32) * np.float32(1 / (count * SCALE))
    return averaged[0], averaged[1:]


def shares(correlation: Real, largest: float) -> Real:
    """What share of its texture colour takes from relief, with the sign of how it goes with height; at most `largest`."""
    beyond = np.maximum(np.abs(correlation) - np.float32(LEAST_CORRELATION), 0) * np.float32(GAIN)
    return np.sign(correlation) * np.minimum(beyond, np.float32(largest))


def typical_detail(details: Real) -> Real:
    """Root of the mean square of details (3, H, W) round every pixel, (H', W') with H' = H - 2 ROUGHNESS_RADIUS."""
    whole = np.rint(details).astype(np.int64)
    whole *= whole
    power = box_sums(whole[0] + whole[1] + whole[2], ROUGHNESS_RADIUS).astype(np.float64)
    power /= 3 * (2 * ROUGHNESS_RADIUS + 1) ** 2
    return np.sqrt(power, out=power).astype(np.float32)


def relief_details(parent: Steps, children: Steps, margin: int) -> Real:
    """What is new in the heights of four children (4, H, W), in typical details of the place: (3, H - 2 margin, W - 2 margin).

    `parent` (H, W) are their parents' heights; the margin is at least `ROUGHNESS_RADIUS` and the reach of smooth upsampling together.
    """
    outer = margin - ROUGHNESS_RADIUS
    near, far = slice(outer, parent.shape[-1] - outer), slice(outer - SMOOTH_REACH, parent.shape[-1] - outer + SMOOTH_REACH)
    new = block_details(children[:, near, near])
    new -= smooth_details(parent[far, far].astype(np.float32))
    typical = typical_detail(new) + np.float32(HEIGHT_NOISE)
    inner = slice(ROUGHNESS_RADIUS, new.shape[-1] - ROUGHNESS_RADIUS)
    limit = np.float32(LARGEST_DETAIL)
    details = new[:, inner, inner] / typical
    return np.clip(details, -limit, limit, out=details)
