"""GLB: what is written reads back, in three independent readers and under the Khronos validator; textures join without a line."""

import io
import itertools
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from PIL import Image

from rasters import field_of, rough
from terraloom._glb import read_glb
from terraloom_engines.field import Field
from terraloom_engines.geodesy import ecef_from_tile
from terraloom_engines.gltf import Material, encode_glb
from terraloom_engines.mesh import SEGMENTS, TileMesh, build_mesh, triangles
from terraloom_engines.texture import GUTTER, SEA_COLOUR, Texture, TextureFormat, encode_texture, surface_colour
from terraloom_engines.tiling import TILE_SIZE, TileId

TILE = TileId(9, 266, 181)
NOTICE = "base data: public domain"
HERE = Path(__file__).parent
FORMATS: tuple[TextureFormat, ...] = ("jpeg", "webp")


def smooth_field(tile: TileId) -> Field:
    """Waves of height and of colour, so that a lossy picture has nothing to lose."""
    field = field_of(tile, 48, lambda c, r: 64 * 400 * np.sin(c / 37) * np.cos(r / 29))
    columns, rows = np.meshgrid(tile.x * 256 - 48 + np.arange(352), tile.y * 256 - 48 + np.arange(352))
    for index, channel in enumerate(field.imagery):
        channel[:] = 64 * (128 + 90 * np.sin((columns + 40 * index) / 23) * np.cos(rows / 31))
    field.channel("land")[:] = 255
    return field


def mesh_and_texture(texture_format: TextureFormat | None = "jpeg", segments: int = 64) -> tuple[TileMesh, Texture | None]:
    field = smooth_field(TILE)
    return build_mesh(field, segments), encode_texture(field, texture_format, 90) if texture_format else None


def glb_of(texture_format: TextureFormat | None = "jpeg", segments: int = 64, *, unlit: bool = False) -> bytes:
    mesh, texture = mesh_and_texture(texture_format, segments)
    return encode_glb(mesh, Material(texture, unlit), NOTICE)


@pytest.mark.parametrize("segments", SEGMENTS)
def test_trimesh_reads_the_same_triangles_normals_and_picture(segments: int) -> None:
    mesh, texture = mesh_and_texture("jpeg", segments)
    scene = trimesh.load_scene(io.BytesIO(glb_of("jpeg", segments)), file_type="glb", process=False)
    (geometry,) = scene.geometry.values()
    assert np.array_equal(geometry.vertices, mesh.positions)
    assert np.array_equal(geometry.faces, triangles(segments))
    assert np.array_equal(geometry.vertex_normals.astype(np.float32), mesh.tile_normals)
    picture = geometry.visual.material.baseColorTexture
    assert texture is not None and np.array_equal(picture, Image.open(io.BytesIO(texture.data)))
    uv = geometry.visual.uv * [1, -1] + [0, 1]  # trimesh counts v upward
    assert np.allclose(uv[0], GUTTER / 260) and np.allclose(uv[(segments + 1) ** 2 - 1], 1 - GUTTER / 260)


def test_the_client_reads_the_same_mesh() -> None:
    mesh, texture = mesh_and_texture()
    read = read_glb(glb_of())
    assert np.array_equal(read.positions, mesh.positions) and np.array_equal(read.triangles, triangles(64))
    assert read.normals is not None and np.array_equal(read.normals, mesh.tile_normals)
    assert texture is not None and (read.texture, read.texture_type) == (texture.data, "image/jpeg")


def test_pygltflib_finds_material_bounds_and_provenance() -> None:
    gltf = pygltflib.GLTF2.load_from_bytes(glb_of())
    mesh, _ = mesh_and_texture()
    positions = gltf.accessors[gltf.meshes[0].primitives[0].attributes.POSITION]
    assert np.array_equal(np.float32(positions.min), mesh.positions.min(axis=0))
    assert np.array_equal(np.float32(positions.max), mesh.positions.max(axis=0))
    assert gltf.asset.generator.startswith("terraloom ") and gltf.asset.copyright == NOTICE
    assert gltf.asset.extras["tile"] == "9/266/181"
    assert (gltf.asset.extras["minHeight"], gltf.asset.extras["maxHeight"]) == (mesh.min_height, mesh.max_height)
    assert np.array_equal(np.reshape(gltf.asset.extras["ecefFromTile"], (4, 4)).T, ecef_from_tile(TILE))
    surface = gltf.materials[0].pbrMetallicRoughness
    assert (surface.roughnessFactor, surface.metallicFactor) == (1, 0)
    assert gltf.extensionsUsed == [] and gltf.materials[0].extensions == {}


def test_unlit_on_request() -> None:
    gltf = pygltflib.GLTF2.load_from_bytes(glb_of(unlit=True))
    assert gltf.extensionsUsed == ["KHR_materials_unlit"]
    assert gltf.materials[0].extensions == {"KHR_materials_unlit": {}}


def test_without_texture_there_is_neither_picture_nor_coordinates() -> None:
    read = read_glb(glb_of(None))
    assert read.texture is None and read.uv is None
    assert len(glb_of(None)) < len(glb_of("jpeg"))


def test_colour_mixes_land_and_sea_by_the_land_fraction() -> None:
    field = smooth_field(TILE)
    field.imagery[:] = 200 * 64
    for land, expected in ((255, (200, 200, 200)), (0, SEA_COLOUR), (51, tuple(round(0.2 * 200 + 0.8 * sea) for sea in SEA_COLOUR))):
        field.channel("land")[:] = land
        assert tuple(surface_colour(field)[0, 0]) == expected


@pytest.mark.parametrize(("texture_format", "tolerance"), [("jpeg", 6), ("webp", 0)])
def test_pictures_of_neighbours_show_the_same_pixels_in_their_gutters(texture_format: TextureFormat, tolerance: int) -> None:
    west, east = (
        np.asarray(Image.open(io.BytesIO(encode_texture(smooth_field(tile), texture_format, 90).data)).convert("RGB")).astype(int)
        for tile in (TILE, TileId(TILE.z, TILE.x + 1, TILE.y))
    )
    assert west.shape == (TILE_SIZE + 2 * GUTTER, TILE_SIZE + 2 * GUTTER, 3)
    apart = np.abs(west[:, -2 * GUTTER :] - east[:, : 2 * GUTTER])
    assert apart.max() <= tolerance and apart.mean() < 1.0


def test_jpeg_keeps_chroma_at_full_resolution() -> None:
    texture = encode_texture(field_of(TILE, 48, rough), "jpeg", 90)
    picture = Image.open(io.BytesIO(texture.data))
    assert picture.layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]  # sampling factors of luma: 2, 2 would be 4:2:0


def test_every_combination_passes_the_khronos_validator(tmp_path: Path) -> None:
    if shutil.which("node") is None or not (HERE / "node_modules/gltf-validator").is_dir():
        pytest.skip("the Khronos validator needs Node.js and `npm ci` in tests/ (make test does it where npm is installed)")
    cases = list(itertools.product([None, *FORMATS], SEGMENTS, [False, True]))
    files = [tmp_path / f"{texture_format}-{segments}-{unlit}.glb" for texture_format, segments, unlit in cases]
    for file, (texture_format, segments, unlit) in zip(files, cases, strict=True):
        file.write_bytes(glb_of(texture_format, segments, unlit=unlit))
    ran = subprocess.run(["node", HERE / "validate_glb.cjs", *files], capture_output=True, text=True, check=True)
    reports = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(reports) == len(cases)
    assert [report for report in reports if report["numErrors"] or report["numWarnings"]] == []
