"""What grows or lies on the ground is rough at the scale of a crown, whatever its parents knew of it.

From 10 km down, texture is spent level by level, so what is left of it at 1 m per pixel is too little: forests and grass came out as
blurred clouds. Satellite scenes say otherwise: closed forest is smoother than any other land at 10 m per pixel (inside 40 m it varies by
4 % of its light, EuroSAT) and rougher than grass at 1 m, where crowns of some 8 m cast shade (Woodcock, Strahler & Jupp 1988, "The use
of variograms in remote sensing"). In aerial images (of one city, Dubai) open ground varies by 5 to 8 % of its light from each octave of
0.7 to 11 m to the next, vegetation by 8 to 17 %. So a pixel has at least the texture that its cover has at its size: told by colour, as
dark green ground is forest. What that texture looks like, the network draws.

Every operation on floats is elementwise: a pixel's result does not depend on its window.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import COLOUR_UNIT

Steps = NDArray[np.int32]
Real = NDArray[np.float32]

CROWN = 8.0
"""Metres: pixels of that size hold most of what a canopy varies by, wider ones average it out, and finer ones see parts of a crown."""
WIDEST = 64.0
"""Metres: in wider pixels crowns are nothing."""
COARSER, FINER = 2.0, 0.35
"""Exponents by which the floor falls with pixels larger and smaller than a crown."""
CANOPY, OPEN = 0.2, 0.1
"""Spread inside a pixel as wide as a crown, as a share of its light and `AMBIENT`: under trees, and on grass, sand or rock."""
AMBIENT = round(24 / COLOUR_UNIT)
"""Light that even dark cover has, in stored steps."""
GREEN, GREENEST = round(-4 / COLOUR_UNIT), round(6 / COLOUR_UNIT)
"""Green over red between which ground begins to be forest, and is nothing else."""
DARK, DIM = round(65 / COLOUR_UNIT), round(95 / COLOUR_UNIT)
"""Light below which green ground is forest, and above which it is grass or crops."""
WHITE, WHITEST = round(170 / COLOUR_UNIT), round(235 / COLOUR_UNIT)
"""Light from which on ground counts as snow more and more, which is smooth, and from which on it is nothing else."""


def grain(gsd: Real) -> Real:
    """The floor of texture by pixel size, in that of a crown's: (H,) of metres per pixel."""
    size = gsd.astype(np.float64) / CROWN
    shares = np.where(size > 1, size**-COARSER, size**FINER)
    return np.where(gsd <= WIDEST, shares, 0).astype(np.float32)


def canopy(red: Steps, green: Steps, light: Steps) -> Real:
    """Share of a pixel that trees cover, 0..1, by its colour in stored steps."""
    greenness = (green - red - GREEN).astype(np.float32) * np.float32(1 / (GREENEST - GREEN))
    darkness = (DIM - light).astype(np.float32) * np.float32(1 / (DIM - DARK))
    return np.clip(greenness, np.float32(0), np.float32(1)) * np.clip(darkness, np.float32(0), np.float32(1))


def least_texture(colours: Steps, light: Steps, grains: Real) -> Real:
    """The least spread of light inside children, in 8-bit steps (4, H, W), by their cover.

    `colours` are (4, 3, H, W) and `light` (4, H, W), stored steps; `grains` (H,) is `grain` of the rows.
    """
    trees = canopy(colours[:, 0], colours[:, 1], light)
    snow = np.clip((light - WHITE).astype(np.float32) * np.float32(1 / (WHITEST - WHITE)), np.float32(0), np.float32(1))
    share = np.float32(OPEN) * (np.float32(1) - snow) + trees * np.float32(CANOPY - OPEN)
    return (light + AMBIENT).astype(np.float32) * (share * np.float32(COLOUR_UNIT)) * grains[:, None]
