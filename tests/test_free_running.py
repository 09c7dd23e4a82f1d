"""Free-running chains: windows go down on their own output, and critics see land as it is."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the training extra is tested where it is")

from terraloom_engines.training import free_running, networks  # noqa: E402
from terraloom_engines.training.adversary import Land  # noqa: E402


def batch(rows: int = 3, side: int = 32, gsd: float = 7.0) -> dict[str, "torch.Tensor"]:
    torch.manual_seed(0)
    return {
        "elevation": torch.randn(rows, 1, side, side) * 50 + 1000, "relief": torch.full((rows, 1, side, side), 4.0),
        "land": torch.ones(rows, 1, side, side), "gsd": torch.full((rows, 1, side, 1), gsd), "imagery": torch.zeros(rows, 13, side, side),
        "mask": torch.ones(rows, 1, side - 24, side - 24), "children": torch.randn(rows, 1, 2 * side, 2 * side) * 50 + 1000,
        "spreads": torch.full((rows, 1, 2 * side, 2 * side), 8.0),
    }  # fmt: skip


def test_a_window_goes_down_a_level_at_a_time_until_it_is_old() -> None:
    model, pool = networks.GeometryRefiner(8), free_running.Pool("geometry", size=2, oldest=3)
    start = batch(rows=1, side=56, gsd=8.0)
    for level in range(3):
        newest = free_running.wander("geometry", model, pool, start)
        assert newest is not None and newest.raster.shape == (1, 1, 64, 64)
        waiting = pool._windows
        assert [window.age for window in waiting] == ([level + 1] if level < 2 else [])
        assert all(float(window.conditions["gsd"].mean()) == 8.0 - window.age for window in waiting)
        start = start | {"mask": torch.zeros_like(start["mask"])}  # no fresh windows: the pool's go on


def test_finer_windows_than_the_network_is_told_of_go_on_in_units_of_slope() -> None:
    model, pool = networks.GeometryRefiner(8), free_running.Pool("geometry", size=1)
    torch.manual_seed(1)
    finest = free_running.wander("geometry", model, pool, batch(rows=1, side=56, gsd=6.0))
    [window] = pool._windows
    elevation, relief = window.conditions["elevation"], window.conditions["relief"]
    assert float(window.conditions["gsd"].mean()) == 6.0  # 32 m would be told
    assert any(torch.equal(elevation / 2, finest.raster[..., top : top + 56, left : left + 56]) for top in (0, 8) for left in (0, 8))
    assert relief.shape == elevation.shape


def test_windows_with_holes_or_sea_do_not_start() -> None:
    given = batch()
    given["mask"][0, 0, 3, 3] = 0
    given["land"][1, 0, 0, 0] = 0.5
    pool = free_running.Pool("geometry", size=8)
    assert len(pool.draw(given)) == 1


def test_a_plane_looks_the_same_to_a_critic_at_any_height_and_whatever_the_unit_does() -> None:
    ramp = (torch.arange(32.0) * 3)[None, None, None, :].expand(1, 1, 32, 32)
    unit = torch.exp2(torch.rand(1, 1, 32, 32))
    rest = torch.zeros(1, 1, 32, 32), unit, torch.zeros(1, 2, 32, 32)
    low, high = (Land(ramp + height, *rest).view for height in (0.0, 4000.0))
    np.testing.assert_allclose(low, high, atol=2e-3)
    np.testing.assert_allclose(low[:, 0], (6 / unit[..., 1:-1, 1:-1])[:, 0].clamp(max=8), rtol=1e-4)
