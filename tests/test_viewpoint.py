"""Where a viewpoint will be: by its velocity, along turns, brakes and waypoints."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom_engines.viewpoint import MANOEUVRE_SECONDS, MOST_TURN, ViewState, Waypoint, extrapolate, travel, turned
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


@settings(max_examples=40)
@given(
    st.tuples(st.floats(-300.0, 300.0), st.floats(-300.0, 300.0), st.just(0.0)),
    st.tuples(st.floats(-60.0, 60.0), st.floats(-60.0, 60.0), st.just(0.0)),
    st.floats(0.1, 8.0),
)
def test_a_camera_turns_as_the_path_does(
    velocity: tuple[float, float, float], acceleration: tuple[float, float, float], seconds: float
) -> None:
    before, after = (travel(velocity, acceleration, seconds + step) for step in (-1e-4, 1e-4))
    moved = after[0] - before[0], after[1] - before[1]
    speed = math.hypot(*velocity[:2])
    turn = (velocity[0] * acceleration[1] - velocity[1] * acceleration[0]) / max(speed, 1e-3) ** 2
    if abs(turn) > 0.99 * MOST_TURN or math.hypot(*moved) < 1e-4 or abs(seconds - MANOEUVRE_SECONDS) < 1e-3:
        return
    angle = math.atan2(velocity[1], velocity[0]) + turned(velocity, acceleration, seconds)
    assert math.cos(angle - math.atan2(moved[1], moved[0])) == pytest.approx(1.0, abs=1e-4)


def test_the_line_of_sight_keeps_its_angle_to_the_path_and_its_pitch() -> None:
    looking = ViewState(7.0, 46.0, 1000.0, (100.0, 0.0, 0.0), (0.6, -0.48, -0.64), acceleration=(0.0, 100.0 * math.pi / 8, 0.0))
    assert extrapolate(looking, 4.0).forward == pytest.approx((0.48, 0.6, -0.64)), "a quarter of a turn to the left"
    assert extrapolate(looking, 8.0).forward == extrapolate(looking, 4.0).forward, "then it goes straight on"
    hovering = ViewState(7.0, 46.0, 1000.0, (0.0, 1.0, 0.0), (0.6, -0.48, -0.64), acceleration=(8.0, 0.0, 0.0))
    assert extrapolate(hovering, 4.0).forward == hovering.forward, "it moves aside and does not turn"
    assert extrapolate(ViewState(7.0, 46.0, 0.0, (100.0, 0.0, 0.0), acceleration=(0.0, 30.0, 0.0)), 4.0).forward is None


def test_along_waypoints_the_line_of_sight_turns_from_leg_to_leg() -> None:
    north, back = Waypoint(7.0, 46.1, 500.0, 10.0), Waypoint(7.0, 46.0, 500.0, 20.0)
    view = ViewState(6.9, 46.0, 500.0, forward=(1.0, 0.0, 0.0), waypoints=(Waypoint(7.0, 46.0, 500.0, 5.0), north, north_too(north), back))
    looks = [extrapolate(view, seconds).forward for seconds in (2.0, 7.0, 12.0, 17.0, 30.0)]
    for look, expected in zip(looks, ((1, 0, 0), (0, 1, 0), (0, 1, 0), (0, -1, 0), (0, -1, 0)), strict=True):
        assert look == pytest.approx(expected, abs=1e-12)


def north_too(place: Waypoint) -> Waypoint:
    """The same place a little later."""
    return Waypoint(place.east, place.north, place.height, place.seconds + 5.0)
