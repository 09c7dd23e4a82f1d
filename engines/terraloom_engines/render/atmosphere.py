"""Air: the light of the sky, and what air does to sunlight and to distant ground. Single scattering, for the eye and not for radiometry.

Two kinds of scatterers thin out exponentially with height: molecules, which scatter blue most (Rayleigh), and haze, which is grey, hugs the
ground and throws light forward (Henyey and Greenstein, 1941). The sky is the integral of singly scattered sunlight along the line of
sight (Nishita and others, SIGGRAPH 1993) plus a share that stands for light scattered more often. It depends on the elevation of the line
of sight through two tables, and on its angle to the sun through two phase functions. Colours are linear RGB; sunlight above the air is 1.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.shading import Sun

__all__ = ["Air", "Sky"]

Array = NDArray[np.float32]

EARTH_RADIUS = 6371008.8
TOP = 90_000.0
"""Height in metres above which there is no air."""
MOLECULES = (5.8e-6, 13.5e-6, 33.1e-6)
"""Extinction per metre at sea level at 680, 550 and 440 nm."""
MOLECULES_HEIGHT, HAZE_HEIGHT = 8000.0, 1200.0
"""Heights in metres over which molecules and haze thin out by e."""
OZONE = (0.0098, 0.0282, 0.0013)
"""Optical depth of ozone overhead; without it a low sun makes green skies."""
CONTRAST_SEEN = 3.912
"""Optical depth at which dark ground is just told from the horizon (Koschmieder, 1924)."""
FORWARD = 0.72
"""Mean cosine of the angle by which haze scatters."""
AGAIN = 0.055
"""Light scattered more than once, per steradian, as a share of what is scattered once."""
_SAMPLES, _ELEVATIONS = 64, 256


@dataclass(frozen=True, slots=True)
class Air:
    """How clear the air is: metres at sea level over which dark ground is just seen."""

    visibility: float = 90_000.0

    @property
    def haze(self) -> float:
        """Extinction of haze per metre at sea level."""
        return max(CONTRAST_SEEN / self.visibility - MOLECULES[1], 0.0)

    @property
    def scatterers(self) -> tuple[tuple[Array, float], tuple[Array, float]]:
        """Extinction per metre at sea level (red, green, blue) and scale height, of molecules and of haze."""
        return (np.array(MOLECULES, np.float32), MOLECULES_HEIGHT), (np.full(3, self.haze, np.float32), HAZE_HEIGHT)

    def transmittance(self, distance: Array, low: float, high: Array) -> Array:
        """Share of light, shape (n, 3), that passes straight paths of `distance` metres between heights `low` and `high`."""
        depth = np.zeros((*distance.shape, 3), np.float32)
        for extinction, scale in self.scatterers:
            depth += (distance * _mean_density(low / scale, high / np.float32(scale)))[..., None] * extinction
        passing: Array = np.exp(-depth)
        return passing

    def sunlight(self, height: Array | float, altitude: float) -> Array:
        """Share of sunlight, shape (..., 3), that reaches `height` metres under a sun at `altitude` degrees."""
        mass = 1 / (math.sin(math.radians(altitude)) + 0.50572 * (altitude + 6.07995) ** -1.6364)  # Kasten and Young (1989)
        depth = sum(extinction * scale * np.exp(-np.asarray(height) / scale)[..., None] for extinction, scale in self.scatterers)
        passing: Array = np.exp(-mass * (depth + np.array(OZONE))).astype(np.float32)
        return passing


def _mean_density(low: float, high: Array) -> Array:
    """Mean of exp(-h) along a straight path from h = `low` to `high`, in scale heights; below sea level as at it."""
    low, high = max(low, 0.0), np.maximum(high, np.float32(0))
    rise = high - np.float32(low)
    level = np.abs(rise) < 1e-3
    share = (np.float32(math.exp(-low)) - np.exp(-high)) / np.where(level, np.float32(1), rise)
    density: Array = np.where(level, np.exp(-high), share).astype(np.float32)
    return density


class Sky:
    """Light of the sky as seen from `height` metres, under `sun`, through `air`."""

    def __init__(self, height: float, sun: Sun, air: Air) -> None:
        self._height, self._sun, self._air = max(height, 0.0), sun, air
        self.dip = math.acos(EARTH_RADIUS / (EARTH_RADIUS + self._height))
        """Angle of the horizon below the horizontal, in radians."""
        self._scattered = self._tables()

    def _tables(self) -> tuple[Array, Array]:
        """Light scattered by molecules and by haze along lines of sight, before the phase functions, shape (_ELEVATIONS, 3) each."""
        elevations = self._elevation(np.linspace(0, 1, _ELEVATIONS))
        start, length = self._through(elevations)
        part = np.linspace(0, 1, _SAMPLES + 1) ** 2
        along = start[:, None] + length[:, None] * part
        middle, step = (along[:, 1:] + along[:, :-1]) / 2, np.diff(along, axis=1)
        base = EARTH_RADIUS + self._height
        heights = np.sqrt(base**2 + middle**2 + 2 * base * middle * np.sin(elevations)[:, None]) - EARTH_RADIUS
        depth, found = np.zeros((*middle.shape, 3)), []
        densities = [np.exp(-np.maximum(heights, 0) / scale)[..., None] for _, scale in self._air.scatterers]
        for density, (extinction, _) in zip(densities, self._air.scatterers, strict=True):
            passed = density * extinction * step[..., None]
            depth += np.cumsum(passed, axis=1) - passed / 2
        lit = np.exp(-depth) * self._air.sunlight(heights, self._sun.altitude) * step[..., None]
        for density, (extinction, _) in zip(densities, self._air.scatterers, strict=True):
            found.append((lit * density * extinction).sum(axis=1).astype(np.float32))
        return found[0], found[1]

    def _elevation(self, part: NDArray[np.floating]) -> NDArray[np.floating]:
        """Radians above the horizontal of a place in the tables, 0 to 1, dense near the horizon."""
        return part**3 * (math.pi / 2 + self.dip) - self.dip

    def _through(self, elevations: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Where lines of sight enter the air, and how far they run in it, in metres."""
        base, top = EARTH_RADIUS + self._height, EARTH_RADIUS + TOP
        sine = np.sin(elevations)
        inside = top**2 - base**2 * (1 - sine**2)
        half = np.sqrt(np.maximum(inside, 0))
        near, far = -base * sine - half, -base * sine + half
        start = np.where(base > top, np.maximum(near, 0), 0.0)
        return start, np.where(inside > 0, np.maximum(far - start, 0), 0.0)

    def light(self, elevation: Array, sunward: Array) -> Array:
        """Linear RGB, shape (n, 3), at `elevation` radians above the horizontal and at a cosine of `sunward` from the sun."""
        place = np.cbrt(np.clip((elevation + self.dip) / (math.pi / 2 + self.dip), 0, 1)) * (_ELEVATIONS - 1)
        index = np.minimum(place.astype(np.int32), _ELEVATIONS - 2)
        part = (place - index)[..., None].astype(np.float32)
        out = np.zeros((*np.broadcast_shapes(place.shape, sunward.shape), 3), np.float32)
        for table, phase in zip(self._scattered, (_rayleigh(sunward), _henyey_greenstein(sunward)), strict=True):
            out += (table[index] + (table[index + 1] - table[index]) * part) * (phase + np.float32(AGAIN))[..., None]
        return out

    def veil(self, sunward: Array) -> Array:
        """Light of air without end: what takes the place of the light that a path to the ground loses."""
        return self.light(np.full(1, -self.dip, np.float32), sunward)

    @cached_property
    def irradiance(self) -> Array:
        """Light of the whole sky on level ground, linear RGB."""
        up, round_ = (np.arange(32) + 0.5) / 32 * math.pi / 2, (np.arange(64) + 0.5) / 64 * math.tau
        elevation, azimuth = (grid.astype(np.float32) for grid in np.meshgrid(up, round_, indexing="ij"))
        altitude = math.radians(self._sun.altitude)
        sunward = np.cos(elevation) * math.cos(altitude) * np.cos(azimuth) + np.sin(elevation) * math.sin(altitude)
        weight = (np.sin(elevation) * np.cos(elevation) * (math.pi / 64) * (math.tau / 64))[..., None]
        total: Array = (self.light(elevation, sunward.astype(np.float32)) * weight).sum(axis=(0, 1))
        return total


def _rayleigh(cosine: Array) -> Array:
    phase: Array = (3 / (16 * math.pi) * (1 + cosine**2)).astype(np.float32)
    return phase


def _henyey_greenstein(cosine: Array) -> Array:
    phase: Array = ((1 - FORWARD**2) / (4 * math.pi) / (1 + FORWARD**2 - 2 * FORWARD * cosine) ** 1.5).astype(np.float32)
    return phase
