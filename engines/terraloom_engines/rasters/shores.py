"""Land and water of a raster's ground: the sea of its own heights, and Earth's lakes.

An elevation model knows a lake by its surface, Earth by its bed and the height of the water over it. So the two are compared and blended
at what lies open to the sky, and a lake is taken from Earth where the raster is about as high.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, LOG_UNIT, Field

__all__ = ["has_lakes", "lakes_of", "land_of", "open_surface"]

Raster = NDArray[np.float32]
Steps = NDArray[np.int32]
Mask = NDArray[np.bool_]

UNIT = 1 / ELEVATION_UNIT
"""Stored steps of a metre."""
SEA = 0.02
"""Metres up to which flat ground counts as the sea's surface, which is what elevation models have there."""
LAKE = 5.0
"""Metres above Earth's lake, or the spread inside a pixel where that is more, up to which a raster shows the lake, not ground in its place;
as far below it, and again as far, the lake's bed becomes that of the raster."""


def has_lakes(land: Steps, water: Steps) -> bool:
    """Whether Earth has any lake in some pixels of its `land` and `water`."""
    return bool(((water != 0) & (land < LAND_FULL)).any())


def open_surface(field: Field) -> Raster:
    """Elevation of Earth in stored steps, lakes at their surface; the sea at its bed, which fades out under a raster's sea."""
    lake = (field.channel("water") != 0) & (2 * field.channel("land") <= LAND_FULL)
    return np.where(lake, field.channel("water"), field.channel("elevation")).astype(np.float32)


def land_of(elevation: Raster, spread: NDArray[np.int16], earth: Steps) -> tuple[Raster, Steps]:
    """Elevation in stored steps, and the land fraction that goes with it, of a raster's pixels.

    What Earth knows for land stays land, however low it lies; else a pixel is land as far as its heights, a ramp of four spreads, lie above
    the sea. A flat 0 is the sea.
    """
    land = _above(elevation, spread)
    land = np.where((np.abs(elevation) <= SEA * UNIT), 0, land)
    land = np.where(earth == LAND_FULL, LAND_FULL, land)
    return np.where(land == 0, np.minimum(elevation, -2), elevation).astype(np.float32), land.astype(np.int32)


def lakes_of(elevation: Raster, spread: NDArray[np.int16], earth: Field) -> tuple[Mask, Raster, Steps, Steps]:
    """Where Earth has lakes, and the elevation, land fraction and height of the water there, stored steps; `earth` has no halo.

    Where the raster is about as high as a lake, land, water and bed are Earth's; a raster of the bed is water down to it; what lies clearly
    higher is land.
    """
    surface, own, bed = (earth.channel(name) for name in ("water", "land", "elevation"))
    lake = (surface != 0) & (own < LAND_FULL)
    over = (elevation - surface).astype(np.float32)
    near = np.maximum(np.exp2(spread * np.float32(LOG_UNIT)), np.float32(LAKE)) * np.float32(UNIT)
    wet = (2 * own <= LAND_FULL) & (over <= near)
    deep = np.clip(-over / near - 1, 0, 1)
    height = np.where(wet, bed + deep * (elevation - bed), elevation)
    land = np.where(wet, np.where(deep > 0, 0, own), _above(over, spread))
    height = np.where(land == 0, np.minimum(height, surface - 2), height)
    return lake, height.astype(np.float32), land, np.where(land < LAND_FULL, surface, 0)


def _above(over: Raster, spread: NDArray[np.int16]) -> Steps:
    """Land fraction of pixels so many steps over the water."""
    ramp = np.floor(128 + over * LAND_FULL / np.maximum(np.exp2(spread * LOG_UNIT) * (4 * UNIT), 1))
    land = np.clip(ramp, 0, LAND_FULL).astype(np.int32)
    return np.where(over >= 0, np.maximum(land, 128), np.minimum(land, 127)).astype(np.int32)
