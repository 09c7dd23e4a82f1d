"""Scores of forms know pits, valleys and lattices, and rank land by them."""

import pytest

torch = pytest.importorskip("torch")

from terraloom_engines.training import landforms  # noqa: E402
from terraloom_engines.training.adversary import Land  # noqa: E402

SIDE = 64
PITS, SUMMITS, GATHERED = 0, 1, 14


def land(heights: "torch.Tensor", unit: float = 1.0) -> Land:
    """Windows (N, 1, SIDE, SIDE) measured by one unit."""
    return Land(heights, torch.zeros_like(heights), torch.full_like(heights, unit), torch.zeros(len(heights), 2, *heights.shape[2:]))


def plane(count: int = 2) -> "torch.Tensor":
    """Windows that fall to the east."""
    return (-0.5 * torch.arange(SIDE, dtype=torch.float32)).expand(count, 1, SIDE, SIDE).clone()


def test_a_plane_has_no_forms_and_sheds_water_evenly() -> None:
    maps = landforms.forms(land(plane()))
    assert maps.shape == (2, len(landforms.WEIGHTS), SIDE - 2 * landforms.RIM, SIDE - 2 * landforms.RIM)
    assert maps[:, :GATHERED].abs().max() < 1e-4
    assert maps[:, GATHERED].std() < 1e-3


def test_a_pit_is_as_deep_as_it_lies_below_its_lowest_neighbour() -> None:
    heights = plane(1)
    heights[0, 0, 30, 30] -= 2.5
    found = landforms.forms(land(heights, unit=2.0))[0, PITS] / landforms.WEIGHTS[PITS]
    place = 30 - landforms.RIM
    assert found[place, place] == pytest.approx((2.5 - 0.5) / 2.0)
    assert (found > 0).sum() == 1
    summit = landforms.forms(land(-heights, unit=2.0))[0, SUMMITS] / landforms.WEIGHTS[SUMMITS]
    assert summit[place, place] == pytest.approx((2.5 - 0.5) / 2.0)


def test_water_gathers_in_a_valley_and_not_on_its_ridge() -> None:
    rows = torch.arange(SIDE, dtype=torch.float32)
    valley = plane(1) * 0.4 + (rows - 32).abs()[:, None]
    water = landforms.forms(land(valley))[0, GATHERED]
    middle = 32 - landforms.RIM
    assert water[middle].min() > water[middle + 8].max() + 1


@pytest.mark.parametrize("side", landforms.BLOCKS)
def test_borders_of_blocks_show_at_their_side(side: int) -> None:
    blocks = torch.randn(1, 1, SIDE // side, SIDE // side, generator=torch.Generator().manual_seed(1))
    stepped = blocks.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
    found = landforms.lattice(land(stepped))
    assert (found[:, landforms.BLOCKS.index(side) :: 3] > 1).all()
    assert landforms.lattice(land(plane())).abs().max() < 1e-4


def rough(seed: int, pits: float = 0.0) -> "torch.Tensor":
    """Four windows of smooth noise, with single low pixels."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.nn.functional.avg_pool2d(torch.randn(4, 1, SIDE + 8, SIDE + 8, generator=generator), 9, stride=1)
    holes = (torch.rand(4, 1, SIDE, SIDE, generator=generator) < 0.05).float()
    return 20 * noise - pits * holes


def test_the_truth_scores_best_and_pits_are_worse() -> None:
    truth, mask = land(rough(1)), torch.ones(4, 1, 8, 8)
    same = landforms.score((truth, truth), truth, mask)
    pitted = landforms.score((land(rough(1, pits=2.0)), land(rough(1, pits=2.0))), truth, mask)
    assert float(same) == 0
    assert float(pitted) > 0.1
    mask[:, :, 0, 0] = 0
    assert float(landforms.score((truth, truth), truth, mask)) == 0  # no window is whole


def test_likeness_is_of_shape_and_not_of_size() -> None:
    real = land(rough(1))
    larger, pitted = land(rough(2) * 3, unit=3.0), land(rough(2, pits=8.0))
    assert float(landforms.likeness(real, larger)) == pytest.approx(float(landforms.likeness(real, land(rough(2)))), abs=1e-4)
    assert float(landforms.likeness(real, pitted)) > float(landforms.likeness(real, larger)) + 0.1
