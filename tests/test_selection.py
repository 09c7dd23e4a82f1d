"""Selection against a brute-force reference, and the promises that streams build on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.mesh import geometric_error
from terraloom_engines.selection import FLATTEST, LOOKAHEAD, Criteria, Radius, Region, ScreenSpaceError, Selection, WorkClass, select
from terraloom_engines.tiling import TileId, ground_sample_distance, lonlat_bounds, tile_from_lonlat
from terraloom_engines.viewpoint import RADIUS, ViewState, Waypoint, extrapolate
from viewpoints import cartesian, views

ALPS = ViewState(east=10.0, north=46.5, height=2500.0)
GROUND = (0.0, 1000.0)


def known(tile: TileId) -> tuple[float, float]:
    """Every tile's content is known, and its heights are these."""
    return GROUND


def sampled_distance(view: ViewState, tile: TileId, heights: tuple[float, float], steps: int = 6) -> float:
    """Distance to the nearest of a grid of points of the tile's bounding region; never below the exact distance."""
    west, south, east, north = lonlat_bounds(tile)
    eye = cartesian(view.east, view.north, view.height)
    spans = [(west, east), (south, north), heights]
    for _ in range(14):  # zoom in on the nearest point
        grids = [[a + (b - a) * i / steps for i in range(steps + 1)] for a, b in spans[:2]] + [[*spans[2], sum(spans[2]) / 2]]
        points = ((math.dist(eye, cartesian(x, y, h)), (x, y, h)) for x in grids[0] for y in grids[1] for h in grids[2])
        best, nearest = min(points)
        limits = [(west, east), (south, north), heights]
        spans = [
            (max(low, at - (b - a) / 4), min(high, at + (b - a) / 4))
            for at, (a, b), (low, high) in zip(nearest, spans, limits, strict=True)
        ]
    return best


def reference_error(view: ViewState, tile: TileId, heights: tuple[float, float]) -> float:
    """Screen-space error in pixels, as Cesium defines it."""
    distance = sampled_distance(view, tile, heights)
    half = math.tan(math.radians(view.vertical_field_of_view) / 2)
    return geometric_error(tile) * view.viewport_lines / (max(distance, 1e-9) * 2 * half)


def lacked(tile: TileId) -> float:
    """Error in pixels by the share of the picture: ground at a grazing angle takes as much less of it. Of the view `ALPS`."""
    distance = max(sampled_distance(ALPS, tile, GROUND), 1e-9)
    return reference_error(ALPS, tile, GROUND) * min(max((ALPS.height - GROUND[0]) / distance, FLATTEST), 1.0)


def tangent(height: float, solid: float) -> float:
    """Metres from a height to where its horizon touches the sphere of a solid Earth at height `solid`; 0 from below."""
    return math.sqrt(max((RADIUS + height) ** 2 - (RADIUS + solid) ** 2, 0.0))


def hidden(view: ViewState, tile: TileId, top: float, solid: float = 0.0) -> bool:
    """Whether a solid Earth up to height `solid` hides all of a tile that rises to `top`, in metres."""
    return sampled_distance(view, tile, (top, top)) > tangent(view.height, solid) + tangent(top, solid)


def reference(view: ViewState, target: float, max_level: int, *, horizon: bool) -> dict[TileId, float]:
    """All tiles whose ancestors all exceed the target, with their errors: the definition, by brute force.

    With `horizon`, the ancestors rise above that of a smooth Earth as well.
    """
    found, level = {}, [TileId(0, 0, 0)]
    while level:
        errors = {tile: reference_error(view, tile, GROUND) for tile in level}
        found |= errors
        refined = [tile for tile, error in errors.items() if error > target and tile.z < max_level]
        level = [child for tile in refined if not (horizon and hidden(view, tile, GROUND[1])) for child in tile.children]
    return found


def leaves_that_overlap(leaves: list[TileId]) -> Iterator[tuple[TileId, TileId]]:
    """Pairs of leaves of which one contains the other."""
    present = set(leaves)
    for leaf in leaves:
        for z in range(leaf.z):
            if leaf.ancestor(z) in present:
                yield leaf.ancestor(z), leaf


def area(leaves: list[TileId]) -> float:
    """Share of the Web Mercator square covered."""
    return sum(4.0**-leaf.z for leaf in leaves)


