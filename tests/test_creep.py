"""Soil creep: relief that slopes do not account for is taken out of fine land, and nothing else."""

import numpy as np

from terraloom_engines import creep
from terraloom_engines.field import ELEVATION_UNIT, LOG_UNIT
from terraloom_engines.lifting import (
    CREEP_LEVEL,
    EVERY_SLOPE,
    GENTLE_CREEP_LEVEL,
    OCTAVE,
    RELIEF_RANGE,
    SPREAD_SQUARES,
    creep_percent,
    creep_room,
    crept,
    spread_of,
    stored_spread,
)
from terraloom_engines.stages import Window

SIDE = 40
ANY = np.full(SIDE - 2 * creep.MARGIN, EVERY_SLOPE, np.int32)


def plane(rise: float) -> np.ndarray:
    """Stored heights of a plane that rises by so many metres per pixel, obliquely."""
    place = np.arange(SIDE)
    return np.rint((place[None, :] * 0.6 + place[:, None] * 0.8) * rise / ELEVATION_UNIT).astype(np.int32)


def test_the_relief_of_a_plane_is_that_of_its_slope_and_stays() -> None:
    relief = np.full((SIDE, SIDE), stored_spread(np.array([3 / 12**0.5], np.float32))[0])
    found, sloping = creep.roughness(plane(3.0), SPREAD_SQUARES.take(relief - RELIEF_RANGE[0]))
    np.testing.assert_allclose(found, 3 / 12**0.5, rtol=2e-3)
    np.testing.assert_allclose(sloping, found, rtol=3e-3)
    assert found.shape == (SIDE - 2 * creep.MARGIN,) * 2
    assert not crept(plane(3.0), relief, creep.PERCENT, ANY).any()


def test_what_no_slope_accounts_for_goes_by_its_share_of_octaves() -> None:
    for octaves in (1, 2, 3):
        relief = np.full((SIDE, SIDE), stored_spread(np.array([3 / 12**0.5 * 2**octaves], np.float32))[0])
        taken = crept(plane(3.0), relief, 50, ANY) * LOG_UNIT
        np.testing.assert_allclose(taken, 0.5 * (octaves - np.log2(creep.BORNE)), atol=0.01)
        assert (crept(plane(3.0), relief, 0, ANY) == 0).all()


def test_what_is_taken_depends_on_the_surroundings_alone() -> None:
    rng = np.random.default_rng(3)
    height = rng.integers(-300_000, 300_000, (SIDE, SIDE)).astype(np.int32).cumsum(axis=0, dtype=np.int32) // 64
    relief = rng.integers(RELIEF_RANGE[0], RELIEF_RANGE[1], (SIDE, SIDE)).astype(np.int32)
    whole = crept(height, relief, creep.PERCENT, ANY)
    cut = np.s_[7:31, 5:29]
    np.testing.assert_array_equal(crept(height[cut], relief[cut], creep.PERCENT, ANY[:14]), whole[7:21, 5:19])
    assert (whole >= 0).all() and whole.any()


def test_squares_hold_the_largest_spreads_without_rounding_any_away() -> None:
    spreads = spread_of(np.arange(RELIEF_RANGE[0], RELIEF_RANGE[1] + 1, dtype=np.int32)).astype(np.float64) / ELEVATION_UNIT
    assert SPREAD_SQUARES[0] == 12, "1/64 m, the least"
    np.testing.assert_allclose(SPREAD_SQUARES, 12 * spreads**2, rtol=0.05)
    assert float(SPREAD_SQUARES[-1]) * 4 * creep.COUNT < 2**53, "sums are exact in float64"


def test_creep_is_for_levels_finer_than_hillslopes() -> None:
    assert creep_percent(Window(GENTLE_CREEP_LEVEL - 2, 0, 0, 60)) == 0
    assert creep_percent(Window(GENTLE_CREEP_LEVEL - 1, 0, 0, 60)) == creep.PERCENT
    assert creep_room(Window(GENTLE_CREEP_LEVEL - 1, 0, 0, 60)) == -OCTAVE
    assert creep_room(Window(CREEP_LEVEL - 1, 0, 0, 60)) == EVERY_SLOPE


def test_steep_land_does_not_creep_where_gentle_land_does() -> None:
    relief = np.full((SIDE, SIDE), stored_spread(np.array([6.0], np.float32))[0])
    whole = crept(plane(3.0), relief, creep.PERCENT, ANY)
    slope = stored_spread(np.array([3 / 12**0.5 * creep.BORNE], np.float32))[0]
    for octaves, share in ((-0.5, 0), (0, 0), (0.25, 0.25), (0.5, 0.5), (1, 1), (3, 1)):
        steepest = np.full_like(ANY, slope + octaves * OCTAVE)
        np.testing.assert_allclose(crept(plane(3.0), relief, creep.PERCENT, steepest), share * whole, atol=2)
    assert whole.min() > OCTAVE // 2
