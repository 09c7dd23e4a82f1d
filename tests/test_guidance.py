"""Colour follows relief where it does in the parents, and only there."""

import numpy as np
import pytest
from numpy.typing import NDArray

from terraloom_engines import guidance
from terraloom_engines.conservation import block_details, split_children
from terraloom_engines.upsampling import REACH as SMOOTH_REACH
from terraloom_engines.upsampling import smooth_details

SIDE = 64


def hills(seed: int, side: int = SIDE) -> NDArray[np.float64]:
    """Smoothed noise of unit variance: a raster (side, side) that its neighbourhood tells much of."""
    values = np.random.default_rng(seed).standard_normal((side + 8, side + 8))
    smooth = guidance.box_sums(np.rint(values * 4096).astype(np.int64), 4)[:side, :side].astype(np.float64)
    return smooth / smooth.std()


def test_box_sums_are_those_of_every_square() -> None:
    values = np.random.default_rng(1).integers(-(10**9), 10**9, (3, 12, 15))
    sums = guidance.box_sums(values, 2)
    assert sums.shape == (3, 8, 11)
    for row, column in ((0, 0), (3, 5), (7, 10)):
        np.testing.assert_array_equal(sums[:, row, column], values[:, row : row + 5, column : column + 5].sum(axis=(1, 2)))


def stored_height(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Heights about 2,300 m with a standard deviation of 300 m, in stored steps."""
    return np.rint(values * 20000 + 150000).astype(np.int32)


def stored_colour(bands: list[NDArray[np.float64]]) -> NDArray[np.int32]:
    """Colours (3, H, W) of a middling brightness, in stored steps."""
    return np.rint(np.stack(bands) * 900 + 6000).astype(np.int32)


def test_a_pixel_s_correlation_does_not_depend_on_the_window() -> None:
    height, colour = stored_height(hills(2)), stored_colour([hills(seed) for seed in (3, 4, 5)])
    for whole, part in zip(guidance.correlations(colour, height), guidance.correlations(colour[:, 7:, 4:], height[7:, 4:]), strict=True):
        np.testing.assert_array_equal(part, whole[..., 7:, 4:])


@pytest.mark.parametrize("sign", [1, -1])
def test_light_that_goes_with_height_takes_its_share_from_relief(sign: int) -> None:
    height = hills(2)
    light, parts = guidance.correlations(stored_colour([sign * height] * 3), stored_height(height))
    assert (sign * guidance.shares(light, 0.8) == np.float32(0.8)).all()
    np.testing.assert_allclose(parts, 1, atol=0.01)


def test_a_band_has_the_part_in_it_that_it_has_in_the_parents() -> None:
    height = hills(2)
    parts = guidance.correlations(stored_colour([height, height / 2, -height / 4]), stored_height(height))[1]
    np.testing.assert_allclose(parts.mean(axis=(1, 2)), [2, 1, 0], atol=0.02)


def test_colour_that_has_nothing_to_do_with_height_takes_little() -> None:
    light = guidance.correlations(stored_colour([hills(3)] * 3), stored_height(hills(2)))[0]
    assert np.abs(guidance.shares(light, 0.8)).mean() < 0.35  # chance: 13 x 13 pixels of smooth hills are few


def test_flat_ground_and_plain_colour_take_nothing() -> None:
    flat, plain = np.full((SIDE, SIDE), 64000, np.int32), np.full((3, SIDE, SIDE), 6400, np.int32)
    for colour, height in ((plain, stored_height(hills(2))), (stored_colour([hills(3)] * 3), flat)):
        assert not guidance.shares(guidance.correlations(colour, height)[0], 0.8).any()


def test_details_of_height_are_what_smooth_upsampling_does_not_have_in_typical_sizes() -> None:
    fine = stored_height(hills(6, 2 * SIDE))
    children = split_children(fine)
    parent = (children.sum(axis=0) // 4).astype(np.int32)
    margin = 12
    details = guidance.relief_details(parent, children, margin)
    assert details.shape == (3, SIDE - 2 * margin, SIDE - 2 * margin)
    near = slice(margin - SMOOTH_REACH, SIDE - margin + SMOOTH_REACH)
    inner = slice(margin, SIDE - margin)
    new = block_details(children[:, inner, inner]) - smooth_details(parent[near, near].astype(np.float32))
    assert np.corrcoef(details.ravel(), new.ravel())[0, 1] > 0.95
    assert 0.7 < details.std() < 1.2
    np.testing.assert_allclose(guidance.relief_details(8 * parent, 8 * children, margin), details, rtol=0.1, atol=0.1)
