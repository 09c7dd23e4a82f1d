"""3D Tiles 1.1 (OGC 22-025r4): bounding volumes and tilesets of a planet's quadtree, and GLBs placed on the ellipsoid.

Implicit tiling halves the latitudes of a region; Web Mercator's rows do not. So a planet's tileset is explicit: a tree of JSON tilesets,
each of `SUBTREE_LEVELS` levels or, at the root, a few more, whose last level refers to the next ones. Every tile says its own region and
heights.

Geometric errors are those of `selection`, so a client that refines by screen-space error takes the tiles that a gRPC stream would send.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bounds import HeightBounds
from terraloom_engines.mesh import geometric_error
from terraloom_engines.polar import is_on_rim
from terraloom_engines.tiling import TileId, lonlat_bounds

__all__ = [
    "ALWAYS_REFINED",
    "SUBTREE_LEVELS",
    "Links",
    "bounding_region",
    "depth_of_rasters",
    "georeferenced_glb",
    "is_subtree_root",
    "subtree_levels",
    "tileset",
    "with_caps",
]

SUBTREE_LEVELS = 3
"""Levels of tiles that one tileset names. Measured from 4 km over the Alps: 2, 3 and 4 levels took 177, 113 and 89 tilesets (9, 6 and 4
in a row) of 0.7, 1.7 and 8.8 kB for one view of 361 tiles."""

ROOT_DEPTH = 2
"""Levels below the root whose 16 rasters, stored ones, bound the first levels of the world."""

ALWAYS_REFINED = 1e9
"""Geometric error, in metres, of tiles without content: from any distance there is something to see below them."""

Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Takes earth-centred axes to glTF's; clients of 3D Tiles turn them back."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where a tileset's files are, relative to the tileset itself."""

    content: Callable[[TileId], str]
    """URI of a tile's GLB."""
    subtree: Callable[[TileId], str]
    """URI of the tileset whose root is a tile."""
    cap: Callable[[TileId], str]
    """URI of the GLB of the polar cap's sector beyond a tile of the rim."""


def is_subtree_root(tile: TileId, max_level: int) -> bool:
    """Whether a tileset starts at `tile`: at level 0, and so that the last ones end at `max_level`, the world's last."""
    return tile.z == 0 or (SUBTREE_LEVELS <= tile.z <= max_level and (max_level + 1 - tile.z) % SUBTREE_LEVELS == 0)


def subtree_levels(tile: TileId, max_level: int) -> int:
    """Levels of the tileset that starts at `tile`."""
    return SUBTREE_LEVELS if tile.z else min(SUBTREE_LEVELS + (max_level + 1) % SUBTREE_LEVELS, max_level + 1)


def depth_of_rasters(tile: TileId) -> int:
    """Levels below the root of a tileset whose rasters bound its heights: the world's own pixels are too coarse for its first levels."""
    return ROOT_DEPTH if tile.z == 0 else 0


def bounding_region(tile: TileId, heights: tuple[float, float]) -> list[float]:
    """West, south, east, north in radians, lowest and highest metres."""
    return [*(math.radians(angle) for angle in lonlat_bounds(tile)), *heights]


def tileset(bounds: HeightBounds, max_level: int, links: Links, asset: dict[str, Any]) -> dict[str, Any]:
    """The tileset whose root is `bounds.tile`, as many levels of it as there are bounds; further tilesets go on down to `max_level`.

    A tile of its last level refers to its four children's tilesets. `asset` goes into its asset beside the version.
    """
    return {
        "asset": {"version": "1.1", **asset},
        "geometricError": 2 * geometric_error(bounds.tile),
        "root": {**_tile(bounds.tile, bounds, max_level, links), "refine": "REPLACE"},
    }


def with_caps(planet: dict[str, Any], bounds: HeightBounds, last: int, links: Links) -> dict[str, Any]:
    """The tileset `planet` of a whole planet, made of `bounds`, with both polar caps: sectors of levels 1 to `last` (see `polar`)."""
    caps = [_sector(TileId(1, x, y), bounds, last, links) for y in (0, 1) for x in (0, 1)] if last >= 1 else []
    root = {
        "boundingVolume": {"region": [-math.pi, -math.pi / 2, math.pi, math.pi / 2, *bounds.of(bounds.tile)]},
        "geometricError": ALWAYS_REFINED,
        "refine": "REPLACE",
        "children": [planet["root"], *caps],
    }
    return {**planet, "geometricError": ALWAYS_REFINED, "root": root}


def _sector(tile: TileId, bounds: HeightBounds, last: int, links: Links) -> dict[str, Any]:
    """A sector within the heights of the rim, which no point of a cap exceeds."""
    west, south, east, north = (math.radians(angle) for angle in lonlat_bounds(tile))
    known, row = min(tile.z, len(bounds.low) - 1), 0 if tile.y == 0 else -1
    heights = float(bounds.low[known][row].min()), float(bounds.high[known][row].max())
    rim = [west, north, east, math.pi / 2] if tile.y == 0 else [west, -math.pi / 2, east, south]
    finer = [child for child in tile.children if is_on_rim(child)] if tile.z < last else []
    below = {"children": [_sector(child, bounds, last, links) for child in finer]} if finer else {}
    return {
        "boundingVolume": {"region": [*rim, *heights]},
        "geometricError": geometric_error(tile),
        "content": {"uri": links.cap(tile)},
        **below,
    }


def _tile(tile: TileId, bounds: HeightBounds, max_level: int, links: Links) -> dict[str, Any]:
    here: dict[str, Any] = {
        "boundingVolume": {"region": bounding_region(tile, bounds.of(tile))},
        "geometricError": geometric_error(tile),
        "content": {"uri": links.content(tile)},
    }
    if tile.z >= max_level:
        return here
    if tile.z + 1 < bounds.tile.z + len(bounds.low):
        return {**here, "children": [_tile(child, bounds, max_level, links) for child in tile.children]}
    return {**here, "children": [_reference(child, bounds.of(tile), links) for child in tile.children]}


def _reference(tile: TileId, heights: tuple[float, float], links: Links) -> dict[str, Any]:
    """The place of a tile that another tileset describes, within the heights of its parent."""
    return {
        "boundingVolume": {"region": bounding_region(tile, heights)},
        "geometricError": geometric_error(tile),
        "content": {"uri": links.subtree(tile)},
    }


def georeferenced_glb(glb: bytes, ecef_from_tile: NDArray[np.float64]) -> bytes:
    """The same GLB with its scene under one node that places it: earth-centred, on glTF's axes, as 3D Tiles wants it.

    The matrix is in JSON, so double precision; vertices stay small numbers in the tile's own frame.
    """
    (length,) = struct.unpack_from("<I", glb, 12)
    document = json.loads(glb[20 : 20 + length])
    matrix = (Y_UP_FROM_Z_UP @ ecef_from_tile).T.ravel().tolist()
    scene = document["scenes"][document.get("scene", 0)]
    document["nodes"].append({"children": scene["nodes"], "matrix": matrix})
    scene["nodes"] = [len(document["nodes"]) - 1]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    rest = memoryview(glb)[20 + length :]
    return b"".join([struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON"), text, rest])
