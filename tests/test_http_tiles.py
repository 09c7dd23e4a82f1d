"""3D Tiles over HTTP: volumes that hold their contents, errors that refine alike, bytes that validate and are asked for once."""

import gzip
import json
import math
import random
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from pyproj import Transformer

from terraloom.testing import ServerAddress
from terraloom_engines.bounds import HeightBounds, decode_bounds, encode_bounds, height_bounds
from terraloom_engines.geodesy import ecef_from_tile
from terraloom_engines.mesh import build_mesh, geometric_error
from terraloom_engines.selection import Criteria, ViewState, select
from terraloom_engines.tileset import bounding_region, depth_of_rasters, is_subtree_root, subtree_levels
from terraloom_engines.tiling import MAX_LATITUDE, MAX_LEVEL, TileId, tile_from_lonlat
from terraloom_engines.world import World, open_world
from web import ask, get, placed_vertices

HERE = Path(__file__).parent
ON_THE_GROUND = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
"""Earth-centred metres to longitude, latitude in degrees and metres above the ellipsoid, by PROJ."""

RIM = math.radians(MAX_LATITUDE)

Json = dict[str, object]


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("earth")


def tiles_of(tile: Json) -> Iterator[Json]:
    """A tile of a tileset and all below it in the same file."""
    yield tile
    for child in tile.get("children", []):  # type: ignore[attr-defined]
        yield from tiles_of(child)


def outside(positions: NDArray[np.float64], region: list[float]) -> float:
    """How many metres the farthest vertex lies outside a region; PROJ says where vertices are."""
    longitude, latitude, height = ON_THE_GROUND.transform(*positions.T)
    west, south, east, north = np.degrees(region[:4])
    beyond = [south - latitude, latitude - north]
    if east - west <= 90:
        turns = [(west - longitude + 180) % 360 - 180, (longitude - east + 180) % 360 - 180]
        beyond += [np.cos(np.radians(latitude)) * turn for turn in turns]
    return max(float(np.max(beyond)) * 111_320, float((region[4] - height).max()), float((height - region[5]).max()))


def subtree_of(tile: TileId) -> TileId:
    """The root of the tileset that names a tile."""
    return next(tile.ancestor(z) for z in range(tile.z, -1, -1) if is_subtree_root(tile.ancestor(z), MAX_LEVEL))


def test_every_level_of_the_world_is_named_by_one_tileset() -> None:
    for last in range(MAX_LEVEL + 1):
        roots = [z for z in range(last + 1) if is_subtree_root(TileId(z, 0, 0), last)]
        named = [z + depth for z in roots for depth in range(subtree_levels(TileId(z, 0, 0), last))]
        assert named == list(range(last + 1))


def test_a_tileset_leads_down_to_tiles_whose_volumes_hold_them(server: ServerAddress) -> None:
    url = f"{server.http}/earth/tileset.json?texture=none"
    target = tile_from_lonlat(8, 8.0, 46.4)
    volumes: list[list[float]] = []
    while len(volumes) <= target.z:
        tileset = get(url, "").json
        assert tileset["asset"]["version"] == "1.1"
        for tile in (tile for tile in tiles_of(tileset["root"]) if "content" in tile and "caps/" not in tile["content"]["uri"]):  # type: ignore[index]
            uri, region = tile["content"]["uri"], tile["boundingVolume"]["region"]  # type: ignore[index]
            z, x, y = (int(part) for part in urlsplit(uri).path.rpartition(".")[0].split("/")[-3:])
            if z > target.z or TileId(z, x, y) != target.ancestor(z):
                continue
            assert parse_qs(urlsplit(uri).query)["texture"] == ["none"]
            if urlsplit(uri).path.endswith(".json"):
                url = urljoin(url, uri)
                continue
            assert tile["geometricError"] == geometric_error(target.ancestor(z))
            assert outside(placed_vertices(get(url, uri).body), region) < 0.5 + 0.1 * geometric_error(target.ancestor(z)) / 4
            volumes.append(region)
    for parent, child in pairwise(volumes):
        assert all(np.array(parent)[[0, 1, 4]] <= np.array(child)[[0, 1, 4]])
        assert all(np.array(child)[[2, 3, 5]] <= np.array(parent)[[2, 3, 5]])


