"""Reader of glTF 2.0 binary: the arrays of a tile, without a dependency on a glTF library.

Reads what tiles are made of: one scene, nodes with transforms, indexed triangles, accessors of any component type, normalised or not
(KHR_mesh_quantization), compressed or not (EXT_meshopt_compression), textures that are moved and scaled (KHR_texture_transform). Follows
the glTF 2.0 specification, sections 3.6 (binary data) and 4 (GLB).
"""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom._meshopt import decode_view
from terraloom.errors import DataLossError, UnimplementedError

MAGIC, VERSION = 0x46546C67, 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
TRIANGLES = 4
COMPONENT_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
MESHOPT, TEXTURE_TRANSFORM = "EXT_meshopt_compression", "KHR_texture_transform"
READABLE_EXTENSIONS = {"KHR_materials_unlit", "KHR_mesh_quantization", "EXT_texture_webp", MESHOPT, TEXTURE_TRANSFORM}


@dataclass(frozen=True, slots=True)
class Mesh:
    """A tile's triangles in its own frame (X east, Y up, Z south, metres).

    `positions` (n, 3) and `normals` (n, 3) are float32, `uv` (n, 2) float32 with the origin at the texture's top left, `triangles` (m, 3)
    uint32, counter-clockwise seen from outside. `normals`, `uv` and `texture` (an encoded JPEG, WebP or PNG of type `texture_type`) are
    None where the tile has none.
    """

    positions: NDArray[np.float32]
    normals: NDArray[np.float32] | None
    uv: NDArray[np.float32] | None
    triangles: NDArray[np.uint32]
    texture: bytes | None = field(repr=False)
    texture_type: str | None


