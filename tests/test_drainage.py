"""Drainage statistics know valleys whose laws are known."""

import numpy as np
import pytest
from benchmarks import drainage, morphometry


def test_parallel_valleys_are_as_long_as_their_basins() -> None:
    y, x = np.mgrid[:96, :200]
    found = drainage.statistics(100 - 0.01 * x + np.abs(y % 12 - 6.1))
    assert found["depressions"] == 0
    assert 0.85 < found["hack_exponent"] < 1.05  # as wide everywhere: area grows as length does
    rough = drainage.statistics(300 * fractional_brownian(3.6))
    assert 0.5 < rough["hack_exponent"] < 0.7  # basins widen as they grow
    assert rough["bifurcation_ratio"] > 2.5


def test_a_valley_gathers_what_its_sides_shed() -> None:
    y, x = np.mgrid[:120, :200]
    height = 0.1 * x + np.abs(y - 60)
    directions, filled = drainage.flow(height)
    area = directions.upstream_area(unit="cell")
    assert area.max() > 0.9 * height.size, "all but the rim leaves through the mouth"
    assert (filled == height.astype(np.float32)).all()
    order, counts = drainage.strahler(directions, area > drainage.SOURCE)
    assert order.reshape(height.shape)[60, 5] > 1, "the streams of the sides join one trunk"
    assert counts[0] > 100
    assert counts[-1] == 1


def test_a_bowl_is_a_depression_up_to_its_lip() -> None:
    y, x = np.mgrid[:101, :101] - 50
    bowl = np.where(np.hypot(x, y) < 30, 10 - 5 * np.exp(-(x**2 + y**2) / 100), 10.0) - 1e-3 * x
    found = drainage.statistics(bowl)
    _, filled = drainage.flow(bowl)
    assert found["depressions"] == pytest.approx((filled - bowl > drainage.FILLED).mean())
    assert 0.05 < found["depressions"] < 0.3


def test_longest_ways_count_diagonal_steps() -> None:
    height = np.add.outer(np.arange(40.0), np.arange(40.0))  # falls to the north-west corner along the diagonal
    directions, _ = drainage.flow(height)
    below = directions.idxs_ds
    here = np.arange(below.size)
    across = (below // 40 != here // 40) & (below % 40 != here % 40)
    length = drainage.longest_ways(directions, np.where(below == here, 0.0, np.where(across, 2**0.5, 1.0)))
    assert length[0] == pytest.approx(39 * 2**0.5)


@pytest.mark.parametrize("ratio", [2.0, 4.5])
def test_the_ratio_of_a_geometric_row_is_its_factor(ratio: float) -> None:
    assert drainage.ratio_of(100 * ratio ** np.arange(4.0)) == pytest.approx(ratio)


def fractional_brownian(exponent: float, side: int = 256) -> np.ndarray:
    """A surface whose power density falls with the given exponent."""
    rng = np.random.default_rng(3)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    return np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * np.maximum(radius, 1 / side) ** (-exponent / 2), (side, side))


def test_the_variogram_of_a_rough_surface_grows_with_twice_its_hurst_exponent() -> None:
    surface = fractional_brownian(3.0)  # a Hurst exponent of 0.5
    growth = np.diff(np.log2(morphometry.variogram(surface)))
    assert growth.mean() == pytest.approx(1.0, abs=0.12)


def test_what_is_rough_one_way_alone_is_anisotropic() -> None:
    surface = fractional_brownian(3.0)
    assert abs(morphometry.anisotropy(surface)) < 0.3
    ribbed = surface + 0.5 * surface.std() * np.sin(np.arange(256) * 0.9)[:, None]
    assert morphometry.anisotropy(ribbed) > 1
    assert morphometry.anisotropy(ribbed.T) == pytest.approx(-morphometry.anisotropy(ribbed))


def test_a_checkerboard_shows_at_a_stride_of_two() -> None:
    y, x = np.mgrid[:256, :256]
    surface = fractional_brownian(3.0)
    assert morphometry.stride_peak(surface, 2) == pytest.approx(1, abs=0.5)
    assert morphometry.stride_peak(surface + 0.2 * surface.std() * (-1.0) ** (x + y), 2) > 10


def test_the_roll_off_tells_blurred_land_from_sharp() -> None:
    sharp = fractional_brownian(3.0)
    blurred = (sharp + np.roll(sharp, 1, 0) + np.roll(sharp, 1, 1) + np.roll(sharp, (1, 1), (0, 1))) / 4
    assert abs(morphometry.roll_off(sharp)) < 0.4
    assert morphometry.roll_off(blurred) < -1


@pytest.mark.parametrize("stride", [4, 8])
def test_a_lattice_shows_as_a_peak_of_its_stride_alone(stride: int) -> None:
    surface = fractional_brownian(3.0)
    y, x = np.mgrid[:256, :256]
    woven = surface + 0.5 * surface.std() * (np.cos(2 * np.pi * x / stride) + np.cos(2 * np.pi * y / stride))
    assert morphometry.stride_peak(surface, stride) == pytest.approx(1, abs=0.5)
    assert morphometry.stride_peak(woven, stride) > 10
    assert morphometry.stride_peak(woven, 2 * stride) < 3
