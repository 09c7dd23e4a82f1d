"""Timed paths of `terraloom fly`, without a server."""

import contextlib
import math
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.cli.flight import EARTH_RADIUS, Fix, FlightPath, great_circle, straight
from terraloom_engines.cli.path_csv import RANGES, read_path

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


def test_a_path_looks_where_its_places_say_and_turns_the_shorter_way() -> None:
    path = FlightPath((Fix(0, 7.0, 46.0, 1000.0, 350.0, -10.0), Fix(10, 7.1, 46.0, 1000.0, 20.0, -30.0)))
    halfway = path.view(5.0).camera
    assert halfway is not None
    assert (halfway.heading, halfway.pitch) == pytest.approx((5.0, -20.0))
    short = path.until(5.0).view(5.0).camera
    assert short is not None
    assert (short.heading, short.pitch) == pytest.approx((5.0, -20.0))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_path_is_read_from_csv(tmp_path: Path, separator: str) -> None:
    file = tmp_path / "path.csv"
    text = "note,time,longitude,Latitude, height ,heading,pitch\na,0,7,46,1000,90,\n\nb,10,7.1,46,1100,,-5\nc,2e1,7.1,46.1,1100,0,0\n"
    file.write_text(text.replace(",", separator), encoding="utf-8-sig")
    path = read_path(file, pitch=-12.0)
    assert path.duration == 20.0
    assert path.view(5.0).height == pytest.approx(1050.0)
    assert path.fixes[0] == Fix(0.0, 7.0, 46.0, 1000.0, 90.0, None)
    assert path.fixes[1] == Fix(10.0, 7.1, 46.0, 1100.0, None, -5.0)
    camera = path.view(0.0).camera
    assert camera is not None
    assert (camera.heading, camera.pitch) == (90.0, -12.0)


HEAD = "time,longitude,latitude,height\n"
WRONG_FILES = {
    "line 1: no column time, longitude, latitude, height; needed are time": "",
    "line 1: no column height; needed are time, longitude, latitude, height; heading and pitch are opt": "seconds,longitude,latitude\n",
    "line 1: column time comes twice": "time,seconds,longitude,latitude,height\n",
    "line 3: latitude = 'x' is not a number": HEAD + "0,7,46,1000\n1,7,x,1000\n",
    "line 2: longitude = 200 is out of range: allowed are -180 to 180": HEAD + "0,200,46,1000\n",
    "line 2: height = nan is out of range": HEAD + "0,7,46,nan\n",
    "line 2: time = inf is out of range: allowed are finite numbers": HEAD + "inf,7,46,0\n",
    "line 2: 3 values for 4 columns": HEAD + "0,7,46\n",
    "line 4: time = 0 does not increase: the line before has 1": HEAD + "0,7,46,1000\n1,7,46,1000\n0,8,46,1000\n",
    "1 places; a path needs at least two": HEAD + "0,7,46,1000\n",
}


@pytest.mark.parametrize("complaint", WRONG_FILES)
def test_a_bad_csv_path_is_refused_with_file_line_and_reason(tmp_path: Path, complaint: str) -> None:
    file = tmp_path / "path.csv"
    file.write_text(WRONG_FILES[complaint])
    with pytest.raises(InvalidArgumentError, match=re.escape(complaint)) as caught:
        read_path(file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "path.csv").write_bytes(b"\xff\xfe\x00time")
    with pytest.raises(InvalidArgumentError, match="cannot be read as CSV in UTF-8"):
        read_path(tmp_path / "path.csv")
    with pytest.raises(NotFoundError, match="no file"):
        read_path(tmp_path / "none.csv")


@given(
    st.text(alphabet=st.sampled_from('time,longudaheg\n\r"0123456789.-+eEnaif \x00')) | st.binary().map(lambda data: data.decode("latin-1"))
)
def test_any_text_is_a_path_or_refused(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        file.write(HEAD * text.startswith(("0", "1")) + text)
        file.flush()
        with contextlib.suppress(InvalidArgumentError):
            path = read_path(Path(file.name))
            assert all(RANGES["latitude"][0] <= fix.north <= RANGES["latitude"][1] for fix in path.fixes)
