"""Worlds out of a user's rasters: theirs inside, Earth outside, and no step between; on GeoTIFFs made here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyproj
import pytest

from terraloom.errors import DataLossError, FailedPreconditionError, InvalidArgumentError, NotFoundError
from terraloom_engines.bundle.raster import LAYERS, RasterFolder, RasterTiles, raster_names
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.rasters.creation import Order, create
from terraloom_engines.rasters.folders import delete
from terraloom_engines.tiling import TILE_SIZE, TileId, latitude_from_row, longitude_from_column
from terraloom_engines.world import World, open_world

rasterio = pytest.importorskip("rasterio", reason="worlds of rasters need rasterio: pip install 'terraloom[raster]'")

UTM, LEVEL = "EPSG:32633", 8
WEST, NORTH, PIXEL, COLUMNS, ROWS = 395_000.0, 5_400_000.0, 420.0, 200, 180
"""A raster of 84 x 76 km in Bohemia and Bavaria, over the border of tiles 8/137/88 and 8/138/88."""
HOLE = np.s_[15:45, 10:50]
TILES = (TileId(LEVEL, 137, 88), TileId(LEVEL, 138, 88))


def ground(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Heights of the test's land: hills of 12 km, on which are some of 3 km."""
    return 700 + 90 * np.sin(east / 2000) * np.cos(north / 1700) + 25 * np.sin(east / 480) * np.sin(north / 510)


def write(path: Path, bands: np.ndarray, **changes: object) -> Path:
    """A GeoTIFF of (bands, rows, columns) at the test's place."""
    profile = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype, "crs": UTM,
        "transform": rasterio.Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile | changes) as file:
        file.write(bands)
    return path


def dem(path: Path, **changes: object) -> Path:
    """Elevation with a hole, big-endian or not as GDAL likes, in decimetres."""
    columns, rows = np.meshgrid(WEST + (np.arange(COLUMNS) + 0.5) * PIXEL, NORTH - (np.arange(ROWS) + 0.5) * PIXEL)
    heights = np.rint(10 * ground(columns, rows)).astype(np.int16)
    heights[HOLE] = -32768
    return write(path, heights[None], **{"nodata": -32768} | changes)


def photo(path: Path) -> Path:
    """Colour of stripes 10 km wide, with a mask."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    stripe = (columns // 24 % 2 * 90).astype(np.uint8)
    return write(
        path,
        np.stack([stripe + 40, stripe + 60, stripe // 2 + 30, np.where(rows < 150, 255, 0).astype(np.uint8)]),
        photometric="RGB",
        alpha="yes",
    )


def quiet(*_: object) -> None:
    """Reports nothing."""


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home for worlds of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("TERRALOOM_HOME", str(root))
        yield root


@pytest.fixture(scope="module")
def bare(home: Path) -> World:
    """A world of elevation alone: in decimetres above a sea at 20 m, painted by the imagery network."""
    order = Order("bare", elevation=dem(home / "dem.tif"), attribution="Made up, CC0", vertical_scale=0.1, sea_level=20.0)
    create(order, quiet)
    return open_world("raster:bare")


@pytest.fixture(scope="module")
def earth() -> World:
    return open_world("earth")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "terraloom_engines.cli", "world", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def pictured(home: Path) -> World:
    """A world of imagery alone, made by the command."""
    made = command("create", "pictured", "--imagery", str(photo(home / "photo.tif")), "--title", "Stripes", "--json")
    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads(made.stdout)["level"] == LEVEL
    return open_world("raster:pictured")


def masks(home: Path, name: str, tile: TileId, layer: str) -> np.ndarray:
    """Pixels of a tile that a raster has a part in."""
    tiles = RasterTiles(home / "worlds" / name / "base.zip")
    rows, columns = (np.arange(TILE_SIZE) + index * TILE_SIZE for index in (tile.y, tile.x))
    return tiles.laid(layer, tile.z, rows, columns)[0]


def inner(field: Field) -> np.ndarray:
    return field.crop(0).data


def expected(tile: TileId) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the test's land in a tile, and how many of its pixels they lie inside of the raster's edge and hole."""
    longitudes = [longitude_from_column(tile.z, tile.x * TILE_SIZE + i + 0.5) for i in range(TILE_SIZE)]
    latitudes = [latitude_from_row(tile.z, tile.y * TILE_SIZE + i + 0.5) for i in range(TILE_SIZE)]
    east, north = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(*np.meshgrid(longitudes, latitudes))
    column, row = (east - WEST) / PIXEL, (NORTH - north) / PIXEL
    depth = np.minimum(np.minimum(column, COLUMNS - column), np.minimum(row, ROWS - row))
    hole = np.maximum(np.maximum(15 - row, row - 45), np.maximum(10 - column, column - 50))
    return ground(east, north) - 20, np.minimum(depth, hole)


