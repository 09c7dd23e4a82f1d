"""How much there is to do: tiles, bytes and seconds, before the work begins."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from terraloom_engines.tiling import TileId

__all__ = ["Estimate", "ancestry", "estimate"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tiles to write, fields to generate for them, bytes and seconds; the first tile is made already, to know."""

    tiles: int
    generated: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.tiles:,} tiles to make, about {_size(self.bytes)} and {_duration(self.seconds)}"


def ancestry(tiles: Sequence[TileId], base_level: int) -> set[TileId]:
    """The tiles below the base that have to be generated for `tiles`, these included."""
    found: set[TileId] = set()
    for tile in tiles:
        while tile.z > base_level and tile not in found:
            found.add(tile)
            tile = tile.parent
    return found


def estimate(missing: Sequence[TileId], base_level: int, make: Callable[[TileId], int]) -> Estimate:
    """What `missing` will take, told from the first of them, which is made; `make` returns its bytes."""
    if not missing:
        return Estimate(0, 0, 0, 0.0)
    first = len(ancestry(missing[:1], base_level))
    started = time.perf_counter()
    size = make(missing[0])
    each = (time.perf_counter() - started) / max(first, 1)
    generated = len(ancestry(missing, base_level))
    return Estimate(len(missing), generated, size * len(missing), each * max(generated, len(missing)))


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
