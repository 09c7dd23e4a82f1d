"""Does relief survive eleven levels? Slopes of generated land beside those of real land of the same place and pixel size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import LAND_FULL
from terraloom_engines.tiling import TileId, row_ground_sample_distance, tile_from_lonlat
from terraloom_engines.world import World, open_world

REAL = {
    "Alps": ((8.5, 46.5), 27.0, 45.0, 90), "Everest": ((86.5, 27.6), 25.0, 43.0, 90), "Idaho ranges": ((-113.6, 43.9), 16.0, 39.0, 30),
    "Ozarks": ((-92.7, 38.15), 6.0, 15.0, 30), "Texas plains": ((-97.33, 32.67), 1.1, 3.2, 90),
}  # fmt: skip
"""Place (longitude, latitude), real median and 95th percentile of slope in degrees, and the metres per pixel they were measured at."""
LEVELS = (7, 9, 10, 11, 12, 13, 15)


def slopes(world: World, tile: TileId) -> NDArray[np.float64]:
    """Slope in degrees of every land pixel of a tile, from central differences."""
    field = world.field(tile).crop(1)
    height = field.channel("elevation") / 64
    gsd = np.array([row_ground_sample_distance(tile.z, tile.y * 256 + row) for row in range(256)])[:, None]
    east = (height[1:-1, 2:] - height[1:-1, :-2]) / (2 * gsd)
    south = (height[2:, 1:-1] - height[:-2, 1:-1]) / (2 * gsd)
    land = field.crop(0).channel("land") == LAND_FULL
    return np.degrees(np.arctan(np.hypot(east, south)))[land]


def region_slopes(world: World, place: tuple[float, float], level: int, across: int = 3) -> NDArray[np.float64]:
    """Slopes of `across` x `across` tiles spread over the z 8 tile of a place (a fine tile alone may lie on one cliff)."""
    tiles = set()
    for i in range(across):
        for j in range(across):
            offset = 0.5 / across
            tiles.add(tile_from_lonlat(level, place[0] + (i / across - 0.5 + offset) * 1.0, place[1] + (j / across - 0.5 + offset) * 0.8))
    return np.concatenate([slopes(world, tile) for tile in sorted(tiles)])


def measure() -> dict[str, Any]:
    """Median and 95th percentile of slope by region and level, with the ratio to real land at the real land's pixel size."""
    world, out = open_world("earth"), {}
    for region, (place, median, high, metres) in REAL.items():
        rows = {}
        for level in LEVELS:
            angle = region_slopes(world, place, level)
            middle, upper = (float(round(v, 2)) for v in np.percentile(angle, [50, 95]))
            tile = tile_from_lonlat(level, *place)
            rows[f"z{level}"] = {"metres": round(row_ground_sample_distance(level, tile.y * 256), 1), "median": middle, "p95": upper}
        at = min(rows.values(), key=lambda row: abs(np.log(row["metres"] / metres)))
        out[region] = {
            "real": {"metres": metres, "median": median, "p95": high}, "generated": rows,
            "ratio_at_real_metres": {"median": round(at["median"] / median, 2), "p95": round(at["p95"] / high, 2)},
        }  # fmt: skip
    return out
