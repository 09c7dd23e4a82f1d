"""Exports, read back by readers that nobody here wrote where there are some."""

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from terraloom.errors import InvalidArgumentError
from terraloom_engines.content import ContentOptions
from terraloom_engines.export.estimate import ancestry
from terraloom_engines.export.formats import Order, format_of, job
from terraloom_engines.export.heightmap import pixels_under
from terraloom_engines.export.region import Region
from terraloom_engines.export.tiles3d import tree
from terraloom_engines.field import ELEVATION_UNIT
from terraloom_engines.heights import build_height_grid
from terraloom_engines.mesh import surface_elevation
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, lonlat_bounds, pixel_from_lonlat
from terraloom_engines.world import World, open_world
from web import placed_vertices

HERE = Path(__file__).parent
ALPS = Region(WorldKind.PLANET, 5.0, 44.0, 12.0, 48.0)


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("earth")


def made(world: World, output: Path, level: int = 4, region: Region = ALPS, **options: Any) -> Path:
    """An export of base levels, which take no generation."""
    order = Order(world, region, level, output, ContentOptions(32, "jpeg", 80), **options)
    work = job(order, format_of(output, None))
    work.files.begin()
    for tile in work.files.missing(work.tiles):
        work.files.make(tile)
    work.finish()
    return output


def tiles_in(tile: dict[str, Any]) -> list[dict[str, Any]]:
    return [tile, *(below for child in tile.get("children", []) for below in tiles_in(child))]


def test_a_folder_of_3d_tiles_refines_without_holes(world: World, tmp_path: Path) -> None:
    wide = Region(WorldKind.PLANET, -20.0, 30.0, 40.0, 60.0)
    levels = tree(wide, 4)
    named = [tile for level in levels for tile in level]
    for tile in named:
        assert tile.z == levels[0][0].z or all(sibling in named for sibling in tile.parent.children)
    folder = made(world, tmp_path / "tiles", region=wide)
    tileset = json.loads((folder / "tileset.json").read_text())
    assert tileset["asset"]["version"] == "1.1" and "Blue Marble" in tileset["asset"]["extras"]["copyright"]
    contents = [tile for tile in tiles_in(tileset["root"]) if "content" in tile]
    assert len(contents) == len(named)
    for tile in contents:
        positions = placed_vertices((folder / tile["content"]["uri"]).read_bytes())
        west, south, east, north, _, high = tile["boundingVolume"]["region"]
        longitude, radius = np.arctan2(positions[:, 1], positions[:, 0]), np.linalg.norm(positions, axis=1)
        assert longitude.min() >= west - 1e-6 and longitude.max() <= east + 1e-6 and south < north
        assert radius.max() < 6378137 + high
        assert all(tile["geometricError"] > child["geometricError"] for child in tile.get("children", []))


def test_an_archive_is_found_by_its_index(world: World, tmp_path: Path) -> None:
    """As `3d-tiles-tools` and Cesium look files up: by the MD5 of the path, in the order of pairs of 64-bit numbers."""
    file = made(world, tmp_path / "alps.3tz")
    assert not file.with_name("alps.3tz.tiles").exists()
    data = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert archive.testzip() is None and names[0] == "tileset.json" and names[-1] == "@3dtilesIndex1@"
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        index = archive.read("@3dtilesIndex1@")
        uris = [tile["content"]["uri"] for tile in tiles_in(json.loads(archive.read("tileset.json"))["root"]) if "content" in tile]
        assert set(uris) <= set(names)
    entries = [(index[i : i + 16], struct.unpack_from("<Q", index, i + 16)[0]) for i in range(0, len(index), 24)]
    assert [struct.unpack("<QQ", digest) for digest, _ in entries] == sorted(struct.unpack("<QQ", digest) for digest, _ in entries)
    offsets = dict(entries)
    for name in names[:-1]:
        offset = offsets[hashlib.md5(name.encode()).digest()]
        assert data[offset : offset + 4] == b"PK\x03\x04" and data[offset + 30 : offset + 30 + len(name)] == name.encode()


