"""Timed paths of `terraloom fly`, without a server."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli.flight import EARTH_RADIUS, Fix, FlightPath, great_circle, read_csv, straight

SPHERE = Geod(a=EARTH_RADIUS, b=EARTH_RADIUS)
places = st.tuples(st.floats(-179, 179), st.floats(-80, 80))


@given(places, places, st.floats(0.0, 1.0))
def test_a_straight_flight_follows_the_great_circle_at_its_speed(start: tuple[float, float], end: tuple[float, float], part: float) -> None:
    course, _back, distance = SPHERE.inv(*start, *end)
    if not 1000 < distance < 15e6:
        return
    path = straight(start, end, height=1000.0, speed=200.0)
    assert path.duration == pytest.approx(distance / 200.0, rel=1e-9)
    view = path.view(part * path.duration)
    longitude, latitude, _ = SPHERE.fwd(*start, course, part * distance)
    assert SPHERE.inv(longitude, latitude, view.longitude, view.latitude)[2] < 1.0
    assert math.hypot(*view.velocity) == pytest.approx(200.0)
    assert great_circle(Fix(0, *start, 0), Fix(0, *end, 0)) == pytest.approx(distance, rel=1e-9)


def test_the_velocity_points_where_the_flight_goes() -> None:
    path = FlightPath((Fix(0, 7.0, 46.0, 1000.0), Fix(100, 7.0, 46.1, 3000.0)))
    before, after = path.view(50.0), path.view(50.5)
    east, north, up = before.velocity
    assert east == pytest.approx(0.0, abs=1e-6)
    assert north * 0.5 == pytest.approx(math.radians(after.latitude - before.latitude) * EARTH_RADIUS, rel=1e-6)
    assert up * 0.5 == pytest.approx(after.height - before.height)


def test_before_and_after_a_path_the_view_stays_at_its_ends() -> None:
    path = straight((7.0, 46.0), (8.0, 46.0), 2000.0, 100.0)
    assert (path.view(-5.0).longitude, path.view(0.0).longitude) == pytest.approx((7.0, 7.0))
    assert path.view(1e9).longitude == pytest.approx(8.0)


def test_a_shortened_path_flies_the_same_way() -> None:
    path = straight((7.0, 46.0), (8.0, 47.0), 2000.0, 100.0)
    short = path.until(30.0)
    assert short.duration == 30.0
    assert short.view(12.0).longitude == pytest.approx(path.view(12.0).longitude, abs=1e-9)
    assert path.until(1e9) is path


def test_a_path_is_read_from_csv(tmp_path: Path) -> None:
    file = tmp_path / "path.csv"
    file.write_text("seconds,longitude,latitude,height,note\n0,7,46,1000,a\n10,7.1,46,1100,b\n20,7.1,46.1,1100,c\n")
    path = read_csv(file)
    assert path.duration == 20.0
    assert path.view(5.0).height == pytest.approx(1050.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("longitude,latitude\n7,46\n", "height.*seconds.*missing"),
        ("seconds,longitude,latitude,height\n0,7,46,1000\n1,7,x,1000\n", "line 3"),
        ("seconds,longitude,latitude,height\n0,7,46,1000\n", "two places"),
        ("seconds,longitude,latitude,height\n0,7,46,1000\n0,8,46,1000\n", "increase"),
    ],
)
def test_a_bad_csv_path_is_refused_with_the_reason(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "path.csv"
    file.write_text(text)
    with pytest.raises(InvalidArgumentError, match=complaint):
        read_csv(file)
