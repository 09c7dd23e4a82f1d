"""Does a world stay itself? Steps across the borders of tiles, and statistics far from where one began: `python -m benchmarks drift`.

Seams: the mean step of neighbouring pixels across the borders of tiles over those in the `NEAR` lines of pixels beside them, 1 where no
border shows. Neighbours agree bit for bit on what they share, so nothing can gape; what could show is the lattice, since a tile's border is
one of pixels of all levels. Down to level 11 tiles hold many borders like their own, those of the base's pixels: all of them count, and
none is among what they are compared with. The floor of the sea is left out, which nobody sees. (Beside whole tiles the ratio varies more
from place to place, as land does.)

Drift: the same statistics at growing distances from places of invented worlds, over seeds and directions. What drifts has a slope over the
logarithm of the distance whose interval does not contain 0. The places are drawn by chance among those with land: where one would be put
down (`spawn`) is chosen, and the rest of the world is not like it. So are the headings: then a place at any distance is as likely to be
here or there as the start. (A quarter of the way round a globe headings of 110 and 290 degrees all end between 20 degrees south and 20
north, where the climate is another.)
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import morphometry
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, Field
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, row_ground_sample_distance, tile_from_place
from terraloom_engines.viewpoint import ViewState, extrapolate
from terraloom_engines.world import World, open_world

PLACES = (
    (8.0, 46.5), (-112.1, 36.1), (-101.5, 38.5), (30.0, -2.0), (5.5, 24.0), (-70.2, -33.4), (86.9, 27.9), (138.5, 36.2), (-60.0, -4.0),
    (-121.7, 46.8), (149.0, -33.0), (20.0, 47.0), (36.0, -3.0),
)  # fmt: skip
SEAM_LEVELS = (6, 8, 10, 12, 14)
BLOCK = 4
"""Tiles along the side of what is looked at."""
NEAR = 12
"""Lines of pixels on the tile's side of a border that it is compared with."""
DISTANCES = (0.0, 10e3, 100e3, 1_000e3, 10_000e3)
"""Metres from the start."""
SEEDS, HEADINGS = tuple(range(1, 9)), 4
"""Worlds, and ways from the start of each: a quarter turn apart, the first by chance."""
NORTHERNMOST = 85.0
"""Degrees of latitude beyond which no planet has tiles to speak of."""
DRIFT_LEVEL = 11
Raster = NDArray[np.float64]


def rasters(field: Field) -> dict[str, Raster]:
    """Elevation (metres) and brightness (8-bit steps) of a tile."""
    ground = field.crop(0)
    return {"elevation": ground.channel("elevation") * ELEVATION_UNIT, "imagery": ground.imagery.mean(axis=0) * COLOUR_UNIT}


def steps(raster: Raster, land: NDArray[np.bool_], every: int) -> tuple[float, float]:
    """Mean absolute step on land across every so many columns, and in the columns beside them that are no such border."""
    both = land[:, 1:] & land[:, :-1]
    total = np.where(both, np.abs(np.diff(raster, axis=1)), 0).sum(axis=0)
    count, place = both.sum(axis=0), np.arange(raster.shape[1] - 1)
    border = place % every == every - 1
    beside = np.array([np.abs(place[border] - column).min() <= NEAR for column in place]) & ~border
    across, around = (float(total[lines].sum() / max(count[lines].sum(), 1)) for lines in (border, beside))
    return across, around


