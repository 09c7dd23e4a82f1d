"""The lit ground round an eye: windows of all levels, sampled between levels as textures are between mipmaps."""

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.render.atmosphere import Air, Sky
from terraloom_engines.render.camera import Eye, Rays
from terraloom_engines.render.clipmap import WINDOW, Window, windows
from terraloom_engines.render.received import TileSurface
from terraloom_engines.shading import Sun, hillshade, sunlit
from terraloom_engines.tiling import PLANE_METRES, WorldKind, ground_sample_distance, pixel_from_place, row_ground_sample_distance

__all__ = ["LUMINANCE", "Landscape", "Light"]

Array = NDArray[np.float32]

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of linear sRGB (IEC 61966-2-1)."""
BOUNCED = np.float32(0.6)
"""Part of the light from all round that is grey."""
BLEND = 0.5
"""Part of a level over which it fades into the next."""
TEXELS_IN_REACH = 1.6
"""Pixels of a window from the eye to its rim, over those of the picture to a radian, at which texels are no larger than pixels."""
RIM = 8
"""Pixels of a window that are not sampled."""
_HOLLOW = 16
"""Pixels over which a hollow is told from a ridge."""


@dataclass(frozen=True, slots=True)
class Light:
    """What falls on the ground: where the sun stands, and linear RGB of sunlight across its rays and of the sky on level ground."""

    sun: Sun
    direct: Array
    sky: Array

    @classmethod
    def under(cls, sky: Sky, sun: Sun, air: Air, ground: float) -> "Light":
        """The light on ground at a height in metres; of the light of the sky, a part comes by way of other ground and has lost its blue."""
        grey = (sky.irradiance @ np.array(LUMINANCE, np.float32)).astype(np.float32)
        return cls(sun, air.sunlight(ground, sun.altitude), sky.irradiance + BOUNCED * (grey - sky.irradiance))


@dataclass(frozen=True, slots=True)
class _LitWindow:
    """Heights in metres, light sent to the eye (linear RGB) and share of water at pixel centres; `x` and `y` are the eye's pixel in it."""

    heights: Array
    light: Array
    x: float
    y: float


