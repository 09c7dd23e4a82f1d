"""Invented climate: the colour of land by its warmth and moisture, and what is left inside a pixel, in integers.

Warmth and moisture are fields that vary over thousands of kilometres; height cools, the interior of continents is dry. The colours are
those of NASA Blue Marble in lands of such a climate, as light as a camera has them, and texture goes with them and with relief
(`appearance`); relief inside a pixel is the median of the embedded Earth on ground of such a slope.
"""

import math

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.appearance import SHADED, SHADING_RELIEF, lift, texture_variance
from terraloom_engines.bundle.lattice import ONE, octaves
from terraloom_engines.bundle.sites import Sites
from terraloom_engines.bundle.terrain import Curve

__all__ = ["REACH", "box_sums", "camera", "colour", "moisture", "relief", "texture", "warmth"]

Steps = NDArray[np.int32]

DEGREE = 64
"""Steps of warmth to a degree Celsius."""
_WARMTH = octaves(120, 1500.0, 3, gain=0.4)
_MOISTURE = octaves(126, 560.0, 5, lacunarity=1.7, gain=0.6)
_PATCHES = octaves(132, 20.0, 4, gain=0.75)
_ROUGHNESS = octaves(140, 60.0, 3)
_MEAN_DEGREES, _SPREAD_DEGREES = 14, 9
_LAPSE = 6.2
"""Degrees colder a kilometre."""
_ARIDITY = Curve((0.0, 0.06 * ONE), (0.5, 0.0), (1.2, -0.12 * ONE), (2.5, -0.3 * ONE))

_COLDEST, _ROW_DEGREES = -24, 8
_LAND_COLOURS = np.array(
    [
        [(247, 249, 250), (248, 250, 251), (250, 251, 252), (251, 252, 253), (252, 253, 253)],
        [(196, 192, 186), (214, 213, 211), (228, 229, 230), (238, 240, 242), (246, 248, 249)],
        [(138, 127, 110), (132, 127, 114), (130, 128, 117), (146, 147, 142), (176, 178, 177)],
        [(128, 112, 84), (104, 93, 63), (58, 60, 34), (36, 44, 19), (30, 40, 16)],
        [(137, 118, 88), (104, 89, 58), (68, 71, 37), (49, 59, 26), (35, 47, 19)],
        [(160, 136, 102), (112, 94, 60), (70, 72, 35), (51, 62, 27), (36, 50, 18)],
        [(194, 160, 120), (148, 122, 82), (84, 77, 42), (52, 58, 25), (25, 39, 11)],
        [(199, 165, 122), (174, 144, 103), (102, 87, 51), (56, 58, 27), (22, 34, 9)],
    ],
    np.int32,
)
"""Blue Marble's colours by warmth, 8 degrees a row from -24 on, and moisture, dry to wet."""
_LIGHTS = np.arange(256, dtype=np.float32)
_LIFT = np.rint(lift(_LIGHTS)).astype(np.int32)
"""What a camera adds to them, by their light."""

REACH = 4
"""Pixels of neighbours that relief reads."""
_FLAT, _STEEP = 1, 4096
_RELIEF_KNOTS = (
    (1, 1.9), (5.7, 2.4), (11.3, 3.1), (22.6, 3.9), (45, 4.75), (90, 5.9), (181, 6.9), (362, 7.75), (724, 8.4), (4096, 8.9),
)  # fmt: skip
"""Octaves of metres of relief inside a pixel by the slope of the land around, in metres a pixel: the medians of the embedded Earth."""
_RELIEF = np.array(
    [
        round(256 * np.interp(math.log2(max(slope, _FLAT)), [math.log2(m) for m, _ in _RELIEF_KNOTS], [r for _, r in _RELIEF_KNOTS]))
        for slope in range(_STEEP + 1)
    ],
    np.int32,
)
_RELIEF_SPREAD = 140
"""Standard deviation, in 1/256 octave, of relief on land of one slope, as on Earth."""
_SMOOTHEST = -4 * 256
"""Relief of the deep sea floor, of which nothing is shown."""
_SHELF = -150
"""Metres: what lies deeper makes no coast steep."""
_FATHOM = 40
"""Metres of depth that take an octave from the relief of the sea floor."""
_UNEVEN = 0.08
"""Deviation of light from its surroundings as a share of it: the median of the embedded Earth."""
_COVERED = texture_variance(_LIGHTS, np.float32(_UNEVEN) * _LIGHTS, np.zeros_like(_LIGHTS))
_COVER_VARIANCE = np.rint(_COVERED * np.float32(256)).astype(np.int64)
"""Variance of light inside a pixel, 1/256 of a squared 8-bit step, by its light in Blue Marble's colours."""
_ROUGHEST = 12 * 256
_RELIEFS = np.exp2(np.arange(_SMOOTHEST, _ROUGHEST + 1) / 256).astype(np.float32)
_SHADED = np.float32(SHADED) * _RELIEFS / (_RELIEFS + np.float32(SHADING_RELIEF))
_SHADED_VARIANCE = np.rint(_SHADED**2 * np.float32(256)).astype(np.int64)
"""What relief adds, by its stored value from `_SMOOTHEST` on."""
_TEXTURES = np.rint(np.exp2(np.arange(9 * 256) / 128) * 256).astype(np.int64)
"""Variances of the stored textures from 0 on."""
_SNOW_PATCHES = Curve((-18 * DEGREE / ONE, 0), (-8 * DEGREE / ONE, 160), (0, 100), (6 * DEGREE / ONE, 0), step=8)


