"""Accessors: a mesh as the typed arrays of a GLB, plain for every reader, or quantised and compressed.

Compressed is KHR_mesh_quantization inside EXT_meshopt_compression, whose codec stores differences of bytes from vertex to vertex. So
positions are int16 steps of which 256 lie between two vertices of the grid: the low bytes of x and z hardly change along it. Texture
coordinates count vertices in uint8, and KHR_texture_transform makes fractions of the picture of them. Normals are octahedral, 2 x 8 bits.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import meshopt
import numpy as np
from numpy.typing import NDArray

from terraloom_engines.mesh import TileMesh, rim, triangles
from terraloom_engines.texture import GUTTER, texture_coordinates
from terraloom_engines.tiling import TILE_SIZE, TileId, tile_ground_sample_distance

__all__ = ["Accessor", "Geometry", "MeshCompression", "geometry_of", "position_quantum"]

MeshCompression = Literal["none", "meshopt"]
"""Plain arrays; or KHR_mesh_quantization inside EXT_meshopt_compression."""

_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_BYTE, _UNSIGNED_BYTE, _SHORT, _UNSIGNED_SHORT, _FLOAT = 5120, 5121, 5122, 5123, 5126
_STEPS = 65534
"""Steps between the lowest and the highest int16 coordinate, with one to spare for rounding the middle."""


@dataclass(frozen=True, slots=True)
class Accessor:
    """One array: its semantic ("INDICES" for those), the bytes of its buffer view, and what the document says of both.

    `meshopt` is what the extension says of compressed bytes: byteStride, count, mode and filter.
    """

    semantic: str
    data: bytes = field(repr=False)
    accessor: dict[str, Any]
    view: dict[str, Any]
    meshopt: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Geometry:
    """The arrays of a primitive, and what makes metres and fractions of the picture of them.

    `node` places them in the tile's frame, `texture_transform` (KHR_texture_transform) in the picture; both may be empty.
    """

    accessors: tuple[Accessor, ...]
    node: dict[str, Any] = field(default_factory=dict)
    texture_transform: dict[str, Any] = field(default_factory=dict)


def geometry_of(mesh: TileMesh, compression: MeshCompression, *, textured: bool) -> Geometry:
    """A mesh as arrays: indices, positions, normals and, when `textured`, texture coordinates."""
    geometry = _compressed(mesh) if compression == "meshopt" else _plain(mesh)
    return geometry if textured else Geometry(geometry.accessors[:-1], geometry.node)


def position_quantum(tile: TileId, segments: int, extent: float) -> float:
    """Metres per step of compressed positions: 1/256 of the distance between vertices, doubled until int16 spans `extent` metres."""
    quantum = tile_ground_sample_distance(tile) / segments
    while extent > _STEPS * quantum:
        quantum *= 2
    return quantum


def _plain(mesh: TileMesh) -> Geometry:
    low, high = (bound.tolist() for bound in (mesh.positions.min(axis=0), mesh.positions.max(axis=0)))
    vertices = {"componentType": _FLOAT, "count": len(mesh.positions)}
    return Geometry(
        (
            Accessor("INDICES", triangles(mesh.segments).tobytes(), _indices(mesh.segments), {"target": _ELEMENT_ARRAY_BUFFER}),
            _floats("POSITION", mesh.positions.tobytes(), {**vertices, "type": "VEC3", "min": low, "max": high}),
            _floats("NORMAL", mesh.tile_normals.tobytes(), {**vertices, "type": "VEC3"}),
            _floats("TEXCOORD_0", _coordinates(mesh.segments), {**vertices, "type": "VEC2"}),
        )
    )


def _floats(semantic: str, data: bytes, accessor: dict[str, Any]) -> Accessor:
    return Accessor(semantic, data, accessor, {"target": _ARRAY_BUFFER})


def _indices(segments: int) -> dict[str, Any]:
    return {"componentType": _UNSIGNED_SHORT, "count": triangles(segments).size, "type": "SCALAR"}


@lru_cache(maxsize=3)
def _coordinates(segments: int) -> bytes:
    """Texture coordinates of grid and skirt: equal for all tiles with as many segments."""
    grid = texture_coordinates(segments).reshape(-1, 2)
    return np.concatenate([grid, grid[rim(segments)]]).tobytes()


def _compressed(mesh: TileMesh) -> Geometry:
    quantum = position_quantum(mesh.tile, mesh.segments, float(np.ptp(mesh.positions, axis=0).max()))
    steps = np.rint(mesh.positions.astype(np.float64) / quantum)
    middle = (steps.max(axis=0) + steps.min(axis=0)) // 2
    positions, directions = np.zeros((len(steps), 4), np.int16), np.zeros((len(steps), 4), np.float32)
    positions[:, :3], directions[:, :3] = steps - middle, mesh.tile_normals
    bounds = {"min": positions[:, :3].min(axis=0).tolist(), "max": positions[:, :3].max(axis=0).tolist()}
    normals = meshopt.encode_filter_oct(directions, 4, 8)
    indices, coordinates = _compressed_shared(mesh.segments)
    return Geometry(
        (
            indices,
            _attribute("POSITION", positions, {"componentType": _SHORT, "type": "VEC3", **bounds}),
            _attribute("NORMAL", normals, {"componentType": _BYTE, "normalized": True, "type": "VEC3"}, {"filter": "OCTAHEDRAL"}),
            coordinates,
        ),
        node={"scale": [quantum] * 3, "translation": (middle * quantum).tolist()},
        texture_transform=_texture_transform(mesh.segments),
    )


@lru_cache(maxsize=3)
def _compressed_shared(segments: int) -> tuple[Accessor, Accessor]:
    """Indices and texture coordinates: equal for all tiles with as many segments."""
    indices = triangles(segments)
    side = np.arange(segments + 1)
    grid = np.stack([*np.meshgrid(side, side), *np.zeros((2, segments + 1, segments + 1), int)], axis=-1).reshape(-1, 4)
    coordinates = np.concatenate([grid, grid[rim(segments)]]).astype(np.uint8)
    return (
        Accessor(
            "INDICES",
            meshopt.encode_gltf_buffer(indices, "TRIANGLES"),
            _indices(segments),
            {"target": _ELEMENT_ARRAY_BUFFER},
            {"byteStride": 2, "count": indices.size, "mode": "TRIANGLES"},
        ),
        _attribute("TEXCOORD_0", coordinates, {"componentType": _UNSIGNED_BYTE, "normalized": True, "type": "VEC2"}),
    )


def _attribute(semantic: str, rows: NDArray[Any], accessor: dict[str, Any], codec: dict[str, Any] | None = None) -> Accessor:
    """An attribute whose elements are `rows`, compressed; `codec` adds to what the extension says."""
    stride = rows.shape[1] * rows.itemsize
    return Accessor(
        semantic,
        meshopt.encode_gltf_buffer(rows, "ATTRIBUTES"),
        {**accessor, "count": len(rows)},
        {"byteStride": stride, "target": _ARRAY_BUFFER},
        {"byteStride": stride, "count": len(rows), "mode": "ATTRIBUTES", **(codec or {})},
    )


def _texture_transform(segments: int) -> dict[str, Any]:
    """From the number of a vertex over 255 to the picture, inside the gutter (see `texture_coordinates`)."""
    side = TILE_SIZE + 2 * GUTTER
    return {"offset": [GUTTER / side] * 2, "scale": [255 * TILE_SIZE / segments / side] * 2}
