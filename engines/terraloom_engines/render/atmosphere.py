"""Air: the colour of the sky and what air does to distant ground. A fit for the eye, not a model of radiative transfer.

Two kinds of scatterers thin out exponentially with height: molecules, which scatter blue most, and haze, which is grey and hugs the
ground. The light that a path loses is made up by the sky's colour at the horizon in that direction. Colours are linear RGB.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Air", "sky"]

Array = NDArray[np.float32]

ZENITH = (0.03, 0.11, 0.38)
HORIZON = (0.40, 0.54, 0.72)
GLOW = (0.80, 0.64, 0.44)
"""Colour of the sky round the sun."""


@dataclass(frozen=True, slots=True)
class Air:
    """Extinction per metre at sea level (red, green, blue) and scale heights in metres of molecules and haze."""

    molecules: tuple[float, float, float] = (4.0e-6, 7.5e-6, 14.0e-6)
    molecules_height: float = 8000.0
    haze: tuple[float, float, float] = (16e-6, 16e-6, 16e-6)
    haze_height: float = 1300.0

    def transmittance(self, distance: Array, low: float, high: Array) -> Array:
        """Share of light, shape (n, 3), that passes straight paths of `distance` metres between heights `low` and `high`."""
        depth = np.zeros((*distance.shape, 3), np.float32)
        for extinction, scale in ((self.molecules, self.molecules_height), (self.haze, self.haze_height)):
            depth += (distance * _mean_density(low / scale, high / scale))[..., None] * np.array(extinction, np.float32)
        passing: Array = np.exp(-depth)
        return passing


def _mean_density(low: float, high: Array) -> Array:
    """Mean of exp(-h) along a straight path from h = `low` to `high`, in scale heights."""
    rise = high - np.float32(low)
    rise = np.where(np.abs(rise) < 1e-3, np.float32(1e-3), rise)
    density: Array = np.float32(math.exp(-low)) * (1 - np.exp(-rise)) / rise
    return density


def sky(elevation: Array, sunward: Array) -> Array:
    """Colour, shape (n, 3), at `elevation` (tangent of the angle above the horizon) and `sunward` (cosine of the angle to the sun)."""
    height = np.clip(elevation, 0, None)
    towards_zenith = (1 - np.exp(-3.2 * height))[..., None]
    colour = np.array(HORIZON, np.float32) * (1 - towards_zenith) + np.array(ZENITH, np.float32) * towards_zenith
    glow = (0.25 * np.clip(sunward, 0, 1) ** 6 * np.exp(-2.5 * height))[..., None]
    mixed: Array = (colour * (1 - glow) + np.array(GLOW, np.float32) * glow).astype(np.float32)
    return mixed
