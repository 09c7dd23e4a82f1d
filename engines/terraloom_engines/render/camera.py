"""Where a perspective picture is taken from, and through what."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.tiling import WorldKind

__all__ = ["HD", "SAMPLES", "Eye", "Lens", "Rays"]

Array = NDArray[np.float32]

SAMPLES = 2
"""Samples along each side of a pixel."""


@dataclass(frozen=True, slots=True)
class Eye:
    """Where the picture is taken: longitude and latitude in degrees, or x and y in metres on a plane; metres above mean sea level; heading
    clockwise from north and pitch up, in degrees."""

    east: float
    north: float
    height: float
    heading: float
    pitch: float
    kind: WorldKind = WorldKind.PLANET


@dataclass(frozen=True, slots=True)
class Rays:
    """Lines of sight of all samples, one axis, row by row from the top left.

    `azimuth` is radians to the right of the heading, -pi to pi; `slope` the tangent of the angle above the horizontal.
    """

    azimuth: Array
    slope: Array

    @property
    def elevation(self) -> Array:
        """Radians above the horizontal."""
        return np.arctan(self.slope)

    @property
    def lies_all_round(self) -> bool:
        """Whether straight up or straight down is in the picture."""
        return float(np.ptp(self.azimuth)) > math.pi


@dataclass(frozen=True, slots=True)
class Lens:
    """Size of the picture in pixels and its vertical field of view in degrees; a pinhole."""

    width: int = 1280
    height: int = 720
    vertical_field_of_view: float = 40.0

    @property
    def half_height(self) -> float:
        """Tangent of half the vertical field of view."""
        return math.tan(math.radians(self.vertical_field_of_view / 2))

    @property
    def texels(self) -> float:
        """Pixels to a radian in the middle of the picture."""
        return self.height / (2 * self.half_height)

    def rays(self, pitch: float) -> Rays:
        """Lines of sight of an eye that looks `pitch` degrees up."""
        columns, rows = self.width * SAMPLES, self.height * SAMPLES
        right = ((np.arange(columns) + 0.5) / columns * 2 - 1) * self.half_height * self.width / self.height
        up = (1 - (np.arange(rows) + 0.5) / rows * 2)[:, None] * self.half_height
        sine, cosine = math.sin(math.radians(pitch)), math.cos(math.radians(pitch))
        forward, rise = cosine - up * sine, sine + up * cosine
        across = np.maximum(np.hypot(right, forward), 1e-6)
        azimuth = np.arctan2(np.broadcast_to(right, across.shape), np.broadcast_to(forward, across.shape))
        return Rays(azimuth.astype(np.float32).ravel(), (rise / across).astype(np.float32).ravel())


HD = Lens()
"""1280 x 720 pixels, 40 degrees high."""