def test_one_glb_holds_the_tiles_where_they_belong(world: World, tmp_path: Path) -> None:
    file = made(world, tmp_path / "alps.glb", region=Region(WorldKind.PLANET, -10.0, 30.0, 20.0, 50.0))
    scene = trimesh.load_scene(io.BytesIO(file.read_bytes()), file_type="glb", process=False)
    assert len(scene.geometry) >= 4
    named = {name: scene.graph.get(name)[0] for name in scene.graph.nodes_geometry}
    edges = []
    for name, matrix in named.items():
        geometry = scene.geometry[scene.graph.get(name)[1]]
        grid = (geometry.vertices[: 33 * 33] @ matrix[:3, :3].T + matrix[:3, 3]).reshape(33, 33, 3)
        edges += [grid[:, 0], grid[:, -1]]
        assert geometry.visual.material.baseColorTexture is not None
    shared = sum(1 for i, a in enumerate(edges) for b in edges[:i] if np.abs(a - b).max() < 2.0)
    assert shared >= 2
    if shutil.which("node") and (HERE / "node_modules/gltf-validator").is_dir():
        ran = subprocess.run(["node", HERE / "validate_glb.cjs", file], capture_output=True, text=True, check=True)
        report = json.loads(ran.stdout)
        assert (report["numErrors"], report["numWarnings"]) == (0, 0)


def test_geotiffs_have_the_pixels_of_the_world(world: World, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="GeoTIFF needs rasterio: pip install 'terraloom[raster]'")
    elevation, imagery = made(world, tmp_path / "heights.tif"), made(world, tmp_path / "colours.tif", layer="imagery")
    box = ALPS.pixels(4)
    tile = TileId(4, 8, 5)
    inside = np.s_[box.top - 5 * 256 : box.bottom - 5 * 256, box.left - 8 * 256 : box.right - 8 * 256]
    with rasterio.open(elevation) as dataset:
        assert dataset.crs.to_epsg() == 3857 and dataset.dtypes == ("float32",) and dataset.units == ("metre",)
        expected = surface_elevation(world.field(tile).crop(0))[inside] * np.float32(ELEVATION_UNIT)
        assert np.array_equal(dataset.read(1), expected)
        row, column = dataset.index(dataset.bounds.left + 1, dataset.bounds.top - 1)
        assert (row, column) == (0, 0)
        assert dataset.bounds.left == pytest.approx(box.left * 40075016.685578488 / 4096 - 20037508.342789244, abs=1e-6)
    with rasterio.open(imagery) as dataset:
        assert dataset.count == 3 and dataset.dtypes[0] == "uint8" and dataset.shape == (box.height, box.width)


def test_a_heightmap_samples_the_ground_evenly_in_metres(world: World, tmp_path: Path) -> None:
    region = Region.around(WorldKind.PLANET, 8.0, 46.0, 400_000.0)
    file = made(world, tmp_path / "alps.png", region=region, samples=65, metres=400_000.0)
    about = json.loads(file.with_suffix(".json").read_text())
    steps = np.asarray(Image.open(file))
    assert steps.dtype == np.uint16 and steps.shape == (65, 65) and (steps.min(), steps.max()) == (0, 65535)
    heights = about["min_height_metres"] + steps * about["metres_per_step"]
    grid = build_height_grid(world.field(TileId(4, 8, 5)))
    column, row = (value - 256 * corner for value, corner in zip(pixel_from_lonlat(4, 8.0, 46.0), (8, 5), strict=True))
    expected = grid.sample(np.array([column]), np.array([row]))[0]
    assert heights[32, 32] == pytest.approx(expected, abs=150)  # a pixel is 7 km
    assert about["unity"]["terrain_size"]["y"] == pytest.approx(about["max_height_metres"] - about["min_height_metres"])
    span = about["unreal"]["scale"]["z"] / 100 * 512 * 65535 / 65536
    assert span == pytest.approx(about["max_height_metres"] - about["min_height_metres"], rel=1e-3)
    columns, rows = pixels_under(region, 12, 400_000.0, 3)
    easts = (columns / (TILE_SIZE << 12) * 360 - 180)[1]
    assert easts == pytest.approx([8.0 - 2.5795, 8.0, 8.0 + 2.5795], abs=2e-3)  # 200 km of the parallel's tangent at 46 degrees
    assert rows[0, 1] < rows[1, 1] < rows[2, 1]


