"""GLB: a tile's mesh and texture as glTF 2.0 binary (Khronos glTF 2.0 specification, sections 3 and 4.4).

One scene, one node, one mesh, one primitive, one material.
"""

import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from terraloom_engines.accessors import Geometry, MeshCompression, geometry_of
from terraloom_engines.geodesy import world_from_tile
from terraloom_engines.mesh import TileMesh
from terraloom_engines.texture import Texture
from terraloom_engines.tiling import WorldKind

__all__ = ["Material", "encode_glb"]

_GLB_MAGIC, _GLB_VERSION, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071
_BINARY, _FALLBACK = 0, 1
"""Buffers: the binary chunk, and the one that readers fill with what they decompress."""
_QUANTIZATION, _MESHOPT, _TRANSFORM = "KHR_mesh_quantization", "EXT_meshopt_compression", "KHR_texture_transform"
_WEBP, _UNLIT = "EXT_texture_webp", "KHR_materials_unlit"


@dataclass(frozen=True, slots=True)
class Material:
    """How a tile looks: its picture, if it has one, and whether light falls on it.

    Lit is Lambertian (roughness 1, metallic 0); `unlit` (KHR_materials_unlit) shows the texture as it is.
    """

    texture: Texture | None
    unlit: bool = False


def encode_glb(mesh: TileMesh, material: Material, copyright_notice: str, compression: MeshCompression = "none") -> bytes:
    """GLB of a tile in its own frame (X east, Y up, Z south, metres).

    `asset.extras` names the tile, its heights above mean sea level and `ecefFromTile`, or `planeFromTile`, 16 numbers in glTF's
    column-major order.
    """
    geometry = geometry_of(mesh, compression, textured=material.texture is not None)
    views, buffers, binary = _buffers(geometry, material.texture)
    document = {
        "asset": _asset(mesh, copyright_notice),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **geometry.node}],
        "meshes": [{"primitives": [_primitive(geometry)]}],
        "accessors": [{"bufferView": index, **part.accessor} for index, part in enumerate(geometry.accessors)],
        "bufferViews": views,
        "buffers": buffers,
        **_appearance(material, geometry),
        **_extensions(material, geometry),
    }
    return _glb(document, binary)


def _glb(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<IIIII", _GLB_MAGIC, _GLB_VERSION, 28 + len(text) + len(binary), len(text), _JSON_CHUNK)
    return b"".join([header, text, struct.pack("<II", len(binary), _BINARY_CHUNK), binary])


def _buffers(geometry: Geometry, texture: Texture | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bytes]:
    """Buffer views (one for each accessor, the picture's last), buffers and the binary chunk; each view starts at a multiple of 4."""
    views: list[dict[str, Any]] = []
    chunk, fallback = bytearray(), 0
    for part in geometry.accessors:
        stored = {"buffer": _BINARY, "byteOffset": len(chunk), "byteLength": len(part.data)}
        if part.meshopt is None:
            views.append({**stored, **part.view})
        else:
            size = part.meshopt["byteStride"] * part.meshopt["count"]
            decoded = {"buffer": _FALLBACK, "byteOffset": fallback, "byteLength": size}
            views.append({**decoded, **part.view, "extensions": {_MESHOPT: {**stored, **part.meshopt}}})
            fallback += size + -size % 4
        chunk += part.data + bytes(-len(part.data) % 4)
    if texture:
        views.append({"buffer": _BINARY, "byteOffset": len(chunk), "byteLength": len(texture.data)})
        chunk += texture.data + bytes(-len(texture.data) % 4)
    buffers: list[dict[str, Any]] = [{"byteLength": len(chunk)}]
    if fallback:
        buffers.append({"byteLength": fallback, "extensions": {_MESHOPT: {"fallback": True}}})
    return views, buffers, bytes(chunk)


def _asset(mesh: TileMesh, copyright_notice: str) -> dict[str, Any]:
    name = "planeFromTile" if mesh.tile.kind is WorldKind.PLANE else "ecefFromTile"
    extras = {
        "tile": str(mesh.tile),
        "minHeight": mesh.min_height,
        "maxHeight": mesh.max_height,
        name: world_from_tile(mesh.tile).T.ravel().tolist(),
    }
    return {"version": "2.0", "generator": _generator(), "copyright": copyright_notice, "extras": extras}


@lru_cache(maxsize=1)
def _generator() -> str:
    return f"terraloom {version('terraloom')}"


def _primitive(geometry: Geometry) -> dict[str, Any]:
    numbers = {part.semantic: index for index, part in enumerate(geometry.accessors)}
    return {"indices": numbers.pop("INDICES"), "attributes": numbers, "material": 0}


def _appearance(material: Material, geometry: Geometry) -> dict[str, Any]:
    """Materials, textures, samplers and images. The picture's buffer view comes after those of the accessors."""
    surface: dict[str, Any] = {"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
    if material.unlit:
        surface["extensions"] = {_UNLIT: {}}
    if material.texture is None:
        return {"materials": [surface]}
    transform = {"extensions": {_TRANSFORM: geometry.texture_transform}} if geometry.texture_transform else {}
    surface["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0, **transform}
    webp = material.texture.media_type == "image/webp"
    return {
        "materials": [surface],
        "images": [{"bufferView": len(geometry.accessors), "mimeType": material.texture.media_type}],
        "samplers": [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE}],
        "textures": [{"sampler": 0, **({"extensions": {_WEBP: {"source": 0}}} if webp else {"source": 0})}],
    }


def _extensions(material: Material, geometry: Geometry) -> dict[str, Any]:
    """What a reader must know to show the tile, and what it may ignore."""
    required = []
    if any(part.meshopt for part in geometry.accessors):
        required += [_QUANTIZATION, _MESHOPT]
    if geometry.texture_transform:
        required.append(_TRANSFORM)
    if material.texture and material.texture.media_type == "image/webp":
        required.append(_WEBP)
    used = [*required, *([_UNLIT] if material.unlit else [])]
    return ({"extensionsUsed": used} if used else {}) | ({"extensionsRequired": required} if required else {})
