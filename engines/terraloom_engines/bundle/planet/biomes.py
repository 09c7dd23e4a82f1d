"""The colour of a climate: medians of Blue Marble over Koeppen's classes, laid out by temperature and moisture, with the ground's own."""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.appearance import lift
from terraloom_engines.bundle.planet.climate import LAPSE, Climate, moisture
from terraloom_engines.bundle.planet.curves import Curve, Raster, smoothstep
from terraloom_engines.bundle.planet.fractals import Fractal, Noise
from terraloom_engines.bundle.planet.patches import Patch

F = np.float32
WEATHER = Fractal(20, 0.16, 0.6, finest=0.015, channels=3)
COVER = Fractal(21, 0.05, 0.75, channels=2)
ROCK = Fractal(22, 0.22, 0.62, finest=0.003, channels=2)
BEND = Fractal(23, 0.1, 0.6, finest=0.02, channels=3)

TEMPERATURES = (-27, -20, -15, -11, -6, 0, 8, 18, 27)
MOISTURES = (0.05, 0.17, 0.28, 0.40, 0.52, 0.64, 0.78)
COLOURS = (
    ((240, 243, 243), (240, 243, 243), (240, 243, 243), (240, 243, 243), (240, 243, 243), (240, 243, 243), (240, 243, 243)),
    ((170, 166, 156), (168, 164, 154), (164, 160, 150), (170, 168, 160), (182, 182, 178), (196, 197, 194), (206, 208, 206)),
    ((140, 130, 112), (135, 126, 108), (128, 120, 102), (116, 110, 92), (108, 104, 86), (110, 107, 92), (122, 121, 110)),
    ((128, 116, 94), (122, 112, 88), (112, 103, 78), (94, 89, 62), (78, 76, 50), (76, 75, 51), (86, 85, 64)),
    ((136, 120, 92), (126, 112, 84), (108, 98, 68), (78, 76, 46), (52, 56, 29), (46, 51, 26), (52, 56, 32)),
    ((146, 128, 98), (136, 119, 89), (112, 98, 66), (74, 76, 42), (44, 53, 23), (38, 49, 20), (36, 48, 20)),
    ((160, 138, 104), (142, 122, 90), (112, 96, 63), (76, 77, 43), (50, 60, 26), (38, 52, 19), (33, 47, 17)),
    ((174, 145, 106), (154, 124, 87), (114, 93, 60), (78, 76, 42), (55, 63, 28), (40, 52, 19), (30, 44, 15)),
    ((178, 148, 108), (162, 130, 90), (112, 88, 55), (78, 71, 38), (53, 57, 25), (33, 46, 14), (22, 37, 10)),
)  # fmt: skip
"""sRGB by temperature (rows, degrees Celsius) and moisture (columns)."""
DESERTS = ((208, 184, 146), (194, 160, 118), (170, 130, 90), (142, 110, 80), (108, 93, 76))
"""Bare ground: dunes, sand, iron-stained sand, gravel, dark rock."""
ICE = (226, 231, 236)
BRIGHTEST = 242
"""No colour is brighter: pixels at the end of the range have children of one colour only, and stay plates with straight edges for ever."""

_TABLE = np.array(COLOURS, np.float32)
_DESERTS = np.array(DESERTS, np.float32)[:, None].repeat(2, axis=1)
_ROW = Curve(TEMPERATURES, range(len(TEMPERATURES)))
_COLUMN = Curve(MOISTURES, range(len(MOISTURES)))


def land_colour(noise: Noise, climate: Climate, patch: Patch, height: Raster, roughness: Raster, spread: Raster) -> list[Raster]:
    """Red, green and blue of the land, continued under the sea, 0 to 255.

    `height` in metres of the patch's pixels, `roughness` of the ground and `spread` of heights inside a pixel in metres: where the snow
    line runs through a pixel, the share above it is white.
    """
    weather, cover = noise.sum(patch, WEATHER), noise.sum(patch, COVER)
    warmth = climate.temperature(patch, height) + F(1.2) * weather[0] + F(0.4) * cover[0]
    rain = climate.rain(patch, F(1.1) * weather[0], F(1.1) * weather[1]) + F(0.3) * weather[2] + F(0.3) * cover[1]
    moist = moisture(rain, warmth)
    rock = noise.sum(patch, ROCK, noise.warp(patch, BEND, 0.03))
    bare = (F(1) - smoothstep(moist, 0.08, 0.30)) * smoothstep(warmth, -2, 8) * F(0.6)
    kind = np.clip(F(1.3) + F(0.75) * rock[0] + F(0.4) * rock[1] * rock[1] + roughness * F(1 / 150), 0, len(DESERTS) - F(1.001))
    chill = F(9) * (moist - F(0.6)) - warmth + F(0.6) * cover[1] - F(15)
    band = F(2 * LAPSE / 1000) * spread
    snow = smoothstep(chill / np.sqrt(F(22) + band * band), -1, 1)
    light = F(1) + (F(0.06) * cover[1] + F(0.04) * rock[1]) * (F(1) - F(0.8) * snow)
    vegetated, deserts = _mixed(_TABLE, _ROW(warmth), _COLUMN(moist)), _mixed(_DESERTS, kind, np.zeros_like(kind))
    out = []
    for colour, desert, white in zip(vegetated, deserts, ICE, strict=True):
        ground = colour + bare * (desert - colour)
        out.append(np.maximum((ground + snow * (F(white) - ground)) * light, F(0)))
    lifted = lift((out[0] + out[1] + out[2]) * F(1 / 3))
    return [np.minimum(band + lifted, F(BRIGHTEST)) for band in out]


def _mixed(table: NDArray[np.float32], row: Raster, column: Raster) -> list[Raster]:
    """The three bands of a table (rows, columns, 3) between its entries."""
    i, j = (np.minimum(at.astype(np.int32), size - 2) for at, size in zip((row, column), table.shape, strict=False))
    u, v, columns = row - i.astype(np.float32), column - j.astype(np.float32), np.int32(table.shape[1])
    out = []
    for band in range(3):
        flat = np.ascontiguousarray(table[..., band]).ravel()
        corner = [np.take(flat, (i + np.int32(a)) * columns + j + np.int32(b)) for a in (0, 1) for b in (0, 1)]
        north, south = corner[0] + v * (corner[1] - corner[0]), corner[2] + v * (corner[3] - corner[2])
        out.append(north + u * (south - north))
    return out
