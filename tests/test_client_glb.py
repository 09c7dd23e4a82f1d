"""The client's GLB reader against files that other libraries write."""

import contextlib
import io
import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from terraloom._glb import read_glb
from terraloom.errors import DataLossError, UnimplementedError


def glb_of(document: dict[str, object], binary: bytes) -> bytes:
    """A GLB from its two chunks, padded as the standard asks."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def quantised_triangle(**changes: object) -> bytes:
    """One triangle with normalised int16 positions under a node that scales by 100 and moves up by 5 (KHR_mesh_quantization)."""
    positions = np.array([[0, 0, 0, 0], [32767, 0, 0, 0], [0, 0, -32767, 0]], "<i2").tobytes()
    document: dict[str, object] = {
        "asset": {"version": "2.0"},
        "extensionsUsed": ["KHR_mesh_quantization"],
        "extensionsRequired": ["KHR_mesh_quantization"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"children": [1], "translation": [0, 5, 0]}, {"mesh": 0, "scale": [100, 100, 100]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5122, "normalized": True, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5121, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 24, "byteStride": 8},
            {"buffer": 0, "byteOffset": 24, "byteLength": 3},
        ],
        "buffers": [{"byteLength": 28}],
    }
    return glb_of(document | changes, positions + bytes([0, 1, 2]))


def test_a_mesh_written_by_trimesh_is_read_as_it_was() -> None:
    picture = Image.new("RGB", (4, 4), (200, 10, 30))
    sphere = trimesh.creation.icosphere(2)
    uv = np.random.default_rng(7).random((len(sphere.vertices), 2)).astype(np.float32)
    sphere.visual = trimesh.visual.TextureVisuals(uv, image=picture)
    mesh = read_glb(sphere.export(file_type="glb", include_normals=True))
    np.testing.assert_array_equal(mesh.positions, sphere.vertices.astype(np.float32))
    np.testing.assert_array_equal(mesh.triangles, sphere.faces)
    np.testing.assert_allclose(mesh.normals, sphere.vertex_normals, atol=1e-6)
    np.testing.assert_allclose(mesh.uv, np.column_stack([uv[:, 0], 1 - uv[:, 1]]), atol=1e-6)  # glTF counts v from the top
    assert mesh.texture is not None
    assert mesh.texture_type == "image/png"
    assert Image.open(io.BytesIO(mesh.texture)).convert("RGB").getpixel((0, 0)) == (200, 10, 30)


def test_several_meshes_are_joined_in_the_frame_of_the_scene() -> None:
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box((1, 1, 1)))
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=trimesh.transformations.translation_matrix((10, 0, 0)))
    mesh = read_glb(scene.export(file_type="glb"))
    assert mesh.triangles.shape == (24, 3)
    assert mesh.triangles.max() == len(mesh.positions) - 1
    np.testing.assert_allclose([mesh.positions[:, 0].min(), mesh.positions[:, 0].max()], [-0.5, 10.5])


def test_quantised_positions_become_metres_through_the_nodes() -> None:
    mesh = read_glb(quantised_triangle())
    np.testing.assert_allclose(mesh.positions, [[0, 5, 0], [100, 5, 0], [0, 5, -100]], rtol=1e-6)
    assert mesh.normals is None
    assert mesh.texture is None


def test_a_node_that_is_its_own_descendant_is_refused() -> None:
    with pytest.raises(DataLossError, match="two parents"):
        read_glb(quantised_triangle(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]))


def test_an_extension_that_is_required_and_unknown_is_named() -> None:
    with pytest.raises(UnimplementedError, match="EXT_meshopt_compression"):
        read_glb(quantised_triangle(extensionsRequired=["EXT_meshopt_compression"]))


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_bytes_are_read_or_refused_but_never_crash(position: int, change: int) -> None:
    glb = bytearray(quantised_triangle())
    glb[position % len(glb)] ^= change
    with contextlib.suppress(DataLossError, UnimplementedError):
        read_glb(bytes(glb))


@given(st.integers(0, 1000))
def test_truncated_bytes_are_refused(length: int) -> None:
    glb = quantised_triangle()
    with pytest.raises(DataLossError):
        read_glb(glb[: length % len(glb)])
