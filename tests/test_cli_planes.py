"""The commands on a plane, as a person runs them: places are X,Y in metres."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from terraloom import connect
from terraloom_engines.cli.flight import Fix, FlightPath
from terraloom_engines.cli.path_csv import read_path
from terraloom_engines.geodesy import plane_from_tile
from terraloom_engines.tiling import TileId, WorldKind

PLANE = ["--world", "plane:7"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terraloom_engines.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def answer(command: str, *arguments: str) -> dict[str, object]:
    """What a command prints as JSON."""
    result = run(command, "--json", *arguments)
    assert result.returncode == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_heights_and_tiles_are_those_of_a_server(server: str, tmp_path: Path) -> None:
    heights = answer("heights", "--level", "5", *PLANE, "--", "1500,-200", "-3e5,2.5e5")
    made = answer("tile", "-o", str(tmp_path / "tile.glb"), *PLANE, "--texture", "none", "5/-1/0")
    with connect(server, world="plane:7") as client:
        assert [point["height"] for point in heights["points"]] == client.sample_heights([(1500, -200), (-3e5, 2.5e5)], level=5).tolist()  # type: ignore[union-attr,attr-defined]
        assert client.get_tile(5, -1, 0).min_height == made["min_height"]
    assert [sorted(point) for point in heights["points"]] == [["height", "x", "y"]] * 2  # type: ignore[attr-defined]
    assert np.array_equal(made["plane_from_tile"], plane_from_tile(TileId(5, -1, 0, WorldKind.PLANE)))  # type: ignore[arg-type]
    assert (tmp_path / "tile.glb").read_bytes()[:4] == b"glTF"


def test_a_picture_of_a_plane_is_drawn_round_its_place(tmp_path: Path) -> None:
    file = tmp_path / "plane.png"
    facts = answer("render", "--level", "4", "--size", "64x48", "-o", str(file), *PLANE, "--", "-1e6,2e6")
    assert (facts["x"], facts["y"], facts["metres_per_pixel"]) == (-1e6, 2e6, 8192.0)
    with Image.open(file) as picture:
        assert picture.size == (128, 48)


def test_a_plane_is_flown_over_in_metres(server: str) -> None:
    figures = answer("fly", server, *PLANE, "--from", "700000,-300000", "--to", "700000,-200000", "--seconds", "3", "--max-level", "4")
    assert figures["failed"] == 0
    assert 1 <= figures["tiles"] <= 4  # type: ignore[operator]


def test_paths_over_planes_are_straight(tmp_path: Path) -> None:
    file = tmp_path / "path.csv"
    file.write_text("time,x,y,height\n0,0,0,100\n10,300,400,200\n")
    path = read_path(file, kind=WorldKind.PLANE)
    assert path == FlightPath((Fix(0, 0, 0, 100), Fix(10, 300, 400, 200)), kind=WorldKind.PLANE)
    view = path.view(5.0)
    assert (view.x, view.y, view.z) == (150.0, 200.0, 150.0)  # type: ignore[union-attr]
    assert view.velocity == pytest.approx((30.0, 40.0, 10.0))
    assert path.until(5.0).fixes[-1] == Fix(5.0, 150.0, 200.0, 150.0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tile", "matterhorn", *PLANE], "a place on a plane is X,Y in metres"),
        (["tile", "1/0/0", *PLANE], "z=1 is out of range: allowed are 2 to 18"),
        (["render", "0,0", "--level", "1", *PLANE], "z=1 is out of range: allowed are 2 to 18"),
        (["tile", "0,0", "--world", "plane:seven"], "plane:SEED with a seed of 0 to 4294967295; got 'seven'"),
        (["fly", "127.0.0.1:9", *PLANE, "--from", "alps"], "a place on a plane is X,Y in metres"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
