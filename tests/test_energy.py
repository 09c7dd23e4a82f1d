"""What relief has over the law of total variance is taken back by the stated share, wherever the window lies."""

import numpy as np
import pytest

from terraloom_engines import energy
from terraloom_engines.field import ELEVATION_UNIT, LOG_UNIT
from terraloom_engines.lifting import VARIANCE_TABLE, spread_of, variance_of
from terraloom_engines.tiling import tile_from_lonlat
from terraloom_engines.world import open_world

SIDE = 24


def variances(total: int, between: int, inside: int) -> tuple[np.ndarray, ...]:
    """Three even rasters."""
    return tuple(np.full((SIDE, SIDE), value, np.int64) for value in (total, between, inside))


def test_variances_are_those_of_the_spreads_in_steps_of_elevation() -> None:
    stored = np.array([-6 * 256, 0, 256 * 5 + 17, 12 * 256], np.int32)
    np.testing.assert_allclose(variance_of(stored), (spread_of(stored).astype(float) / ELEVATION_UNIT) ** 2, rtol=1e-6, atol=0.5)
    assert VARIANCE_TABLE.min() == 1


def test_land_that_keeps_the_law_is_left_alone() -> None:
    assert not energy.shifts(*variances(4000, 2600, 1400), 0.5).any()


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("factor", [0.5, 0.8, 0.95])
def test_spreads_move_by_the_share_of_what_the_law_says(share: float, factor: float) -> None:
    moved = energy.shifts(*variances(100_000 + round(factor * 200_000), 100_000, 200_000), share)
    np.testing.assert_allclose(moved * LOG_UNIT, share * 0.5 * np.log2(factor), atol=LOG_UNIT)


def test_what_the_law_cannot_ask_for_is_bounded() -> None:
    least = energy.shifts(*variances(1000, 5000, 3000), 0.5)  # more between the children than there is in all
    np.testing.assert_allclose(least * LOG_UNIT, 0.25 * np.log2(energy.LEAST), atol=LOG_UNIT)
    assert not energy.shifts(*variances(10**9, 0, 10), 0.5).any(), "what is missing is not made up"


def test_a_shift_does_not_depend_on_the_window() -> None:
    rng = np.random.default_rng(4)
    total, between, inside = (rng.integers(1, 10**10, (40, 52)) for _ in range(3))
    whole, part = energy.shifts(total, between, inside, 0.5), energy.shifts(total[7:, 9:], between[7:, 9:], inside[7:, 9:], 0.5)
    ring = slice(energy.RADIUS, -energy.RADIUS)
    np.testing.assert_array_equal(part[ring, ring], whole[7:, 9:][ring, ring])


def test_down_the_cascade_relief_keeps_the_law_on_average() -> None:
    """Of plains."""
    world, tile = open_world("earth", threads=2), tile_from_lonlat(10, -97.33, 32.67)
    parent, child = world.field(tile.parent).crop(0), world.field(tile).crop(0)
    quadrant = np.s_[tile.y % 2 * 128 :, tile.x % 2 * 128 :]
    above, heights = (parent.channel(name)[quadrant][:128, :128] for name in ("relief", "elevation"))

    def children(name: str) -> np.ndarray:
        return np.asarray(child.channel(name)).reshape(128, 2, 128, 2).transpose(1, 3, 0, 2).reshape(4, 128, 128)

    between = ((children("elevation") - heights).astype(np.int64) ** 2).sum()
    ratio = (between + variance_of(children("relief")).sum()) / (4 * variance_of(above).sum())
    assert 0.85 < ratio < 1.15


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_shifts_are_counted_to_the_last_bit(share: float) -> None:
    edges, lowest = energy.shift_edges(share)
    factors = np.concatenate([[-3.0, 0.0, 1e9], edges, np.nextafter(edges, 0), np.nextafter(edges, 9), np.geomspace(0.1, 3, 1000)])
    np.testing.assert_array_equal(energy.shift_of(factors, share), lowest + np.searchsorted(edges, factors))
