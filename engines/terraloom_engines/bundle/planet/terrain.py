"""The ground of a planet: crust on drifting plates, belts where they meet, uplands and hills; heights distributed as on Earth."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.belts import belts_of, stretched, worn_belts
from terraloom_engines.bundle.planet.curves import Curve, Raster, curve_of, power_of_two, smoothstep
from terraloom_engines.bundle.planet.fractals import Fractal, Noise, Warp, direction
from terraloom_engines.bundle.planet.gradient import uniforms
from terraloom_engines.bundle.planet.patches import Scatter, Window
from terraloom_engines.bundle.planet.plates import Plates

F = np.float32
HYPSOMETRY = (
    (0.0, -10800), (0.0005, -7000), (0.01, -5930), (0.05, -5500), (0.1, -5200), (0.2, -4770), (0.3, -4350), (0.4, -3910), (0.5, -3310),
    (0.56, -2700), (0.6, -1900), (0.63, -900), (0.65, -330), (0.67, -150), (0.69, -62), (0.711, 0), (0.74, 110), (0.78, 205), (0.82, 325),
    (0.86, 500), (0.9, 760), (0.93, 1090), (0.95, 1450), (0.965, 1960), (0.98, 2950), (0.99, 4030), (0.995, 4780), (0.999, 5420),
    (1.0, 6600),
)  # fmt: skip
"""Share of Earth's surface below a height in metres: ETOPO5 at 9 km, land share of GLOBE."""
_TEMPERATURES = ((0, 26.5), (10, 26.5), (20, 24.5), (30, 20), (40, 13.5), (50, 6.5), (60, -2), (70, -12), (80, -20), (90, -26))
ROUGHNESS_SIZE = 10_000.0
"""Metres of the cell that roughness is stated for."""
SAMPLES, SAMPLE_SIZE = 12_000, 0.003
"""Places that the planet's distribution of heights is taken from, and their size in radians."""

_CRUST = curve_of((
    (0.0, -6000), (0.02, -5600), (0.25, -4800), (0.45, -3950), (0.55, -3150), (0.6, -2100), (0.63, -850), (0.65, -330), (0.67, -180),
    (0.69, -110), (0.711, -70), (0.722, -46), (0.74, -6), (0.8, 109), (0.9, 219), (1.0, 329),
))  # fmt: skip
"""Height of crust by its rank, mountains left out."""
sea_level_temperature = Curve(
    [math.sin(math.radians(degrees)) for degrees in range(91)],
    np.interp(np.arange(91), [at for at, _ in _TEMPERATURES], [mean for _, mean in _TEMPERATURES]),
)
"""Mean of the year in degrees Celsius by the sine of the latitude."""

WARP = Fractal(1, 0.8, 0.5, finest=0.02, channels=3)
CRINKLE = Fractal(2, 0.12, 0.55, finest=0.012, channels=3)
CRUST = Fractal(3, 0.75, 0.58)
UPLAND = Fractal(4, 0.3, 0.55, finest=0.008)
VARIETY = Fractal(5, 0.35, 0.6, finest=0.03, channels=3)
RANGES = Fractal(6, 0.055, 0.67)
HILLS = Fractal(7, 0.04, 0.62)
RIDGES = Fractal(8, 0.03, 0.7)
PLATES, SEAMS, AGES, CONTINENTS = 1, 2, 3, 4
"""Streams of numbers that are drawn once."""


@dataclass(frozen=True)
class Ground:
    """Height in metres, and the standard deviation of height inside a cell of `ROUGHNESS_SIZE`, each of a window's shape."""

    height: Raster
    roughness: Raster