class Landscape:
    """Heights and light round an eye, out of tiles of any levels, as far as `farthest` metres.

    Positions are offsets from the eye in widths of Web Mercator (of 2^25 m on planes), east and south, float32. Where all lines of sight
    lie to one side of the eye, so do most of the windows.
    """

    def __init__(self, surfaces: Iterable[TileSurface], eye: Eye, rays: Rays, texels: float, farthest: float) -> None:
        self._widest = float(PLANE_METRES) if eye.kind is WorldKind.PLANE else ground_sample_distance(0, eye.north)
        self._texels = texels
        azimuths = math.radians(eye.heading) + np.linspace(rays.azimuth.min(), rays.azimuth.max(), 65)
        ahead, reach = _placement(azimuths)
        self._side = min(math.ceil(TEXELS_IN_REACH * texels / reach / 64) * 64 + 64, WINDOW)
        self._reach = reach * self._side - RIM
        self._found = list(windows(surfaces, (eye.east, eye.north), ahead, self._side, eye.kind))
        self._first = eye.kind.min_level
        self._finest = self._first + len(self._found) - 1
        self._eye, self._windows = eye, list[_LitWindow]()
        self._coarsest = int(self.levels(np.array([farthest], np.float32))[0])
        self._found = self._found[self._coarsest - self._first :]

    def light_up(self, light: Light) -> None:
        """Lights all windows; before it, only `ground` can be asked for."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            self._windows = list(threads.map(lambda window: _lit(window, self._eye, light), self._found))
        self._found = []

    @property
    def ground(self) -> float:
        """Height of the ground at the place itself, in metres above mean sea level."""
        window = self._found[-1]
        column, row = pixel_from_place(self._eye.kind, window.level, self._eye.east, self._eye.north)
        x, y = round((column - window.column) / window.step), round((row - window.row) / window.step)
        last = len(window.vertices) - 1
        return float(window.vertices[min(max(y, 0), last), min(max(x, 0), last)])

    def levels(self, distance: Array) -> Array:
        """The level, a fraction between two, to sample at `distance` metres: its texels are no finer than pixels, and inside a window."""
        fine_enough = np.log2(self._widest * self._texels / distance)
        inside = np.log2(self._widest * self._reach * 0.9 / distance) - (1 - BLEND)
        levels: Array = np.clip(np.minimum(fine_enough, inside), self._first, self._finest).astype(np.float32)
        return levels

    def heights(self, east: Array, south: Array, levels: Array) -> Array:
        """Metres above mean sea level."""
        return self._blended("heights", east, south, levels, ())

    def light(self, east: Array, south: Array, levels: Array) -> Array:
        """Linear RGB and the share of water, with a last axis of 4."""
        return self._blended("light", east, south, levels, (4,))

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
        width, side = np.float32(256 << level), self._side
        x, y = np.float32(window.x - 0.5) + east * width, np.float32(window.y - 0.5) + south * width
        column, row = (np.clip(at.astype(np.int32), 0, side - 2) for at in (x, y))
        right, down = x - column, y - row
        if raster.ndim == 3:
            right, down = right[:, None], down[:, None]
        flat, index = raster.reshape(side * side, *raster.shape[2:]), row * side + column
        upper = flat[index] + (flat[index + 1] - flat[index]) * right
        lower = flat[index + side] + (flat[index + side + 1] - flat[index + side]) * right
        sampled: Array = upper + (lower - upper) * down
        return sampled


def _placement(azimuths: NDArray[np.floating]) -> tuple[tuple[float, float], float]:
    """Where windows lie for lines of sight in some directions (radians), east and south; and how far one sees inside. All in widths."""
    directions = np.stack([np.sin(azimuths), -np.cos(azimuths)])
    best = (0.0, 0.0), 0.5
    for shift in np.linspace(0.05, 0.4, 8):
        middle = azimuths[len(azimuths) // 2]
        ahead = shift * np.array([np.sin(middle), -np.cos(middle)])
        with np.errstate(divide="ignore"):
            reach = float(((0.5 + np.sign(directions) * ahead[:, None]) / np.abs(directions)).min())
        if reach > best[1]:
            best = (float(ahead[0]), float(ahead[1])), reach
    return best


def _lit(window: Window, eye: Eye, light: Light) -> _LitWindow:
    heights = window.heights()
    metres = row_ground_sample_distance(window.level, window.row + window.side // 2, eye.kind)
    padded = np.pad(heights, 1, mode="edge")
    direct = hillshade(padded, metres, light.sun).astype(np.float32) * sunlit(heights, metres, light.sun)
    ambient = _openness(heights, metres)
    sent = np.empty((window.side, window.side, 4), np.float32)
    sent[..., :3] = _LINEAR[window.colour]
    sent[..., :3] *= (direct[..., None] * light.direct + ambient[..., None] * light.sky) / np.float32(math.pi)
    sent[..., 3] = window.water * np.float32(1 / 255)
    column, row = pixel_from_place(eye.kind, window.level, eye.east, eye.north)
    return _LitWindow(heights, sent, column - window.column, row - window.row)


def _openness(heights: Array, metres: float) -> Array:
    """Rough share of the sky that is seen: less in hollows than on ridges."""
    side = len(heights)
    small = Image.fromarray(heights).resize((side // _HOLLOW, side // _HOLLOW), Image.Resampling.BOX)
    around = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
    openness: Array = np.clip(1 + 1.2 * (heights - around) / np.float32(_HOLLOW * metres), 0.45, 1.25)
    return openness


def _linear_of_srgb() -> Array:
    """Linear light of the 256 codes of sRGB (IEC 61966-2-1)."""
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_of_srgb()
