"""The client's GLB reader against files that other libraries write."""

import contextlib
import io
import json
import struct

import meshopt
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


def compressed_strip(**changes: object) -> bytes:
    """A strip of 60 triangles at whole metres, its picture coordinates 8 bits wide (EXT_meshopt_compression, KHR_texture_transform)."""
    along = np.arange(62)
    positions = np.stack([along // 2, 0 * along, along % 2, 0 * along], axis=1).astype("<i2")
    coordinates = np.stack([along // 2, along % 2, 0 * along, 0 * along], axis=1).astype(np.uint8)
    indices = (np.arange(60)[:, None] + np.arange(3)).astype("<u2")
    views, chunk = [], b""
    for values, mode, stride in ((positions, "ATTRIBUTES", 8), (coordinates, "ATTRIBUTES", 4), (indices, "TRIANGLES", 2)):
        data = meshopt.encode_gltf_buffer(values, mode)
        extension: dict[str, object] = {"buffer": 0, "byteOffset": len(chunk), "byteLength": len(data), "byteStride": stride}
        extension |= {"mode": mode, "count": values.nbytes // stride}
        strided = {"byteStride": stride} if mode == "ATTRIBUTES" else {}
        views.append({"buffer": 1, "byteLength": values.nbytes, **strided, "extensions": {"EXT_meshopt_compression": extension}})
        chunk += data
    picture = {"index": 0, "extensions": {"KHR_texture_transform": {"offset": [0.5, 0.25], "scale": [255 / 100, 255 / 4]}}}
    document: dict[str, object] = {
        "asset": {"version": "2.0"},
        "extensionsRequired": ["KHR_mesh_quantization", "EXT_meshopt_compression", "KHR_texture_transform"],
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": picture}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5122, "count": 62, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5121, "normalized": True, "count": 62, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": 180, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(chunk)}, {"byteLength": 2048}],
    }
    return glb_of(document | changes, chunk)


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


def test_compressed_views_and_moved_textures_are_read() -> None:
    mesh = read_glb(compressed_strip())
    along = np.arange(62)
    np.testing.assert_array_equal(mesh.positions, np.stack([along // 2, 0 * along, along % 2], axis=1))
    assert {frozenset(triangle) for triangle in mesh.triangles.tolist()} == {frozenset((i, i + 1, i + 2)) for i in range(60)}
    np.testing.assert_allclose(mesh.uv, np.stack([0.5 + along // 2 / 100, 0.25 + along % 2 / 4], axis=1), rtol=1e-6)


def test_a_turned_texture_is_refused_by_name() -> None:
    picture = {"index": 0, "extensions": {"KHR_texture_transform": {"rotation": 0.5}}}
    with pytest.raises(UnimplementedError, match=r"KHR_texture_transform with a rotation of 0\.5"):
        read_glb(compressed_strip(materials=[{"pbrMetallicRoughness": {"baseColorTexture": picture}}]))


def test_a_view_that_says_another_length_than_its_data_is_refused() -> None:
    glb = compressed_strip()
    views = json.loads(glb[20 : 20 + struct.unpack_from("<I", glb, 12)[0]])["bufferViews"]
    views[0]["byteLength"] += 8
    with pytest.raises(DataLossError, match="not as long"):
        read_glb(compressed_strip(bufferViews=views))


def test_a_node_that_is_its_own_descendant_is_refused() -> None:
    with pytest.raises(DataLossError, match="two parents"):
        read_glb(quantised_triangle(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]))


def test_an_extension_that_is_required_and_unknown_is_named() -> None:
    with pytest.raises(UnimplementedError, match="KHR_draco_mesh_compression"):
        read_glb(quantised_triangle(extensionsRequired=["KHR_draco_mesh_compression"]))


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_bytes_are_read_or_refused_but_never_crash(position: int, change: int) -> None:
    for whole in (quantised_triangle(), compressed_strip()):
        glb = bytearray(whole)
        glb[position % len(glb)] ^= change
        with contextlib.suppress(DataLossError, UnimplementedError):
            read_glb(bytes(glb))


@given(st.integers(0, 1000))
def test_truncated_bytes_are_refused(length: int) -> None:
    glb = quantised_triangle()
    with pytest.raises(DataLossError):
        read_glb(glb[: length % len(glb)])
