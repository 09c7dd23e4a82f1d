"""Where a viewpoint will be: by its velocity, along turns, brakes and waypoints."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom_engines.viewpoint import MANOEUVRE_SECONDS, MOST_TURN, ViewState, Waypoint, extrapolate, travel
from viewpoints import cartesian, views


@settings(max_examples=25, deadline=None)
@given(views, st.floats(0.0, 60.0))
def test_extrapolation_moves_by_velocity_times_time(view: ViewState, seconds: float) -> None:
    later = extrapolate(view, seconds)
    assert -180.0 <= later.east <= 180.0 and -90.0 <= later.north <= 90.0
    start, end = (cartesian(v.east, v.north, view.height) for v in (view, later))
    path = math.hypot(*view.velocity[:2]) * seconds
    assert math.dist(start, end) == pytest.approx(path, abs=max(1e-3 * path, 0.5))
    assert later.height == pytest.approx(view.height + view.velocity[2] * seconds)


@settings(max_examples=30)
@given(
    st.tuples(st.floats(-300.0, 300.0), st.floats(-300.0, 300.0), st.floats(-50.0, 50.0)),
    st.tuples(st.floats(-60.0, 60.0), st.floats(-60.0, 60.0), st.floats(-20.0, 20.0)),
    st.floats(0.0, 8.0),
)
def test_a_turn_is_an_arc_whose_speed_changes_as_the_acceleration_says(
    velocity: tuple[float, float, float], acceleration: tuple[float, float, float], seconds: float
) -> None:
    speed = math.hypot(*velocity[:2])
    turn = (velocity[0] * acceleration[1] - velocity[1] * acceleration[0]) / speed**2 if speed > 1e-3 else math.inf
    if abs(turn) > 0.9 * MOST_TURN:
        return
    forward = (velocity[0] * acceleration[0] + velocity[1] * acceleration[1]) / speed
    steps = 400
    x, y, z, heading, climb = 0.0, 0.0, 0.0, math.atan2(velocity[1], velocity[0]), velocity[2]
    for i in range(steps):  # the midpoint rule
        share = seconds / steps * ((i + 0.5) * seconds / steps < MANOEUVRE_SECONDS)
        heading, speed, climb = heading + turn * share / 2, speed + forward * share / 2, climb + acceleration[2] * share / 2
        if speed <= 0.0:
            speed = forward = turn = 0.0
        x, y, z = (at + rate * seconds / steps for at, rate in ((x, speed * math.cos(heading)), (y, speed * math.sin(heading)), (z, climb)))
        heading, speed, climb = heading + turn * share / 2, speed + forward * share / 2, climb + acceleration[2] * share / 2
    assert travel(velocity, acceleration, seconds) == pytest.approx((x, y, z), abs=3.0)


def test_who_brakes_stops_and_who_hovers_moves_aside() -> None:
    assert travel((20.0, 0.0, 0.0), (-10.0, 0.0, 0.0), 8.0) == pytest.approx((20.0, 0.0, 0.0))
    assert travel((0.0, 0.0, 0.0), (3.0, 4.0, 1.0), 2.0) == pytest.approx((6.0, 8.0, 2.0))
    assert travel((0.0, 1.0, 0.0), (8.0, 0.0, 0.0), 1.0) == pytest.approx((4.0, 1.0, 0.0))


def test_waypoints_take_the_short_way_round_and_end_at_the_last() -> None:
    view = ViewState(179.0, 0.0, 0.0, velocity=(0.0, 99.0, 0.0), waypoints=(Waypoint(-179.0, 2.0, 100.0, 10.0),))
    half_way = extrapolate(view, 5.0)
    assert (abs(half_way.east), half_way.north, half_way.height) == pytest.approx((180.0, 1.0, 50.0))
    assert extrapolate(view, 60.0).east == -179.0
