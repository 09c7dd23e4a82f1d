"""Tiles from a world that has generated nothing: the first (TTFT), the next ones along a strip (TTST), and those of an area."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from terraloom_engines.bench.stages import TILE_PIXELS
from terraloom_engines.bundle import Bundle
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.cascade import never, nobody
from terraloom_engines.content import ContentOptions, build_content
from terraloom_engines.field import Field
from terraloom_engines.networks import Networks
from terraloom_engines.tiling import TileId, tile_from_lonlat
from terraloom_engines.world import FieldMemory, World

PLACE = (8.0, 46.5)
"""Longitude and latitude of what is generated: the Alps, where every pixel is land."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is generated: the first tile of some levels, a strip of tiles of one level, a square two levels coarser, of a power of 2."""

    first_levels: tuple[int, ...] = (9, 12, 15)
    strip_level: int = 15
    strip: int = 16
    area: int = 4
    repeats: int = 6
    """Of a network's call, and of the ceilings."""


QUICK = Effort(strip=6, area=2, repeats=3)


class CountingMemory(FieldMemory):
    """Counts the fields that are made, by level: each is one step of the cascade, or a tile of the base."""

    def __init__(self) -> None:
        super().__init__()
        self.made = Counter[int]()

    def put(self, world: str, field: Field) -> None:
        self.made[field.tile.z] += 1
        super().put(world, field)


@dataclass(frozen=True, slots=True)
class Generation:
    """Seconds to the first tile by level; a strip of new tiles with their GLBs; an area with all its ancestors.

    On the strip all siblings are wanted, as in a flight: `next_tile_s` is a mean over all that it made of its level. `steps_per_s` counts
    its tiles of all levels as a client gets them: generated, meshed and encoded.
    """

    first_tile_s: dict[int, float]
    next_tile_s: float
    strip_us_per_pixel: float
    area_us_per_pixel: float
    glb_ms: float
    steps_per_s: float


def generation(bundle: Bundle, networks: Networks, effort: Effort) -> Generation:
    """Measures on a world of its own, which keeps nothing but what fits into memory."""
    memory = CountingMemory()
    world = World("earth", 0, EarthBase(bundle.folder), networks, memory, None)
    with networks.lock:
        networks.joined()  # loads what siblings are made with, which is no part of a tile's time
    first = {}
    for level in effort.first_levels:
        world.forget()
        first[level] = _seconds(world, tile_from_lonlat(level, *PLACE), nobody)
    start, encoding, seconds = tile_from_lonlat(effort.strip_level, *PLACE), [], 0.0
    world.field(start)
    memory.made.clear()
    for step in range(2, effort.strip + 2):
        tile = TileId(start.z, start.x // 2 * 2 + step, start.y)
        seconds += _seconds(world, tile, lambda _: True)
        begin = time.perf_counter()
        build_content(world, tile, ContentOptions(), never)
        encoding.append(time.perf_counter() - begin)
    steps, encode = memory.made.total(), sorted(encoding)[len(encoding) // 2]
    each = seconds / memory.made[start.z]
    area = _area(world, effort)
    return Generation(first, each, 1e6 * each / TILE_PIXELS, area, 1e3 * encode, steps / (seconds + steps * encode))


def _area(world: World, effort: Effort) -> float:
    """Microseconds per pixel of a square whose ancestors are generated along with it."""
    corner, side = tile_from_lonlat(effort.strip_level - 2, *PLACE), effort.area
    x, y = corner.x // side * side, corner.y // side * side
    world.forget()
    world.field(TileId(corner.z, x, y).ancestor(corner.z - side.bit_length() + 1))
    wanted = {TileId(corner.z, x + dx, y + dy) for dy in range(side) for dx in range(side)}
    wanted |= {tile.ancestor(level) for tile in wanted for level in range(corner.z - side.bit_length() + 2, corner.z)}
    seconds = sum(_seconds(world, tile, wanted.__contains__) for tile in sorted(wanted))
    return 1e6 * seconds / (side * side * TILE_PIXELS)


def _seconds(world: World, tile: TileId, wanted: Callable[[TileId], bool]) -> float:
    """For one field, given what else is wanted: siblings may be made together."""
    start = time.perf_counter()
    world.field(tile, wanted=wanted)
    return time.perf_counter() - start
