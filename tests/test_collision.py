"""The ground that a body may touch: what is selected, when, and where it ends."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.collision import select_ground
from terraloom_engines.selection import Radius
from terraloom_engines.server.plans import CollisionPlan
from terraloom_engines.tiling import TileId, tile_from_lonlat
from terraloom_engines.viewpoint import ViewState, Waypoint, extrapolate

ALPS = ViewState(7.66, 45.98, 3000.0)
DISC = Radius(200.0, 18)
WGS84 = Geod(ellps="WGS84")


def rim(view: ViewState, radius: float, count: int = 72) -> list[tuple[float, float]]:
    """Places on the ellipsoid that lie `radius` metres from below a viewpoint."""
    places = (WGS84.fwd(view.east, view.north, 360.0 * i / count, radius) for i in range(count))
    return [(longitude, latitude) for longitude, latitude, _ in places]


@settings(max_examples=50, deadline=None)
@given(st.floats(-180, 180), st.floats(-84.9, 84.9), st.floats(1.0, 900.0), st.integers(12, 18))
def test_every_place_within_the_radius_is_selected_and_nothing_far_beyond(lon: float, lat: float, radius: float, level: int) -> None:
    view = ViewState(lon, lat, 0.0)
    try:
        selected = select_ground(view, Radius(radius, level))
    except ResourceExhaustedError:
        return  # near the poles tiles are small
    assert {tile_from_lonlat(level, *place) for place in [(lon, lat), *rim(view, radius), *rim(view, radius / 2)]} <= selected.keys()
    side = 40_075_017 / (1 << level) * math.cos(math.radians(lat))
    assert len(selected) <= (2 * 1.02 * radius / side + 2) ** 2 * 1.2
    assert set(selected.values()) == {0.0}


def test_the_height_of_the_viewpoint_does_not_count() -> None:
    assert select_ground(replace(ALPS, height=50_000.0), DISC) == select_ground(ALPS, DISC)


def test_a_moving_viewpoint_gets_its_path_in_order_of_time() -> None:
    moving = replace(ALPS, velocity=(120.0, 0.0, 0.0))
    selected = select_ground(moving, DISC)
    seconds = list(selected.values())
    assert seconds == sorted(seconds) and seconds[-1] == 8.0
    for time in (0.0, 1.7, 5.3, 8.0):
        there = extrapolate(moving, time)
        for place in [(there.east, there.north), *rim(there, 150.0)]:
            assert selected[tile_from_lonlat(18, *place)] <= time + 0.5


def test_no_tile_of_a_fast_path_is_passed_over() -> None:
    moving = replace(ALPS, velocity=(200.0, 100.0, 0.0))
    selected = select_ground(moving, Radius(60.0, 18))
    for i in range(801):
        there = extrapolate(moving, i / 100)
        assert tile_from_lonlat(18, there.east, there.north) in selected


def test_waypoints_lead_the_way() -> None:
    view = replace(ALPS, waypoints=(Waypoint(7.67, 45.98, 3000.0, 4.0), Waypoint(7.67, 45.985, 3000.0, 8.0)))
    selected = select_ground(view, DISC)
    assert tile_from_lonlat(18, 7.665, 45.98) in selected and tile_from_lonlat(18, 7.67, 45.9825) in selected
    assert tile_from_lonlat(18, 7.66, 45.985) not in selected


def test_the_antimeridian_is_no_border() -> None:
    columns = {tile.x for tile in select_ground(ViewState(180.0, -17.0, 0.0), DISC)}
    assert {0, (1 << 18) - 1} <= columns and len(columns) < 8


def test_there_is_no_ground_beyond_the_rim_of_the_map() -> None:
    assert select_ground(ViewState(0.0, 89.0, 0.0), DISC) == {}


def test_a_disc_of_too_many_tiles_is_refused_and_a_long_path_cut_short() -> None:
    with pytest.raises(ResourceExhaustedError, match="20000 m takes over 1024 tiles of level 18"):
        select_ground(ALPS, Radius(20_000.0, 18))
    selected = select_ground(replace(ALPS, velocity=(1000.0, 0.0, 0.0)), Radius(1000.0, 18))
    assert len(selected) == 1024 and 0.0 < list(selected.values())[-1] < 8.0


def test_grids_come_and_go_with_slack_and_two_levels_never_overlap() -> None:
    plan = CollisionPlan([ALPS], DISC)
    assert plan.needed == set(plan.tiles)
    middle = tile_from_lonlat(18, ALPS.east, ALPS.north)
    near, far = middle.neighbour(3, 0), middle.neighbour(8, 0)  # tiles are 106 m wide here
    assert near is not None and far is not None
    held = {*plan.tiles, near, far}
    assert plan.shown(held, ()) == {*plan.tiles, near}
    assert plan.surplus(held, plan.shown(held, ())) == [far]
    coarse = {TileId(17, middle.x // 2, middle.y // 2)}
    assert plan.shown({middle, *coarse}, coarse) == coarse, "until all of the new level is there"
    whole = set(plan.tiles) | coarse
    assert plan.shown(whole, coarse) == set(plan.tiles)
    assert plan.surplus(whole, set(plan.tiles)) == list(coarse)
