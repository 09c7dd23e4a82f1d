"""How bright land is to a camera, and how much its light varies inside a pixel of 10 km: what bases make of the colours of Blue Marble.

Blue Marble's forests and fields are darker than satellite scenes of the same places (37 to 51 of 255 where five scenes of Germany
have 60 to 76, 57 for 89 and 97 in North Dakota), its deserts and snow are not. And light varies inside 10 km far more than between such
pixels: by 0.54 to 0.70 of itself in those of Germany, 0.24 and 0.27 in North Dakota, 0.46 in the Rocky Mountains, 0.09 in the Congo's
forest.

Arithmetic on float32 that is elementwise: a pixel's result does not depend on its window.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Raster = NDArray[np.float32]
F = np.float32

LIFT, NEUTRAL = 36.0, 200.0
"""8-bit steps by which black is lifted, and the brightness from which on nothing is."""
KNOTS = ((0.0, 0.12), (25.0, 0.14), (40.0, 0.25), (75.0, 0.13), (130.0, 0.05), (200.0, 0.04), (235.0, 0.015))
"""Least spread inside a base pixel as a share of its light, by light: rain forest is even, fields and woods are not, sand and ice are. Dry
plains have half of what was measured in North Dakota, by eye: there it is fields, and without their shapes it looks like stains."""
SURROUNDINGS, MOST = 0.5, 0.3
"""What is added for light that differs from pixel to pixel, as a share of that; and the largest sum."""
SHADED, SHADING_RELIEF = 7.0, 150.0
"""8-bit steps that relief adds at most, and the relief (metres) at which half of that is reached."""


def lift(light: Raster) -> Raster:
    """What a camera adds to every channel of land that has so much light in Blue Marble's colours, 8-bit steps."""
    dark = np.maximum(F(NEUTRAL) - light, F(0)) * F(1 / NEUTRAL)
    return np.asarray(F(LIFT) * dark * dark, np.float32)


def darkened(light: Raster) -> Raster:
    """Light as Blue Marble has it, given that of a camera, at least that of black: `lift` undone, the root of a quadratic."""
    half = F(0.5 * NEUTRAL / LIFT) * (F(NEUTRAL) - F(2 * LIFT))
    below = np.clip(light, F(LIFT), F(NEUTRAL))
    root = np.sqrt(half * half + (below - F(LIFT)) * F(NEUTRAL * NEUTRAL / LIFT)) - half
    return root + np.maximum(light - F(NEUTRAL), F(0))


def texture_variance(light: Raster, deviation: Raster, relief: Raster) -> Raster:
    """Variance of light inside base pixels, squared 8-bit steps.

    `light` is Blue Marble's, `deviation` how far it departs from its surroundings of some 70 km (standard deviation, same units), `relief`
    the spread of heights inside the pixel in metres.
    """
    share = np.minimum(_piecewise(light) + deviation / (light + F(5)) * F(SURROUNDINGS), F(MOST))
    cover, shaded = share * light, F(SHADED) * relief / (relief + F(SHADING_RELIEF))
    found: Raster = cover * cover + shaded * shaded + F(1)
    return found


def _piecewise(light: Raster) -> Raster:
    """`KNOTS` joined by straight lines, of sums that are elementwise."""
    total = np.full(light.shape, KNOTS[0][1], np.float32)
    for (low, before), (high, after) in pairwise(KNOTS):
        total += np.clip((light - F(low)) * F(1 / (high - low)), F(0), F(1)) * F(after - before)
    return total
