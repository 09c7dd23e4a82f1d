"""What rises and sinks along the boundaries of plates: mountains, plateaus, worn ranges, island arcs, ridges and trenches.

Everything falls to nothing where a third plate is as near as the second, since there the neighbour changes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.curves import Raster, smoothstep
from terraloom_engines.bundle.planet.fractals import Warp
from terraloom_engines.bundle.planet.plates import Boundary

F = np.float32


@dataclass(frozen=True)
class Belts:
    """Shares, 0 to about 1, of what belongs to a boundary: `mountains` where plates close, the broad `plateau` behind them, the `arc` of
    volcanoes on the plate that rides over the other, the `trench`, and the `ridge` where plates part."""

    mountains: Raster
    plateau: Raster
    arc: Raster
    trench: Raster
    ridge: Raster


def belts_of(boundary: Boundary, variety: Raster) -> Belts:
    """The belts along boundaries; `variety`, noise of variance 1, makes them higher and wider in places."""
    taper = smoothstep(boundary.third, 0, 0.12)
    closing = np.clip(boundary.closing * F(1.3), 0, 1.25) * taper
    opening = np.clip(boundary.closing * F(-1.3), 0, 1.25) * taper
    along = np.clip(F(0.75) + F(0.35) * variety, 0.2, 1.4)
    away, distance = boundary.distance / (F(0.5) + F(0.5) * along), boundary.distance
    over = (boundary.plate > boundary.other).astype(np.float32)
    return Belts(
        mountains=closing * along * smoothstep(away, -0.015, 0.014) * (F(1) - smoothstep(away, 0.03, 0.10)),
        plateau=closing * (F(1) - smoothstep(away, 0, 0.2)),
        arc=over * closing * smoothstep(distance, 0.008, 0.022) * (F(1) - smoothstep(distance, 0.026, 0.045)),
        trench=closing * (F(1) - smoothstep(distance, 0, 0.016)),
        ridge=opening * (F(1) - smoothstep(distance, 0, 0.25)),
    )


def worn_belts(seams: Boundary, ages: NDArray[np.float32], variety: list[Raster]) -> Raster:
    """Old mountains, 0 to about 1, along the seams of plates that have long grown together; high where both plates' `ages` are."""
    age = np.take(ages, seams.plate) + np.take(ages, seams.other)
    width = np.maximum(F(0.065) + F(0.026) * variety[0], F(0.015))
    near = F(1) - smoothstep(seams.distance / width, 0.1, 1)
    return np.clip(age - F(0.55), 0, 1) * smoothstep(seams.third, 0, 0.1) * near * np.clip(F(0.6) + F(0.6) * variety[1], 0, 1.2)


def stretched(warp: Warp, boundary: Boundary) -> Warp:
    """Places pulled apart across a boundary, so that noise on them runs along it."""
    pull = F(1.2) * np.minimum(boundary.distance, F(0.25))
    return Warp([place + pull * part for place, part in zip(warp.places, boundary.across, strict=True)], None)