@pytest.mark.parametrize(
    "view",
    [
        ALPS,
        ViewState(-179.999, 12.0, 800.0),
        ViewState(179.9999, -51.0, 12_000.0),
        ViewState(45.0, 89.0, 30_000.0),
        ViewState(-100.0, 20.0, 9e6),
        ViewState(0.0, -85.06, 1500.0, viewport_lines=480),
    ],
    ids=lambda view: f"{view.east},{view.north},{view.height}",
)
def test_selection_is_what_the_definition_of_screen_space_error_gives(view: ViewState) -> None:
    """Without a line of sight: all that exceeds the target in sight, and nothing that does not exceed it."""
    target, max_level = 24.0, 10
    selected = {tile.tile for tile in select(view, Criteria(ScreenSpaceError(target), max_level=max_level), known).tiles}
    errors, in_sight = (reference(view, target, max_level, horizon=horizon) for horizon in (False, True))
    doubtful = {tile for tile, error in errors.items() if abs(error / target - 1) < 1e-4}
    assert {t for t in (in_sight.keys() - selected) | (selected - errors.keys()) if t.parent not in doubtful} == set()


def test_what_lies_behind_the_horizon_is_not_refined() -> None:
    """But for a margin: mountains of 9 km may rise behind a valley of -500 m, and the Earth is no sphere."""
    selected = {tile.tile for tile in select(ALPS, Criteria(max_level=12), known).tiles}
    assert not any(hidden(ALPS, tile.parent, 9000.0, solid=-700.0) for tile in selected if tile.z > 0)
    assert len(selected) < 0.9 * len(reference(ALPS, ScreenSpaceError().target_pixels, 12, horizon=False))


def test_a_mountain_behind_the_horizon_is_refined() -> None:
    """The Matterhorn's height, 440 km off, seen from 2.5 km: its foot is hidden, its top is not."""
    view, criteria, finest = ViewState(7.66, 42.0, 2500.0), Criteria(ScreenSpaceError(1.5), max_level=11), {}
    for height in (0.0, 4478.0):
        leaves = select(view, criteria, lambda tile, height=height: (0.0, height)).leaves
        (finest[height],) = (leaf.z for leaf in leaves if leaf == tile_from_lonlat(leaf.z, 7.66, 45.98))
    assert finest[4478.0] > finest[0.0]


@settings(max_examples=25, deadline=None)
@given(views, st.floats(16.0, 200.0))
def test_the_error_of_every_leaf_in_sight_is_within_the_target(view: ViewState, target: float) -> None:
    max_level = 14
    for leaf in select(view, Criteria(ScreenSpaceError(target), max_level=max_level), known).leaves:
        west, south, east, north = lonlat_bounds(leaf)
        corners = [cartesian(x, y, h) for x in (west, (west + east) / 2, east) for y in (south, north) for h in GROUND]
        nearest = min(math.dist(cartesian(view.east, view.north, view.height), corner) for corner in corners)
        error = geometric_error(leaf) * view.viewport_lines / (max(nearest, 1e-9) * 2 * math.tan(math.radians(30)))
        assert leaf.z == max_level or error <= target * (1 + 1e-6) or hidden(view, leaf, GROUND[1])


@settings(max_examples=25, deadline=None)
@given(views, st.one_of(st.builds(ScreenSpaceError, st.floats(16.0, 64.0)), st.builds(Radius, st.floats(0.0, 5000.0), st.integers(0, 14))))
def test_leaves_cover_the_root_once_and_parents_come_first(view: ViewState, by: ScreenSpaceError | Radius) -> None:
    selection = select(view, Criteria(by, max_level=14), known)
    leaves = list(selection.leaves)
    assert area(leaves) == 1.0
    assert list(leaves_that_overlap(leaves)) == []
    position = {tile.tile: i for i, tile in enumerate(selection.tiles)}
    assert len(position) == len(selection.tiles)
    urgency = {tile.tile: tile.priority for tile in selection.tiles}
    for tile in urgency:
        assert tile.z == 0 or (position[tile.parent] < position[tile] and urgency[tile.parent] < urgency[tile])


@settings(max_examples=25, deadline=None)
@given(st.floats(-180.0, 180.0), st.floats(-80.0, 80.0), st.floats(100.0, 20_000.0), st.integers(5, 13))
def test_radius_refines_exactly_the_tiles_that_touch_the_disc(longitude: float, latitude: float, radius: float, level: int) -> None:
    view = ViewState(longitude, latitude, 1e5)
    leaves = select(view, Criteria(Radius(radius, level)), known).leaves
    assert {leaf.z for leaf in leaves} <= set(range(level + 1))
    for bearing in range(0, 360, 15):
        later = extrapolate(ViewState(longitude, latitude, 0.0, velocity=unit(bearing)), 0.999 * radius)
        assert tile_from_lonlat(level, later.east, later.north) in leaves
    for leaf in leaves:
        if leaf.z == level:
            assert ground_distance(view, leaf.parent) <= radius * (1 + 1e-9)