def read_glb(glb: bytes) -> Mesh:
    """All triangles of the default scene in one mesh; raises `DataLossError` (broken) or `UnimplementedError` (an unknown extension)."""
    try:
        document, binary = _chunks(glb)
        unknown = set(document.get("extensionsRequired", ())) - READABLE_EXTENSIONS
        if unknown:
            raise UnimplementedError(f"GLB needs extensions that this reader lacks: {sorted(unknown)}")
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            return _Reader(document, binary).mesh()
    except (LookupError, ValueError, ArithmeticError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise DataLossError(f"not a valid GLB: {error!r}") from error


def _chunks(glb: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<III", glb)
    if magic != MAGIC or version != VERSION or length != len(glb):
        raise ValueError(f"header {magic:#x}, version {version}, length {length} of {len(glb)} bytes")
    chunks, offset = {}, 12
    while offset < length:
        size, kind = struct.unpack_from("<II", glb, offset)
        chunks[kind] = glb[offset + 8 : offset + 8 + size]
        offset += 8 + size
    return json.loads(chunks[JSON_CHUNK]), chunks.get(BINARY_CHUNK, b"")


def _node_matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    """Local transform of a node, shape (4, 4): `matrix` (column-major) or translation * rotation * scale."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


@dataclass(frozen=True, slots=True)
class _Reader:
    document: dict[str, Any]
    binary: bytes

    def view(self, index: int) -> bytes:
        """Bytes of one buffer view."""
        view = self.document["bufferViews"][index]
        compressed = view.get("extensions", {}).get(MESHOPT)
        stored = view if compressed is None else compressed
        start, end = stored.get("byteOffset", 0), stored.get("byteOffset", 0) + stored["byteLength"]
        if stored["buffer"] != 0 or not 0 <= start <= end <= len(self.binary):
            raise ValueError(f"buffer view {index} ends beyond the binary chunk")
        data = self.binary[start:end]
        if compressed is None:
            return data
        if compressed["count"] * compressed["byteStride"] != view["byteLength"]:
            raise ValueError(f"buffer view {index} is not as long as what it is compressed from")
        return decode_view(data, compressed)

    def accessor(self, index: int) -> NDArray[Any]:
        """Values of one accessor, shape (count, components), in their stored type."""
        accessor = self.document["accessors"][index]
        data = self.view(accessor["bufferView"])
        kind, width = np.dtype(COMPONENT_TYPES[accessor["componentType"]]), COMPONENTS[accessor["type"]]
        stride = self.document["bufferViews"][accessor["bufferView"]].get("byteStride", kind.itemsize * width)
        return np.ndarray(
            (accessor["count"], width), kind, data, offset=accessor.get("byteOffset", 0), strides=(stride, kind.itemsize)
        ).copy()

    def floats(self, index: int) -> NDArray[np.float32]:
        """Values of one accessor as float32; normalised integers become fractions (KHR_mesh_quantization)."""
        values = self.accessor(index)
        if not self.document["accessors"][index].get("normalized", False):
            return values.astype(np.float32)
        fractions: NDArray[np.float32] = np.maximum(values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max), np.float32(-1.0))
        return fractions

    def texture(self) -> tuple[bytes | None, str | None]:
        """The first image's bytes and media type."""
        images = self.document.get("images", [])
        return (self.view(images[0]["bufferView"]), images[0]["mimeType"]) if images else (None, None)

    def placed(self, uv: NDArray[np.float32], primitive: dict[str, Any]) -> NDArray[np.float32]:
        """Texture coordinates where KHR_texture_transform of the primitive's picture puts them."""
        material = self.document["materials"][primitive["material"]] if "material" in primitive else {}
        picture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
        transform = picture.get("extensions", {}).get(TEXTURE_TRANSFORM)
        if transform is None:
            return uv
        if transform.get("rotation", 0.0):
            raise UnimplementedError(f"{TEXTURE_TRANSFORM} with a rotation of {transform['rotation']} is not read here")
        moved: NDArray[np.float32] = (uv * np.array(transform.get("scale", (1.0, 1.0))) + transform.get("offset", (0.0, 0.0))).astype(
            np.float32
        )
        return moved

    def nodes(self) -> list[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Nodes of the default scene, parents first, each with its transform to the scene."""
        scene = self.document["scenes"][self.document.get("scene", 0)]
        waiting = [(index, np.eye(4)) for index in scene["nodes"]]
        found: list[tuple[dict[str, Any], NDArray[np.float64]]] = []
        while waiting:
            if len(found) == len(self.document["nodes"]):
                raise ValueError("a node has two parents")
            index, scene_from_parent = waiting.pop(0)
            node = self.document["nodes"][index]
            scene_from_node = scene_from_parent @ _node_matrix(node)
            found.append((node, scene_from_node))
            waiting += [(child, scene_from_node) for child in node.get("children", ())]
        return found

    def mesh(self) -> Mesh:
        """All primitives of the scene, transformed and joined."""
        parts = [
            self.primitive(primitive, scene_from_node)
            for node, scene_from_node in self.nodes()
            if "mesh" in node
            for primitive in self.document["meshes"][node["mesh"]]["primitives"]
        ]
        positions, normals, uv, triangles = zip(*parts, strict=True)
        starts = np.cumsum([0, *(len(part) for part in positions[:-1])]).astype(np.uint32)
        texture, texture_type = self.texture()
        return Mesh(
            positions=np.concatenate(positions),
            normals=None if any(part is None for part in normals) else np.concatenate(normals),
            uv=None if any(part is None for part in uv) else np.concatenate(uv),
            triangles=np.concatenate([part + start for part, start in zip(triangles, starts, strict=True)]),
            texture=texture,
            texture_type=texture_type,
        )

    def primitive(
        self, primitive: dict[str, Any], scene_from_node: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.uint32]]:
        """Positions, normals, texture coordinates and triangles of one primitive in the scene's frame."""
        if primitive.get("mode", TRIANGLES) != TRIANGLES:
            raise ValueError(f"primitive mode {primitive['mode']}, tiles are made of triangles")
        attributes = primitive["attributes"]
        linear, translation = scene_from_node[:3, :3], scene_from_node[:3, 3]
        positions, normals, uv = (
            self.floats(attributes[name]) if name in attributes else None for name in ("POSITION", "NORMAL", "TEXCOORD_0")
        )
        if positions is None:
            raise ValueError("primitive without positions")
        triangles = self.accessor(primitive["indices"]).astype(np.uint32).reshape(-1, 3)
        if triangles.size and triangles.max() >= len(positions):
            raise ValueError("index beyond the last vertex")
        if uv is not None:
            uv = self.placed(uv, primitive)
        if not np.array_equal(scene_from_node, np.eye(4)):
            positions = (positions @ linear.T + translation).astype(np.float32)
            normals = None if normals is None else _unit(normals @ np.linalg.inv(linear))
        return positions, normals, uv, triangles


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
