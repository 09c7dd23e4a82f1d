"""The lit ground round an eye: windows of all levels, sampled between levels as textures are between mipmaps."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.render.camera import Eye, Lens
from terraloom_engines.render.clipmap import WINDOW, Window, windows
from terraloom_engines.render.received import TileSurface
from terraloom_engines.shading import Sun, hillshade, sunlit
from terraloom_engines.tiling import ground_sample_distance, latitude_from_row, pixel_from_lonlat

__all__ = ["FARTHEST", "Landscape"]

Array = NDArray[np.float32]

FARTHEST = 300_000.0
"""Metres within which ground is drawn."""
SUNLIGHT = (1.50, 1.36, 1.15)
SKYLIGHT = (0.26, 0.30, 0.36)
"""Linear RGB that a white, level surface sends back under each."""
BLEND = 0.5
"""Part of a level over which it fades into the next."""
_HOLLOW = 16
"""Pixels over which a hollow is told from a ridge."""


@dataclass(frozen=True, slots=True)
class _LitWindow:
    """Heights in metres and light sent to the eye (linear RGB) at pixel centres; `x` and `y` are the eye's pixel in the window."""

    heights: Array
    light: Array
    x: float
    y: float


class Landscape:
    """Heights and light round an eye, out of tiles of any levels, under a sun, as far as `FARTHEST`.

    Positions are offsets from the eye in world widths of Web Mercator, east and south, float32.
    """

    def __init__(self, surfaces: Iterable[TileSurface], eye: Eye, lens: Lens, sun: Sun) -> None:
        self._widest, self._texels = ground_sample_distance(0, eye.latitude), lens.texels
        found = list(windows(surfaces, eye.longitude, eye.latitude))
        self._finest = len(found) - 1
        self._coarsest = int(self.levels(np.array([FARTHEST], np.float32))[0])
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            self._windows = list(threads.map(lambda window: _lit(window, eye, sun), found[self._coarsest :]))

    @property
    def ground(self) -> float:
        """Height of the ground at the place itself, in metres above mean sea level."""
        origin = np.zeros(1, np.float32)
        return float(self.heights(origin, origin, origin + np.float32(self._finest))[0])

    def levels(self, distance: Array) -> Array:
        """The level, a fraction between two, to sample at `distance` metres: its texels are no finer than pixels, and inside a window."""
        fine_enough = np.log2(self._widest * self._texels / distance)
        inside = np.log2(self._widest * (WINDOW / 2 - 8) * 0.9 / distance) - (1 - BLEND)
        levels: Array = np.clip(np.minimum(fine_enough, inside), 0, self._finest).astype(np.float32)
        return levels

    def heights(self, east: Array, south: Array, levels: Array) -> Array:
        """Metres above mean sea level."""
        return self._blended("heights", east, south, levels, ())

    def light(self, east: Array, south: Array, levels: Array) -> Array:
        """Linear RGB, with a last axis of 3."""
        return self._blended("light", east, south, levels, (3,))

    def _blended(self, name: str, east: Array, south: Array, levels: Array, channels: tuple[int, ...]) -> Array:
        out = np.zeros((*east.shape, *channels), np.float32)
        share = np.clip((levels % 1 - (1 - BLEND)) / BLEND, 0, 1)
        coarse = levels.astype(np.int32)
        for level, window in enumerate(self._windows, start=self._coarsest):
            for chosen, weight in (((coarse == level) & (share < 1), 1 - share), ((coarse == level - 1) & (share > 0), share)):
                if chosen.any():
                    part = self._sample(window, getattr(window, name), east[chosen], south[chosen], level)
                    out[chosen] += part * weight[chosen].reshape(-1, *(1 for _ in channels))
        return out

    def _sample(self, window: _LitWindow, raster: Array, east: Array, south: Array, level: int) -> Array:
        """Bilinear values of a raster at offsets that lie inside the window."""
        width = np.float32(256 << level)
        x, y = np.float32(window.x - 0.5) + east * width, np.float32(window.y - 0.5) + south * width
        column, row = (np.clip(at.astype(np.int32), 0, WINDOW - 2) for at in (x, y))
        right, down = x - column, y - row
        if raster.ndim == 3:
            right, down = right[:, None], down[:, None]
        flat, index = raster.reshape(WINDOW * WINDOW, *raster.shape[2:]), row * WINDOW + column
        upper = flat[index] + (flat[index + 1] - flat[index]) * right
        lower = flat[index + WINDOW] + (flat[index + WINDOW + 1] - flat[index + WINDOW]) * right
        sampled: Array = upper + (lower - upper) * down
        return sampled


def _lit(window: Window, eye: Eye, sun: Sun) -> _LitWindow:
    heights = window.heights()
    middle = min(max(window.row + WINDOW / 2, 0.0), float(256 << window.level))
    metres = ground_sample_distance(window.level, latitude_from_row(window.level, middle))
    padded = np.pad(heights, 1, mode="edge")
    direct = hillshade(padded, metres, sun).astype(np.float32) * sunlit(heights, metres, sun)
    ambient = _openness(heights, metres)
    light = _LINEAR[window.colour]
    light *= direct[..., None] * np.array(SUNLIGHT, np.float32) + ambient[..., None] * np.array(SKYLIGHT, np.float32)
    column, row = pixel_from_lonlat(window.level, eye.longitude, eye.latitude)
    return _LitWindow(heights, light, column - window.column, row - window.row)


def _openness(heights: Array, metres: float) -> Array:
    """Rough share of the sky that is seen: less in hollows than on ridges."""
    small = Image.fromarray(heights).resize((WINDOW // _HOLLOW, WINDOW // _HOLLOW), Image.Resampling.BOX)
    around = np.asarray(small.resize((WINDOW, WINDOW), Image.Resampling.BICUBIC))
    openness: Array = np.clip(1 + 1.2 * (heights - around) / np.float32(_HOLLOW * metres), 0.45, 1.25)
    return openness


def _linear_of_srgb() -> Array:
    """Linear light of the 256 codes of sRGB (IEC 61966-2-1)."""
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_of_srgb()
