"""A perspective view of received tiles, marched through their heights front to back, column by column.

The picture plane stands upright and is shifted for the pitch, as in architectural photography, so that a column of the picture
is one vertical plane: along it the ground is a profile, and what a pixel sees is where the running maximum of the profile's slope,
seen from the eye, first reaches the pixel's own. The Earth curves down along the profile; the air bends light back by a seventh.
"""

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.render.atmosphere import Air, sky
from terraloom_engines.render.camera import HD, SAMPLES, Eye, Lens
from terraloom_engines.render.landscape import FARTHEST, Landscape
from terraloom_engines.render.received import TileSurface
from terraloom_engines.render.tracks import Tracks
from terraloom_engines.shading import Sun

__all__ = ["CLEAR", "Eye", "Lens", "Weather", "oblique_picture"]

Array = NDArray[np.float32]

BENT_RADIUS = 6371008.8 * 7 / 6
"""Radius in metres of an Earth on which light would be straight."""
NEAREST = 20.0
"""Start of the profiles in metres."""
STEP_RATIO = 1.0035
"""Distance of one sample of a profile over that of the one before."""
CLEARANCE = 100.0
"""Metres above the ground below which no picture is taken."""
STRIP = 32
"""Pixels of width that are drawn at a time."""
EXPOSURE = 1.0
"""What linear light is multiplied by."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The light of a picture: where the sun stands, and the air."""

    sun: Sun
    air: Air


CLEAR = Weather(Sun(azimuth=250.0, altitude=28.0), Air())


def oblique_picture(surfaces: Iterable[TileSurface], eye: Eye, lens: Lens = HD, weather: Weather = CLEAR) -> Image.Image:
    """The view from `eye` over the ground that `surfaces` show; what they do not cover is sea.

    An eye less than `CLEARANCE` above the ground is lifted to it.
    """
    landscape = Landscape(surfaces, eye, lens, weather.sun)
    view = _View(landscape, replace(eye, height=max(eye.height, landscape.ground + CLEARANCE)), lens, weather)
    strips = np.array_split(np.arange(lens.width * SAMPLES), lens.width // STRIP)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        colour = np.concatenate(list(threads.map(view.strip, strips)))
    return _developed(colour)


def _developed(colour: Array) -> Image.Image:
    """The picture of linear samples (columns, rows from the bottom, 3): film curve, sRGB, mean over the samples of each pixel."""
    exposed = colour * np.float32(EXPOSURE)
    curved = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)  # Narkowicz's fit of the ACES film curve
    display = np.clip(curved, 0, 1) ** np.float32(1 / 2.2)
    columns, rows = display.shape[0] // SAMPLES, display.shape[1] // SAMPLES
    pixels = display.reshape(columns, SAMPLES, rows, SAMPLES, 3).mean(axis=(1, 3)).transpose(1, 0, 2)[::-1] * 255
    dither = np.random.default_rng(0).random(pixels.shape, np.float32)  # without it, 8 bits show bands in the sky
    return Image.fromarray(np.clip(pixels + dither, 0, 255).astype(np.uint8))


class _View:
    """What the columns of one picture see."""

    def __init__(self, landscape: Landscape, eye: Eye, lens: Lens, weather: Weather) -> None:
        self._landscape, self._eye, self._air = landscape, eye, weather.air
        self._tangents, self._slopes = lens.columns(), lens.rows(eye.pitch)
        self._distances = np.geomspace(NEAREST, FARTHEST, math.ceil(math.log(FARTHEST / NEAREST) / math.log(STEP_RATIO))).astype(np.float32)
        self._sun = _turned(weather.sun.direction, math.radians(eye.heading))

    def strip(self, columns: NDArray[np.int64]) -> Array:
        """Linear RGB of some sample columns, shape (columns, rows from the bottom, 3)."""
        tangents = self._tangents[columns]
        stretch = np.hypot(np.float32(1), tangents)[:, None]
        tracks = Tracks.from_place(
            self._eye.longitude, self._eye.latitude, self._eye.heading + np.degrees(np.arctan(tangents)), self._distances
        )
        distance, hit = _first_hits(self._profile(tracks) * stretch, self._distances, self._slopes)
        elevation = (self._slopes / stretch).astype(np.float32)
        colour = sky(elevation, self._sunward(tangents, self._slopes))
        ground, at = hit.nonzero(), distance[hit]
        light = self._landscape.light(*tracks.at(ground[0], at), self._landscape.levels(at))
        heights = self._eye.height + elevation[hit] * at + at * at / (2 * BENT_RADIUS)
        passing = self._air.transmittance(at, self._eye.height, heights)
        horizon = sky(np.zeros((len(columns), 1), np.float32), self._sunward(tangents, np.zeros(1, np.float32)))[ground[0], 0]
        colour[hit] = light * passing + horizon * (1 - passing)
        return colour

    def _profile(self, tracks: Tracks) -> Array:
        """Slope of the ground seen from the eye, rise over distance, shape (columns, distances)."""
        east, south = tracks.along()
        levels = np.broadcast_to(self._landscape.levels(self._distances), east.shape)
        heights = self._landscape.heights(east, south, levels)
        drop = self._distances**2 / np.float32(2 * BENT_RADIUS)
        slopes: Array = ((heights - np.float32(self._eye.height) - drop) / self._distances).astype(np.float32)
        return slopes

    def _sunward(self, tangents: Array, slopes: Array) -> Array:
        """Cosine of the angle between lines of sight and the sun, shape (columns, rows)."""
        right, forward, up = self._sun
        along = forward + right * tangents[:, None] + up * slopes
        cosine: Array = (along / np.sqrt(1 + tangents[:, None] ** 2 + slopes**2)).astype(np.float32)
        return cosine


def _turned(direction: tuple[float, float, float], heading: float) -> tuple[float, float, float]:
    """Right, forward and up of a direction given as east, north and up."""
    east, north, up = direction
    return east * math.cos(heading) - north * math.sin(heading), east * math.sin(heading) + north * math.cos(heading), up


def _first_hits(profile: Array, distances: Array, slopes: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Distance at which lines of sight of rising `slopes` first meet each profile, shape (columns, rows), and whether they do."""
    highest = np.maximum.accumulate(profile, axis=1)
    index = np.stack([np.searchsorted(column, slopes) for column in highest])
    hit = index < len(distances)
    last = np.clip(index, 1, len(distances) - 1)
    before, after = (np.take_along_axis(profile, at, axis=1) for at in (last - 1, last))
    part = np.clip((slopes - before) / np.maximum(after - before, np.float32(1e-9)), 0, 1)
    return distances[last - 1] + part * (distances[last] - distances[last - 1]), hit
