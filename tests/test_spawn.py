"""Places to start from: dry, even, and the same each time."""

import json
import subprocess
import sys

import numpy as np
import pytest

from terraloom.errors import NotFoundError
from terraloom_engines import spawn
from terraloom_engines.field import LAND_FULL
from terraloom_engines.spawn import LEVELS, Spawn, find_spawn
from terraloom_engines.tiling import pixel_from_place, tile_from_place
from terraloom_engines.world import World, open_world

MUNICH = (11.58, 48.14)


@pytest.fixture(scope="module")
def earth() -> World:
    return open_world("earth")


def is_dry_and_even(world: World, found: Spawn) -> bool:
    """Whether the pixels round a place are land, and no two of them differ by more than its slope allows."""
    tile = tile_from_place(world.kind, LEVELS[-1], found.east, found.north)
    column, row = (int(at) % 256 for at in pixel_from_place(world.kind, LEVELS[-1], found.east, found.north))
    around = world.field(tile).crop(1).data[:, row : row + 3, column : column + 3]
    heights = around[0] / 64
    return bool((around[2] == LAND_FULL).all()) and abs(np.diff(heights)).max() < 2 * 20 * np.tan(np.radians(5)) and np.ptp(heights) < 10


def test_a_place_is_dry_even_near_and_the_same_each_time(earth: World) -> None:
    found = find_spawn(earth, MUNICH)
    assert is_dry_and_even(earth, found)
    assert found.slope <= 5
    assert np.hypot((found.east - MUNICH[0]) * 74, (found.north - MUNICH[1]) * 111) < 60
    assert find_spawn(open_world("earth"), MUNICH) == found


def test_from_the_open_sea_the_nearest_land_is_found(earth: World) -> None:
    found = find_spawn(earth, (-30.0, 30.0))
    assert is_dry_and_even(earth, found)
    assert found.height > 0


def test_without_a_place_the_seed_chooses_one() -> None:
    world = open_world("planet:7")
    assert is_dry_and_even(world, find_spawn(world))


def test_where_nothing_is_even_enough_that_is_told(earth: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "TRIES", (1, 1, 1))
    with pytest.raises(NotFoundError, match="no dry ground of at most 1e-06 degrees was found in earth near 11.58,48.14: allow a steeper"):
        find_spawn(earth, MUNICH, 1e-6)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "terraloom_engines.cli", "spawn", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_prints_longitude_latitude_and_height(earth: World) -> None:
    found = find_spawn(earth, MUNICH)
    result = command("earth", "--near", "11.58,48.14", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert (answer["world"], answer["longitude"], answer["latitude"], answer["height"]) == ("earth", found.east, found.north, found.height)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("earth", "--slope-max", "0"), "slope 0 is out of range"),
        (("plane:7", "--near", "munich"), "a place on a plane is X,Y in metres"),
        (("moon",), "unknown world 'moon'"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and complaint in result.stderr and result.stderr.count("\n") == 1
