"""Noise is a function of place: any window sees the same numbers, and they are standard normal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terraloom_engines.noise import GAINED_VARIANCE, gaussian_noise, normal_quantiles, without_streaks


@given(dx=st.integers(0, 20), dy=st.integers(0, 20), level=st.integers(5, 18), column=st.integers(0, 8000), row=st.integers(-48, 8000))
def test_two_windows_agree_where_they_overlap(dx: int, dy: int, level: int, column: int, row: int) -> None:
    first = gaussian_noise(3, 16, level, column, row, (10, 40, 40))
    second = gaussian_noise(3, 16, level, column + dx, row + dy, (10, 40, 40))
    np.testing.assert_array_equal(first[:, dy:, dx:], second[:, : 40 - dy, : 40 - dx])


def test_columns_wrap_at_the_antimeridian() -> None:
    width = 256 << 6
    np.testing.assert_array_equal(gaussian_noise(0, 16, 6, -8, 100, (3, 4, 16)), gaussian_noise(0, 16, 6, width - 8, 100, (3, 4, 16)))


def test_it_is_standard_normal_white_and_uncorrelated_between_channels() -> None:
    noise = gaussian_noise(1, 16, 12, 5000, 7000, (16, 256, 256)).astype(np.float64)
    samples = noise[0].size
    assert abs(noise.mean(axis=(1, 2))).max() < 5 / samples**0.5
    assert abs(noise.var(axis=(1, 2)) - 1).max() < 5 * (2 / samples) ** 0.5
    flat = noise.reshape(16, -1)
    assert abs(np.corrcoef(flat) - np.eye(16)).max() < 5 / samples**0.5
    for shift in ((0, 1), (1, 0), (1, 1), (0, 2)):
        moved = np.roll(noise, shift, axis=(1, 2))
        assert abs((moved * noise).mean(axis=(1, 2))).max() < 5 / samples**0.5


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_without_streaks_less_of_it_is_alike_along_rows_and_columns_and_windows_agree(share: float) -> None:
    noise = gaussian_noise(1, 16, 12, 5000, 7000, (8, 260, 260))
    calm = without_streaks(noise, share)
    assert calm.shape == (8, 256, 256)
    np.testing.assert_array_equal(calm[:, 30:, 7:], without_streaks(noise[:, 30:, 7:], share))
    assert calm.var() == pytest.approx(1 + GAINED_VARIANCE * share, rel=0.02)
    power = np.mean(np.abs(np.fft.fft2(calm / calm.std())) ** 2, axis=0) / 256**2
    between = power[60:120, 60:120].mean()
    assert power[1:3, 60:120].mean() < (1 - share) * between
    assert power[60:120, 1:3].mean() < (1 - share) * between


@pytest.mark.parametrize(("seed", "stream", "level"), [(1, 16, 12), (0, 32, 12), (0, 16, 13)])
def test_seed_stream_and_level_each_give_other_numbers(seed: int, stream: int, level: int) -> None:
    reference = gaussian_noise(0, 16, 12, 5000, 7000, (1, 64, 64)).ravel()
    other = gaussian_noise(seed, stream, level, 5000, 7000, (1, 64, 64)).ravel()
    assert abs(np.corrcoef(reference, other)[0, 1]) < 0.1


def test_the_committed_table_holds_normal_quantiles_of_unit_variance() -> None:
    table = normal_quantiles().astype(np.float64)
    assert table.shape == (4096,)
    assert np.all(np.diff(table) > 0)
    np.testing.assert_allclose(table, -table[::-1], atol=1e-6)
    assert table.var() == pytest.approx(1, abs=1e-6)
    assert np.interp(0.841344746, (np.arange(4096) + 0.5) / 4096, table) == pytest.approx(1, abs=2e-3)
