"""Frames of engines: where pyproj says, in the axes they say, and back again."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from terraloom.errors import InvalidArgumentError
from terraloom.frames import (
    AXES,
    SAFE_DISTANCE,
    Geodetic,
    LocalFrame,
    PlanePoint,
    a_from_b,
    ecef_from_enu,
    ecef_from_geodetic,
    enu_from_ecef,
    geodetic_from_ecef,
    heading_pitch_roll,
    transformed,
)
from terraloom_engines import geodesy
from terraloom_engines.tiling import TileId, tile_from_lonlat

PAGE = Path(__file__).parent.parent / "docs/frames.md"
ECEF_OF_PLACE = Transformer.from_crs(4979, 4978, always_xy=True)
LEFT_HANDED = {"unity", "unreal", "airsim_level"}
MATTERHORN = Geodetic(7.6586, 45.9763, 4478.0)

longitudes, latitudes = st.floats(-180, 180), st.floats(-90, 90)
places = st.builds(Geodetic, longitudes, latitudes, st.floats(-12_000, 100_000))
plane_points = st.builds(PlanePoint, st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e4, 1e4))
anchors = places | plane_points
nearby = st.tuples(*[st.floats(-50_000, 50_000)] * 3)
axes = st.sampled_from(sorted(AXES))


@given(places)
def test_earth_centred_coordinates_are_those_of_pyproj(place: Geodetic) -> None:
    assert ecef_from_geodetic(*place) == pytest.approx(ECEF_OF_PLACE.transform(*place), abs=2e-8)


@given(places)
def test_a_place_comes_back_from_earth_centred_coordinates(place: Geodetic) -> None:
    again = geodetic_from_ecef(ecef_from_geodetic(*place))
    assert np.linalg.norm(ecef_from_geodetic(*again) - ecef_from_geodetic(*place)) < 1e-6
    assert again[1] == pytest.approx(place.latitude, abs=1e-10)
    assert again[2] == pytest.approx(place.height, abs=1e-6)


def test_many_places_at_once_and_one_by_one_are_the_same() -> None:
    many = ecef_from_geodetic([7.0, -112.0, 180.0], [46.0, 36.0, -90.0], 100.0)
    assert many.shape == (3, 3)
    assert np.array_equal(many[1], ecef_from_geodetic(-112.0, 36.0, 100.0))
    assert geodetic_from_ecef(many)[:, 2] == pytest.approx([100.0] * 3)


@given(places, nearby)
def test_east_north_up_is_the_topocentric_frame_of_pyproj(place: Geodetic, point: tuple[float, float, float]) -> None:
    text = f"+proj=topocentric +ellps=WGS84 +lon_0={place.longitude!r} +lat_0={place.latitude!r} +h_0={place.height!r}"
    topocentric = Transformer.from_pipeline(text)
    ecef = transformed(ecef_from_enu(*place), point)
    assert topocentric.transform(*ecef) == pytest.approx(point, abs=1e-6)
    assert transformed(enu_from_ecef(*place), ecef) == pytest.approx(point, abs=1e-6)


@pytest.mark.parametrize("name", AXES)
def test_axes_are_orthogonal_with_the_handedness_and_units_they_promise(name: str) -> None:
    linear = AXES[name][:3, :3]
    unit = 100.0 if name in ("unreal", "airsim_level") else 1.0
    assert np.array_equal(linear @ linear.T, unit**2 * np.eye(3))
    assert np.linalg.det(linear) == pytest.approx(unit**3 * (-1 if name in LEFT_HANDED else 1))
    assert LocalFrame(MATTERHORN, name).metre == unit


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("enu", (1, 2, 3)),
        ("ros", (1, 2, 3)),
        ("mujoco", (1, 2, 3)),
        ("ned", (2, 1, -3)),
        ("gltf", (1, 3, -2)),
        ("unity", (1, 3, 2)),
        ("unreal", (100, -200, 300)),
        ("airsim_level", (200, 100, 300)),
    ],
)
def test_one_metre_east_two_north_three_up(name: str, expected: tuple[float, float, float]) -> None:
    assert transformed(AXES[name], (1, 2, 3)).tolist() == list(expected)


@given(axes, axes, axes)
def test_names_cancel(a: str, b: str, c: str) -> None:
    assert np.allclose(a_from_b(a, b) @ a_from_b(b, c), a_from_b(a, c), rtol=0, atol=1e-12)
    assert np.array_equal(a_from_b(a, a), np.eye(4))


@given(anchors, axes, nearby)
def test_a_local_point_goes_to_the_world_and_back(anchor: Geodetic | PlanePoint, name: str, point: tuple[float, float, float]) -> None:
    frame = LocalFrame(anchor, name)
    world = transformed(frame.world_from_local, point)
    assert transformed(frame.local_from_world, world) == pytest.approx(point, abs=3e-7 * frame.metre)
    handedness = np.sign(np.linalg.det(frame.world_from_local[:3, :3]))
    assert handedness == (-1 if name in LEFT_HANDED else 1)


@given(anchors, axes, nearby, nearby)
def test_rebasing_moves_what_was_placed_to_where_the_new_frame_has_it(
    anchor: Geodetic | PlanePoint, name: str, towards: tuple[float, float, float], point: tuple[float, float, float]
) -> None:
    frame = LocalFrame(anchor, name)
    world = transformed(frame.world_from_local, point)
    new_from_old = frame.rebase(frame.anchor_at(towards))
    assert transformed(new_from_old, towards) == pytest.approx((0, 0, 0), abs=1e-6 * frame.metre)
    assert transformed(new_from_old, point) == pytest.approx(transformed(frame.local_from_world, world), abs=1e-6 * frame.metre)


@given(st.integers(5, 18), st.floats(-179, 179), st.floats(-85, 85), axes)
def test_tiles_lie_round_their_own_middle_to_the_precision_of_float32(level: int, longitude: float, latitude: float, name: str) -> None:
    tile = tile_from_lonlat(level, longitude, latitude)
    ecef_from_tile = geodesy.ecef_from_tile(tile)
    frame = LocalFrame(Geodetic(*geodetic_from_ecef(ecef_from_tile[:3, 3])), name)
    corner = np.array([[1000.0, 50.0, -2000.0]])
    exact = transformed(a_from_b(name, "gltf"), corner)
    placed = frame.placed(corner, ecef_from_tile)
    assert placed.dtype == np.float32
    assert np.abs(placed - exact).max() <= SAFE_DISTANCE * 2**-24 * frame.metre


def test_far_from_the_anchor_a_point_is_not_safe() -> None:
    frame = LocalFrame(MATTERHORN, "unreal")
    assert frame.is_safe((800_000.0, 0.0, 0.0)) and not frame.is_safe((820_000.0, 0.0, 0.0))
    assert np.spacing(np.float32(SAFE_DISTANCE - 1)) < 0.0005


@given(st.floats(0, 359.9), st.floats(-89, 89), st.floats(-179, 179), axes)
def test_angles_come_back_from_where_a_body_points(heading: float, pitch: float, roll: float, name: str) -> None:
    h, p, r = np.radians([heading, pitch, roll])
    forward = np.array([np.sin(h) * np.cos(p), np.cos(h) * np.cos(p), np.sin(p)])
    level = np.array([np.cos(h), -np.sin(h), 0.0])
    up = np.cos(r) * np.cross(level, forward) + np.sin(r) * level
    axes_from_enu = a_from_b(name, "enu")[:3, :3]
    found = heading_pitch_roll(axes_from_enu @ forward, axes_from_enu @ up, name)
    assert (found[0] - heading + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert found[1:] == pytest.approx((pitch, roll), abs=1e-6)


def test_looking_straight_down_heading_is_the_top_of_the_picture() -> None:
    assert heading_pitch_roll((0, 0, -1), (1, 0, 0)) == pytest.approx((90.0, -90.0, 0.0))
    assert heading_pitch_roll((0, 0, 1), (0, -1, 0)) == pytest.approx((0.0, 90.0, 0.0))


def test_what_is_no_frame_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(InvalidArgumentError, match="axes 'blender' are unknown: allowed are enu, ros") as caught:
        LocalFrame(MATTERHORN, "blender")
    assert caught.value.allowed == tuple(AXES)
    for place in (Geodetic(0, 90.5), Geodetic(float("nan"), 0), Geodetic(0, float("nan")), Geodetic(0, 0, float("inf"))):
        with pytest.raises(InvalidArgumentError, match="latitude from -90 to 90"):
            LocalFrame(place)
    with pytest.raises(InvalidArgumentError, match="finite metres"):
        LocalFrame(PlanePoint(float("inf"), 0))
    frame = LocalFrame(PlanePoint(1, 2))
    with pytest.raises(InvalidArgumentError, match="not a PlanePoint"):
        frame.rebase(MATTERHORN)
    with pytest.raises(InvalidArgumentError, match="of planets"):
        frame.geodetic_from_local((0, 0, 0))
    with pytest.raises(InvalidArgumentError, match="point in different directions"):
        heading_pitch_roll((0, 0, 1), (0, 0, 2))


def test_the_page_names_all_axes_and_its_examples_run() -> None:
    page = PAGE.read_text()
    table = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert set(table) == set(AXES)
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 6
    ecef_from_tile = geodesy.ecef_from_tile(TileId(12, 2135, 1457))
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), {"ecef_from_tile": ecef_from_tile, "positions": np.zeros((3, 3), np.float32)})
