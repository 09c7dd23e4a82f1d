"""GLB: what is written reads back, in three independent readers and under the Khronos validator; textures join without a line."""

import io
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from PIL import Image

from rasters import field_of, rough
from terraloom._glb import read_glb
from terraloom_engines.accessors import MeshCompression, position_quantum
from terraloom_engines.field import Field
from terraloom_engines.geodesy import ecef_from_tile
from terraloom_engines.gltf import Material, encode_glb
from terraloom_engines.mesh import SEGMENTS, TileMesh, build_mesh, triangles
from terraloom_engines.texture import GUTTER, SEA_COLOUR, Texture, TextureFormat, encode_texture, surface_colour
from terraloom_engines.tiling import TILE_SIZE, TileId, tile_ground_sample_distance

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


def glb_of(
    texture_format: TextureFormat | None = "jpeg", segments: int = 64, *, unlit: bool = False, compression: MeshCompression = "none"
) -> bytes:
    mesh, texture = mesh_and_texture(texture_format, segments)
    return encode_glb(mesh, Material(texture, unlit), NOTICE, compression)


def combinations(folder: Path, compression: MeshCompression) -> list[Path]:
    """Files of all textures, numbers of segments and materials."""
    files = []
    for texture_format, segments, unlit in itertools.product([None, *FORMATS], SEGMENTS, [False, True]):
        files.append(folder / f"{texture_format}-{segments}-{unlit}.glb")
        files[-1].write_bytes(glb_of(texture_format, segments, unlit=unlit, compression=compression))
    return files


def judge(script: str, module: str, files: list[Path]) -> list[dict[str, object]]:
    """What a script of this folder reports of each file."""
    if shutil.which("node") is None or not (HERE / "node_modules" / module).is_dir():
        pytest.skip(f"{module} needs Node.js and `npm ci` in tests/ (make test does it where npm is installed)")
    ran = subprocess.run(["node", HERE / script, *files], capture_output=True, text=True, check=True)
    reports = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(reports) == len(files)
    return reports


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


@pytest.mark.parametrize(
    ("texture_format", "quality", "most", "mean"), [("jpeg", 90, 6, 1.0), ("webp", 90, 16, 2.0), ("webp", 100, 0, 0.0)]
)
def test_pictures_of_neighbours_show_the_same_pixels_in_their_gutters(
    texture_format: TextureFormat, quality: int, most: int, mean: float
) -> None:
    west, east = (
        np.asarray(Image.open(io.BytesIO(encode_texture(smooth_field(tile), texture_format, quality).data)).convert("RGB")).astype(int)
        for tile in (TILE, TileId(TILE.z, TILE.x + 1, TILE.y))
    )
    assert west.shape == (TILE_SIZE + 2 * GUTTER, TILE_SIZE + 2 * GUTTER, 3)
    apart = np.abs(west[:, -2 * GUTTER :] - east[:, : 2 * GUTTER])
    assert apart.max() <= most and apart.mean() <= mean


def test_jpeg_keeps_chroma_at_full_resolution() -> None:
    texture = encode_texture(field_of(TILE, 48, rough), "jpeg", 90)
    picture = Image.open(io.BytesIO(texture.data))
    assert picture.layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]  # sampling factors of luma: 2, 2 would be 4:2:0


@pytest.mark.parametrize("texture_format", FORMATS)
def test_a_lower_quality_makes_a_smaller_picture(texture_format: TextureFormat) -> None:
    field = field_of(TILE, 48, rough)
    sizes = [len(encode_texture(field, texture_format, quality).data) for quality in (1, 50, 90, 100)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 4


def test_every_combination_passes_the_khronos_validator(tmp_path: Path) -> None:
    for report in judge("validate_glb.cjs", "gltf-validator", combinations(tmp_path, "none")):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report


def test_compressed_files_pass_the_validator_as_they_are_and_as_another_library_decompresses_them(tmp_path: Path) -> None:
    """glTF Transform with meshoptimizer's decoder; the client reads the same numbers from both."""
    files = combinations(tmp_path, "meshopt")
    for report in judge("validate_glb.cjs", "gltf-validator", files):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report
        assert "UNSUPPORTED_EXTENSION" in {message["code"] for message in report["messages"]}  # type: ignore[attr-defined]
    for file, report in zip(files, judge("decompress_glb.mjs", "meshoptimizer", files), strict=True):
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), report
        ours, theirs = read_glb(file.read_bytes()), read_glb(file.with_suffix(".plain.glb").read_bytes())
        assert np.array_equal(ours.positions, theirs.positions) and np.array_equal(ours.triangles, theirs.triangles)
        assert ours.normals is not None and theirs.normals is not None and np.abs(ours.normals - theirs.normals).max() < 0.01
        assert (ours.uv is None) == (theirs.uv is None) and (ours.uv is None or np.array_equal(ours.uv, theirs.uv))
        assert (ours.texture, ours.texture_type) == (theirs.texture, theirs.texture_type)