def families(world: World) -> list[TileId]:
    """All 341 tiles of levels 0 to 4, and generated families down to level 9 at nine random places: over 500 in all."""
    chosen = random.Random(5)
    tiles = [TileId(z, x, y) for z in range(5) for x in range(1 << z) for y in range(1 << z)]
    for _ in range(9):
        tile = chosen.choice(tiles[85:341])
        for _ in range(5):
            tiles += tile.children
            tile = chosen.choice(tile.children)
    return tiles


def test_contents_of_five_hundred_tiles_lie_inside_their_volumes(world: World) -> None:
    """In volumes known before anything below their tileset's root was generated."""
    bounds: dict[TileId, HeightBounds] = {}
    checked = families(world)
    for tile in checked:
        root = subtree_of(tile)
        if root not in bounds:
            bounds[root] = height_bounds(root, subtree_levels(root, MAX_LEVEL), world.field, world.base_level, depth_of_rasters(root))
        mesh = build_mesh(world.field(tile), 32)
        frame = ecef_from_tile(tile)
        positions = mesh.positions.astype(float) @ frame[:3, :3].T + frame[:3, 3]
        region = bounding_region(tile, bounds[root].of(tile))
        float32_step = 2.0**-23 * float(np.abs(mesh.positions).max())
        assert outside(positions, region) < 0.01 + 2 * float32_step, tile
        assert region[4] <= mesh.min_height and mesh.max_height <= region[5], tile
    assert len(set(checked)) >= 500


def test_polar_caps_lie_inside_their_volumes_and_cover_the_poles(server: ServerAddress) -> None:
    url = f"{server.http}/earth/tileset.json?texture=none"
    caps = [tile for tile in tiles_of(get(url, "").json["root"]) if "content" in tile and "caps/" in tile["content"]["uri"]]  # type: ignore[index]
    assert len(caps) == 2 * (2 + 4 + 8 + 16)
    whole = get(url, "").json
    assert min(whole["geometricError"], whole["root"]["geometricError"]) > 1e8, "what has no content is refined from any distance"
    leaves = [tile["boundingVolume"]["region"] for tile in caps if "children" not in tile]  # type: ignore[index]
    for south, north in ((-math.pi / 2, -RIM), (RIM, math.pi / 2)):
        sides = sorted((west, east) for west, s, east, n, *_ in leaves if (s, n) == pytest.approx((south, north)))
        assert sides[0][0] == -math.pi and sides[-1][1] == math.pi and all(a[1] == b[0] for a, b in pairwise(sides))
    for tile in (caps[0], caps[-1]):
        assert outside(placed_vertices(get(url, tile["content"]["uri"]).body), tile["boundingVolume"]["region"]) < 0.5  # type: ignore[index]


@pytest.mark.parametrize("path", ["caps/0/0/0", "caps/2/1/1", "caps/5/0/0"])
def test_there_are_polar_caps_at_the_rim_of_a_base_alone(server: ServerAddress, path: str) -> None:
    assert ask(f"{server.http}/earth/{path}.glb").status == 404 and ask(f"{server.http}/plane:5/{path}.glb").status == 404


def test_bounds_survive_storage_and_refuse_damage(world: World) -> None:
    bounds = height_bounds(TileId(4, 8, 5), 3, world.field, world.base_level)
    again = decode_bounds(encode_bounds(bounds), bounds.tile)
    assert all(np.array_equal(a, b) for a, b in zip([*bounds.low, *bounds.high], [*again.low, *again.high], strict=True))
    with pytest.raises(Exception, match="no whole number of levels"):
        decode_bounds(encode_bounds(bounds)[:-9], bounds.tile)