class Terrain:
    """The ground of the planet of a seed."""

    def __init__(self, seed: int) -> None:
        self._noise = Noise(seed)
        self._plates = Plates(seed, PLATES, 15, lonely=6, weight=0.3)
        self._seams = Plates(seed, SEAMS, 22, lonely=3, weight=0.1)
        self._ages = uniforms(seed, AGES, self._seams.count).astype(np.float32)
        self._continents = _continents(seed, self._plates)
        sample, ranks = Scatter(SAMPLES, SAMPLE_SIZE), (np.arange(SAMPLES) + 0.5) / SAMPLES
        self._rank = Curve(np.sort(self._crust(sample, self._noise.warp(sample, WARP, 0.10)).ravel()), ranks)
        raw = np.sort(self._raw(sample).height.ravel()).astype(np.float64)
        shares, heights = np.array(HYPSOMETRY, np.float64).T
        knots = np.interp(shares, ranks, raw)
        knots[0], knots[-1] = raw[0] - 2000, raw[-1] + 1500
        self._hypsometry = Curve(knots, heights, steps=1 << 14)

    def ground(self, window: Window) -> Ground:
        """The ground of a window: heights in the shares of Earth's."""
        raw = self._raw(window)
        return Ground(self._hypsometry(raw.height), raw.roughness)

    def _raw(self, window: Window) -> Ground:
        """The ground before its heights get the shares of Earth's, which change little."""
        noise, warp, crinkled = self._noise, self._noise.warp(window, WARP, 0.10), self._noise.warp(window, CRINKLE, 0.009)
        rank, variety = self._rank(self._crust(window, warp)), noise.sum(window, VARIETY)
        land, inland = smoothstep(rank, 0.61, 0.72), smoothstep(rank, 0.70, 0.82)
        boundary = self._plates.boundary(warp.places, window.places)
        belts = belts_of(boundary, variety[1])
        mountains, plateau = belts.mountains * (F(0.2) + F(0.8) * smoothstep(rank, 0.63, 0.735)), belts.plateau * land
        worn = worn_belts(self._seams.boundary(warp.places, window.places), self._ages, variety[1:]) * land
        ice = smoothstep(-sea_level_temperature(np.abs(window.places[2])), 12, 21) * smoothstep(rank, 0.72, 0.84)
        gentle = power_of_two(F(1.1) * variety[0] - F(0.4)) * F(45) * (F(0.15) + F(0.85) * land) * (F(1) - F(0.7) * ice)
        upland, hills = noise.sum(window, UPLAND, crinkled)[0], noise.sum(window, HILLS, crinkled)[0]
        ranges, ridges = noise.ridged(window, RANGES, stretched(crinkled, boundary)), noise.ridged(window, RIDGES, crinkled)
        height = _CRUST(rank) + inland * F(400) * np.maximum(upland + F(0.15), 0) * (F(1) + F(0.5) * upland)
        height = height + plateau * F(1000) + mountains * (F(500) + F(2800) * ranges) + ice * F(2800)
        height = height + worn * (F(120) + F(1000) * ridges) + gentle * (hills + F(1.5) * (ridges - F(0.4)))
        height = height + (mountains * F(280) + plateau * F(130) + worn * F(150)) * hills
        height = height + (F(1) - land) * (belts.ridge * F(1500) - belts.trench * F(2800) + belts.arc * F(3900) * ranges)
        return Ground(height, gentle * F(0.3) + mountains * F(230) + worn * F(125) + plateau * F(65) + F(2.2))

    def _crust(self, window: Window, warp: Warp) -> Raster:
        """How continental the crust is: the continents of the plates, and noise that makes coasts of them."""
        total = F(0.62) * self._noise.sum(window, CRUST, warp.halfway(window))[0]
        for share, (x, y, z, narrowness, height) in zip(self._plates.shares(warp.places, 0.07), self._continents, strict=True):
            away = [place - centre for place, centre in zip(warp.places, (x, y, z), strict=True)]
            squared = away[0] * away[0] + away[1] * away[1] + away[2] * away[2]
            total = total + share * np.maximum(height - squared * narrowness, F(-1))
        return total


def _continents(seed: int, plates: Plates) -> NDArray[np.float32]:
    """Centre x, y, z, 1 / radius^2 and height (1, or -1 for none) of every plate's continent, off the plate's middle: (plates, 5)."""
    u = uniforms(seed, CONTINENTS, plates.count * 5).reshape(plates.count, 5)
    out = np.empty((plates.count, 5), np.float32)
    for order, i in enumerate(np.argsort(u[:, 0] + 0.35 * np.abs(plates.centres[:, 2]))):
        centre = plates.centres[i] + 0.35 * direction(u[i, 1], u[i, 2])
        out[i, :3] = centre / math.sqrt(float((centre**2).sum()))
        out[i, 3] = 1 / (0.28 + 0.42 * u[i, 3]) ** 2
        out[i, 4] = 1.0 if order < 7 + int(3 * u[0, 4]) else -1.0
    return out
