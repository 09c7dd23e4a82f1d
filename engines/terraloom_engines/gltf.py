"""GLB: a tile's mesh and texture as glTF 2.0 binary (Khronos glTF 2.0 specification, sections 3 and 4.4).

One scene, one node, one mesh, one primitive; positions, normals and texture coordinates are float32, indices uint16.
"""

import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from terraloom_engines.geodesy import ecef_from_tile
from terraloom_engines.mesh import TileMesh, rim, triangles
from terraloom_engines.texture import Texture, texture_coordinates

__all__ = ["Material", "encode_glb"]

_GLB_MAGIC, _GLB_VERSION, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED_SHORT = 5126, 5123
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071


@dataclass(frozen=True, slots=True)
class Material:
    """How a tile looks: its picture, if it has one, and whether light falls on it.

    Lit is Lambertian (roughness 1, metallic 0); `unlit` (KHR_materials_unlit) shows the texture as it is.
    """

    texture: Texture | None
    unlit: bool = False


def encode_glb(mesh: TileMesh, material: Material, copyright_notice: str) -> bytes:
    """GLB of a tile in its own frame (X east, Y up, Z south, metres).

    `asset.extras` names the tile, its heights above mean sea level and `ecefFromTile`, 16 numbers in glTF's column-major order.
    """
    indices, coordinates = _shared_bytes(mesh.segments)
    texture = material.texture
    parts: list[tuple[bytes, int | None]] = [
        (indices, _ELEMENT_ARRAY_BUFFER),
        (mesh.positions.tobytes(), _ARRAY_BUFFER),
        (mesh.tile_normals.tobytes(), _ARRAY_BUFFER),
    ]
    if texture:
        parts += [(coordinates, _ARRAY_BUFFER), (texture.data, None)]
    document = {
        "asset": _asset(mesh, copyright_notice),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [_primitive(textured=texture is not None)]}],
        "accessors": _accessors(mesh, textured=texture is not None),
        "bufferViews": _buffer_views(parts),
        "buffers": [{"byteLength": sum(len(data) for data, _ in parts)}],
        **_appearance(material),
    }
    return _glb(document, b"".join(data for data, _ in parts))


def _glb(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\x00" * (-len(binary) % 4)
    header = struct.pack("<IIIII", _GLB_MAGIC, _GLB_VERSION, 28 + len(text) + len(binary), len(text), _JSON_CHUNK)
    return b"".join([header, text, struct.pack("<II", len(binary), _BINARY_CHUNK), binary])


@lru_cache(maxsize=3)
def _shared_bytes(segments: int) -> tuple[bytes, bytes]:
    """Indices and texture coordinates (grid, then skirt): equal for all tiles with as many segments."""
    grid = texture_coordinates(segments).reshape(-1, 2)
    return triangles(segments).tobytes(), np.concatenate([grid, grid[rim(segments)]]).tobytes()


def _asset(mesh: TileMesh, copyright_notice: str) -> dict[str, Any]:
    extras = {
        "tile": str(mesh.tile),
        "minHeight": mesh.min_height,
        "maxHeight": mesh.max_height,
        "ecefFromTile": ecef_from_tile(mesh.tile).T.ravel().tolist(),
    }
    return {"version": "2.0", "generator": _generator(), "copyright": copyright_notice, "extras": extras}


@lru_cache(maxsize=1)
def _generator() -> str:
    return f"terraloom {version('terraloom')}"


def _primitive(*, textured: bool) -> dict[str, Any]:
    attributes = {"POSITION": 1, "NORMAL": 2} | ({"TEXCOORD_0": 3} if textured else {})
    return {"attributes": attributes, "indices": 0, "material": 0}


def _accessors(mesh: TileMesh, *, textured: bool) -> list[dict[str, Any]]:
    """One accessor for each buffer view but the picture's, in their order."""
    vertices = {"componentType": _FLOAT, "count": len(mesh.positions)}
    low, high = (bound.tolist() for bound in (mesh.positions.min(axis=0), mesh.positions.max(axis=0)))
    accessors = [
        {"bufferView": 0, "componentType": _UNSIGNED_SHORT, "count": triangles(mesh.segments).size, "type": "SCALAR"},
        {"bufferView": 1, **vertices, "type": "VEC3", "min": low, "max": high},
        {"bufferView": 2, **vertices, "type": "VEC3"},
    ]
    return [*accessors, {"bufferView": 3, **vertices, "type": "VEC2"}] if textured else accessors


def _buffer_views(parts: list[tuple[bytes, int | None]]) -> list[dict[str, Any]]:
    """Views of parts laid end to end; all but the last are multiples of 4 bytes long, so each starts aligned."""
    views, start = [], 0
    for data, target in parts:
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(data)} | ({"target": target} if target else {}))
        start += len(data)
    return views


def _appearance(material: Material) -> dict[str, Any]:
    """Materials, textures, samplers, images and the extensions that they use. The picture is buffer view 4."""
    surface: dict[str, Any] = {"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
    found: dict[str, Any] = {"materials": [surface]}
    used = []
    if material.texture:
        surface["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
        webp = material.texture.media_type == "image/webp"
        found["images"] = [{"bufferView": 4, "mimeType": material.texture.media_type}]
        found["samplers"] = [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE}]
        found["textures"] = [{"sampler": 0, **({"extensions": {"EXT_texture_webp": {"source": 0}}} if webp else {"source": 0})}]
        if webp:
            used.append("EXT_texture_webp")
            found["extensionsRequired"] = ["EXT_texture_webp"]
    if material.unlit:
        surface["extensions"] = {"KHR_materials_unlit": {}}
        used.append("KHR_materials_unlit")
    return found | ({"extensionsUsed": used} if used else {})