def test_a_tile_is_sent_once_and_then_confirmed(server: ServerAddress) -> None:
    path = "/earth/tiles/3/4/2.glb"
    first = get(server.http, path)
    version = get(server.http, "/worlds").json["worlds"][0]["version"]
    assert first.headers["content-type"] == "model/gltf-binary" and first.headers["cache-control"] == "public, no-cache"
    again = ask(server.http + path, If_None_Match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert ask(server.http + path, If_None_Match='"another", W/"one"').status == 200
    lasting = get(server.http, f"{path}?v={version}")
    assert lasting.body == first.body and "immutable" in lasting.headers["cache-control"]
    assert "immutable" not in get(server.http, f"{path}?v=000000000000").headers["cache-control"]
    head = ask(server.http + path, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(first.body)))
    assert ask(server.http + path, Range="bytes=0-3").body == first.body
    assert ask(server.http + path, Origin="https://example.org").headers["access-control-allow-origin"] == "*"


def test_a_tileset_is_packed_for_who_can_unpack_it(server: ServerAddress) -> None:
    plain, packed = get(server.http, "/earth/tileset.json"), get(server.http, "/earth/tileset.json", Accept_Encoding="gzip")
    assert gzip.decompress(packed.body) == plain.body and len(packed.body) * 8 < len(plain.body)
    assert packed.headers["etag"] != plain.headers["etag"] and "Accept-Encoding" in packed.headers["vary"]
    for refused in ("br, gzip;q=0", "gzip; q=0.0", "identity"):
        assert "content-encoding" not in get(server.http, "/earth/tileset.json", Accept_Encoding=refused).headers
    assert get(server.http, "/earth/tileset.json", Accept_Encoding="br, GZIP;q=0.5").body == packed.body
    assert ask(server.http + "/earth/tileset.json", Accept_Encoding="gzip", If_None_Match=packed.headers["etag"]).status == 304


def test_seeds_and_shapes_are_handed_on_to_contents(server: ServerAddress) -> None:
    tileset = get(server.http, "/earth/tileset.json?seed=7&segments=32&compression=meshopt").json
    for tile in (tile for tile in tiles_of(tileset["root"]) if "content" in tile):
        query = parse_qs(urlsplit(tile["content"]["uri"]).query)  # type: ignore[index]
        assert (query["seed"], query["segments"], query["compression"]) == (["7"], ["32"], ["meshopt"])
    assert tileset["asset"]["extras"]["seed"] == 7
    wrong = ask(server.http + "/earth/tileset.json?segments=31")
    assert wrong.status == 400 and "32, 64, 128" in wrong.json["detail"]


def test_fetched_tiles_pass_the_khronos_validator(server: ServerAddress, tmp_path: Path) -> None:
    if shutil.which("node") is None or not (HERE / "node_modules/gltf-validator").is_dir():
        pytest.skip("the Khronos validator needs Node.js and `npm ci` in tests/ (make test does it where npm is installed)")
    files = []
    for number, query in enumerate(
        ("", "?unlit=1&segments=32", "?compression=meshopt", "?texture=webp&quality=80", "", "?compression=meshopt")
    ):
        files.append(tmp_path / f"{number}.glb")
        files[-1].write_bytes(get(server.http, f"/earth/{'tiles/4/8/5' if number < 4 else 'caps/2/1/3'}.glb{query}").body)
    ran = subprocess.run(["node", HERE / "validate_glb.cjs", *files], capture_output=True, text=True, check=True)
    reports = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(report["numErrors"], report["numWarnings"]) for report in reports] == [(0, 0)] * len(files)


def test_a_client_of_tilesets_refines_what_a_stream_refines(world: World) -> None:
    """All that a stream selects, and few tiles more: volumes that hold what is not generated yet are a little larger than contents."""
    bounds: dict[TileId, HeightBounds] = {}

    def content(tile: TileId) -> tuple[float, float]:
        mesh = build_mesh(world.field(tile), 32)
        return mesh.min_height, mesh.max_height

    def volume(tile: TileId) -> tuple[float, float]:
        root = subtree_of(tile)
        if root not in bounds:
            bounds[root] = height_bounds(root, subtree_levels(root, MAX_LEVEL), world.field, world.base_level, depth_of_rasters(root))
        return bounds[root].of(tile)

    view, criteria = ViewState(8.0, 46.4, 900_000.0), Criteria(max_level=4, lookahead=())
    streamed = {entry.tile for entry in select(view, criteria, content).tiles}
    tiled = {entry.tile for entry in select(view, criteria, volume).tiles}
    assert streamed <= tiled and len(tiled) <= 1.25 * len(streamed)
