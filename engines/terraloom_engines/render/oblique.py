"""A perspective view of tiles, marched through their heights front to back, one vertical plane after the other.

All lines of sight of one azimuth lie in one vertical plane through the eye. Along it the ground is a profile, and what a line of sight
meets is where the running maximum of the profile's slope, seen from the eye, first reaches its own: one binary search each, so there are
neither holes nor steps. Planes stand as close as samples do in the middle of the picture. A planet curves down along a profile, and the air
bends light back by a seventh. A world that is a plane does not curve; its air is the same.
"""

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.render.atmosphere import Air, Sky
from terraloom_engines.render.camera import HD, SAMPLES, Eye, Lens, Rays
from terraloom_engines.render.landscape import LUMINANCE, Landscape, Light
from terraloom_engines.render.received import TileSurface
from terraloom_engines.render.tracks import Tracks
from terraloom_engines.render.water import mirrored
from terraloom_engines.selection import plane_reach
from terraloom_engines.shading import Sun
from terraloom_engines.tiling import WorldKind

__all__ = ["CLEAR", "Eye", "Lens", "Weather", "oblique_picture"]

Array = NDArray[np.float32]

BENT_RADIUS = 6371008.8 * 7 / 6
"""Radius in metres of an Earth on which light would be straight."""
HIGHEST = 9000.0
"""Metres above mean sea level: no ground is higher."""
STEP_RATIO = 1.0035
"""Distance of one sample of a profile over that of the one before."""
CLEARANCE = 1.5
"""Metres above the ground below which no picture is taken."""
BATCH = 64
"""Planes that are drawn at a time."""
SUN_RADIUS = math.radians(0.27)


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
    rays, farthest = lens.rays(eye.pitch), _farthest(eye)
    landscape = Landscape(surfaces, eye, rays, lens.texels, farthest)
    ground = landscape.ground
    eye = replace(eye, height=max(eye.height, ground + CLEARANCE))
    sky = Sky(eye.height, weather.sun, weather.air)
    light = Light.under(sky, weather.sun, weather.air, ground)
    landscape.light_up(light)
    view = _View(landscape, eye, rays, lens, sky, light, weather.air, ground, farthest)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(view.draw, range(0, view.planes, BATCH)))
    return _developed(view.colour.reshape(lens.height * SAMPLES, lens.width * SAMPLES, 3), _exposure(light, view.colour))


def _farthest(eye: Eye) -> float:
    """Metres along the ground to the farthest that may be seen, on a straight line of sight."""
    if eye.kind is WorldKind.PLANE:
        return plane_reach(eye.height)
    return math.sqrt(2 * BENT_RADIUS * max(eye.height, 1.0)) + math.sqrt(2 * BENT_RADIUS * HIGHEST)


def _exposure(light: Light, colour: Array) -> float:
    """What light is multiplied by: sunlit white becomes nearly white, but as an eye does it, less where all is bright and more at dusk."""
    white = float((light.direct * math.sin(math.radians(light.sun.altitude)) + light.sky) @ np.array(LUMINANCE)) / math.pi
    usual = 1.15 / 0.25 * (0.25 / white) ** 0.8
    bright = float(np.percentile(colour[::97] @ np.array(LUMINANCE, np.float32), 90))
    return usual * min(max(0.75 / (usual * bright), 0.25), 1.5) ** 0.8


def _developed(light: Array, exposure: float) -> Image.Image:
    """The picture of linear samples (rows, columns, 3): film curve, sRGB, mean over the samples of each pixel."""
    exposed = light * np.float32(exposure)
    curved = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)  # Narkowicz's fit of the ACES film curve
    display = np.clip(curved, 0, 1) ** np.float32(1 / 2.2)
    rows, columns = display.shape[0] // SAMPLES, display.shape[1] // SAMPLES
    pixels = display.reshape(rows, SAMPLES, columns, SAMPLES, 3).mean(axis=(1, 3)) * 255
    dither = np.random.default_rng(0).random(pixels.shape, np.float32)  # without it, 8 bits show bands in the sky
    return Image.fromarray(np.clip(pixels + dither, 0, 255).astype(np.uint8))