def unit(bearing: float) -> tuple[float, float, float]:
    """One metre per second towards `bearing` degrees."""
    return math.sin(math.radians(bearing)), math.cos(math.radians(bearing)), 0.0


def ground_distance(view: ViewState, tile: TileId) -> float:
    """Metres along the sphere to the nearest place of a small tile, from above: clamped in longitude and latitude."""
    west, south, east, north = lonlat_bounds(tile)
    longitude = min((view.east + turn for turn in (-360, 0, 360)), key=lambda x: abs(x - (west + east) / 2))
    place = min(max(longitude, west), east), min(max(view.north, south), north)
    chord = math.dist(cartesian(*place, 0.0), cartesian(view.east, view.north, 0.0))
    return 2 * RADIUS * math.asin(chord / 2 / RADIUS) * math.cos(math.radians(tile_height(tile)))


def tile_height(tile: TileId) -> float:
    """Degrees of latitude that a tile spans: bounds how much a parallel is longer than the great circle beside it."""
    _, south, _, north = lonlat_bounds(tile)
    return north - south


def test_the_antimeridian_is_no_border() -> None:
    west, east = (set(select(ViewState(x, -17.0, 900.0), Criteria(max_level=13), known).leaves) for x in (-180.0, 180.0))
    assert west == east
    finest = {leaf for leaf in west if leaf.z == 13}
    assert {leaf.x for leaf in finest} & {0, 1} and {leaf.x for leaf in finest} & {8191, 8190}


def test_a_tile_of_unknown_height_is_not_refined() -> None:
    selection = select(ALPS, Criteria(), lambda tile: GROUND if tile.z < 3 else None)
    assert max(leaf.z for leaf in selection.leaves) == 3


def test_heights_decide_how_near_a_tile_is() -> None:
    def finest(height: float) -> int:
        return max(leaf.z for leaf in select(ALPS, Criteria(max_level=18), lambda tile: (height, height)).leaves)

    assert finest(2490.0) > finest(2000.0) > finest(0.0)


def test_nothing_coarser_than_min_level_is_selected_and_the_ring_inside_is_the_same() -> None:
    whole = select(ALPS, Criteria(Radius(3000.0, 12)), known)
    cut = select(ALPS, Criteria(Radius(3000.0, 12), min_level=9), lambda tile: GROUND if tile.z >= 9 else None)
    assert cut.tiles == tuple(tile for tile in whole.tiles if tile.tile.z >= 9)


def test_a_selection_without_end_is_refused() -> None:
    with pytest.raises(ResourceExhaustedError, match="more than 8192 tiles"):
        select(ALPS, Criteria(Radius(100_000.0, 17)), known)


def test_levels_stay_at_or_above_max_level() -> None:
    assert max(tile.tile.z for tile in select(ALPS, Criteria(max_level=7), known).tiles) == 7


@settings(max_examples=25, deadline=None)
@given(views, st.floats(0.0, 359.0), st.floats(-89.0, 89.0))
def test_culling_never_touches_what_lies_ahead(view: ViewState, heading: float, pitch: float) -> None:
    """A camera selects no more than an all-round view and keeps each tile that holds a point inside its cone and before the horizon."""
    h, p = math.radians(heading), math.radians(pitch)
    looking = ViewState(
        view.east,
        view.north,
        abs(view.height) + 2000.0,
        forward=(math.sin(h) * math.cos(p), math.cos(h) * math.cos(p), math.sin(p)),
    )
    round_about = ViewState(looking.east, looking.north, looking.height)
    criteria = Criteria(max_level=12)
    seen, everything = tiles_of(select(looking, criteria, known)), tiles_of(select(round_about, criteria, known))
    assert seen <= everything
    for tile in everything - seen:
        assert not in_view(looking, tile.parent)


def tiles_of(selection: Selection) -> set[TileId]:
    """Addresses only."""
    return {tile.tile for tile in selection.tiles}