def warmth(sites: Sites, height: Steps) -> Steps:
    """Mean temperature at the ground in 1/64 degree; `height` in metres, the sea counts as 0."""
    level = sites.broad(_WARMTH) * (_SPREAD_DEGREES * DEGREE) >> 12
    return _MEAN_DEGREES * DEGREE + level - (np.maximum(height, 0) * round(_LAPSE * DEGREE * 1024 / 1000) >> 10)


def moisture(sites: Sites, inland: Steps) -> Steps:
    """From 0, desert, to 4096, rain forest, given `continentality`."""
    field = sites.broad(_MOISTURE) * 1100 + sites.fine(_PATCHES) * 260 >> 12
    return np.clip(ONE * 53 // 100 + field + _ARIDITY(inland), 0, ONE)


def colour(warm: Steps, moist: Steps) -> Steps:
    """Red, green, blue of land as Blue Marble has it, int32 (3, H, W), whole 8-bit steps: bilinear in the table."""
    rows, columns = _LAND_COLOURS.shape[:2]
    down = np.clip((warm - _COLDEST * DEGREE) * (ONE // _ROW_DEGREES) // DEGREE, 0, (rows - 1) * ONE - 1)
    across = np.clip(moist * (columns - 1), 0, (columns - 1) * ONE - 1)
    row, column = down >> 12, across >> 12
    v, u = (down & (ONE - 1))[..., None], (across & (ONE - 1))[..., None]
    upper, lower = (_LAND_COLOURS[row + k, column] * (ONE - u) + _LAND_COLOURS[row + k, column + 1] * u + ONE // 2 >> 12 for k in (0, 1))
    mixed: Steps = upper * (ONE - v) + lower * v + ONE // 2 >> 12
    return np.ascontiguousarray(mixed.transpose(2, 0, 1)).astype(np.int32)


def relief(sites: Sites, height: Steps) -> Steps:
    """Stored relief, int32 (H, W), of the pixels inside the ring of `REACH` pixels that `height`, in metres, has round them.

    It goes with the slope of the 7 x 7 pixels around, root mean square: on Earth that tells more than the slope of the pixel itself.
    """
    shown = np.maximum(height, _SHELF)
    east, south = shown[1:-1, 2:] - shown[1:-1, :-2], shown[2:, 1:-1] - shown[:-2, 1:-1]
    steepness = box_sums(east.astype(np.int64) ** 2 + south.astype(np.int64) ** 2, 2 * REACH - 1)
    slope = np.minimum(np.sqrt(steepness / (4.0 * (2 * REACH - 1) ** 2)), _STEEP).astype(np.int32)
    inner = slice(REACH, -REACH)
    varied = _RELIEF[slope] + (sites.fine(_ROUGHNESS)[inner, inner] * _RELIEF_SPREAD >> 12)
    depth = np.maximum(-height[inner, inner], 0) * 256 // _FATHOM
    return np.maximum(varied - depth, _SMOOTHEST).astype(np.int32)


def box_sums(values: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Sums over all squares of `side` x `side` values: integers, exact in any order."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(values, axis=0), axis=1, out=sums[1:, 1:])
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]


def camera(colours: Steps) -> Steps:
    """Colours (3, H, W) as a camera has them, given Blue Marble's."""
    return np.asarray(colours + _LIFT[(colours[0] + colours[1] + colours[2]) // 3], np.int32)


def texture(stored_relief: Steps, warm: Steps, colours: Steps) -> Steps:
    """Stored texture of land with Blue Marble's `colours` (3, H, W): varied cover and rock are rougher to the eye than grass or sand."""
    light = (colours[0] + colours[1] + colours[2]) // 3
    variance = _COVER_VARIANCE[light] + _SHADED_VARIANCE[np.clip(stored_relief, _SMOOTHEST, _ROUGHEST) - _SMOOTHEST]
    return (np.searchsorted(_TEXTURES, variance) + _SNOW_PATCHES(warm)).astype(np.int32)
