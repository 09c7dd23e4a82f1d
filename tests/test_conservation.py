"""Integer finishing keeps every parent's mean, its bounds and the side of the coast."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terraloom_engines.conservation import block_details, bound_scale, conserve, deviations, interleave, keep_sides, lean_to_land

SHAPE = (5, 6)
parents = hnp.arrays(np.int32, SHAPE, elements=st.integers(-600_000, 600_000))
details = hnp.arrays(np.float32, (3, *SHAPE), elements=st.floats(-3e4, 3e4, width=32))


@given(parents, details)
def test_four_children_average_to_their_parent_exactly(parent: np.ndarray, detail: np.ndarray) -> None:
    children = conserve(parent, deviations(detail))
    np.testing.assert_array_equal(children.astype(np.int64).sum(axis=0), 4 * parent.astype(np.int64))


@given(parents, details)
def test_rounding_moves_no_child_by_more_than_a_step(parent: np.ndarray, detail: np.ndarray) -> None:
    offsets = deviations(detail)
    error = conserve(parent, offsets) - parent - offsets.astype(np.float64)
    assert abs(error).max() < 1.1


@given(details, st.floats(0, 1e4), st.floats(0, 1e4))
def test_the_bound_holds_on_both_sides(detail: np.ndarray, below: float, above: float) -> None:
    offsets = deviations(detail)
    limits = np.full(SHAPE, below, np.float32), np.full(SHAPE, above, np.float32)
    scale = bound_scale(offsets, *limits)
    scaled = offsets * scale
    assert ((scale >= 0) & (scale <= 1)).all()
    assert scaled.min() >= -below - 0.02
    assert scaled.max() <= above + 0.02


@given(
    parents.map(lambda p: p // 100),
    hnp.arrays(np.int32, (4, *SHAPE), elements=st.integers(-500, 500)),
    hnp.arrays(np.bool_, (4, *SHAPE)),
    hnp.arrays(np.int32, (4, *SHAPE), elements=st.integers(1, 300)),
)
def test_children_of_a_coastal_parent_keep_their_side_and_the_sum(
    parent: np.ndarray, offsets: np.ndarray, dry: np.ndarray, least: np.ndarray
) -> None:
    children = conserve(parent, (offsets - offsets.mean(axis=0)).astype(np.float32))
    kept = keep_sides(children, dry, parent, least)
    np.testing.assert_array_equal(kept.sum(axis=0), 4 * parent)
    able = (~dry.all(axis=0) | (parent > 0)) & (dry.any(axis=0) | (parent < 0))
    assert (kept[dry & able] >= 1).all()
    coast = dry.any(axis=0) & ~dry.all(axis=0)
    assert (kept[dry & coast] >= least[dry & coast]).all()
    assert (kept[~dry & able] <= -1).all()


def test_details_and_deviations_are_inverse_and_interleaving_puts_children_in_place() -> None:
    detail = np.arange(3 * 30, dtype=np.float32).reshape(3, 5, 6)
    np.testing.assert_allclose(block_details(deviations(detail).astype(np.int32)), detail)
    raster = interleave(np.stack([np.full((2, 2), n, np.int32) for n in range(4)]))
    np.testing.assert_array_equal(raster[:2, :2], [[0, 1], [2, 3]])


def test_children_of_a_coast_hold_height_in_proportion_to_their_land_and_none_is_lost() -> None:
    rng = np.random.default_rng(9)
    parent = rng.integers(1, 60_000, (32, 32)).astype(np.int32)
    land = rng.choice([0, 10, 128, 255], (4, 32, 32)).astype(np.int32)
    land[0] = np.maximum(land[0], 1)
    land[:, :4] = 0  # their parents do not heed the mask
    steps = rng.normal(0, 0.6, (4, 32, 32)).astype(np.float32) * parent
    steps -= steps.mean(axis=0)
    made = lean_to_land(parent, steps, land, 1.2)
    np.testing.assert_allclose(made.sum(axis=0), 0, atol=parent.max() * 1e-5)
    np.testing.assert_array_equal(made[:, :4], steps[:, :4])
    made, steps, parent, land = made[:, 4:], steps[:, 4:], parent[4:], land[:, 4:]
    most = land * (4 * 1.2 * parent / land.sum(axis=0))
    assert (parent + made <= most + 1).all()
    fits = (parent + steps <= most).all(axis=0)
    assert fits.any() and not fits.all()
    np.testing.assert_allclose(made[:, fits], steps[:, fits], atol=0.05)
