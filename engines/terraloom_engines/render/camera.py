"""Where a perspective picture is taken from, and through what."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HD", "SAMPLES", "Eye", "Lens"]

Array = NDArray[np.float32]

SAMPLES = 2
"""Samples along each side of a pixel."""


@dataclass(frozen=True, slots=True)
class Eye:
    """Where the picture is taken: degrees, metres above mean sea level; heading clockwise from north and pitch up, in degrees."""

    longitude: float
    latitude: float
    height: float
    heading: float
    pitch: float


@dataclass(frozen=True, slots=True)
class Lens:
    """Size of the picture in pixels and its vertical field of view in degrees at no pitch."""

    width: int = 1280
    height: int = 720
    vertical_field_of_view: float = 40.0

    def columns(self) -> Array:
        """Tangent right of the line of sight of every sample column."""
        half = math.tan(math.radians(self.vertical_field_of_view / 2)) * self.width / self.height
        count = self.width * SAMPLES
        return ((np.arange(count) + 0.5) / count * 2 - 1).astype(np.float32) * np.float32(half)

    def rows(self, pitch: float) -> Array:
        """Tangent above the horizon, along the line of sight, of every sample row, from the bottom up."""
        half = math.tan(math.radians(self.vertical_field_of_view / 2))
        count = self.height * SAMPLES
        return (math.tan(math.radians(pitch)) + ((np.arange(count) + 0.5) / count * 2 - 1) * half).astype(np.float32)

    @property
    def texels(self) -> float:
        """Pixels to a radian in the middle of the picture."""
        return self.height / (2 * math.tan(math.radians(self.vertical_field_of_view / 2)))


HD = Lens()
"""1280 x 720 pixels, 40 degrees high."""
