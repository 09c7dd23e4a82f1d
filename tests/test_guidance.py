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


def test_a_pixel_s_correlation_does_not_depend_on_the_window() -> None:
    height = np.rint(hills(2) * 20000 + 150000).astype(np.int32)
    colour = np.rint(np.stack([hills(seed) for seed in (3, 4, 5)]) * 900 + 6000).astype(np.int32)
    whole = guidance.correlations(colour, height)
    np.testing.assert_array_equal(guidance.correlations(colour[:, 7:, 4:], height[7:, 4:]), whole[:, 7:, 4:])


@pytest.mark.parametrize(("sign", "band"), [(1, 0), (-1, 1)])
def test_colour_that_goes_with_height_takes_its_share_from_relief(sign: int, band: int) -> None:
    height, bands = hills(2), np.stack([hills(3)] * 3)
    bands[band] = sign * height
    found = guidance.correlations(np.rint(bands * 900 + 6000).astype(np.int32), np.rint(height * 20000 + 150000).astype(np.int32))
    share = guidance.shares(found, 0.8)
    assert (sign * share[band] == np.float32(0.8)).all()
    assert np.abs(share).max() <= np.float32(0.8)
    assert np.abs(share[2]).mean() < 0.35  # chance: 13 x 13 pixels of smooth hills are few


def test_flat_ground_and_plain_colour_take_nothing() -> None:
    flat = np.full((SIDE, SIDE), 64000, np.int32)
    plain = np.full((3, SIDE, SIDE), 6400, np.int32)
    for colour, height in ((plain, np.rint(hills(2) * 20000).astype(np.int32)), (np.rint(hills(3) * 900).astype(np.int32) + plain, flat)):
        assert not guidance.shares(guidance.correlations(colour, height), 0.8).any()


def test_details_of_height_are_what_smooth_upsampling_does_not_have_in_typical_sizes() -> None:
    fine = np.rint(hills(6, 2 * SIDE) * 20000 + 150000).astype(np.int32)
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