class _View:
    """What the vertical planes of one picture see; `colour` is linear RGB of all samples, shape (n, 3)."""

    def __init__(
        self,
        landscape: Landscape,
        eye: Eye,
        rays: Rays,
        lens: Lens,
        sky: Sky,
        light: Light,
        air: Air,
        ground: float,
        farthest: float,
    ) -> None:
        self._landscape, self._eye, self._rays, self._sky, self._light, self._air = landscape, eye, rays, sky, light, air
        self._above, self._flat = max(eye.height - ground, CLEARANCE), eye.kind is WorldKind.PLANE
        self._stretch = sky.dip / math.atan(max(eye.height, 1.0) / farthest) if self._flat else 1.0
        """Of angles below the horizontal: the sky of a planet is drawn down to the horizon of a plane, which is not as deep."""
        self._sun = np.array(_turned(light.sun.direction, math.radians(eye.heading)), np.float32)
        self._distances = self._sampled_distances(farthest)
        first, last = float(rays.azimuth.min()), float(rays.azimuth.max())
        steepest = math.cos(float(np.abs(rays.elevation).min()))
        self.planes = max(math.ceil((last - first) * steepest * lens.texels * SAMPLES), 1)
        spacing = (last - first) / self.planes
        self._azimuths = np.degrees(first + (np.arange(self.planes) + 0.5) * spacing) + eye.heading
        plane = np.minimum(((rays.azimuth - first) / spacing).astype(np.int32), self.planes - 1)
        self._order = np.argsort(plane, kind="stable")
        self._starts = np.searchsorted(plane[self._order], np.arange(self.planes + 1))
        self.colour = np.empty((len(rays.slope), 3), np.float32)

    def _sampled_distances(self, farthest: float) -> Array:
        """Distances along the ground, in metres, from where the steepest line of sight may meet it to where the flattest may."""
        low, high = float(self._rays.slope.min()), float(self._rays.slope.max())
        nearest = min(max(0.1 * self._above / max(-low, 1e-3), 0.1), 20.0)
        if high < 0:
            farthest = min(farthest, 1.2 * (self._eye.height + 1000.0) / -high + 1000.0)
        return np.geomspace(nearest, farthest, math.ceil(math.log(farthest / nearest) / math.log(STEP_RATIO))).astype(np.float32)

    def draw(self, first: int) -> None:
        """Draws the samples of some planes."""
        last = min(first + BATCH, self.planes)
        tracks = Tracks.from_eye(self._eye, self._azimuths[first:last], self._distances)
        profile = self._profile(tracks)
        starts = self._starts[first : last + 1]
        samples = self._order[starts[0] : starts[-1]]
        track = np.repeat(np.arange(last - first), np.diff(starts))
        azimuth, slope = self._rays.azimuth[samples], self._rays.slope[samples]
        distance, hit = _first_hits(profile, self._distances, slope, starts - starts[0])
        across = 1 / np.sqrt(1 + slope * slope)
        rays = np.stack([np.sin(azimuth) * across, np.cos(azimuth) * across, slope * across], axis=-1)
        colour = np.empty((len(samples), 3), np.float32)
        colour[~hit] = self._sky_light(rays[~hit])
        colour[hit] = self._ground_light(rays[hit], tracks.at(track[hit], distance[hit]), distance[hit])
        self.colour[samples] = colour

    def _profile(self, tracks: Tracks) -> Array:
        """Slope of the ground seen from the eye, rise over distance, shape (tracks, distances)."""
        east, south = tracks.along()
        levels = np.broadcast_to(self._landscape.levels(self._slant(self._distances)), east.shape)
        heights = self._landscape.heights(east, south, levels)
        if self._flat:
            return (heights - np.float32(self._eye.height)) / self._distances
        arc = self._distances / np.float32(BENT_RADIUS)
        rise = heights - np.float32(self._eye.height) - 2 * (np.float32(BENT_RADIUS) + heights) * np.sin(arc / 2) ** 2
        slopes: Array = (rise / ((np.float32(BENT_RADIUS) + heights) * np.sin(arc))).astype(np.float32)
        return slopes

    def _slant(self, distance: Array) -> Array:
        """From the eye to level ground at a distance along it."""
        return np.hypot(distance, np.float32(self._above))

    def _sky_light(self, rays: Array) -> Array:
        """Light of the sky, and of the sun's disc where it is seen."""
        sunward = rays @ self._sun
        elevation = np.arcsin(np.clip(rays[:, 2], -1, 1))
        light = self._sky.light(np.where(elevation < 0, elevation * np.float32(self._stretch), elevation), sunward)
        disc = np.clip((sunward - math.cos(1.15 * SUN_RADIUS)) / (math.cos(SUN_RADIUS) - math.cos(1.15 * SUN_RADIUS)), 0, 1)
        return light + disc[:, None].astype(np.float32) * 40 * self._light.direct

    def _ground_light(self, rays: Array, offsets: tuple[Array, Array], distance: Array) -> Array:
        """Light of ground and sea as the air between lets it pass, and the air's own."""
        found = self._landscape.light(*offsets, self._landscape.levels(self._slant(distance)))
        light, water = found[:, :3], np.clip(2 * found[:, 3] - 1, 0, 1)  # the half where land prevails may stand on end
        wet = water > 0
        if wet.any():
            glare, passing = mirrored(rays[wet], self._sun, self._light.direct, self._sky)
            share = water[wet, None]
            light[wet] = light[wet] * (1 - share + share * passing) + share * glare
        way = (distance / np.hypot(rays[:, 0], rays[:, 1])).astype(np.float32)
        bent = 0.0 if self._flat else distance * distance / (2 * BENT_RADIUS)
        heights = (self._eye.height + rays[:, 2] * way + bent).astype(np.float32)
        passing = self._air.transmittance(way, self._eye.height, heights)
        return light * passing + self._sky.veil(rays @ self._sun) * (1 - passing)


def _turned(direction: tuple[float, float, float], heading: float) -> tuple[float, float, float]:
    """Right, forward and up of a direction given as east, north and up."""
    east, north, up = direction
    return east * math.cos(heading) - north * math.sin(heading), east * math.sin(heading) + north * math.cos(heading), up


def _first_hits(profile: Array, distances: Array, slope: Array, starts: NDArray[np.int64]) -> tuple[Array, NDArray[np.bool_]]:
    """Distance at which lines of sight first meet their profile, and whether they do.

    Those of profile i are `slope[starts[i] : starts[i + 1]]`.
    """
    highest = np.maximum.accumulate(profile, axis=1)
    index = np.concatenate([np.searchsorted(line, slope[a:b]) for line, a, b in zip(highest, starts, starts[1:], strict=False)])
    hit = index < len(distances)
    last = np.clip(index, 1, len(distances) - 1)
    of = np.repeat(np.arange(len(profile)), np.diff(starts))
    before, after = profile[of, last - 1], profile[of, last]
    part = np.clip((slope - before) / np.maximum(after - before, np.float32(1e-9)), 0, 1)
    return distances[last - 1] + part * (distances[last] - distances[last - 1]), hit
