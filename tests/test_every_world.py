"""Every kind of world does what Earth does: calls, streams, bodies, HTTP and commands, on one server."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from terraloom import Client, CollisionOptions, ContentOptions, PlaneView, Radius, Region, StreamOptions, View, connect
from terraloom.testing import ServerAddress
from terraloom_engines.cli import main
from terraloom_engines.tiling import TileId, WorldKind, lonlat_bounds, plane_bounds, tile_from_place
from terraloom_engines.world import SCHEMES, world_kind
from web import get

PLACES = {"earth": (7.66, 45.98), "planet:7": (-97.4, 38.2), "plane:7": (700_000.0, -300_000.0), "raster:farm": (-98.0, 38.5)}
"""A world of each kind, and a place in it."""
LEVELS = {"earth": 5, "planet:7": 5, "plane:7": 5, "raster:farm": 7}
PATIENCE = 300.0


@pytest.fixture(scope="module")
def farm(home: Path) -> str:
    """A world of elevation and imagery of 152 km in Kansas, made by the command."""
    rasterio = pytest.importorskip("rasterio", reason="worlds of rasters need rasterio: pip install 'terraloom[raster]'")
    rows, columns = np.mgrid[:160, :160]
    heights = (500 + 60 * np.sin(columns / 9) * np.cos(rows / 7)).astype(np.float32)
    colours = np.stack([90 + columns // 4, 110 + rows // 4, np.full_like(rows, 60)]).astype(np.uint8)
    for name, bands in (("dem", heights[None]), ("photo", colours)):
        profile = {"count": len(bands), "height": 160, "width": 160, "dtype": bands.dtype, "crs": "EPSG:32614"}
        profile["transform"] = rasterio.Affine(950, 0, 511_000, 0, -950, 4_338_000)
        with rasterio.open(home / f"{name}.tif", "w", "GTiff", **profile) as file:
            file.write(bands)
    run("world", "create", "farm", "--elevation", str(home / "dem.tif"), "--imagery", str(home / "photo.tif"), "--json")
    return "raster:farm"


@pytest.fixture(scope="module", params=list(PLACES))
def name(request: pytest.FixtureRequest) -> str:
    """The worlds, one after the other."""
    world: str = request.param
    return request.getfixturevalue("farm") if world.startswith("raster:") else world


@pytest.fixture(scope="module")
def tile(name: str) -> TileId:
    """The tile of the place."""
    return tile_from_place(world_kind(name), LEVELS[name], *PLACES[name])


@pytest.fixture(scope="module")
def guest(name: str, server: str) -> Iterator[Client]:
    """A client of the server that all tests share, in the world."""
    with connect(server, name) as client:
        client.wait_ready()
        yield client


def run(*arguments: str) -> None:
    """A command in this process, which must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["terraloom", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0, arguments


def view_at(name: str, height: float) -> View | PlaneView:
    east, north = PLACES[name]
    return View.on_plane(east, north, height) if world_kind(name) is WorldKind.PLANE else View(east, north, height)


def bounds(tile: TileId) -> tuple[float, float, float, float]:
    return plane_bounds(tile) if tile.kind is WorldKind.PLANE else lonlat_bounds(tile)


def test_no_kind_of_world_is_left_out() -> None:
    assert {name.partition(":")[0] for name in PLACES} == set(SCHEMES)


def test_calls_agree_about_a_world(guest: Client, name: str, tile: TileId) -> None:
    world = guest.describe().world
    assert (world.id.name, world.kind, world.min_level) == (name, tile.kind.value, tile.kind.min_level)
    assert name in [other.id.name for other in guest.worlds()]
    grid = guest.get_height_grid(tile.z, tile.x, tile.y)
    west, south, east, north = bounds(tile)
    inside = np.random.default_rng(1).uniform((west, south), (east, north), (50, 2))
    assert np.abs(guest.sample_heights(inside, tile.z) - grid.sample(inside[:, 0], inside[:, 1])).max() <= 0.001
    mesh = guest.get_tile(tile.z, tile.x, tile.y, ContentOptions(segments=128)).mesh()
    assert mesh.texture is not None and len(mesh.positions) == 129 * 129 + 4 * 128
    eighth = (east - west) / 8, (north - south) / 8
    region = Region(west + eighth[0], south + eighth[1], east - eighth[0], north - eighth[1], tile.z)
    barrier = guest.barrier(region)
    assert (barrier.complete, barrier.tiles) == (True, 1) and barrier.world_hash == guest.barrier(region).world_hash != b""


def test_streams_and_bodies_follow_a_viewpoint(guest: Client, name: str, tile: TileId) -> None:
    options = StreamOptions(Radius(1000.0, tile.z), min_level=tile.z, content=ContentOptions(segments=32))
    with guest.stream(view_at(name, 3000.0), options) as stream:
        tiles = stream.settle(PATIENCE)
        here = (tile.z, tile.x, tile.y)
        assert here in stream.visible and here in [one.id for one in tiles]
        assert guest.barrier(stream.session.session_id).complete
    with guest.stream(view_at(name, 3000.0), replace(options, have=stream.held)) as again:
        assert again.settle(PATIENCE) == [] and again.visible == stream.visible
    with guest.collision_stream(view_at(name, 800.0), CollisionOptions(radius=100.0, level=tile.z)) as ground:
        (grid,) = ground.settle(PATIENCE)
    assert float(grid.sample(*PLACES[name])) == pytest.approx(float(guest.sample_heights([PLACES[name]], tile.z)[0]), abs=0.001)


def test_the_web_has_a_world_too(guest: Client, server: ServerAddress, name: str, tile: TileId) -> None:
    assert name in [world["name"] for world in get(server.http, "/worlds").json["worlds"]]
    assert get(server.http, f"/{name}/tiles/{tile}.glb").body[:4] == b"glTF"
    axes = ("x", "y") if tile.kind is WorldKind.PLANE else ("lon", "lat")
    query = "&".join(f"{axis}={value}" for axis, value in zip(axes, PLACES[name], strict=True))
    (point,) = get(server.http, f"/{name}/heights?{query}&level={tile.z}").json["points"]
    assert point["height"] == pytest.approx(float(guest.sample_heights([PLACES[name]], tile.z)[0]), abs=0.001)


@pytest.mark.parametrize("name", [name for name in PLACES if name != "earth"], indirect=True)  # which all other tests of commands are of
def test_commands_know_a_world(server: str, name: str, tile: TileId, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, level = ",".join(map(str, PLACES[name])), str(tile.z)
    world = ["--world", name, "--json"]
    kept = [*world, "--store", str(tmp_path / "kept")]

    def answer(*arguments: str) -> dict[str, object]:
        run(*arguments)
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    assert len(answer("heights", "--level", level, *kept, "--", place)["points"]) == 1  # type: ignore[arg-type]
    assert answer("tile", "--level", level, "-o", str(tmp_path / "tile.glb"), *kept, "--", place)["tile"] == [tile.z, tile.x, tile.y]
    answer("render", "--level", level, "--size", "48", "-o", str(tmp_path / "above.png"), *kept, "--", place)
    look = ["--height", "300000", "--pitch", "-60", "--size", "96x54", "--detail", "64"]
    answer("view", *look, "-o", str(tmp_path / "view.png"), *kept, "--", place)
    for picture in ("above.png", "view.png"):
        assert np.asarray(Image.open(tmp_path / picture)).std() > 3
    answer("export", "--level", level, "--size", "9", "--samples", "33", *kept, "--", place, str(tmp_path / "ground.png"))
    assert np.asarray(Image.open(tmp_path / "ground.png")).shape == (33, 33)
    figures = answer("fly", server, *world, f"--from={place}", f"--to={place}1", "--seconds", "0.3", "--max-level", "2")
    assert figures["failed"] == 0
