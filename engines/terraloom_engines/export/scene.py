"""One GLB: the tiles of one level as nodes of one scene, in metres round the region's middle, for Blender and any other reader of glTF."""

import json
import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.geodesy import ecef_from_geodetic
from terraloom_engines.tiling import WorldKind

__all__ = ["join", "world_from_place"]

Matrix = NDArray[np.float64]
_REFERENCES = {
    "accessors": ("bufferView",),
    "images": ("bufferView",),
    "textures": ("sampler", "source"),
    "meshes": (),
    "materials": (),
    "bufferViews": ("buffer",),
    "samplers": (),
}
_LISTS = {"bufferView": "bufferViews", "sampler": "samplers", "source": "images"}


def world_from_place(kind: WorldKind, east: float, north: float) -> Matrix:
    """Frame of a place at height 0, shape (4, 4), to its world's coordinates: X east, Y up, Z south. Degrees, or metres on a plane."""
    matrix = np.eye(4)
    if kind is WorldKind.PLANE:
        matrix[:3, 1:] = [[0.0, 0.0, east], [0.0, -1.0, north], [1.0, 0.0, 0.0]]
        return matrix
    lam, phi = math.radians(east), math.radians(north)
    matrix[:3, 0] = (-math.sin(lam), math.cos(lam), 0.0)
    matrix[:3, 1] = (math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi))
    matrix[:3, 2] = (math.sin(phi) * math.cos(lam), math.sin(phi) * math.sin(lam), -math.cos(phi))
    matrix[:3, 3] = ecef_from_geodetic(east, north, 0.0)
    return matrix


def join(parts: Iterable[tuple[bytes, Matrix]], extras: dict[str, Any], copyright_notice: str) -> bytes:
    """A GLB of GLBs that have one buffer and one scene each. `parts` go with the transforms (4, 4) that place them, on glTF's axes."""
    joined: dict[str, list[Any]] = {name: [] for name in ("nodes", *_REFERENCES)}
    chunk, used, roots = bytearray(), set[str](), []
    generator = ""
    for glb, matrix in parts:
        document, binary = _split(glb)
        first = {name: len(items) for name, items in joined.items()}
        generator = document["asset"]["generator"]
        used |= set(document.get("extensionsUsed", ()))
        for name in _REFERENCES:
            joined[name] += [_moved(name, item, first, len(chunk)) for item in document.get(name, ())]
        nodes = [_node(node, first) for node in document["nodes"]]
        inside = [first["nodes"] + index for index in document["scenes"][document.get("scene", 0)]["nodes"]]
        roots.append(first["nodes"] + len(nodes))
        name = document["asset"]["extras"]["tile"]
        joined["nodes"] += [*nodes, {"name": name, "children": inside, "matrix": matrix.T.ravel().tolist()}]
        chunk += binary + bytes(-len(binary) % 4)
    result = {
        "asset": {"version": "2.0", "generator": generator, "copyright": copyright_notice, "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": roots}],
        **{name: items for name, items in joined.items() if items},
        "buffers": [{"byteLength": len(chunk)}],
        **({"extensionsUsed": sorted(used), "extensionsRequired": sorted(used)} if used else {}),
    }
    text = json.dumps(result, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(chunk), len(text), 0x4E4F534A)
    return b"".join([header, text, struct.pack("<I4s", len(chunk), b"BIN\x00"), chunk])


def _split(glb: bytes) -> tuple[dict[str, Any], bytes]:
    """Document and binary chunk."""
    (length,) = struct.unpack_from("<I", glb, 12)
    document = json.loads(glb[20 : 20 + length])
    return document, glb[28 + length : 28 + length + document["buffers"][0]["byteLength"]]


def _moved(kind: str, item: dict[str, Any], first: dict[str, int], offset: int) -> dict[str, Any]:
    """One object with its indices counted on from what was there before."""
    moved = json.loads(json.dumps(item))
    for key in _REFERENCES[kind]:
        if key in moved and key in _LISTS:
            moved[key] += first[_LISTS[key]]
    match kind:
        case "bufferViews":
            moved["byteOffset"] = moved.get("byteOffset", 0) + offset
        case "materials":
            texture = moved["pbrMetallicRoughness"].get("baseColorTexture")
            if texture:
                texture["index"] += first["textures"]
        case "textures":
            for extension in moved.get("extensions", {}).values():
                extension["source"] += first["images"]
        case "meshes":
            for primitive in moved["primitives"]:
                primitive["attributes"] = {name: first["accessors"] + index for name, index in primitive["attributes"].items()}
                primitive["indices"] += first["accessors"]
                primitive["material"] += first["materials"]
    return moved


def _node(node: dict[str, Any], first: dict[str, int]) -> dict[str, Any]:
    children = {"children": [first["nodes"] + index for index in node["children"]]} if "children" in node else {}
    mesh = {"mesh": first["meshes"] + node["mesh"]} if "mesh" in node else {}
    return {**node, **children, **mesh}