def in_view(view: ViewState, tile: TileId) -> bool:
    """Whether a corner or the middle of the tile is within 40 degrees of the line of sight and unhidden by the sphere."""
    west, south, east, north = lonlat_bounds(tile)
    eye = cartesian(view.east, view.north, view.height)
    lam, phi = math.radians(view.east), math.radians(view.north)
    axes = (
        (-math.sin(lam), math.cos(lam), 0.0),
        (-math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi)),
        (math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)),
    )
    assert view.forward is not None
    forward = [sum(amount * axis[i] for amount, axis in zip(view.forward, axes, strict=True)) for i in range(3)]
    for longitude in (west, (west + east) / 2, east):
        for latitude in (south, (south + north) / 2, north):
            ray = [a - b for a, b in zip(cartesian(longitude, latitude, 0.0), eye, strict=True)]
            length = math.hypot(*ray)
            before_horizon = length**2 < (RADIUS + view.height) ** 2 - RADIUS**2
            if before_horizon and sum(a * b for a, b in zip(ray, forward, strict=True)) > length * math.cos(math.radians(40)):
                return True
    return False


def test_a_moving_viewpoint_prefetches_what_it_will_need_in_order_of_time() -> None:
    moving = ViewState(10.0, 46.5, 1500.0, velocity=(0.0, 250.0, 0.0))
    criteria = Criteria(max_level=15)
    ahead = [tile for tile in select(moving, criteria, known).tiles if not tile.visible]
    now = tiles_of(select(ViewState(10.0, 46.5, 1500.0), criteria, known))
    assert ahead
    for tile in ahead:
        assert 0.0 < tile.priority.time_to_need <= 8.0
        before, after = (max(filter(test, (0.0, *LOOKAHEAD)), key=key) for test, key in bounds(tile.priority.time_to_need))
        assert tile.tile not in now
        assert tile.tile not in selected_at(moving, before, criteria)
        assert tile.tile in selected_at(moving, after, criteria)
    later = extrapolate(moving, 8.0)
    everything = tiles_of(select(moving, criteria, known))
    assert tiles_of(select(ViewState(later.east, later.north, later.height), criteria, known)) <= everything


def bounds(seconds: float) -> Iterator[tuple[Callable[[float], bool], Callable[[float], float]]]:
    """What finds the last moment of the look-ahead before some seconds, and the first one from there on."""
    yield lambda moment: moment < seconds, float
    yield lambda moment: moment >= seconds, lambda moment: -moment


@cache
def selected_at(view: ViewState, seconds: float, criteria: Criteria) -> set[TileId]:
    """What a viewpoint selects, at rest, where it will be."""
    return tiles_of(select(replace(extrapolate(view, seconds), velocity=(0.0, 0.0, 0.0)), criteria, known))


def test_the_time_to_need_is_when_the_error_passes_the_target() -> None:
    """Against the same question asked every tenth of a second."""
    moving, criteria = ViewState(10.0, 46.5, 1500.0, velocity=(150.0, 200.0, 0.0)), Criteria(max_level=14)
    ahead = [entry for entry in select(moving, criteria, known).tiles if not entry.visible]
    truth: dict[TileId, float] = {}
    for tenth in range(81):
        for tile in selected_at(moving, tenth / 10, criteria):
            truth.setdefault(tile, tenth / 10)
    late = [entry.priority.time_to_need - truth[entry.tile] for entry in ahead]
    assert len(late) > 10
    assert min(late) >= -0.1
    assert max(late) < 0.5
    assert sum(map(abs, late)) / len(late) < 0.15


@pytest.mark.parametrize("way", ["acceleration", "waypoints"])
def test_a_turning_camera_prefetches_what_it_will_see_after_the_turn(way: str) -> None:
    """A quarter of a turn to the left within 4 seconds, at 200 m/s, then straight on."""
    arc = ViewState(10.0, 46.5, 1500.0, (0.0, 200.0, 0.0), (0.0, 0.94, -0.34), acceleration=(-200.0 * math.pi / 8, 0.0, 0.0))
    places = [extrapolate(arc, 0.5 * i) for i in range(1, 17)]
    waypoints = tuple(Waypoint(place.east, place.north, place.height, 0.5 * i) for i, place in enumerate(places, 1))
    turning = arc if way == "acceleration" else replace(arc, acceleration=(0.0, 0.0, 0.0), waypoints=waypoints)
    straight, criteria = replace(arc, acceleration=(0.0, 0.0, 0.0)), Criteria(max_level=13)
    will_see = tiles_of(select(replace(places[-1], velocity=(0.0, 0.0, 0.0), acceleration=(0.0, 0.0, 0.0)), criteria, known))
    sees = {entry.tile for entry in select(arc, criteria, known).tiles if entry.visible}
    prepared = [tiles_of(select(view, criteria, known)) & will_see - sees for view in (straight, turning)]
    assert len(prepared[1]) > 0.95 * len(will_see - sees) > 20
    assert len(prepared[0]) < 0.5 * len(prepared[1])