def test_inside_the_heights_are_those_of_the_raster(bare: World) -> None:
    heights, depth = expected(TILES[1])
    found = inner(bare.field(TILES[1]))[CHANNELS.index("elevation")] / 64
    deep = depth > 56
    assert deep.sum() > 1000
    assert abs(found - heights)[deep].max() < 12
    assert abs(found - heights)[deep].mean() < 1.5


@pytest.mark.parametrize("tile", [*TILES, TILES[0].parent, TileId(4, 8, 5), TileId(0, 0, 0)], ids=str)
def test_outside_the_world_is_earth_bit_for_bit(home: Path, bare: World, earth: World, tile: TileId) -> None:
    mine, theirs = inner(bare.field(tile)), inner(earth.field(tile))
    for layer, names in LAYERS.items():
        outside = ~masks(home, "bare", tile, layer)
        assert outside.any() and not outside.all()
        for name in names:
            np.testing.assert_array_equal(mine[CHANNELS.index(name)][outside], theirs[CHANNELS.index(name)][outside])


def test_far_from_the_raster_all_levels_are_those_of_earth(bare: World, earth: World) -> None:
    tile = TileId(9, 280, 170)
    np.testing.assert_array_equal(bare.field(tile).data, earth.field(tile).data)


def test_there_is_no_step_at_the_edge(home: Path, bare: World) -> None:
    """Neighbouring pixels on either side of the edge differ no more than elsewhere."""
    for tile in TILES:
        height, mask = inner(bare.field(tile))[CHANNELS.index("elevation")] / 64, masks(home, "bare", tile, "ground")
        steps, across = abs(np.diff(height, axis=1)), mask[:, 1:] != mask[:, :-1]
        assert across.sum() > 50
        assert np.percentile(steps[across], 99) <= 1.2 * np.percentile(steps, 99)


def test_the_hole_is_filled_with_earth(home: Path, bare: World, earth: World) -> None:
    _, depth = expected(TILES[0])
    middle = depth < -10
    middle[0:20] = False
    hole = middle & ~masks(home, "bare", TILES[0], "ground") & (expected(TILES[0])[0] > 0)
    assert hole.any()
    height = CHANNELS.index("elevation")
    np.testing.assert_array_equal(inner(bare.field(TILES[0]))[height][hole], inner(earth.field(TILES[0]))[height][hole])


