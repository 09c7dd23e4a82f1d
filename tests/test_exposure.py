"""Colour that follows slopes: sunny sides, bare steeps, and no more of it than a pixel's texture has."""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines import exposure
from terraloom_engines.conservation import split_children
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT
from terraloom_engines.stages import Window
from terraloom_engines.tiling import WorldKind, tile_from_lonlat

SIDE = 40
GSD = np.full(SIDE, 30, np.float32)
NORTHERN = np.ones(SIDE, np.float32)
GREY = np.full((SIDE, SIDE), round(70 / COLOUR_UNIT), np.int32)
SPREAD = np.full((SIDE - 2 * exposure.MARGIN,) * 2, 1e5, np.float32)


def ground(seed: int, height: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Hills of some height in metres, as parents and children."""
    rows, columns = np.mgrid[: 2 * SIDE, : 2 * SIDE] / 2.0
    phases = np.random.default_rng(seed).uniform(0, 6, 6)
    fine = sum(
        np.sin(rows * a + phases[2 * i]) * np.sin(columns * b + phases[2 * i + 1])
        for i, (a, b) in enumerate([(0.7, 0.4), (0.3, 0.9), (1.3, 1.1)])
    )
    children = split_children(np.rint(fine * (height / ELEVATION_UNIT)).astype(np.int32))
    return children.sum(axis=0) // 4, children


def details(light: NDArray[np.int32], height: float) -> NDArray[np.float32]:
    return exposure.light_details(light, SPREAD, *ground(3, height), (GSD, NORTHERN))[0]


def test_sides_that_face_the_sun_are_lighter_in_either_hemisphere() -> None:
    north_high = np.repeat(np.arange(SIDE)[::-1, None] * (20 / ELEVATION_UNIT), SIDE, axis=1).astype(np.int32)
    facing, bare = exposure.exposure(north_high, GSD, NORTHERN)
    assert (facing > 0.3).all() and (facing < 0.5).all(), "a slope of 20 in 30"
    np.testing.assert_array_equal(exposure.exposure(north_high, GSD, -NORTHERN)[0], -facing)
    eastern = exposure.exposure(north_high.T, GSD, NORTHERN)[0]
    assert (eastern > 0).all() and (eastern < facing).all(), "high in the west, so it faces east"
    np.testing.assert_array_equal(exposure.exposure(north_high.T, GSD, -NORTHERN)[0], eastern)
    assert (bare > 0.2).all() and (bare < 0.5).all()


def test_steep_ground_is_darker_than_snow_and_lighter_than_forest() -> None:
    flat_and_cliffs = np.repeat((np.arange(SIDE) // 10 % 2)[:, None] * 2000, SIDE, axis=1).astype(np.int32)
    bare = exposure.exposure(np.cumsum(flat_and_cliffs, axis=0, dtype=np.int32), GSD, NORTHERN)[1]
    assert set(np.unique(bare)) >= {0.0, 1.0}, "level steps, and cliffs of 31 in 30 between them"
    assert exposure.exposure(ground(3, 40.0)[0], GSD * 2, NORTHERN)[1].max() > 0.5
    light = {
        name: details(np.full_like(GREY, round(steps / COLOUR_UNIT)), 40.0) for name, steps in (("snow", 200), ("rock", 88), ("forest", 20))
    }
    # What differs from rock beyond the sun's part, which goes with light.
    darker = light["snow"] - light["rock"] * np.float32(200 / 88)
    lighter = light["forest"] - light["rock"] * np.float32(20 / 88)
    inner = np.abs(darker) > 20
    assert inner.mean() > 0.1
    assert (np.sign(darker[inner]) == -np.sign(lighter[inner])).mean() > 0.95


def test_level_ground_has_no_sides_and_texture_bounds_what_the_others_have() -> None:
    level = np.full((SIDE, SIDE), 6400, np.int32)
    made, share = exposure.light_details(GREY, SPREAD, level, np.stack([level] * 4), (GSD, NORTHERN))
    assert not made.any() and share.max() < 1e-6
    little = np.full_like(SPREAD, 10)
    made, share = exposure.light_details(GREY, little, *ground(4, 10.0), (GSD, NORTHERN))
    assert np.sqrt((made**2).mean()) < 1.2 * exposure.LARGEST_SHARE * 10
    np.testing.assert_allclose(share, min(exposure.LARGEST_SHARE**2, exposure.MOST_TAKEN), rtol=1e-5)


def test_a_pixels_exposure_does_not_depend_on_its_window() -> None:
    parent, children = ground(5, 10.0)
    whole = exposure.light_details(GREY, SPREAD, parent, children, (GSD, NORTHERN))
    part = exposure.light_details(GREY[4:, 2:], SPREAD[4:, 2:], parent[4:, 2:], children[:, 4:, 2:], (GSD[4:], NORTHERN[4:]))
    for ours, theirs in zip(whole, part, strict=True):
        np.testing.assert_array_equal(ours[..., 4:, 2:], theirs)


def test_the_noon_sun_stands_on_the_equators_side_and_overhead_at_the_equator() -> None:
    def sun(latitude: float) -> float:
        tile = tile_from_lonlat(8, 0.0, latitude)
        return float(Window(8, 0, tile.y * 256, 2).sunward()[0])

    assert sun(46.0) == 1 and sun(-33.0) == -1
    assert abs(sun(0.0)) < 0.05 and 0.2 < sun(10.0) < 0.8
    assert (Window(8, 0, -(2**40), 4, WorldKind.PLANE).sunward() == 1).all()