def test_what_the_picture_lacks_most_comes_first() -> None:
    """Error times the share of the picture: ground at a grazing angle takes as much less of it."""
    entries = [entry for entry in select(ALPS, Criteria(max_level=13), known).tiles if entry.tile.z > 2]
    ordered = sorted(entries, key=lambda entry: entry.priority)
    lacks = [min(lacked(entry.tile.parent), 1e9) for entry in ordered if entry.priority.rank > -math.inf]
    assert len(lacks) > 100
    assert all(later <= sooner * (1 + 1e-3) for sooner, later in pairwise(lacks))


def test_several_viewpoints_need_what_each_of_them_needs_once() -> None:
    criteria = Criteria(max_level=12)
    views = [ALPS, replace(ALPS, east=10.2, velocity=(200.0, 0.0, 0.0)), ViewState(-70.0, -32.0, 9000.0)]
    union = select(views[0], criteria, known, views[1:])
    alone = [{entry.tile: entry for entry in select(view, criteria, known).tiles} for view in views]
    assert len(union.tiles) == len({entry.tile for entry in union.tiles}) == len(alone[0] | alone[1] | alone[2])
    for entry in union.tiles:
        of = [entries[entry.tile] for entries in alone if entry.tile in entries]
        assert entry.priority == min(single.priority for single in of)
        assert entry.refined == any(single.refined for single in of)
    assert area(list(union.leaves)) == 1.0
    assert list(leaves_that_overlap(list(union.leaves))) == []


def test_a_weight_counts_like_a_greater_error() -> None:
    criteria, west, east = Criteria(max_level=11), replace(ALPS, east=-100.0), replace(ALPS, east=100.0, weight=8.0)
    entries = {entry.tile: entry.priority for entry in select(west, criteria, known, [east]).tiles}
    pairs = [(tile, TileId(tile.z, (1 << tile.z) - 1 - tile.x, tile.y)) for tile in entries if tile.z > 3 and tile.x < 1 << tile.z - 1]
    ranks = [(entries[tile].rank, entries[mirrored].rank) for tile, mirrored in pairs if entries[tile].rank > -math.inf]
    assert len(ranks) > 50
    assert all(own - theirs == pytest.approx(3.0, abs=1e-6) for own, theirs in ranks)


@pytest.mark.parametrize("region", [Region(7.0, 45.5, 8.5, 46.5), Region(179.2, -18.0, -179.0, -16.0), Region(10.0, 50.0, 10.0, 50.0)])
def test_a_region_is_all_there_at_its_level_and_needs_no_view(region: Region) -> None:
    selection = select(region.centre, Criteria(region, max_level=8), lambda tile: None)
    leaves = set(selection.leaves)
    assert area(list(leaves)) == 1.0
    width = (region.east - region.west) % 360.0
    for i in range(9):
        for j in range(9):
            x = (region.west + width * i / 8 + 180.0) % 360.0 - 180.0
            assert tile_from_lonlat(8, x, region.south + (region.north - region.south) * j / 8) in leaves
    assert all(region.touches(leaf.parent) for leaf in leaves if leaf.z == 8)
    finest = select(region.centre, Criteria(region, min_level=8, max_level=8), known)
    assert {entry.tile for entry in finest.tiles} == {leaf for leaf in leaves if leaf.z == 8}


def test_near_tiles_are_those_without_which_the_picture_lacks_over_twice_the_target() -> None:
    selected = {tile.tile: tile.priority.work_class for tile in select(ALPS, Criteria(ScreenSpaceError(16.0), max_level=14), known).tiles}
    near = {tile for tile, work_class in selected.items() if work_class is WorkClass.NEAR}
    assert len(near) > 40
    assert near < tiles_of(select(ALPS, Criteria(ScreenSpaceError(32.0), max_level=14), known))
    for tile in (tile for tile in selected if tile.has_parent):
        if tile in near:
            assert lacked(tile.parent) > 32.0 * (1 - 1e-3) and tile.parent in near
        elif tile.parent in near:
            assert lacked(tile.parent) <= 32.0 * (1 + 1e-3)


def test_geometric_error_is_four_ground_sample_distances_at_the_tile() -> None:
    tile = tile_from_lonlat(14, 10.0, 46.5)
    _, south, _, north = lonlat_bounds(tile)
    assert geometric_error(tile) == pytest.approx(4 * ground_sample_distance(14, (south + north) / 2), rel=1e-4)
