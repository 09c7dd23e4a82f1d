"""Noise that runs down the slopes: alike along them, not across, and the same whatever window it is asked for in."""

import numpy as np
import pytest

from terraloom_engines.conservation import interleave
from terraloom_engines.noise import gaussian_noise
from terraloom_engines.slope_noise import CHANNELS, MARGIN, along_slopes, directions


def white(side: int) -> np.ndarray:
    return gaussian_noise(3, 24, 11, 500, 700, (CHANNELS, side + 2 * MARGIN, side + 2 * MARGIN))


def plane(side: int, degrees: float, steep: float = 900) -> np.ndarray:
    """Stored heights that rise toward a direction, 0 east and 90 south."""
    rows, columns = np.mgrid[:side, :side]
    angle = np.radians(degrees)
    return np.rint(steep * (np.cos(angle) * columns + np.sin(angle) * rows)).astype(np.int32)


def correlation(raster: np.ndarray, down: int, right: int) -> float:
    """Of pixels with those so far away."""
    height, width = raster.shape[0] - abs(down), raster.shape[1] - abs(right)
    top, left = max(0, -down), max(0, -right)
    here = raster[top : top + height, left : left + width]
    return float((here * raster[top + down : top + down + height, left + right : left + right + width]).mean() / raster.var())


@pytest.mark.parametrize(("degrees", "along"), [(0, (0, 1)), (90, (1, 0)), (180, (0, 1)), (45, (1, 1)), (-45, (-1, 1))])
@pytest.mark.parametrize(("part", "wide"), [(0, 1), (1, 3)], ids=["fine", "broad"])
def test_it_is_alike_along_the_slope_and_not_across(degrees: float, along: tuple[int, int], part: int, wide: int) -> None:
    raster = interleave(along_slopes(white(120), plane(120, degrees))[4 * part : 4 * part + 4])[2:-2, 2:-2]
    down, right = along
    assert correlation(raster, 4 * down, 4 * right) > 0.5
    assert abs(correlation(raster, 14 * down, 14 * right)) < 0.1
    assert abs(correlation(raster, -wide * right, wide * down)) < 0.1


def test_it_has_unit_variance_and_no_mean_on_any_land() -> None:
    rough = np.cumsum(np.random.default_rng(6).normal(0, 500, (160, 160)), axis=0).astype(np.int32)
    for elevation in (rough, np.zeros((160, 160), np.int32), plane(160, 20)):
        made = along_slopes(white(160), elevation)
        fine, broad = made[:4].astype(np.float64), made[4:].astype(np.float64)
        assert fine.var() == pytest.approx(1, abs=0.1) and broad.var() == pytest.approx(1, abs=0.35)
        assert abs(made.mean()) < 0.1


def test_a_window_says_the_same_as_a_larger_one_but_for_its_outermost_ring() -> None:
    elevation = np.random.default_rng(7).integers(-(10**5), 10**5, (60, 70)).astype(np.int32)
    noise = gaussian_noise(1, 24, 9, 10, 20, (CHANNELS, 60 + 2 * MARGIN, 70 + 2 * MARGIN))
    whole = along_slopes(noise, elevation)
    part = along_slopes(noise[:, 12 : 12 + 30 + 2 * MARGIN, 25 : 25 + 40 + 2 * MARGIN], elevation[12:42, 25:65])
    np.testing.assert_array_equal(part[:, 1:-1, 1:-1], whole[:, 13:41, 26:64])


def test_directions_follow_the_steepest_way_and_flat_land_has_one_too() -> None:
    for degrees in (0, 30, 77, 135, 200, 300):
        east, south = (part[:, 2:-2, 2:-2] for part in directions(plane(9, degrees, 1e4)))
        angle = np.radians(degrees)
        np.testing.assert_allclose(np.arctan2(south, east), np.arctan2(np.sin(angle), np.cos(angle)), atol=1e-3)
        np.testing.assert_allclose(np.maximum(abs(east), abs(south)), 1, rtol=1e-6)
    east, south = directions(np.full((5, 5), 7, np.int32))
    assert (east == 1).all() and (south == 0).all()
