"""Pyramids of real rasters: each level with its mean and the variance inside its pixels (law of total variance)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Raster = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """One level of a real raster: `mean` (C, H, W), `spread` (H, W) standard deviation inside a pixel, `valid` (H, W), `gsd` in metres.

    Elevation is in metres with C = 1; imagery in 8-bit steps with C = 3, its spread that of the luminance.
    """

    mean: Raster
    spread: Raster
    valid: NDArray[np.bool_]
    gsd: float


def block_mean(values: Raster) -> Raster:
    """Mean of every 2x2 block over the last two axes; an odd last row or column is dropped."""
    height, width = values.shape[-2] // 2 * 2, values.shape[-1] // 2 * 2
    even = values[..., :height, :width]
    return (even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2] + even[..., 1::2, 1::2]) / np.float32(4)


def luminance(mean: Raster) -> Raster:
    """The one channel whose variance travels down: elevation itself, or the mean of red, green and blue."""
    return mean.mean(axis=0)


def coarser(level: Level) -> Level:
    """The parent level. Variance by the law of total variance: V_parent = mean V_child + var of the children's means."""
    fine = luminance(level.mean)
    between = block_mean(fine**2) - block_mean(fine) ** 2
    variance = block_mean(level.spread**2) + np.maximum(between, 0)
    return Level(block_mean(level.mean), np.sqrt(variance), block_mean(level.valid.astype(np.float32)) == 1, level.gsd * 2)


def share_between_children(gsd: float) -> float:
    """Share of a parent's variance that appears between its children of ground sample distance `gsd` on real land.

    0.75 is a plane; measured 0.77 at 90 m and 0.4 to 0.5 at 6 km.
    """
    return float(np.clip(0.77 - 0.053 * np.log2(gsd / 90.0), 0.45, 0.77))


def finest_elevation(elevation: Raster, gsd: float, step: float, valid: NDArray[np.bool_]) -> Level:
    """The finest level of a DEM, its spread estimated from the local gradient, since nothing finer is known.

    A plane of gradient s has s^2 g^2 / 4 between the children of a parent and a third of that inside each; rougher land, more
    (`share_between_children`). Central differences span two pixels and miss part of it: the factor was fitted on seven DEMs
    against their true spreads. `step` is the vertical quantum in metres.
    """
    down, right = np.gradient(elevation)
    missed = 1 + 0.06 * np.clip(np.log2(gsd / 20), 0, 4.5)
    between = (down**2 + right**2) / 4 * missed**2
    for axis in (0, 1):
        between = (np.roll(between, 1, axis) + 2 * between + np.roll(between, -1, axis)) / 4
    share = share_between_children(gsd)
    floor = (0.002 * gsd) ** 2 + step**2 / 12
    return Level(elevation[None], np.sqrt(between * (1 - share) / share + floor).astype(np.float32), valid, gsd)


def finest_imagery(colour: Raster, gsd: float, valid: NDArray[np.bool_]) -> Level:
    """The finest level of an image; its spread is estimated as 0.8 of the local 3x3 standard deviation of the luminance."""
    light = luminance(colour)
    first: Raster = light.copy()
    second: Raster = light**2
    for axis in (0, 1):
        first = (np.roll(first, 1, axis) + first + np.roll(first, -1, axis)) / np.float32(3)
        second = (np.roll(second, 1, axis) + second + np.roll(second, -1, axis)) / np.float32(3)
    spread = 0.8 * np.sqrt(np.maximum(second - first**2, 0)) + 0.3
    return Level(colour, spread.astype(np.float32), valid, gsd)


def pyramid(finest: Level, smallest: int = 48) -> list[Level]:
    """The finest level and every coarser one whose shorter side keeps at least `smallest` pixels."""
    levels = [finest]
    while min(levels[-1].mean.shape[1:]) // 2 >= smallest:
        levels.append(coarser(levels[-1]))
    return levels
