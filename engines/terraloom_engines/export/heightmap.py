"""Heightmaps: a square of ground as 16-bit grey and JSON with what Unity's and Unreal's terrain import asks for.

Samples are evenly spaced in metres on the plane that touches the ellipsoid in the middle; heights are above mean sea level, so the
ground is laid flat as engines want it.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.export.mosaic import heights
from terraloom_engines.export.region import PixelBox, Region
from terraloom_engines.export.tile_files import TileFiles, write_whole
from terraloom_engines.geodesy import ECCENTRICITY_SQUARED, SEMI_MAJOR_AXIS
from terraloom_engines.tiling import MAX_LATITUDE, PLANE_METRES, TILE_SIZE, WorldKind

__all__ = ["pixels_under", "write_heightmap"]

Array = NDArray[np.float64]
FULL = 65_535


def pixels_under(region: Region, level: int, metres: float, samples: int) -> tuple[Array, Array]:
    """Global pixel columns and rows, fractional, shape (samples, samples), under a square of `metres` round the region's middle.

    Rows go southward from the northern edge. On a planet columns may run on over the antimeridian.
    """
    along = np.linspace(-metres / 2, metres / 2, samples)
    east, north = np.meshgrid(along, -along)
    x, y = region.middle
    if region.kind is WorldKind.PLANE:
        pixel = PLANE_METRES / (1 << level)
        return (x + east) / pixel, -(y + north) / pixel
    turn, latitude = _geodetic(east, north, y)
    size = TILE_SIZE << level
    columns = ((x + 180.0) / 360.0 + turn / math.tau) * size
    limit = math.radians(MAX_LATITUDE)
    rows = (1 - np.arcsinh(np.tan(np.clip(latitude, -limit, limit))) / math.pi) / 2 * size
    return columns, rows


def _geodetic(east: Array, north: Array, latitude: float) -> tuple[Array, Array]:
    """Radians of longitude from the middle, and of latitude, below points of the plane that touches the ellipsoid at `latitude`.

    The ellipsoid's normal through a point of the plane, by Bowring's formula (Survey Review 23, 1976).
    """
    sine, cosine = math.sin(math.radians(latitude)), math.cos(math.radians(latitude))
    radius = SEMI_MAJOR_AXIS / math.sqrt(1 - ECCENTRICITY_SQUARED * sine * sine)
    across = radius * cosine - sine * north
    upward = radius * (1 - ECCENTRICITY_SQUARED) * sine + cosine * north
    distance = np.hypot(across, east)
    minor = SEMI_MAJOR_AXIS * math.sqrt(1 - ECCENTRICITY_SQUARED)
    angle = np.arctan2(upward * SEMI_MAJOR_AXIS, distance * minor)
    second = ECCENTRICITY_SQUARED / (1 - ECCENTRICITY_SQUARED)
    rise = upward + second * minor * np.sin(angle) ** 3
    run = distance - ECCENTRICITY_SQUARED * SEMI_MAJOR_AXIS * np.cos(angle) ** 3
    return np.arctan2(east, across), np.arctan2(rise, run)


def box_of(level: int, columns: Array, rows: Array) -> PixelBox:
    """The pixels that samples between them read."""
    left, top = math.floor(columns.min() - 0.5), math.floor(rows.min() - 0.5)
    return PixelBox(level, left, top, math.floor(columns.max() - 0.5) + 2, math.floor(rows.max() - 0.5) + 2)


def write_heightmap(files: TileFiles, region: Region, level: int, metres: float, samples: int, file: Path) -> dict[str, Any]:
    """Writes `file` (PNG, 16-bit grey, north at the top) and the JSON beside it, which is returned."""
    columns, rows = pixels_under(region, level, metres, samples)
    box = box_of(level, columns, rows)
    sampled = _bilinear(heights(files, box), columns - 0.5 - box.left, rows - 0.5 - box.top)
    low, high = float(sampled.min()), float(sampled.max())
    span = max(high - low, 1.0)
    steps = np.rint((sampled - low) * (FULL / span)).astype(np.uint16)
    partial = file.with_name(file.name + ".partial")
    Image.fromarray(steps).save(partial, "PNG")
    partial.replace(file)
    description = _description(files, region, metres, samples, (low, low + span))
    write_whole(file.with_suffix(".json"), json.dumps(description, indent=1).encode())
    return description


def _bilinear(raster: NDArray[np.float32], columns: Array, rows: Array) -> Array:
    """`raster` between pixel centres."""
    left = np.clip(columns.astype(np.int64), 0, raster.shape[1] - 2)
    top = np.clip(rows.astype(np.int64), 0, raster.shape[0] - 2)
    u, v = columns - left, rows - top
    upper = raster[top, left] * (1 - u) + raster[top, left + 1] * u
    lower = raster[top + 1, left] * (1 - u) + raster[top + 1, left + 1] * u
    mixed: Array = upper * (1 - v) + lower * v
    return mixed


def _description(files: TileFiles, region: Region, metres: float, samples: int, span: tuple[float, float]) -> dict[str, Any]:
    """Sizes in metres, and the numbers to type into import dialogs. Unreal counts in centimetres: 65,536 steps are 512 m at scale 100."""
    low, high = span
    east, north = region.middle
    middle = {"longitude": east, "latitude": north} if region.kind is WorldKind.PLANET else {"x": east, "y": north}
    spacing = metres / (samples - 1)
    return {
        "world": files.world.name,
        "seed": files.world.seed,
        "attribution": files.world.attribution,
        "middle": middle,
        "size_metres": metres,
        "samples": samples,
        "spacing_metres": spacing,
        "min_height_metres": low,
        "max_height_metres": high,
        "metres_per_step": (high - low) / FULL,
        "rows": "north to south",
        "unity": {"heightmap_resolution": samples, "terrain_size": {"x": metres, "y": high - low, "z": metres}, "position_y": low},
        "unreal": {
            "scale": {"x": 100 * spacing, "y": 100 * spacing, "z": (high - low) * 100 * 128 / FULL},
            "location_z": 100 * (low + (high - low) * 32_768 / FULL),
        },
    }
