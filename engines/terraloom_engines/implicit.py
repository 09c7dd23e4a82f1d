"""Implicit tiling of 3D Tiles 1.1 (OGC 22-025r4, 8): a plane's quadtree as boxes and binary subtrees.

A plane halves as implicit tiling does, so a client derives every box from the root's. Roots are tiles of `ROOT_LEVEL`, each with a frame
of its own: x east, y north, z up, in metres from the root tile's middle, so that numbers stay small however far out the tile is. Rows of
implicit tiling go north, those of `tiling` south.
"""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bounds import HeightBounds
from terraloom_engines.geodesy import plane_from_tile
from terraloom_engines.mesh import geometric_error
from terraloom_engines.tiling import MAX_LEVEL, TileId, WorldKind, plane_bounds, plane_side, tile_from_place

__all__ = ["ROOT_LEVEL", "SCHEMA", "SUBTREE_LEVELS", "address", "implicit_root", "root_from_tile", "roots_round", "subtree"]

ROOT_LEVEL = 4
"""Level of the roots: 2,097 km along a side."""
SUBTREE_LEVELS = 3
"""Levels of one subtree; as many as lie between bounds that are worth something."""
LEVELS = MAX_LEVEL + 1 - ROOT_LEVEL
"""Levels below and with a root: a multiple of `SUBTREE_LEVELS`, so that the last subtree is full."""
SCHEMA = {
    "id": "terraloom",
    "classes": {
        "tile": {
            "properties": {
                "box": {"type": "SCALAR", "componentType": "FLOAT64", "array": True, "count": 12, "semantic": "TILE_BOUNDING_BOX"},
            }
        }
    },
}
"""What subtrees say of their tiles: a box that holds it and all below it, tighter than the derived one."""

Matrix = NDArray[np.float64]


def roots_round(x: float, y: float) -> list[TileId]:
    """The four roots whose common corner is nearest to a place: at least half a root lies around it on every side."""
    corner = tile_from_place(WorldKind.PLANE, ROOT_LEVEL, x + plane_side(ROOT_LEVEL) / 2, y - plane_side(ROOT_LEVEL) / 2)
    return [root for dy in (-1, 0) for dx in (-1, 0) if (root := corner.neighbour(dx, dy))]


def address(root: TileId, level: int, x: int, y: int) -> TileId:
    """The tile that a root calls `level`, `x`, `y`."""
    last = (1 << level) - 1
    return TileId(root.z + level, (root.x << level) + x, (root.y << level) + last - y, root.kind)


def root_from_tile(root: TileId, tile: TileId) -> Matrix:
    """Transform of a tile's frame (glTF axes) to its root's, shape (4, 4); exact."""
    matrix = plane_from_tile(tile).copy()
    matrix[:3, 3] -= plane_from_tile(root)[:3, 3]
    return matrix


def box_of(root: TileId, tile: TileId, heights: tuple[float, float]) -> list[float]:
    """A tile between two heights as a box of 3D Tiles in its root's frame: middle and half axes."""
    x, y, _ = root_from_tile(root, tile)[:3, 3]
    half, (low, high) = plane_side(tile.z) / 2, heights
    return [x, y, (low + high) / 2, half, 0.0, 0.0, 0.0, half, 0.0, 0.0, 0.0, (high - low) / 2]


def implicit_root(bounds: HeightBounds, x: float, y: float, content: str, subtrees: str) -> dict[str, Any]:
    """A root as a tile of a tileset whose origin is the place (x, y). `content` and `subtrees` are URI templates."""
    root = bounds.tile
    west, south, east, north = plane_bounds(root)
    offset = np.eye(4)
    offset[:2, 3] = (west - x) + (east - west) / 2, (south - y) + (north - south) / 2
    return {
        "transform": offset.T.ravel().tolist(),
        "boundingVolume": {"box": box_of(root, root, bounds.of(root))},
        "geometricError": geometric_error(root),
        "refine": "REPLACE",
        "content": {"uri": content},
        "implicitTiling": {
            "subdivisionScheme": "QUADTREE",
            "subtreeLevels": SUBTREE_LEVELS,
            "availableLevels": LEVELS,
            "subtrees": {"uri": subtrees},
        },
    }


def subtree(root: TileId, bounds: HeightBounds) -> bytes:
    """The binary subtree that starts at `bounds.tile`: every tile is there, and each has its box."""
    boxes = [box_of(root, tile, bounds.of(tile)) for depth in range(SUBTREE_LEVELS) for tile in _z_order(bounds.tile, depth)]
    data = np.array(boxes, "<f8").tobytes()
    document = {
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": len(data)}],
        "propertyTables": [{"class": "tile", "count": len(boxes), "properties": {"box": {"values": 0}}}],
        "tileMetadata": 0,
        "tileAvailability": {"constant": 1},
        "contentAvailability": [{"constant": 1}],
        "childSubtreeAvailability": {"constant": int(bounds.tile.z + SUBTREE_LEVELS <= MAX_LEVEL)},
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<4sIQQ", b"subt", 1, len(text), len(data)) + text + data


def _z_order(tile: TileId, depth: int) -> list[TileId]:
    """Descendants in Morton order: the bits of y, northward, above those of x."""
    tiles = [tile]
    for _ in range(depth):
        tiles = [child for tile in tiles for child in (tile.children[2], tile.children[3], tile.children[0], tile.children[1])]
    return tiles
