"""The statistics of the realism report know the forms that they are named after."""

import numpy as np
import pytest
from benchmarks import morphometry

SIDE = 81
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE // 2


@pytest.mark.parametrize(
    ("height", "form"),
    [
        (0.0 * X, "flat"),
        (-np.hypot(X, Y), "summit"),
        (np.hypot(X, Y), "pit"),
        (-np.abs(X).astype(float), "ridge"),
        (np.abs(X).astype(float), "valley"),
        (0.5 * X, "slope"),
    ],
)
def test_the_middle_of_a_plain_shape_has_its_geomorphon(height: np.ndarray, form: str) -> None:
    assert morphometry.geomorphons(height[30:51, 30:51], 1.0)[morphometry.FORMS.index(form)] == 1.0


def test_slope_and_curvature_of_a_paraboloid() -> None:
    height = 0.01 * (X**2 + Y**2).astype(float)
    assert morphometry.slope(height, 2.0)[SIDE // 2 - 1, -1] == pytest.approx(np.degrees(np.arctan(0.02 * 39 / 2)))
    np.testing.assert_allclose(morphometry.curvature(height, 2.0), 0.02)


def test_the_spectral_slope_is_that_of_the_noise() -> None:
    rng = np.random.default_rng(0)
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :])
    height = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((256, 256))) * np.maximum(radius, 1 / 256) ** -1.5)
    assert morphometry.spectral_slope(height) == pytest.approx(-3.0, abs=0.15)


def test_blocks_show_in_the_grid_ratio_of_their_size_and_smooth_land_has_none() -> None:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((256, 256)), 0), 1)
    stairs = np.kron(rng.standard_normal((32, 32)), np.ones((8, 8))) + 0.05 * rng.standard_normal((256, 256))
    assert morphometry.grid_ratio(smooth, 8) == pytest.approx(1.0, abs=0.1)
    assert morphometry.grid_ratio(stairs, 8) > 50
    assert morphometry.axis_ratio(rng.standard_normal((256, 256))) == pytest.approx(1.0, abs=0.1)
    assert morphometry.axis_ratio(stairs) > 2


def test_the_same_land_is_no_distance_away() -> None:
    height = np.random.default_rng(0).standard_normal((128, 128))
    assert set(morphometry.distances(height, height, 30.0).values()) == {0.0}
    assert morphometry.distances(height, 3 * height, 30.0)["slope_degrees"] > 1
