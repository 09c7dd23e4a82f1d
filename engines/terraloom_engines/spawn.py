"""A place to start from: dry, and even enough to stand on.

The search goes down a few levels, nearest place first: coarse ones say where there is land, a middle one where it is gentle, the finest
where it is even. What it finds is a function of the world, of where it starts and of the slope allowed, and of nothing else.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import NotFoundError
from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, Field
from terraloom_engines.heights import build_height_grid, sample_heights
from terraloom_engines.tiling import (
    PLANE_METRES,
    TILE_SIZE,
    TileId,
    WorldKind,
    latitude_from_row,
    longitude_from_column,
    pixel_from_place,
    tile_from_place,
    tile_ground_sample_distance,
)
from terraloom_engines.world import World

__all__ = ["LEVELS", "Spawn", "find_spawn"]

LEVELS = (2, 5, 9, 13)
"""Levels of the search: pixels of 39 km, 4.9 km, 306 m and 19 m at the equator."""
TRIES = (4, 12, 6)
"""Places of a tile, by level, that are followed down."""
STANDING = 3
"""Pixels of the finest level along a side of the ground that must be even."""
APART = 24
"""Pixels that places of one level lie apart."""
TEMPERATE = 55.0
"""Degrees of latitude within which a place is looked for where none is given."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """A place: longitude and latitude in degrees (x and y in metres on a plane), its height above mean sea level in metres, and the
    steepest slope of the ground around it in degrees."""

    east: float
    north: float
    height: float
    slope: float


def find_spawn(world: World, near: tuple[float, float] | None = None, slope_max: float = 5.0) -> Spawn:
    """The dry place nearest to `near` whose ground is nowhere steeper than `slope_max` degrees; without `near`, one that the seed chooses.

    Raises NotFoundError when none is found within some thousand kilometres.
    """
    tries = [(near, index) for index in reversed(range(len(LEVELS)))] if near is not None else [(start, 1) for start in _starts(world)]
    for start, index in tries:
        for spot in _search(world, start, slope_max, index):
            return spot
    around = "" if near is None else f" near {near[0]:g},{near[1]:g}"
    raise NotFoundError(f"no dry ground of at most {slope_max:g} degrees was found in {world.name}{around}: allow a steeper slope")


def _starts(world: World) -> Iterator[tuple[float, float]]:
    """Places to start from: the origin of a plane, places all over a planet."""
    if world.kind is WorldKind.PLANE:
        yield 0.0, 0.0
        return
    digest = hashlib.sha256(f"spawn|{world.name}|{world.seed}".encode()).digest()
    for number in range(8):
        east, north = (int.from_bytes(digest[4 * number + part : 4 * number + part + 2]) / 65536 for part in (0, 2))
        yield 360.0 * east - 180.0, TEMPERATE * (2.0 * north - 1.0)


def _search(world: World, start: tuple[float, float], slope_max: float, index: int) -> Iterator[Spawn]:
    """Even places from level `LEVELS[index]` down, nearest first as far as each level knows."""
    if index == len(LEVELS) - 1:
        yield from _even_places(world, start, slope_max)
        return
    for place in _dry_places(world, LEVELS[index], start, slope_max)[: TRIES[index]]:
        target = start if _shares(world, LEVELS[index + 1], start, place) else place
        yield from _search(world, target, slope_max, index + 1)


def _shares(world: World, level: int, first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two places lie in one tile."""
    return tile_from_place(world.kind, level, *first) == tile_from_place(world.kind, level, *second)


def _dry_places(world: World, level: int, target: tuple[float, float], slope_max: float) -> list[tuple[float, float]]:
    """Places of a tile's pure land, nearest to `target` first, gentle ones before steep ones, some way apart."""
    tile = tile_from_place(world.kind, level, *target)
    field = world.field(tile).crop(1)
    dry = field.channel("land")[1:-1, 1:-1] == LAND_FULL
    steep = _slopes(field) > slope_max
    found: list[tuple[float, float]] = []
    taken = np.zeros(dry.shape, np.bool_)
    for row, column in _nearest_first(world.kind, tile, target, dry, steep):
        if not taken[row, column]:
            taken[max(row - APART, 0) : row + APART, max(column - APART, 0) : column + APART] = True
            found.append(_place(tile, column + 0.5, row + 0.5))
    return found


def _even_places(world: World, target: tuple[float, float], slope_max: float) -> Iterator[Spawn]:
    """Places of the finest level's tile that can be stood on, the nearest to `target` alone."""
    tile = tile_from_place(world.kind, LEVELS[2], *target)
    field, half = world.field(tile), STANDING // 2
    near = field.crop(1 + half)
    slopes = np.lib.stride_tricks.sliding_window_view(_slopes(near), (STANDING, STANDING)).max(axis=(2, 3))
    land = np.lib.stride_tricks.sliding_window_view(near.channel("land")[1:-1, 1:-1] == LAND_FULL, (STANDING, STANDING)).all(axis=(2, 3))
    for row, column in _nearest_first(world.kind, tile, target, land & (slopes <= slope_max), np.zeros(land.shape, np.bool_)):
        east, north = _place(tile, column + 0.5, row + 0.5)
        height = sample_heights(lambda t: build_height_grid(world.field(t)), world.kind, tile.z, [east], [north])[0]
        yield Spawn(east, north, float(height), float(slopes[row, column]))
        return


def _slopes(field: Field) -> NDArray[np.float64]:
    """Degrees of the ground's slope, without the outermost ring of a field's pixels."""
    heights = field.channel("elevation") * ELEVATION_UNIT
    east, north = (heights[1:-1, 2:] - heights[1:-1, :-2]) / 2, (heights[:-2, 1:-1] - heights[2:, 1:-1]) / 2
    return np.degrees(np.arctan(np.hypot(east, north) / tile_ground_sample_distance(field.tile)))


def _nearest_first(
    kind: WorldKind, tile: TileId, target: tuple[float, float], allowed: NDArray[np.bool_], worse: NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """Rows and columns of the pixels allowed, nearest to a place first, those that are `worse` last."""
    column, row = pixel_from_place(kind, tile.z, *target)
    rows, columns = np.nonzero(allowed)
    distance = np.hypot(rows + 0.5 + tile.y * TILE_SIZE - row, columns + 0.5 + tile.x * TILE_SIZE - column)
    for index in np.lexsort((columns, rows, distance, worse[rows, columns])):
        yield int(rows[index]), int(columns[index])


def _place(tile: TileId, column: float, row: float) -> tuple[float, float]:
    """Degrees, or metres on a plane, of a place in pixels of a tile."""
    across, down = tile.x * TILE_SIZE + column, tile.y * TILE_SIZE + row
    if tile.kind is WorldKind.PLANE:
        metres = PLANE_METRES / math.ldexp(1, tile.z)
        return across * metres, -down * metres
    return longitude_from_column(tile.z, across), latitude_from_row(tile.z, down)
