"""The realism report's statistics of colour tell images apart that differ in what they are named after."""

import numpy as np
import pytest
from benchmarks import colours

SIDE = 192


def cloudy(exponent: float, seed: int) -> np.ndarray:
    """An image (3, SIDE, SIDE) in 8-bit steps whose power density falls with the given exponent."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :])
    power = np.maximum(radius, 1 / SIDE) ** (-exponent / 2)
    light = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * power, (SIDE, SIDE))
    return np.stack([100 + 20 * light / light.std() + band for band in (0, 10, -10)])


def test_the_same_image_is_no_distance_from_itself() -> None:
    image = cloudy(2.5, 1)
    found = colours.distances(image, image)
    assert found.pop("scattering_kernel") == pytest.approx(0, abs=0.1)
    assert max(found.values()) == pytest.approx(0, abs=1e-9)


def test_brightness_contrast_and_sharpness_are_told_apart() -> None:
    image = cloudy(2.5, 1)
    brighter, flatter = colours.distances(image + 30, image), colours.distances(100 + (image - 100) / 2, image)
    assert brighter["mean_steps"] == pytest.approx(30)
    assert brighter["deviation_octaves"] == pytest.approx(0, abs=1e-9)
    assert flatter["deviation_octaves"] == pytest.approx(1)
    assert colours.distances(cloudy(3.5, 1), image)["psd_slope"] == pytest.approx(1, abs=0.2)


def test_the_kernel_distance_of_two_draws_of_one_texture_is_less_than_of_two_textures() -> None:
    image, again, other = (colours.features(cloudy(exponent, seed)) for exponent, seed in ((1.0, 1), (1.0, 2), (1.8, 3)))
    assert colours.kernel_distance(again, image) < 0.5 * colours.kernel_distance(other, image)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_light_that_goes_with_height_is_aligned_with_it(sign: float) -> None:
    image = cloudy(2.5, 1)
    assert colours.alignment(image, sign * 7 * image[0] + 300) == pytest.approx(sign)
    assert abs(colours.alignment(image, cloudy(2.5, 9)[0])) < 0.2


def test_sides_that_are_lit_are_found_with_the_sun_they_are_lit_by() -> None:
    height = np.cumsum(np.cumsum(np.random.default_rng(3).normal(0, 1, (96, 96)), axis=0), axis=1)
    north, east = (-part / 30.0 for part in np.gradient(height))
    lit = np.stack([80 * (1 + 0.9 * north + 0.4 * east)] * 3)
    found = colours.sides(lit, height, 30.0)
    assert found["southward"] == pytest.approx(0.7, abs=0.1) and found["eastward"] == pytest.approx(0.3, abs=0.1), "80 of 80 and haze"
    assert found["explained"] > 0.95
    assert colours.sides(cloudy(2.0, 1)[:, :96, :96], height, 30.0)["explained"] < 0.05


def test_blocks_show_in_the_lattice() -> None:
    image = cloudy(2.0, 1)
    blocks = np.kron(image[:, ::4, ::4], np.ones((4, 4)))
    assert colours.lattice(image)["grid_4"] == pytest.approx(1, abs=0.1)
    assert colours.lattice(image + blocks)["grid_4"] > 2
