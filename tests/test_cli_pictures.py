"""`terraloom tile`, `render` and what `demo` is made of, as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from PIL import Image

from terraloom import Client
from terraloom_engines.cli.demo import Album, chart, fly_for, view_picture
from terraloom_engines.cli.flight import Fix, FlightPath

COMMAND = [sys.executable, "-m", "terraloom_engines.cli"]


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=folder)


@pytest.mark.parametrize(("where", "file"), [(["6/33/22"], "tile-6-33-22.glb"), (["alps", "--level", "6"], "tile-6-33-22.glb")])
def test_a_tile_is_written_by_address_or_by_place(where: list[str], file: str, tmp_path: Path) -> None:
    result = run("tile", *where, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{file}: tile 6/33/22, ") and "above mean sea level" in result.stdout
    gltf = pygltflib.GLTF2.load_binary(str(tmp_path / file))
    assert gltf.asset.extras["tile"] == "6/33/22" and len(gltf.images) == 1


def test_a_tile_as_it_is_asked_for(tmp_path: Path) -> None:
    result = run("tile", "5/16/11", "--segments", "32", "--texture", "none", "--unlit", "-o", "t.glb", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    gltf = pygltflib.GLTF2.load_binary(str(tmp_path / "t.glb"))
    assert gltf.accessors[1].count == 33 * 33 + 4 * 32
    assert gltf.images == [] and gltf.extensionsUsed == ["KHR_materials_unlit"]
    packed = run("tile", "3/4/2", "--texture", "webp", "--quality", "50", "--compression", "meshopt", "-o", "packed.glb", folder=tmp_path)
    assert packed.returncode == 0, packed.stderr
    assert {"EXT_meshopt_compression", "EXT_texture_webp"} < set(pygltflib.GLTF2.load_binary(str(tmp_path / "packed.glb")).extensionsUsed)
    assert (tmp_path / "packed.glb").stat().st_size < 50_000


def test_programs_read_what_was_written(tmp_path: Path) -> None:
    tile = json.loads(run("tile", "3/4/2", "--json", "-o", "t.glb", folder=tmp_path).stdout)
    assert (tile["file"], tile["tile"], tile["bytes"]) == ("t.glb", [3, 4, 2], (tmp_path / "t.glb").stat().st_size)
    assert tile["min_height"] < tile["max_height"] and np.array(tile["ecef_from_tile"]).shape == (4, 4)
    picture = json.loads(run("render", "alps", "--level", "3", "--size", "8", "--json", folder=tmp_path).stdout)
    assert (picture["file"], picture["level"]) == ("alps-3.png", 3) and picture["metres_per_pixel"] > 10_000


def test_a_picture_of_a_place_in_colour_and_relief(tmp_path: Path) -> None:
    result = run("render", "alps", "--level", "5", "--size", "300x200", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    picture = np.asarray(Image.open(tmp_path / "alps-5.png")).astype(int)
    assert picture.shape == (200, 600, 3)
    assert np.ptp(picture[:, 300:], axis=2).max() == 0 and picture[:, 300:].std() > 5
    assert picture[:, :300].std() > 10


def test_a_picture_west_of_greenwich_keeps_what_it_generates(tmp_path: Path) -> None:
    arguments = ["render", "--level", "5", "--size", "64", "--style", "colour", "--store", "kept", "-o", "canyon.png", "--", "-112.1,36.1"]
    first, second = run(*arguments, folder=tmp_path), run(*arguments, folder=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == second.stdout and "-112.1 E 36.1 N" in first.stdout
    assert any(path.is_file() for path in (tmp_path / "kept").rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tile", "mordor"], "matterhorn"),
        (["tile", "4/x/1"], "Z/X/Y"),
        (["tile", "4/16/1"], "0 to 15"),
        (["tile", "4/1/1", "--segments", "65"], "32, 64, 128"),
        (["tile", "4/1/1", "--quality", "101"], "1 to 100"),
        (["tile", "4/1/1", "--compression", "draco"], "none, meshopt"),
        (["tile", "20/1/1"], "18"),
        (["render", "alps", "--style", "cubist"], "colour, hillshade, both"),
        (["render", "alps", "--size", "huge"], "1280x720"),
        (["render", "alps", "--size", "100000"], "8192"),
        (["render", "alps", "--world", "atlantis"], "earth"),
        (["render", "alps", "--level", "3", "--size", "8", "-o", "alps.picture"], "cannot write alps.picture"),
        (["tile", "4/1/1", "-o", "/proc/none/tile.glb"], "cannot write /proc/none/tile.glb"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    result = run(*arguments, folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and complaint in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_flight_fills_an_album_that_draws_chart_and_views(client: Client) -> None:
    path = FlightPath((Fix(0.0, 7.0, 46.0, 60_000.0), Fix(6.0, 7.4, 45.8, 60_000.0)), pitch=-30.0)
    album, heard = Album(views_at=(3.0, 5.5)), []
    figures = fly_for(album, client, path, lambda seconds, tiles: heard.append((seconds, tiles)))
    assert figures.failed == 0 and heard[-1][1] > 5
    # A tile may still arrive between the last look at the stream and its end.
    assert len(album.received) <= heard[-1][1] <= figures.tiles <= len(album.received) + 8
    assert len(album.snapshots) == 2 and len(album.track) == len(heard)
    assert chart(album).size == (1600, 900)
    view = np.asarray(view_picture(album.snapshots[-1])).astype(int)
    sky, ground = view[:100], view[-200:]
    assert view.shape == (720, 1280, 3)
    assert sky[..., 2].mean() > sky[..., 0].mean() and ground.std() > 5
