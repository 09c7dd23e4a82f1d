"""Climate: warmth by latitude and height, rain by what the winds carry over land, on a coarse map of the whole planet.

Air gets moist over the sea and loses it over land and where it is lifted; trade winds blow to the west, the westerlies of the middle
latitudes to the east; circulation decides how much of it falls. Run on Earth's own heights it puts deserts and rain forests where they
are (docs/planets.md).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.curves import Curve, Raster, power_of_two
from terraloom_engines.bundle.planet.patches import Patch
from terraloom_engines.bundle.planet.terrain import sea_level_temperature
from terraloom_engines.tiling import TILE_SIZE

F = np.float32
Map = NDArray[np.float64]
MAP_LEVEL = 0
"""The level whose pixels the map has."""
LAPSE = 5.6
"""Kelvin per kilometre of height."""
_FRESH = ((0, 2.3), (7, 2.1), (12, 1.35), (17, 0.65), (21, 0.36), (26, 0.25), (31, 0.36), (36, 0.6), (42, 0.95), (50, 1.15), (58, 0.95),
          (66, 0.6), (75, 0.32), (90, 0.15))  # fmt: skip
"""Latitude, metres of rain a year where the air comes fresh from the sea."""
_EASTERN = ((0, 0.3), (8, 0.4), (16, 0.9), (24, 1.3), (32, 1.1), (38, 0.7), (44, 0.0), (90, 0.0))
"""Latitude, metres of rain a year that the trade winds and monsoons add on eastern coasts."""
_WESTERLY = ((0, 0.15), (22, 0.15), (27, 0.4), (36, 0.85), (60, 0.8), (70, 0.5), (90, 0.4))
"""Latitude, share of the air that comes from the west."""
_DRYING = ((0, 0.05), (10, 0.08), (20, 0.25), (30, 0.32), (45, 0.22), (60, 0.14), (75, 0.12), (90, 0.12))
"""Latitude, share of the moisture lost per 1000 km of land."""
_TEMPERATURES = np.linspace(-60, 60, 481)
_evaporation = Curve(_TEMPERATURES, 0.45 * np.exp2(_TEMPERATURES / 13))
"""Metres a year that could evaporate at a temperature in degrees Celsius."""


def at_latitudes(points: Sequence[tuple[float, float]], latitudes: Map) -> Map:
    """A table by latitude, straight between its points, at latitudes in degrees."""
    degrees, values = np.array(points, np.float64).T
    return np.interp(np.abs(latitudes), degrees, values)


def rainfall(height: Map, latitudes: Map) -> Map:
    """Metres of rain a year, (n, n), on a Web Mercator map of heights (n, n) in metres; `latitudes` (n,) of its rows in degrees."""
    step = np.cos(np.radians(latitudes)) * (40.03 / len(latitudes))  # thousands of km
    western, lifted_west = _carried(height, latitudes, step)
    eastern, lifted_east = (raster[:, ::-1] for raster in _carried(height[:, ::-1], latitudes, step))
    west, fresh, monsoon = (at_latitudes(points, latitudes)[:, None] for points in (_WESTERLY, _FRESH, _EASTERN))
    rain = fresh * (west * western + (1 - west) * eastern) + monsoon * eastern**2
    return rain * (1 + 0.35 * (west * lifted_west + (1 - west) * lifted_east))


def _carried(height: Map, latitudes: Map, step: Map) -> tuple[Map, Map]:
    """Moisture of air that moves to the right, 0 to 1, and what it loses per 1000 km by being lifted; twice round the planet."""
    land, ground = np.clip(height / 60 + 0.5, 0, 1), np.maximum(height, 0) / 1000
    drying = at_latitudes(_DRYING, latitudes) * step
    gain, loss, follow = 1 - 1 / (1 + step * 1.6), drying / (1 + drying), np.clip(step / 0.3, 0, 1)
    moist, before = np.full(len(latitudes), 0.5), np.zeros(len(latitudes))
    supply, lifted = np.empty_like(height), np.empty_like(height)
    for column in list(range(height.shape[1])) * 2:
        moist = moist + (1 - land[:, column]) * (1 - moist) * gain
        kept = 1 / (1 + np.maximum(ground[:, column] - before, 0) * 0.45)
        supply[:, column], lifted[:, column] = moist, moist * (1 - kept) / np.maximum(step, 0.02)
        moist = np.maximum(_exchanged(moist * kept * (1 - land[:, column] * loss), 0.15), 0.08)
        before = before + (ground[:, column] - before) * follow
    return supply, lifted


def _exchanged(values: Map, share: float) -> Map:
    """Values of rows (n, ...) after each has exchanged `share` with either neighbour."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return values * (1 - 2 * share) + (padded[:-2] + padded[2:]) * share


def smoothed(values: Map) -> Map:
    """A periodic map, smoothed over about four pixels."""
    for _ in range(2):
        values = _exchanged(values, 0.25)
        values = values * 0.5 + (np.roll(values, 1, axis=1) + np.roll(values, -1, axis=1)) * 0.25
    return values


class Climate:
    """Temperature and rain anywhere. `height` (metres) is that of `patch`, the whole planet at `MAP_LEVEL`."""

    def __init__(self, patch: Patch, height: Raster) -> None:
        self._rain = smoothed(np.log2(rainfall(height.astype(np.float64), patch.latitudes[:, 0]))).astype(np.float32)

    def temperature(self, patch: Patch, height: Raster) -> Raster:
        """Mean of the year at the surface in degrees Celsius, of pixels with heights in metres."""
        colder: Raster = F(LAPSE / 1000) * np.maximum(height, F(0))
        return sea_level_temperature(np.abs(patch.places[2])) - colder

    def rain(self, patch: Patch, east: Raster, south: Raster) -> Raster:
        """log2 of metres a year; read `east` and `south` of each pixel, in pixels of the map."""
        size = TILE_SIZE << patch.level
        scale = len(self._rain) / size
        columns = (np.arange(patch.left, patch.left + patch.width) % size + 0.5)[None] * scale + east
        rows = (np.arange(patch.top, patch.top + patch.height) + 0.5)[:, None] * scale + south
        return _read(self._rain, columns.astype(np.float32), rows.astype(np.float32))


def moisture(rain: Raster, temperature: Raster) -> Raster:
    """0 (desert) to 1 (rain forest): a / (a + 1/2) for rain (log2 of metres a year) over what could evaporate, a."""
    humid = power_of_two(rain)
    dry: Raster = F(0.5) * _evaporation(temperature)
    return humid / (humid + dry)


def _read(values: Raster, x: Raster, y: Raster) -> Raster:
    """A map (rows, columns), periodic in columns, at positions in pixels, through the quadratic B-spline."""
    rows, columns = values.shape
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    across, down = (_spline_weights(at - cell.astype(np.float32)) for at, cell in ((x, column), (y, row)))
    total, flat = np.zeros(x.shape, np.float32), values.ravel()
    for j in range(3):
        line = np.clip(row + np.int32(j - 1), 0, rows - 1) * np.int32(columns)
        for i in range(3):
            total = total + down[j] * across[i] * np.take(flat, line + (column + np.int32(i - 1)) % np.int32(columns))
    return total


def _spline_weights(t: Raster) -> tuple[Raster, Raster, Raster]:
    middle = t - F(0.5)
    return F(0.5) * (F(1) - t) * (F(1) - t), F(0.75) - middle * middle, F(0.5) * t * t
