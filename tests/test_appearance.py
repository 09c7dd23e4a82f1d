"""How bases make land of Blue Marble's colours: brighter where it is dark, and as varied as satellites see it."""

import numpy as np

from terraloom_engines.bundle.appearance import LIFT, MOST, NEUTRAL, darkened, lift, texture_variance

STEPS = np.arange(256, dtype=np.float32)


def test_dark_land_is_lifted_bright_land_is_not_and_order_is_kept() -> None:
    made = STEPS + lift(STEPS)
    assert made[0] == LIFT and (made >= STEPS).all() and (np.diff(made) > 0).all()
    np.testing.assert_array_equal(made[STEPS >= NEUTRAL], STEPS[STEPS >= NEUTRAL])


def test_what_is_lifted_can_be_darkened_again() -> None:
    np.testing.assert_allclose(darkened(STEPS + lift(STEPS)), STEPS, atol=1e-3)


def test_texture_grows_with_what_surrounds_a_pixel_and_with_relief_up_to_a_limit() -> None:
    light = np.array([60, 60, 60, 60], np.float32)
    found = np.sqrt(texture_variance(light, np.array([0, 6, 0, 1000], np.float32), np.array([0, 0, 600, 0], np.float32)))
    assert found[0] < found[1] < found[3] and found[0] < found[2]
    np.testing.assert_allclose(found[3], MOST * 60, rtol=0.01)


def test_ice_is_even_and_farmland_is_not() -> None:
    light = np.array([45, 150, 250], np.float32)
    farmland, desert, ice = np.sqrt(texture_variance(light, 0.05 * light, np.zeros_like(light))) / light
    assert farmland > 1.5 * desert > 1.5 * ice