@pytest.mark.parametrize("channel", ["elevation", "red", "green", "blue"])
def test_averages_are_exact_where_the_raster_is_and_below_it(home: Path, bare: World, channel: str) -> None:
    layer = "ground" if channel == "elevation" else "colour"
    index = CHANNELS.index(channel)
    for tile, exact in ((TILES[0], True), (TILES[0].parent, False)):
        above, part = inner(bare.field(tile.parent))[index], np.s_[(tile.y & 1) * 128 :, (tile.x & 1) * 128 :]
        parents = above[part][:128, :128].astype(np.int64)
        sums = inner(bare.field(tile))[index].astype(np.int64).reshape(128, 2, 128, 2).sum(axis=(1, 3))
        whole = masks(home, "bare", tile, layer).reshape(128, 2, 128, 2)
        covered, touched = whole.all(axis=(1, 3)) & exact, whole.any(axis=(1, 3))
        np.testing.assert_array_equal(sums[covered | ~touched], 4 * parents[covered | ~touched])
        assert abs(sums - 4 * parents).max() <= 2
    child = TILES[0].children[3]
    sums = inner(bare.field(child))[index].astype(np.int64).reshape(128, 2, 128, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(sums, 4 * inner(bare.field(TILES[0]))[index][128:, 128:])


@pytest.mark.parametrize("level", [LEVEL - 1, LEVEL, LEVEL + 1])
def test_neighbours_agree_bit_for_bit(bare: World, level: int) -> None:
    shift = max(LEVEL - level, 0)
    first = TileId(level, TILES[0].x >> shift, TILES[0].y >> shift) if level <= LEVEL else TILES[0].children[1]
    second = first.neighbour(1, 0)
    assert second is not None
    halo = bare.halo
    np.testing.assert_array_equal(bare.field(first).data[:, :, 256:], bare.field(second).data[:, :, : 2 * halo])


def test_the_relief_inside_pixels_is_that_of_the_neighbourhood(bare: World) -> None:
    """The test's land is smooth: what its slopes put into a pixel is all there is."""
    _, depth = expected(TILES[1])
    relief = inner(bare.field(TILES[1]))[CHANNELS.index("relief")] / 256
    slope = np.hypot(90 / 2000, 90 / 1700) / 2 * 420 / np.sqrt(12)
    assert abs(np.median(relief[depth > 56]) - np.log2(slope)) < 1.5


def test_imagery_alone_keeps_the_ground_of_earth(home: Path, pictured: World, earth: World) -> None:
    mine, theirs = inner(pictured.field(TILES[1])), inner(earth.field(TILES[1]))
    for name in LAYERS["ground"]:
        np.testing.assert_array_equal(mine[CHANNELS.index(name)], theirs[CHANNELS.index(name)])
    mask = masks(home, "pictured", TILES[1], "colour")
    assert mask.any() and not mask.all()
    green = mine[CHANNELS.index("green")][mask] / 64
    assert np.percentile(green, 95) - np.percentile(green, 5) > 70


def test_a_world_says_what_it_is(home: Path, bare: World, pictured: World) -> None:
    assert (bare.title, bare.base_level, pictured.title) == ("bare", LEVEL, "Stripes")
    assert bare.attribution.startswith("Made up, CC0; ") and "NASA" in bare.attribution
    assert bare.identity != pictured.identity
    folder = RasterFolder.open(home / "worlds" / "bare")
    assert (folder.manifest["vertical_scale"], folder.manifest["sea_level"]) == (0.1, 20.0)
    listed = command("list")
    assert listed.stdout.count("\n") == 2 and "raster:pictured: Stripes, imagery down to level 8" in listed.stdout


def test_a_world_can_be_deleted_and_a_missing_one_not(home: Path, bare: World) -> None:
    (home / "worlds" / "gone").mkdir()
    (home / "worlds" / "gone" / "manifest.json").write_text("{}")
    assert "gone" in raster_names()
    delete("gone")
    assert "gone" not in raster_names()
    with pytest.raises(NotFoundError, match="no world raster:gone: there are bare"):
        delete("gone")
    with pytest.raises(NotFoundError, match="no world raster:gone in .*there are bare"):
        open_world("raster:gone")
    with pytest.raises(InvalidArgumentError, match=r"name '\.\./x' is not allowed"):
        open_world("raster:../x")


def test_damage_and_other_versions_of_earth_are_told(home: Path, bare: World) -> None:
    folder = home / "worlds" / "bare"
    manifest, archive = (folder / "manifest.json").read_text(), (folder / "base.zip").read_bytes()
    try:
        (folder / "manifest.json").write_text(manifest.replace(json.loads(manifest)["earth"], "0" * 64))
        with pytest.raises(FailedPreconditionError, match="raster:bare was joined to the Earth of another version"):
            open_world("raster:bare")
        (folder / "manifest.json").write_text("{")
        with pytest.raises(DataLossError, match="manifest.json of world raster:bare is damaged"):
            open_world("raster:bare")
        (folder / "manifest.json").write_text(manifest)
        (folder / "base.zip").write_bytes(archive[:-9])
        with pytest.raises(DataLossError, match="base.zip of world raster:bare is missing or damaged"):
            open_world("raster:bare")
    finally:
        (folder / "manifest.json").write_text(manifest)
        (folder / "base.zip").write_bytes(archive)


def small(kind: type = np.int16, bands: int = 1) -> np.ndarray:
    return np.full((bands, 40, 50), 100, kind)


def far(path: Path) -> Path:
    return write(path, small(np.uint8, 3), transform=rasterio.Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH + 900_000))


