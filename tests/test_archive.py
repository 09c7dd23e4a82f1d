"""Rasters as bytes: every way of packing gives back what it was given, and the shortest is taken."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import BUNDLE
from terraloom.errors import DataLossError
from terraloom_engines.bundle.archive import (
    PICTURE,
    PLAIN,
    RAW,
    RAW_PICTURE,
    WIDEST,
    RasterArchive,
    pack_array,
    pack_shortest,
    unpack_array,
)

WAYS = (PLAIN, RAW, PICTURE, RAW_PICTURE)
PICTURED = {"|i1": (-128, 127), "|u1": (0, 255), "<i2": (-(2**15), 2**15 - 1), "<u2": (0, 2**16 - 1), "<i4": (0, 2**21 - 1)}
"""Types that pictures take, and the range whose differences they take too."""


@given(st.sampled_from(WAYS), st.sampled_from(sorted(PICTURED)), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_every_way_gives_back_what_it_was_given(way: str, kind: str, height: int, width: int, seed: int) -> None:
    low, high = PICTURED[kind]
    values = np.random.default_rng(seed).integers(low, high, (height, width), np.int64, endpoint=True).astype(kind)
    found = unpack_array(pack_array(values, way=way))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("way", WAYS)
def test_masks_and_views_survive(way: str) -> None:
    values = np.random.default_rng(3).integers(-9, 9, (40, 30)).astype(np.int16)
    for each in (values > 0, values.T, values[::2, ::-3]):
        np.testing.assert_array_equal(unpack_array(pack_array(each, way=way)), each)


def test_what_a_picture_cannot_hold_is_refused_and_packed_otherwise() -> None:
    for values in (np.array([[0, 2**24]], np.int32), np.zeros((1, WIDEST + 1), np.uint8)):
        with pytest.raises(ValueError, match="no picture of"):
            pack_array(values, way=RAW_PICTURE)
        np.testing.assert_array_equal(unpack_array(pack_shortest(values)), values)


def test_noise_is_shorter_without_differences_and_rough_land_as_a_picture() -> None:
    noise = np.rint(np.random.default_rng(4).normal(0, 3, (300, 200))).astype(np.int8)
    assert len(pack_array(noise, way=RAW)) < 0.9 * len(pack_array(noise))
    heights = RasterArchive(BUNDLE.folder / "base.zip").read("4/11/6/elevation")  # the Himalaya
    shortest = pack_shortest(heights)
    assert len(shortest) < 0.9 * len(pack_array(heights)) and len(shortest) <= len(pack_array(heights, way=PICTURE))
    np.testing.assert_array_equal(unpack_array(shortest), heights)


def test_a_damaged_picture_says_which_it_is(tmp_path: Path) -> None:
    packed = pack_array(np.arange(400, dtype=np.int16).reshape(20, 20), way=PICTURE)
    with zipfile.ZipFile(tmp_path / "base.zip", "w") as archive:
        archive.writestr("whole", packed)
        archive.writestr("cut", packed[:-30])
    rasters = RasterArchive(tmp_path / "base.zip")
    assert rasters.read("whole")[19, 19] == 399
    with pytest.raises(DataLossError, match="entry cut in base.zip of the bundle is missing or corrupt"):
        rasters.read("cut")
