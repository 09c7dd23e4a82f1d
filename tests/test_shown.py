"""The figures of a flight, on logs made up so that the answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.shown import Log, Picture, covering, late_ground, pictures, seen

from terraloom_engines.mesh import geometric_error
from terraloom_engines.selection import Criteria, select
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState

FINEST = 9
DOWN = (0.0, math.cos(math.radians(-50)), math.sin(math.radians(-50)))
VIEW = ViewState(8.0, 46.5, 12_000.0, forward=DOWN)
MAX_Z = 24
WEST = TileId(12, 2139, 1448)
MIDDLE = 46.528
"""Latitude in the middle of its row."""


class Flat(dict[TileId, tuple[float, float]]):
    """Heights of a land that is 1000 m high everywhere."""

    def get(self, tile: TileId, _: object = None) -> tuple[float, float]:  # type: ignore[override]
        return 1000.0, 1000.0

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: TileId) -> tuple[float, float]:
        return 1000.0, 1000.0


LEAVES = select(VIEW, Criteria(max_level=FINEST, lookahead=()), Flat().get).leaves


def hover(seconds: float, changes: list[tuple[float, frozenset[TileId]]]) -> Log:
    """A viewpoint at rest for some seconds, ten frames a second."""
    return Log(frames=[(i / 10, VIEW) for i in range(round(seconds * 10))], changes=changes)


def figures(log: Log) -> dict[str, float]:
    found = seen(log, pictures(log, FINEST, Flat()))
    return {**found, "p50": found["time_to_visible_ms"]["p50"], "p95": found["time_to_visible_ms"]["p95"]}


def frame() -> Picture:
    return pictures(hover(0.1, []), FINEST, Flat())[0]


def test_rays_meet_the_ground_where_geometry_says() -> None:
    found = frame()
    middle = np.argsort(np.abs(found.distances - 11_000 / math.sin(math.radians(50))))[:1]
    assert 11_000 < found.distances.min() < 11_000 / math.sin(math.radians(50)) * 1.01
    assert found.distances[middle] == pytest.approx(11_000 / math.sin(math.radians(50)), rel=0.02)
    assert len(found.distances) == 64 * 36, "50 degrees down, a picture of 60 degrees shows no sky"
    level = replace(VIEW, forward=(0.0, 1.0, 0.0))
    assert 0.4 < len(pictures(Log(frames=[(0.0, level)]), FINEST, Flat())[0].distances) / (64 * 36) < 0.5


def test_covering_finds_the_finest_tile_and_says_where_there_is_none() -> None:
    tiles = [TileId(3, 4, 2), TileId(4, 8, 5), TileId(4, 9, 5)]
    at = [TileId(6, 8 * 4 + 1, 5 * 4 + 2), TileId(6, 4 * 8, 2 * 8), TileId(6, 0, 0)]
    columns, rows = (np.array([value << (MAX_Z - 6) for value in axis]) for axis in zip(*((tile.x, tile.y) for tile in at), strict=True))
    assert covering(tiles, columns, rows).tolist() == [1, 0, -1]


def test_all_that_is_asked_for_from_the_start_is_perfect() -> None:
    found = figures(hover(12.0, [(0.0, frozenset(LEAVES))]))
    assert (found["frames_with_holes"], found["over_twice_target_percent"], found["p95"], found["left_unseen"]) == (0, 0.0, 0.0, 0)


def test_tiles_that_come_late_are_waited_for_until_then() -> None:
    found = figures(hover(6.0, [(0.0, frozenset({TileId(0, 0, 0)})), (2.5, frozenset(LEAVES))]))
    assert found["p50"] == found["p95"] == pytest.approx(2500.0)
    assert found["frames_with_holes"] == 0, "a coarse parent is no hole"


def test_nothing_drawn_is_a_hole_only_after_something_was() -> None:
    half = frozenset(tile for tile in LEAVES if tile.ancestor(0) and tile.x % 2)
    found = figures(hover(4.0, [(1.0, frozenset(LEAVES)), (2.0, half), (3.0, frozenset(LEAVES))]))
    assert found["frames_with_holes"] == 10
    assert 0.0 < found["hole_share_percent"] < 25.0


def test_ground_over_twice_the_target_is_a_share_of_the_picture_after_ten_seconds() -> None:
    coarse = frozenset({TileId(0, 0, 0)})
    assert figures(hover(20.0, [(0.0, coarse), (10.0, frozenset(LEAVES))]))["over_twice_target_percent"] == 0.0
    assert figures(hover(20.0, [(0.0, coarse)]))["over_twice_target_percent"] == 100.0
    assert figures(hover(20.0, [(0.0, coarse), (15.0, frozenset(LEAVES))]))["over_twice_target_percent"] == pytest.approx(50.0)


def test_one_level_too_coarse_counts_only_where_it_is_over_twice_the_target() -> None:
    parents = frozenset(tile.parent for tile in LEAVES)
    picture = frame()
    errors = np.array([geometric_error(TileId(FINEST - 1, 133, 90)) * VIEW.lines_per_radian / metres for metres in picture.distances])
    found = figures(hover(11.0, [(0.0, parents)]))
    assert found["over_twice_target_percent"] == pytest.approx(100 * float((errors > 32).mean()), abs=2.0)
    assert found["p95"] == 0.0 and found["time_to_visible_ms"]["count"] <= 1, "what never became visible is not told as if it had"


def test_a_leaf_that_leaves_the_picture_before_it_was_shown_is_counted_apart() -> None:
    away = replace(VIEW, east=9.5)
    log = Log(frames=[(0.0, VIEW), (0.5, VIEW), (1.0, away), (1.5, away)], changes=[(0.0, frozenset({TileId(0, 0, 0)}))])
    found = seen(log, pictures(log, FINEST, Flat()))
    assert found["left_unseen"] > 0 and found["time_to_visible_ms"]["max"] == pytest.approx(1000.0)


def ground_log(tiles: list[tuple[float, TileId, bool]], moves: list[float]) -> Log:
    """A body that is at some longitudes, ten frames a second."""
    return Log(frames=[(i / 10, ViewState(longitude, MIDDLE, 500.0)) for i, longitude in enumerate(moves)], ground=tiles)


def test_ground_that_comes_after_it_is_needed_is_late() -> None:
    middle, size = (WEST.x + 0.5) * 360 / (1 << 12) - 180, 360 / (1 << 12)
    west, east = WEST, WEST.neighbour(1, 0)
    assert east is not None
    moves = [middle + min(i, 40) * size / 40 for i in range(60)]
    on_time = late_ground(ground_log([(0.0, west, True), (1.0, east, True)], moves), 100.0, 12)
    late = late_ground(ground_log([(0.0, west, True), (3.0, east, True)], moves), 100.0, 12)
    assert (on_time["late_tiles"], on_time["after_start_or_jump_tiles"]) == (0, 0)
    assert late["late_tiles"] + late["after_start_or_jump_tiles"] == 1
    freed = late_ground(ground_log([(0.0, west, True), (1.0, east, True), (4.0, east, False)], moves), 100.0, 12)
    assert freed["late_tiles"] == 1 and freed["latest_ms"] == pytest.approx(1900.0)


def test_ground_after_a_jump_is_counted_apart() -> None:
    here, there = WEST, replace(WEST, x=2400)
    size = 360 / (1 << 12)
    places = [(tile.x + 0.5) * size - 180 for tile in (here, there)]
    log = ground_log([(0.0, here, True), (3.3, there, True)], [places[0]] * 30 + [places[1]] * 30)
    found = late_ground(log, 10.0, 12)
    assert (found["late_tiles"], found["after_start_or_jump_tiles"]) == (0, 1)
    assert found["after_start_or_jump_ms"] == pytest.approx(200.0)
