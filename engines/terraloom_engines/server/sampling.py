"""Sampling: heights of many places, each tile's grid obtained once, from memory, the store, or generated in the queue of all work."""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.heights import Part, parts_by_tile
from terraloom_engines.selection import Priority
from terraloom_engines.server.abreast import for_each
from terraloom_engines.server.checks import count_in_range
from terraloom_engines.server.contents import ContentKey, Contents
from terraloom_engines.server.requests import Sampling

MOST_TILES = 1024
"""Tiles of one request: generated at the finest level they take hours."""
AT_ONCE = 64
"""Tiles of one request that wait in the scheduler's queue at a time."""


async def sampled_heights(contents: Contents, sampling: Sampling, priority: Priority, client: str) -> tuple[NDArray[np.float64], int]:
    """Heights in metres above mean sea level, in the order of the places, and how many tiles they are read from.

    Raises InvalidArgumentError for places in more than `MOST_TILES` tiles, and what generation raises.
    """
    parts = parts_by_tile(sampling.kind, sampling.level, sampling.east, sampling.north)
    count_in_range(f"east (its tiles of level {sampling.level})", len(parts), 0, MOST_TILES)
    heights = np.empty(len(sampling.east))

    async def fill(part: Part) -> None:
        grid = (await contents.get(ContentKey(part.tile, sampling.options), priority, client)).height_grid
        assert grid is not None, "GridOptions make grids"
        heights[part.indices] = grid.sample(part.columns, part.rows)

    await for_each(parts, AT_ONCE, fill)
    return heights, len(parts)
