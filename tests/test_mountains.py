"""What pictures show of mountains: stored as small integers, drawn where nothing is known, and there in every world on Earth."""

import numpy as np
import pytest

from conformance import BUNDLE, opened
from terraloom_engines.bundle.base import Base
from terraloom_engines.bundle.earth import KNOWN_FROM, KNOWN_WHOLE, EarthBase
from terraloom_engines.bundle.plane import PlaneBase
from terraloom_engines.bundle.planet import PlanetBase
from terraloom_engines.conservation import split_children
from terraloom_engines.field import DETAIL_UNIT, LAND_FULL
from terraloom_engines.lifting import informed, spread_of
from terraloom_engines.stages import StageSpec
from terraloom_engines.tiling import TILE_SIZE, TileId, tile_from_lonlat
from terraloom_engines.world import open_world

HIMALAYA, GANGES, PACIFIC = (86.0, 28.2), (80.0, 26.5), (-140.0, 5.0)
SPEC = StageSpec.from_manifest(BUNDLE.manifest["stages"]["geometry"])


def known_at(place: tuple[float, float]) -> np.ndarray:
    """What is known of 16 x 16 pixels of the base around a place."""
    tile = tile_from_lonlat(12, *place)  # one of its tiles is a pixel of the base
    known = EarthBase(BUNDLE.folder).details(4, tile.x - 8, tile.y - 8, 16)
    assert known is not None and known.shape == (4, 16, 16)
    return known


def test_mountains_are_known_and_plains_and_the_sea_are_not() -> None:
    high = known_at(HIMALAYA)
    assert (high[3] == LAND_FULL).mean() > 0.9
    size = np.sqrt((high[:2, high[3] == LAND_FULL].astype(float) ** 2).mean()) * DETAIL_UNIT
    assert 0.2 < size < 0.7, f"details of {size:.2f} spreads"
    for place in (GANGES, PACIFIC):
        assert not known_at(place)[3].any()


def test_details_go_around_the_globe_and_only_below_the_finest_level() -> None:
    base, tile = EarthBase(BUNDLE.folder), tile_from_lonlat(12, 178.0, -38.3)  # New Zealand's east
    there, beyond = (base.details(4, tile.x + turn, tile.y - 60, 100) for turn in (0, -TILE_SIZE << 4))
    assert there is not None and there[3].any()
    np.testing.assert_array_equal(there, beyond)
    assert base.details(3, 0, 0, 16) is None and base.details(5, 0, 0, 16) is None


@pytest.mark.parametrize("base", [PlanetBase(3), PlaneBase(3)], ids=["planet", "plane"])
def test_nothing_is_known_of_invented_land(base: Base) -> None:
    assert base.details(base.finest_level, 0, 0, 8) is None


def test_known_details_take_the_place_of_drawn_ones_and_the_variance_stays() -> None:
    rng = np.random.default_rng(1)
    sample, known = rng.normal(0, 1, (7, 64, 192)).astype(np.float32), rng.normal(0, SPEC.detail_scale / DETAIL_UNIT, (4, 64, 192))
    known[3] = np.repeat([0, 128, LAND_FULL], 64)
    made = informed(sample, np.rint(known).astype(np.int32), SPEC)
    np.testing.assert_array_equal(made[3:], sample[3:])
    np.testing.assert_array_equal(made[:3, :, :64], sample[:3, :, :64])
    np.testing.assert_allclose(made[:3, :, 128:], np.rint(known[:3, :, 128:]) * DETAIL_UNIT / SPEC.detail_scale, rtol=1e-5)
    np.testing.assert_allclose(made[:3, :, 64:128].std(), 1, atol=0.03)


def test_a_device_takes_known_details_alike() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'terraloom[train]'")
    from terraloom_engines.device.finishing import informed as informed_on_device

    rng = np.random.default_rng(2)
    sample, known = rng.normal(0, 1, (7, 50, 60)).astype(np.float32), rng.integers(-60, 61, (4, 50, 60)).astype(np.int32)
    known[3] = rng.integers(0, 256, (50, 60))
    made = informed_on_device(torch.from_numpy(sample), torch.from_numpy(known), SPEC).numpy()
    np.testing.assert_array_equal(made, informed(sample, known, SPEC))


def test_level_five_has_the_mountains_that_are_known_whatever_the_seed() -> None:
    tile = tile_from_lonlat(5, *HIMALAYA)
    fields = [open_world("earth", seed).field(tile) for seed in (0, 1)]
    relief = EarthBase(BUNDLE.folder).field(tile.parent, 0).channel("relief")
    relief = relief[(tile.y % 2) * 128 :, (tile.x % 2) * 128 :][:128, :128]
    known = EarthBase(BUNDLE.folder).details(4, tile.x * 128, tile.y * 128, 128)
    assert known is not None
    sure, drawn = known[3] == LAND_FULL, known[3] == 0
    heights = [split_children(field.crop(0).channel("elevation")) for field in fields]
    west_east = [(h[1] + h[3] - h[0] - h[2]) / 4 / 64 / spread_of(relief) / DETAIL_UNIT for h in heights]
    for details in west_east:
        assert np.corrcoef(details[sure], known[0][sure])[0, 1] > 0.95
    assert np.corrcoef(west_east[0][drawn], west_east[1][drawn])[0, 1] < 0.9


def test_relief_says_where_details_are_known() -> None:
    np.testing.assert_allclose(np.exp2(np.array([KNOWN_FROM, KNOWN_WHOLE]) / 256), [40, 80], rtol=2e-3)


def test_steps_with_known_details_are_the_same_alone_and_with_siblings() -> None:
    from terraloom_engines.networks import Networks
    from terraloom_engines.self_test import steps_agree

    networks = Networks(BUNDLE, opened("onnx-cpu"))
    joined = networks.joined()
    assert joined is not None and steps_agree(networks.step(5), joined(5), 2)


def test_the_tile_of_a_mountain_does_not_depend_on_its_neighbours() -> None:
    world, tile = open_world("earth"), tile_from_lonlat(5, *HIMALAYA)
    east = TileId(5, tile.x + 1, tile.y)
    left, right, halo = world.field(tile).data, world.field(east).data, world.halo
    np.testing.assert_array_equal(left[:, :, -2 * halo :], right[:, :, : 2 * halo])