def assembled(world: World, corner: TileId) -> dict[str, NDArray[Any]]:
    """The rasters of `BLOCK` x `BLOCK` tiles from their north-west one on, and where there is land."""
    tiles = [TileId(corner.z, corner.x + i % BLOCK, corner.y + i // BLOCK) for i in range(BLOCK * BLOCK)]
    parts = [world.field(tile, wanted=tiles.__contains__) for tile in tiles]
    found = [rasters(field) | {"land": field.crop(0).channel("land") > 0} for field in parts]
    rows = range(0, len(found), BLOCK)
    return {name: np.block([[each[name] for each in found[row : row + BLOCK]] for row in rows]) for name in found[0]}


def seams() -> dict[str, Any]:
    """Steps across borders over those beside them by level: geometric means over blocks of 4 x 4 tiles at places of Earth."""
    world, out = open_world("earth"), dict[str, Any]()
    for level in SEAM_LEVELS:
        found: dict[str, list[float]] = {"elevation": [], "imagery": []}
        every = min(TILE_SIZE, 1 << (level - world.base_level))
        for place in PLACES:
            tile = tile_from_place(world.kind, level, *place)
            block = assembled(world, TileId(level, tile.x // BLOCK * BLOCK, tile.y // BLOCK * BLOCK))
            land = block.pop("land")
            for name, raster in block.items():
                across, beside = np.mean([steps(raster, land, every), steps(raster.T, land.T, every)], axis=0)
                found[name].append(math.log(max(across, 1e-9) / max(beside, 1e-9)))
        out[f"z{level}"] = {name: interval(values, math.exp) for name, values in found.items()}
    return out


def interval(values: list[float], undo: Any = float) -> dict[str, float]:
    """Mean and 95 % interval (Student's t) of values, after `undo`."""
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return {"mean": round(undo(mean), 3), "low": round(undo(mean - half), 3), "high": round(undo(mean + half), 3)}


def statistics(field: Field, gsd: float) -> dict[str, float]:
    """What is looked at: slope, spectrum and lattice of the ground, brightness and its texture."""
    height, light = rasters(field).values()
    south, east = np.gradient(height, gsd)
    slope = np.degrees(np.arctan(np.hypot(east, south)))
    return {
        "median slope, degrees": float(np.median(slope)), "95th percentile of slope, degrees": float(np.percentile(slope, 95)),
        "spectral slope": morphometry.spectral_slope(height), "axis ratio": morphometry.axis_ratio(height),
        "brightness, 8-bit steps": float(light.mean()), "texture, 8-bit steps": float(np.abs(np.diff(light, axis=0)).mean()),
    }  # fmt: skip


def on_land(field: Field) -> bool:
    """Whether more than half of a tile has land."""
    return bool((field.crop(0).channel("land") > 0).mean() > 0.5)


def start_of(world: World, seed: int) -> tuple[float, float]:
    """East and north (degrees, or metres of a plane) of the first of a seed's random places that has land."""
    rng = np.random.default_rng(seed)
    while True:
        if world.kind is WorldKind.PLANE:
            east, north = rng.uniform(-10_000e3, 10_000e3, 2)
        else:
            east, north = rng.uniform(-180, 180), math.degrees(math.asin(rng.uniform(-1, 1)))
            if abs(north) > NORTHERNMOST:
                continue
        if on_land(world.field(tile_from_place(world.kind, DRIFT_LEVEL, east, north))):
            return float(east), float(north)


def far_statistics(kind: str) -> list[tuple[int, float, dict[str, float]]]:
    """Seed, distance in metres and statistics of a tile there, for all seeds, headings and distances; tiles without land are left out."""
    found = []
    for seed in SEEDS:
        world = open_world(f"{kind}:{seed}")
        east, north = start_of(world, seed)
        headings = np.random.default_rng([seed, 1]).uniform(0, 2 * math.pi) + np.arange(HEADINGS) * (2 * math.pi / HEADINGS)
        ways = [(0.0, 0.0), *((float(heading), distance) for heading in headings for distance in DISTANCES[1:])]
        for heading, distance in ways:
            step = math.sin(heading) * distance, math.cos(heading) * distance, 0.0
            there = extrapolate(ViewState(east, north, 0.0, velocity=step, kind=world.kind), 1.0)
            if world.kind is not WorldKind.PLANE and abs(there.north) > NORTHERNMOST:
                continue
            tile = tile_from_place(world.kind, DRIFT_LEVEL, there.east, there.north)
            field = world.field(tile)
            if on_land(field):
                gsd = row_ground_sample_distance(tile.z, tile.y * TILE_SIZE, world.kind)
                found.append((seed, distance, statistics(field, gsd)))
    return found


def drift(kind: str) -> dict[str, Any]:
    """By statistic: its means by distance, and its slope over log10(1 + kilometres) with a 95 % interval over the starts.

    Tiles round one start are alike: each start counts as one slope.
    """
    rows = far_statistics(kind)
    seeds, decades = np.array([seed for seed, _, _ in rows]), np.log10([1 + distance / 1000 for _, distance, _ in rows])
    out: dict[str, Any] = {"tiles": len(rows), "starts": len(SEEDS)}
    for name in rows[0][2]:
        values = np.array([row[name] for _, _, row in rows])
        groups = {distance: [d == distance for _, d, _ in rows] for distance in DISTANCES}
        by_distance = {
            f"{distance / 1000:.0f} km": round(float(values[group].mean()), 3) for distance, group in groups.items() if any(group)
        }
        slopes = [float(stats.linregress(decades[seeds == seed], values[seeds == seed]).slope) for seed in SEEDS]
        out[name] = {"mean by distance": by_distance, "slope per decade": interval(slopes)}
    return out


def measure() -> dict[str, Any]:
    """All figures of this module."""
    return {"steps across borders over those beside them": seams(), "drift": {kind: drift(kind) for kind in ("plane", "planet")}}
