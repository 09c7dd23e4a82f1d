"""The step on a device: torch, here on the processor, makes of a network's samples the integers that numpy makes of them."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from conformance import BUNDLE, opened
from terraloom_engines import creep as host_creep
from terraloom_engines import exposure as host_exposure
from terraloom_engines import guidance as host_guidance
from terraloom_engines.bundle.base import Base
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.bundle.plane import PlaneBase
from terraloom_engines.cascade import known_below, step_window
from terraloom_engines.conservation import bound_scale, conserve, deviations, interleave, keep_sides, split_children
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.lifting import RELIEF_RANGE, SPREAD_SQUARES, SPREAD_TABLE, slope_spread, spread_of, stored_spread
from terraloom_engines.networks import Networks
from terraloom_engines.noise import STREAK_REACH, gaussian_noise, normal_quantiles, streak_weights, without_streaks
from terraloom_engines.self_test import steps_agree
from terraloom_engines.slope_noise import MARGIN, along_slopes
from terraloom_engines.tiling import TileId, WorldKind, tile_from_lonlat
from terraloom_engines.upsampling import kinks, smooth_details

if find_spec("torch") is None:
    pytest.skip("torch is not installed: pip install 'terraloom[train]'", allow_module_level=True)

import torch

from terraloom_engines.device import creep, exposure, finishing, guidance
from terraloom_engines.device.noise import gaussian_noise as noise_on_device
from terraloom_engines.device.noise import without_streaks as without_streaks_on_device
from terraloom_engines.device.program import PLACES, REACH, frame
from terraloom_engines.device.rules import Rules
from terraloom_engines.device.slope_noise import along_slopes as along_slopes_on_device
from terraloom_engines.device.steps import DeviceFields, DeviceStep
from terraloom_engines.stages import StageSpec, Window

SPEC = StageSpec.from_manifest(BUNDLE.manifest["stages"]["geometry"])


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(BUNDLE, opened("torch"))


@given(
    seed=st.integers(0, 2**32 - 1), level=st.integers(0, 18), column=st.integers(-(2**58), 2**58), row=st.integers(-(2**58), 2**58),
    kind=st.sampled_from(WorldKind), stream=st.sampled_from([16, 17, 32]),
)  # fmt: skip
def test_noise_is_the_same_bits_on_planets_and_wherever_on_planes(
    seed: int, level: int, column: int, row: int, kind: WorldKind, stream: int
) -> None:
    if kind is WorldKind.PLANET:
        column, row = column % (512 << level) - 60, row % (256 << level) - 30
    places = torch.from_numpy(frame(Window(level, column, row, 9, kind), SPEC, seed)[PLACES, REACH:-REACH].copy())
    made = noise_on_device(places, torch.tensor(level, dtype=torch.int32), stream, 17, torch.from_numpy(normal_quantiles()))
    np.testing.assert_array_equal(made.numpy(), gaussian_noise(seed, stream, level, column, row, (17, 9, 9), kind))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_streaks_are_taken_out_of_noise_alike(share: float) -> None:
    noise = gaussian_noise(4, 16, 12, 100, 200, (10, 60, 60))
    taken, scale = (torch.tensor(weight) for weight in streak_weights(share))
    made = without_streaks_on_device(torch.from_numpy(noise), taken, scale).numpy()
    np.testing.assert_array_equal(
        made, without_streaks(noise, share) if share else noise[:, STREAK_REACH:-STREAK_REACH, STREAK_REACH:-STREAK_REACH]
    )


@given(elevation=arrays.arrays(np.int32, (9, 12), elements=st.integers(-600_000, 600_000) | st.integers(-1, 1)), seed=st.integers(0, 99))
def test_noise_runs_down_slopes_alike(elevation: np.ndarray, seed: int) -> None:
    white = gaussian_noise(seed, 24, 12, 100, 200, (8, 9 + 2 * MARGIN, 12 + 2 * MARGIN))
    made = along_slopes_on_device(torch.from_numpy(white)[None], torch.from_numpy(elevation)[None, None])[0]
    np.testing.assert_array_equal(made.numpy(), along_slopes(white, elevation))


STEPS = arrays.arrays(np.int32, (4, 5, 6), elements=st.integers(-(2**20), 2**20))
FLOATS = arrays.arrays(np.float32, (3, 5, 6), elements=st.floats(-1e5, 1e5, width=32) | st.sampled_from([0.0, -1e-9, 0.25, -0.5, 1e-9]))


@given(details=FLOATS, rasters=STEPS, reach=st.floats(0, 1e5, width=32))
def test_bounds_and_rounding_are_the_same_bits(details: np.ndarray, rasters: np.ndarray, reach: float) -> None:
    steps, bound = deviations(details), np.full((5, 6), reach, np.float32)
    on_device = finishing.deviations(torch.from_numpy(details))
    np.testing.assert_array_equal(on_device.numpy(), steps)
    scale = finishing.bound_scale(on_device, torch.from_numpy(bound), torch.from_numpy(bound))
    np.testing.assert_array_equal(scale.numpy(), bound_scale(steps, bound, bound))
    made = finishing.conserve(torch.from_numpy(rasters[0]), on_device * scale)
    np.testing.assert_array_equal(made.numpy(), conserve(rasters[0], steps * scale.numpy()))


@given(children=STEPS, least=STEPS, dry=arrays.arrays(np.bool_, (4, 5, 6)), parent=STEPS)
def test_children_keep_their_side_of_the_sea_alike(children: np.ndarray, least: np.ndarray, dry: np.ndarray, parent: np.ndarray) -> None:
    given_ = children, dry, parent[0], np.abs(least) + 1
    made = finishing.keep_sides(*(torch.from_numpy(array) for array in given_))
    np.testing.assert_array_equal(made.numpy(), keep_sides(*given_))


def test_upsampling_blocks_and_spreads_are_the_same_bits() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1e4, (20, 24)).astype(np.float32)
    for here, there in ((smooth_details, finishing.smooth_details), (kinks, finishing.kinks)):
        np.testing.assert_array_equal(there(torch.from_numpy(values)).numpy(), here(values))
    children = rng.integers(-9, 9, (4, 3, 5, 6)).astype(np.int32)
    raster = finishing.interleave(torch.from_numpy(children))
    np.testing.assert_array_equal(raster.numpy(), interleave(children))
    np.testing.assert_array_equal(finishing.split_children(raster).numpy(), split_children(raster.numpy()))
    rules, table = Rules(torch.from_numpy(SPREAD_TABLE)), SPREAD_TABLE
    spreads = np.concatenate([[0, 1e9], table, np.nextafter(table, np.float32(0)), np.nextafter(table, np.float32(1e9))]).astype(np.float32)
    np.testing.assert_array_equal(rules.stored_spread(torch.from_numpy(spreads)).numpy(), stored_spread(spreads))
    stored = np.arange(-3000, 4000, dtype=np.int32)
    np.testing.assert_array_equal(rules.spread_of(torch.from_numpy(stored)).numpy(), spread_of(stored))
    slopes = rng.integers(-(2**20), 2**20, (200, 200)).astype(np.int32)
    np.testing.assert_array_equal(rules.slope_spread(torch.from_numpy(slopes), 1 / 64, 2).numpy(), slope_spread(slopes, 1 / 64, 2))


@pytest.mark.parametrize(
    ("base", "child"),
    [(EarthBase(BUNDLE.folder), tile_from_lonlat(5, 7.4, 61.5)), (PlaneBase(7), TileId(5, -(1 << 38), 1 << 37, WorldKind.PLANE))],
    ids=["Norway, with a mask and mountains", "a plane, far from its origin"],
)
def test_a_field_is_what_numpy_makes_of_the_same_samples(networks: Networks, base: Base, child: TileId) -> None:
    on_device, on_host = networks.step(9), networks.stages(networks.graphs, 9)
    assert isinstance(on_device, DeviceStep)
    parent = base.field(child.parent, 2 * on_host.loss)
    window = step_window(parent, (child,), on_host.loss)
    known = known_below(base, window)
    (made,), (expected,) = (step.fields(parent, (child,), known) for step in (on_device, on_host))
    assert made.tile == child and made.halo == 2 * on_host.loss
    np.testing.assert_array_equal(made.data, expected.data)


@pytest.mark.parametrize(("level", "lower"), [(12, 1), (10, 1), (10, 100)], ids=["fine", "steep", "steep and gentle"])
def test_a_fine_field_with_streaks_taken_is_what_numpy_makes_of_it(networks: Networks, level: int, lower: int) -> None:
    on_device, on_host = networks.step(9), networks.stages(networks.graphs, 9)
    coarse, tile = EarthBase(BUNDLE.folder).field(tile_from_lonlat(4, 8.0, 46.5), 2 * on_host.loss), tile_from_lonlat(level, 8.0, 46.5)
    data = coarse.data.copy()  # heights of 10 km pixels as those of 25 or 100 m ones: cliffs, all the harder
    data[CHANNELS.index("elevation")] //= lower
    parent = Field(tile, coarse.halo, data)
    (made,), (expected,) = (step.fields(parent, tile.children[:1], None) for step in (on_device, on_host))
    np.testing.assert_array_equal(made.data, expected.data)


def test_roots_and_guidance_are_the_same_bits() -> None:
    rng = np.random.default_rng(6)
    numbers = np.concatenate([[0.0, 1.0, 2.0], np.exp2(rng.uniform(-60, 120, 1_000_000))])
    np.testing.assert_array_equal(guidance.root(torch.from_numpy(numbers)).numpy(), np.sqrt(numbers))
    colour = rng.integers(0, 255 * 64, (3, 60, 60)).astype(np.int32)
    height = (rng.integers(-(2**14), 2**18, (60, 60)) + 20 * colour[0]).astype(np.int32)
    for made, expected in zip(
        guidance.correlations(torch.from_numpy(colour), torch.from_numpy(height)), host_guidance.correlations(colour, height), strict=True
    ):
        np.testing.assert_array_equal(made.numpy(), expected)
    correlation = rng.uniform(-1, 1, (50, 50)).astype(np.float32)
    made = guidance.shares(torch.from_numpy(correlation), 0.6)
    np.testing.assert_array_equal(made.numpy(), host_guidance.shares(correlation, 0.6))
    children = (height + rng.integers(-(2**12), 2**12, (4, 60, 60))).astype(np.int32)
    made = guidance.relief_details(torch.from_numpy(height), torch.from_numpy(children), 12)
    np.testing.assert_array_equal(made.numpy(), host_guidance.relief_details(height, children, 12))


def test_creep_is_the_same_bits() -> None:
    rng = np.random.default_rng(9)
    height = rng.integers(-(2**14), 2**14, (60, 60)).astype(np.int32).cumsum(axis=1, dtype=np.int32)
    relief = rng.integers(RELIEF_RANGE[0], RELIEF_RANGE[1] + 1, (60, 60)).astype(np.int32)
    squares = SPREAD_SQUARES.take(relief - RELIEF_RANGE[0])
    made = creep.roughness(torch.from_numpy(height), torch.from_numpy(squares))
    for ours, theirs in zip(made, host_creep.roughness(height, squares), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    np.testing.assert_array_equal(Rules(torch.from_numpy(SPREAD_TABLE))._squares.numpy(), SPREAD_SQUARES)


def test_exposure_is_the_same_bits() -> None:
    rng = np.random.default_rng(8)
    children = rng.integers(-(2**12), 2**14, (4, 40, 40)).astype(np.int32).cumsum(axis=2, dtype=np.int32)
    parent, light = children.sum(axis=0) // 4, rng.integers(0, 255 * 64, (40, 40)).astype(np.int32)
    spread = np.exp2(rng.uniform(0, 14, (24, 24))).astype(np.float32)
    rows = np.linspace(10, 3000, 40, dtype=np.float32), np.linspace(-1, 1, 40, dtype=np.float32)
    given_ = light, spread, parent, children
    made = exposure.light_details(*(torch.from_numpy(array) for array in given_), (torch.from_numpy(rows[0]), torch.from_numpy(rows[1])))
    for ours, theirs in zip(made, host_exposure.light_details(*given_, rows), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_four_siblings_in_one_window_are_what_each_is_alone(networks: Networks) -> None:
    with networks.lock:
        assert networks.joined() is not None, "they are refused where one of them differs"


def test_a_step_that_finishes_otherwise_is_told_from_one_that_does_not(networks: Networks) -> None:
    host = networks.stages(networks.graphs, 0)

    class OneOff:
        loss = host.loss

        def fields(self, parent: Field, children: tuple[TileId, ...], mask: np.ndarray) -> list[Field]:
            (field,) = host.fields(parent, children, mask)
            field.data[3, 200, 200] += 1
            return [field]

    assert not steps_agree(OneOff(), host)


def test_a_device_keeps_the_fields_used_last_and_takes_no_other_for_one_that_is_gone() -> None:
    kept, tile = DeviceFields(torch.device("cpu"), capacity=2), TileId(5, 3, 4)
    fields = [Field(tile, 0, np.full((8, 256, 256), number, np.int32)) for number in range(3)]
    copies = [kept.get(field) for field in fields[:2]]
    assert kept.get(fields[0]) is copies[0]
    kept.get(fields[2])
    assert len(kept) == 2 and kept.get(fields[0]) is copies[0]
    kept.put(fields[1], copies[1])
    place = id(fields[1].data)
    del fields[1]
    other = Field(tile, 0, np.full((8, 256, 256), 7, np.int32))
    kept._kept[id(other.data)] = kept._kept.pop(place)  # an array that lies where one lay that is gone
    assert int(kept.get(other)[0, 0, 0]) == 7
