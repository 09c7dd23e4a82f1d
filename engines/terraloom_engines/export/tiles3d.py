"""A folder of 3D Tiles 1.1: a tree of tiles from a few that cover the region down to the finest level, for any web server or disk."""

import json
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from terraloom_engines.content import TileContent
from terraloom_engines.export.region import Region
from terraloom_engines.export.tile_files import TileFiles, write_whole
from terraloom_engines.mesh import SKIRT_DEPTH, geometric_error
from terraloom_engines.tileset import bounding_region, georeferenced_glb
from terraloom_engines.tiling import MAX_LEVEL, TileId, WorldKind, plane_bounds, tile_ground_sample_distance

__all__ = ["place_round", "tree", "write_tileset"]

MOST_ROOTS = 4
"""Tiles of the coarsest level that is written."""

Heights = tuple[float, float]


def place_round(region: Region) -> Callable[[TileContent], bytes]:
    """What makes a tile's file: its GLB, placed on the ellipsoid, or on a plane in metres from the region's middle."""
    from_origin = np.eye(4)
    if region.kind is WorldKind.PLANE:
        from_origin[:2, 3] = -np.array(region.middle)
    return lambda content: georeferenced_glb(content.glb, from_origin @ content.world_from_tile)


def tree(region: Region, level: int) -> list[list[TileId]]:
    """The tiles of each level, coarse to fine. A tile has all four children or none: what replaces it covers it."""
    start = region.kind.min_level
    while start < level and len(region.tiles(start + 1)) <= MOST_ROOTS:
        start += 1
    levels = [region.tiles(start)]
    for z in range(start, level):
        touched = set(region.tiles(z))
        levels.append([child for tile in levels[-1] if tile in touched for child in tile.children])
    return levels


def write_tileset(files: TileFiles, region: Region, levels: list[list[TileId]]) -> None:
    """Writes tileset.json, once all tiles of `levels` are there; volumes are those of the tiles themselves."""
    branches = _Branches(files, region, {tile for level in levels for tile in level})
    world, error = files.world, 2 * geometric_error(levels[0][0])
    document = {
        "asset": {"version": "1.1", "extras": {"copyright": world.attribution, "world": world.name, "seed": world.seed}},
        "geometricError": error,
        "root": branches.root(levels[0], error),
    }
    write_whole(files.folder / "tileset.json", json.dumps(document, separators=(",", ":")).encode())


class _Branch(NamedTuple):
    """A tile with everything below it as JSON, and the heights between which that lies."""

    tile: dict[str, Any]
    low: float
    high: float


class _Branches:
    """The tree of the tiles that an export has."""

    def __init__(self, files: TileFiles, region: Region, tiles: set[TileId]) -> None:
        self._files, self._region, self._tiles = files, region, tiles

    def root(self, tiles: list[TileId], error: float) -> dict[str, Any]:
        """One tile, or a tile without content over several."""
        branches = [self._branch(tile) for tile in tiles]
        if len(branches) == 1:
            return branches[0].tile
        heights = min(branch.low for branch in branches), max(branch.high for branch in branches)
        volume = _volume(self._region, tiles, heights)
        return {"boundingVolume": volume, "geometricError": error, "refine": "REPLACE", "children": [branch.tile for branch in branches]}

    def _branch(self, tile: TileId) -> _Branch:
        low, high = _heights(self._files.read(tile))
        low -= SKIRT_DEPTH * tile_ground_sample_distance(tile)
        here: dict[str, Any] = {"geometricError": 0.0, "refine": "REPLACE", "content": {"uri": f"tiles/{tile}.glb"}}
        if tile.z < MAX_LEVEL and tile.children[0] in self._tiles:
            below = [self._branch(child) for child in tile.children]
            low, high = min(low, *(branch.low for branch in below)), max(high, *(branch.high for branch in below))
            here |= {"geometricError": geometric_error(tile), "children": [branch.tile for branch in below]}
        return _Branch({"boundingVolume": _volume(self._region, [tile], (low, high)), **here}, low, high)


def _volume(region: Region, tiles: list[TileId], heights: Heights) -> dict[str, list[float]]:
    """A region round tiles of a level, or on a plane a box, in metres from the region's middle."""
    if region.kind is WorldKind.PLANET:
        sides = [bounding_region(tile, heights) for tile in tiles]
        west, east = sides[0][0], sides[-1][2]
        if len(tiles) > 1:  # columns may run on over the antimeridian
            columns = sorted({tile.x for tile in tiles})
            gap = max(range(len(columns)), key=lambda i: (columns[i] - columns[i - 1]) % (1 << tiles[0].z))
            first, last = columns[gap], columns[gap - 1]
            west = next(side[0] for tile, side in zip(tiles, sides, strict=True) if tile.x == first)
            east = next(side[2] for tile, side in zip(tiles, sides, strict=True) if tile.x == last)
        return {"region": [west, min(side[1] for side in sides), east, max(side[3] for side in sides), *heights]}
    bounds = np.array([plane_bounds(tile) for tile in tiles]) - np.tile(region.middle, 2)
    low, high = np.array([*bounds[:, :2].min(axis=0), heights[0]]), np.array([*bounds[:, 2:].max(axis=0), heights[1]])
    return {"box": [*((low + high) / 2).tolist(), *np.diag((high - low) / 2).ravel().tolist()]}


def _heights(glb: bytes) -> Heights:
    """Lowest and highest vertex of a tile's GLB, as it says itself."""
    (length,) = struct.unpack_from("<I", glb, 12)
    extras = json.loads(glb[20 : 20 + length])["asset"]["extras"]
    return extras["minHeight"], extras["maxHeight"]