@pytest.mark.parametrize("segments", SEGMENTS)
def test_a_compressed_mesh_is_the_plain_one_within_half_a_step(segments: int) -> None:
    plain, packed = (read_glb(glb_of("jpeg", segments, compression=compression)) for compression in ("none", "meshopt"))
    gsd = tile_ground_sample_distance(TILE)
    quantum = position_quantum(TILE, segments, 300 * gsd)
    assert quantum == gsd / segments <= gsd / 16
    assert np.abs(packed.positions - plain.positions).max() <= quantum / 2 + 1e-2  # float32 at 40 km
    assert packed.normals is not None and plain.normals is not None and packed.uv is not None and plain.uv is not None
    assert np.degrees(np.arccos(np.clip((packed.normals * plain.normals).sum(axis=1), -1, 1))).max() < 1.5
    assert np.abs(packed.uv - plain.uv).max() * (TILE_SIZE + 2 * GUTTER) < 1e-3
    assert {frozenset(one) for one in packed.triangles.tolist()} == {frozenset(one) for one in plain.triangles.tolist()}
    assert packed.texture == plain.texture


def test_compressed_triangles_face_outward() -> None:
    mesh = read_glb(glb_of(compression="meshopt"))
    a, b, c = (mesh.positions[mesh.triangles[:, corner]] for corner in range(3))
    grid = (mesh.triangles < 65 * 65).all(axis=1)
    assert grid.sum() == 2 * 64 * 64
    assert (np.cross(b - a, c - a)[grid, 1] > 0).all()


def test_steps_grow_until_they_span_the_tile() -> None:
    gsd = tile_ground_sample_distance(TILE)
    assert position_quantum(TILE, 64, 1023 * gsd) == gsd / 64
    assert position_quantum(TILE, 64, 1025 * gsd) == gsd / 32
    mesh = build_mesh(field_of(TileId(18, 136_000, 92_700), 48, rough))
    packed = read_glb(encode_glb(mesh, Material(None), NOTICE, "meshopt"))
    extent = float(np.ptp(mesh.positions, axis=0).max())
    assert np.abs(packed.positions - mesh.positions).max() <= position_quantum(mesh.tile, 64, extent) / 2 + 1e-3


def test_compression_makes_a_tile_several_times_smaller() -> None:
    for segments, ratio in zip(SEGMENTS, (3, 4, 5), strict=True):
        assert len(glb_of(None, segments)) > ratio * len(glb_of(None, segments, compression="meshopt"))


def test_extensions_are_declared_where_they_are_used() -> None:
    def declared(**options: object) -> tuple[list[str], list[str]]:
        gltf = pygltflib.GLTF2.load_from_bytes(glb_of(**options))  # type: ignore[arg-type]
        return gltf.extensionsUsed, gltf.extensionsRequired

    compressed = ["KHR_mesh_quantization", "EXT_meshopt_compression", "KHR_texture_transform"]
    assert declared() == ([], [])
    assert declared(texture_format="webp") == (["EXT_texture_webp"], ["EXT_texture_webp"])
    assert declared(compression="meshopt") == (compressed, compressed)
    assert declared(compression="meshopt", texture_format=None) == (compressed[:2], compressed[:2])
    everything = [*compressed, "EXT_texture_webp"]
    assert declared(compression="meshopt", texture_format="webp", unlit=True) == ([*everything, "KHR_materials_unlit"], everything)


@pytest.mark.parametrize("segments", SEGMENTS)
def test_panda3d_reads_the_same_vertices_triangles_and_picture(segments: int, tmp_path: Path) -> None:
    """In a program of its own: Panda3D keeps threads and state."""
    file = tmp_path / "tile.glb"
    file.write_bytes(glb_of("jpeg", segments))
    code = """if True:
        import json, sys, gltf
        from panda3d.core import NodePath
        root = NodePath(gltf.load_model(sys.argv[1]))
        (geom,) = (node.node().get_geom(0) for node in root.find_all_matches("**/+GeomNode"))
        low, high = root.get_tight_bounds()
        (picture,) = root.find_all_textures()
        counts = geom.get_vertex_data().get_num_rows(), geom.get_primitive(0).get_num_primitives()
        print(json.dumps([*counts, picture.get_x_size(), list(low), list(high)]))"""
    ran = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    vertices, faces, width, low, high = json.loads(ran.stdout.splitlines()[-1])
    mesh, _ = mesh_and_texture("jpeg", segments)
    assert (vertices, faces, width) == (len(mesh.positions), len(triangles(segments)), TILE_SIZE + 2 * GUTTER)
    south_up = mesh.positions[:, [0, 2, 1]] * [1, -1, 1]  # Panda3D: Y north, Z up
    assert np.allclose(low, south_up.min(axis=0), atol=0.01) and np.allclose(high, south_up.max(axis=0), atol=0.01)