def test_regions_cross_the_antimeridian_and_end_at_the_caps() -> None:
    fiji = Region.around(WorldKind.PLANET, 179.9, -16.6, 100_000.0)
    assert fiji.west > fiji.east and {tile.x for tile in fiji.tiles(6)} == {0, 63}
    assert fiji.pixels(6).width < 256 and fiji.middle == pytest.approx((179.9, -16.6))
    north = Region.around(WorldKind.PLANET, 0.0, 85.0, 100_000.0)
    assert min(tile.y for tile in north.tiles(8)) == 0
    west, _, east, _ = lonlat_bounds(fiji.tiles(6)[0])
    assert east == 180.0 or west == -180.0
    assert len(ancestry([TileId(7, 5, 5), TileId(7, 4, 4)], 4)) == 4


@pytest.mark.parametrize(
    ("sides", "text"),
    [
        ((5.0, 48.0, 12.0, 44.0), "south is less than north"),
        ((-190.0, 0.0, 5.0, 1.0), "longitudes go from -180 to 180"),
        ((0.0, float("nan"), 5.0, 1.0), "are numbers"),
    ],
)
def test_a_wrong_region_is_refused(sides: tuple[float, float, float, float], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        Region(WorldKind.PLANET, *sides)
    with pytest.raises(InvalidArgumentError, match="choose a smaller region or a coarser level"):
        Region(WorldKind.PLANET, -180.0, -80.0, 180.0, 80.0).tiles(12)


def export(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`terraloom export`."""
    return subprocess.run([sys.executable, "-m", "terraloom_engines.cli", "export", *map(str, arguments)], capture_output=True, text=True)


def test_the_command_says_what_it_will_take_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "alps"
    first = export("5,44,12,48", folder, "--level", 4, "--segments", 32, "--dry-run")
    assert first.returncode == 0 and "tiles to make, about" in first.stderr and not (folder / "tileset.json").exists()
    made_already = {path: path.stat().st_mtime_ns for path in folder.rglob("*.glb")}
    assert len(made_already) == 1
    again = export("5,44,12,48", folder, "--level", 4, "--segments", 32, "--json")
    assert again.returncode == 0 and "going on: 1 of" in again.stderr and json.loads(again.stdout)["done"]
    assert all(path.stat().st_mtime_ns == when for path, when in made_already.items()) and (folder / "tileset.json").exists()
    with pytest.raises(InvalidArgumentError, match="other settings"):
        made(open_world("earth"), folder)


def test_what_cannot_be_exported_is_told_in_one_line(tmp_path: Path) -> None:
    result = export("atlantis", tmp_path / "x.glb")
    assert result.returncode == 2 and "unknown place" in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "level", "options", "text"),
    [
        ("x.doc", 4, {}, "no known suffix"),
        ("x.glb", 12, {}, "one GLB takes 1,024"),
        ("x.png", 4, {"samples": 9}, "33 to 8193"),
        ("x.tif", 4, {"layer": "mood"}, "elevation or imagery"),
        ("x", 19, {}, "levels 0 to 18"),
    ],
)
def test_an_impossible_order_is_refused_before_anything_is_made(
    world: World, tmp_path: Path, name: str, level: int, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        made(world, tmp_path / name, level, **options)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidArgumentError, match="choose one of 3dtiles"):
        format_of(tmp_path, "obj")
    with pytest.raises(InvalidArgumentError, match="size -3 km"):
        Region.around(WorldKind.PLANET, 8.0, 46.0, -3000.0)
