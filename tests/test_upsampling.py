"""Smooth upsampling keeps averages, reproduces polynomials and leaves no kinks."""

import numpy as np
import pytest

from terraloom_engines.conservation import deviations, interleave
from terraloom_engines.upsampling import REACH, kinks, smooth_details


def children(parent: np.ndarray) -> np.ndarray:
    inner = parent[REACH:-REACH, REACH:-REACH]
    return interleave(inner + deviations(smooth_details(parent.astype(np.float32))))


def block_means(fine: np.ndarray) -> np.ndarray:
    return (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4


def test_children_average_to_their_parent() -> None:
    parent = np.random.default_rng(1).normal(0, 100, (20, 24))
    np.testing.assert_allclose(block_means(children(parent)), parent[3:-3, 3:-3], atol=1e-3)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_averages_of_a_polynomial_become_its_finer_averages(degree: int) -> None:
    def averages(cells: int) -> np.ndarray:
        edges = np.linspace(-1, 1, cells + 1)
        return np.diff(edges ** (degree + 1)) / (degree + 1) / np.diff(edges)

    coarse, fine = averages(20), averages(40)
    parent, truth = np.add.outer(coarse, 2 * coarse), np.add.outer(fine, 2 * fine)
    np.testing.assert_allclose(children(parent), truth[6:-6, 6:-6], atol=2e-6)


def test_a_step_refined_again_and_again_becomes_a_slope_without_kinks() -> None:
    raster = np.where(np.arange(48) < 24, 0.0, 1.0)[None, :] * np.ones((48, 1))
    for _ in range(4):
        raster = children(raster)
        middle = raster.shape[1] // 2
        raster = raster[:48, middle - 24 : middle + 24]
    bend = np.abs(np.diff(raster[20], 2))
    assert bend.max() < 0.02  # three taps of degree 2 leave 0.0625
    assert bend.max() < 2 * np.median(bend[bend > bend.max() / 8])  # and 3.7


def test_children_of_degree_2_have_kinks_at_steps_and_none_on_parabolas() -> None:
    edges = np.linspace(-1, 1, 25)
    averages = np.diff(edges**3) / 3 / np.diff(edges)
    parabola = np.add.outer(averages, 2 * averages).astype(np.float32)
    np.testing.assert_allclose(kinks(parabola), 0, atol=1e-6)
    step = np.where(np.arange(24) < 12, 0, 64).astype(np.float32)[None, :] * np.ones((24, 1), np.float32)
    found = kinks(step)
    assert found.shape == (3, 18, 18)
    assert np.abs(found[0]).max() > 1, "west-east, beside the step"
    np.testing.assert_array_equal(found[1:], 0)


def test_the_trained_networks_use_the_same_taps() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: the training extra is tested where it is")
    from terraloom_engines.training import networks

    parent = np.random.default_rng(2).normal(0, 10, (16, 18)).astype(np.float32)
    made = networks.smooth_details(torch.from_numpy(parent)[None, None])[0].numpy()
    np.testing.assert_allclose(made, smooth_details(parent), atol=1e-5)
