"""Light on a raster of heights."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sun", "hillshade", "slopes", "sunlit"]

SHADOW_REACH = 160
"""Pixels over which a height casts its shadow."""
PENUMBRA = 0.05
"""Width of a shadow's edge, as a difference of slopes."""


@dataclass(frozen=True, slots=True)
class Sun:
    """Where light comes from, in degrees: azimuth clockwise from north, altitude above the horizon."""

    azimuth: float = 315.0
    altitude: float = 40.0

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector to the sun: east, north, up."""
        azimuth, altitude = math.radians(self.azimuth), math.radians(self.altitude)
        return math.sin(azimuth) * math.cos(altitude), math.cos(azimuth) * math.cos(altitude), math.sin(altitude)


def slopes(heights: NDArray[np.floating], metres: NDArray[np.floating] | float) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Rise over run east and north of the inner pixels of `heights` (rows southward), by Horn's 3 x 3 differences.

    `heights` has a ring of one pixel; `metres` is the pixel size, of all or of each inner row, shape (rows, 1). Horn, Hill shading and the
    reflectance map, Proc. IEEE 69 (1981).
    """
    across = heights[:-2] + 2 * heights[1:-1] + heights[2:]
    down = heights[:, :-2] + 2 * heights[:, 1:-1] + heights[:, 2:]
    return (across[:, 2:] - across[:, :-2]) / (8 * metres), (down[:-2] - down[2:]) / (8 * metres)


def hillshade(
    heights: NDArray[np.floating], metres: NDArray[np.floating] | float, sun: Sun = Sun(), exaggeration: float = 1.0
) -> NDArray[np.floating]:
    """Cosine of the angle between light and surface, 0 in its own shadow; 1 faces the sun. Arguments as those of `slopes`."""
    east, north = slopes(heights, metres)
    to_east, to_north, to_up = sun.direction
    facing = to_up - exaggeration * (to_east * east + to_north * north)
    return np.maximum(facing, 0) / np.sqrt(1 + exaggeration**2 * (east * east + north * north))


def sunlit(heights: NDArray[np.float32], metres: float, sun: Sun) -> NDArray[np.float32]:
    """Share of the sun, 0 to 1, that is not behind other ground within `SHADOW_REACH` pixels; same shape as `heights`."""
    rows, columns = heights.shape
    toward = math.sin(math.radians(sun.azimuth)), -math.cos(math.radians(sun.azimuth))  # columns, rows
    tangent = math.tan(math.radians(sun.altitude))
    excess = np.full(heights.shape, -1.0, np.float32)
    for step in _shadow_steps(min(SHADOW_REACH, rows - 1, columns - 1)):
        dx, dy = round(step * toward[0]), round(step * toward[1])
        away = math.hypot(dx, dy) * metres
        here = slice(max(-dy, 0), rows - max(dy, 0)), slice(max(-dx, 0), columns - max(dx, 0))
        there = slice(max(dy, 0), rows - max(-dy, 0)), slice(max(dx, 0), columns - max(-dx, 0))
        np.maximum(excess[here], (heights[there] - heights[here]) / np.float32(away) - np.float32(tangent), out=excess[here])
    lit: NDArray[np.float32] = np.clip(0.5 - excess / np.float32(2 * PENUMBRA), 0, 1)
    return lit


def _shadow_steps(reach: int) -> list[int]:
    """Distances in pixels at which the ground is compared: 1, 2, 3, ... and then ever wider apart, up to `reach`."""
    steps = [1]
    while (following := math.ceil(steps[-1] * 1.18)) <= reach:
        steps.append(following)
    return steps
