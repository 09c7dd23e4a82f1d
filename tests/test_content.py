"""Contents of the real world: neighbours join, hashes tell, what is stored comes back."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from terraloom._glb import read_glb
from terraloom.errors import CancelledError, DataLossError, InvalidArgumentError
from terraloom_engines.accessors import MeshCompression
from terraloom_engines.cascade import never
from terraloom_engines.content import (
    BoundsOptions,
    ContentOptions,
    TileContent,
    build_content,
    content_hash,
    decode_content,
    encode_content,
)
from terraloom_engines.mesh import build_mesh
from terraloom_engines.tiling import TileId, tile_from_lonlat, tile_ground_sample_distance
from terraloom_engines.world import World, open_world

ALPS, FIJI = (7.97, 46.55), (179.9999, -16.55)
LEVELS = (5, 9, 13, 16)
HERE = Path(__file__).parent
DEFAULTS = ContentOptions()


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("earth")


def content(world: World, tile: TileId, options: ContentOptions = DEFAULTS) -> TileContent:
    return build_content(world, tile, options, never)


def neighbours(tile: TileId) -> tuple[TileId, TileId]:
    """The tiles to the east and to the south."""
    east, south = tile.neighbour(1, 0), tile.neighbour(0, 1)
    assert east is not None and south is not None
    return east, south


@pytest.mark.parametrize("place", [ALPS, FIJI], ids=["Alps", "antimeridian"])
@pytest.mark.parametrize("level", LEVELS)
def test_edges_and_edge_normals_of_neighbours_are_equal_bit_for_bit(world: World, level: int, place: tuple[float, float]) -> None:
    tile = tile_from_lonlat(level, *place)
    here, east, south = (build_mesh(world.field(one)) for one in (tile, *neighbours(tile)))
    assert np.array_equal(here.heights[:, -1], east.heights[:, 0]) and np.array_equal(here.normals[:, -1], east.normals[:, 0])
    assert np.array_equal(here.heights[-1], south.heights[0]) and np.array_equal(here.normals[-1], south.normals[0])


@pytest.mark.parametrize("compression", ["none", "meshopt"])
@pytest.mark.parametrize("place", [ALPS, FIJI], ids=["Alps", "antimeridian"])
@pytest.mark.parametrize("level", LEVELS)
def test_edges_of_decoded_neighbours_meet_in_space(
    world: World, level: int, place: tuple[float, float], compression: MeshCompression
) -> None:
    tile, options = tile_from_lonlat(level, *place), ContentOptions(texture_format="none", compression=compression)
    here, east, south = (ecef_grid(content(world, one, options)) for one in (tile, *neighbours(tile)))
    quantum = tile_ground_sample_distance(tile) / 16
    assert np.abs(here[:, -1] - east[:, 0]).max() <= quantum
    assert np.abs(here[-1] - south[0]).max() <= quantum


def ecef_grid(made: TileContent) -> np.ndarray:
    """Vertices of the 65 x 65 grid as a client reads them, earth-centred earth-fixed."""
    vertices = read_glb(made.glb).positions[: 65 * 65].astype(np.float64)
    return (vertices @ made.world_from_tile[:3, :3].T + made.world_from_tile[:3, 3]).reshape(65, 65, 3)


def test_heights_of_a_tile_bound_its_vertices(world: World) -> None:
    made = content(world, tile_from_lonlat(12, *ALPS))
    up = ecef_grid(made)
    centre = made.world_from_tile[:3, 3] / np.linalg.norm(made.world_from_tile[:3, 3])
    above = np.linalg.norm(up, axis=-1) - np.linalg.norm(made.world_from_tile[:3, 3])
    assert centre @ made.world_from_tile[:3, 1] > 0.99
    assert made.min_height - 40 < above.min() < above.max() < made.max_height + 40
    assert 0 < made.min_height < made.max_height < 9000


def test_equal_requests_make_equal_bytes(world: World) -> None:
    tile = tile_from_lonlat(9, *ALPS)
    assert content(world, tile).glb == content(open_world("earth"), tile).glb


def test_the_hash_is_known_before_the_content_and_tells_all_that_matters_apart(world: World) -> None:
    tile = tile_from_lonlat(9, *ALPS)
    options = [ContentOptions(), ContentOptions(segments=32), ContentOptions(unlit=True), ContentOptions(texture_quality=80)]
    options += [ContentOptions(texture_format="webp"), ContentOptions(texture_format="none"), ContentOptions(surface="ground")]
    options += [ContentOptions(compression="meshopt")]
    hashes = {content_hash(world.identity, one, choice) for one in (tile, *neighbours(tile)) for choice in options}
    hashes.add(content_hash(open_world("earth", seed=1).identity, tile, options[0]))
    assert len(hashes) == 3 * len(options) + 1
    assert content(world, tile).content_hash == content_hash(world.identity, tile, options[0])


def test_stored_content_comes_back_and_other_bytes_are_data_loss(world: World) -> None:
    made = content(world, tile_from_lonlat(5, *ALPS))
    read = decode_content(encode_content(made), made.tile, made.content_hash)
    assert (read.glb, read.min_height, read.max_height) == (made.glb, made.min_height, made.max_height)
    assert (read.geometric_error, read.content_hash) == (made.geometric_error, made.content_hash)
    for data in (b"", b"TLC1", b"TLC0" + encode_content(made)[4:]):
        with pytest.raises(DataLossError):
            decode_content(data, made.tile, made.content_hash)


def test_work_that_nobody_wants_stops(world: World) -> None:
    with pytest.raises(CancelledError):
        build_content(world, tile_from_lonlat(9, 60.0, 40.0), ContentOptions(), lambda: True)


def test_a_tile_whose_field_is_there_is_finished_though_nobody_wants_it_any_more(world: World) -> None:
    tile = tile_from_lonlat(9, *ALPS)
    world.field(tile)
    assert build_content(world, tile, ContentOptions(), lambda: True) == build_content(world, tile, ContentOptions(), never)
    with pytest.raises(CancelledError, match="no longer wanted"):
        build_content(world, tile, BoundsOptions(), lambda: True)


@pytest.mark.parametrize(
    ("wrong", "allowed"),
    [
        ({"segments": 65}, "32, 64, 128"),
        ({"texture_format": "gif"}, "jpeg, webp, none"),
        ({"texture_quality": 0}, "1 to 100"),
        ({"texture_quality": 101}, "1 to 100"),
        ({"surface": "roof"}, "ground_or_water, ground"),
        ({"compression": "draco"}, "none, meshopt"),
    ],
)
def test_options_outside_their_range_are_refused_with_what_is_allowed(wrong: dict[str, object], allowed: str) -> None:
    with pytest.raises(InvalidArgumentError, match=allowed):
        ContentOptions(**wrong)  # type: ignore[arg-type]


def test_real_tiles_of_all_levels_pass_the_khronos_validator(world: World, tmp_path: Path) -> None:
    if shutil.which("node") is None or not (HERE / "node_modules/gltf-validator").is_dir():
        pytest.skip("the Khronos validator needs Node.js and `npm ci` in tests/ (make test does it where npm is installed)")
    files = []
    for level in (0, 1, 2, 3, 4, 7, 10, 13, 16, 18):
        for name, place in (("alps", ALPS), ("fiji", FIJI), ("ocean", (-30.0, 30.0))):
            files.append(tmp_path / f"{name}-{level}.glb")
            files[-1].write_bytes(content(world, tile_from_lonlat(level, *place)).glb)
    ran = subprocess.run(["node", HERE / "validate_glb.cjs", *files], capture_output=True, text=True, check=True)
    reports = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(reports) == len(files)
    assert [report for report in reports if report["numErrors"] or report["numWarnings"]] == []