def vast(path: Path) -> Path:
    """20,000 x 20,000 pixels of 100 m, none of which are written."""
    profile = {"count": 1, "height": 20_000, "width": 20_000, "dtype": "uint8", "crs": UTM, "tiled": True, "sparse_ok": True}
    rasterio.open(path, "w", driver="GTiff", transform=rasterio.Affine(100, 0, WEST, 0, -100, NORTH), **profile).close()
    return path


MISTAKES = {
    "is not a raster that GDAL can read": lambda folder: {"elevation": Path(__file__)},
    "there is no elevation file": lambda folder: {"elevation": folder / "nothing.tif"},
    "has no coordinate reference system": lambda folder: {"elevation": write(folder / "a.tif", small(), crs=None)},
    "has 2 bands, elevation needs 1 (height)": lambda folder: {"elevation": write(folder / "b.tif", small(bands=2))},
    "has 1 band, imagery needs 3 or 4": lambda folder: {"imagery": write(folder / "c.tif", small(np.uint8))},
    "has pixels of type uint16, imagery needs uint8": lambda folder: {"imagery": write(folder / "d.tif", small(np.uint16, 3))},
    "has pixels of type complex64": lambda folder: {"elevation": write(folder / "e.tif", small(np.complex64))},
    "has pixels of type complex_int16": lambda folder: {
        "elevation": write(folder / "n.tif", small(np.complex64), dtype="complex_int16"),
    },
    "has pixels without an area": lambda folder: {
        "elevation": write(folder / "o.tif", small(), transform=rasterio.Affine(30, 30, WEST, 30, 30, NORTH))
    },
    "holds no valid pixel": lambda folder: {"elevation": write(folder / "f.tif", small(), nodata=100)},
    "is -9999 where it seems to know nothing": lambda folder: {"elevation": write(folder / "m.tif", np.full((1, 40, 50), -9999, np.int16))},
    "has heights of 100,000 to 100,000 m": lambda folder: {"elevation": write(folder / "g.tif", small()), "vertical_scale": 1000.0},
    "elevation and imagery do not overlap": lambda folder: {
        "elevation": write(folder / "h.tif", small()),
        "imagery": far(folder / "i.tif"),
    },
    "which adds nothing to Earth: at most": lambda folder: {
        "elevation": write(folder / "j.tif", small(), transform=rasterio.Affine(5000, 0, WEST, 0, -5000, NORTH))
    },
    "at most 268,435,456 are allowed": lambda folder: {"elevation": vast(folder / "k.tif")},
    "lies outside of the map, which ends at 85.05 degrees": lambda folder: {
        "elevation": write(folder / "l.tif", small(), crs="EPSG:4326", transform=rasterio.Affine(0.01, 0, 10, 0, -0.01, 88))
    },
    "a world needs --elevation, --imagery or both": lambda folder: {},
    "--vertical-scale and --sea-level are of --elevation": lambda folder: {"imagery": folder / "x.tif", "sea_level": 1.0},
    "vertical scale -1.0 is not allowed": lambda folder: {"elevation": folder / "x.tif", "vertical_scale": -1.0},
    "sea level nan is out of range": lambda folder: {"elevation": folder / "x.tif", "sea_level": float("nan")},
    "seed -1 is out of range": lambda folder: {"elevation": folder / "x.tif", "seed": -1},
    "name 'Big City' is not allowed": lambda folder: {"name": "Big City"},
}


@pytest.mark.parametrize("complaint", MISTAKES)
def test_what_is_wrong_with_a_raster_is_told_in_one_line(home: Path, tmp_path: Path, complaint: str) -> None:
    order = Order(**{"name": "wrong"} | MISTAKES[complaint](tmp_path))
    with pytest.raises(InvalidArgumentError) as failure:
        create(order, quiet)
    assert complaint in str(failure.value) and "\n" not in str(failure.value)
    assert not (home / "worlds" / "wrong").exists()
    assert not list((home / "worlds").glob(".making*"))


def test_the_command_tells_mistakes_in_one_line(home: Path) -> None:
    result = command("create", "wrong", "--elevation", __file__)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and "GDAL" in result.stderr and result.stderr.count("\n") == 1
