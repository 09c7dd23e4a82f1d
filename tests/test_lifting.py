"""The rules round the geometry network: the slope's floor, threshold hillslopes, and the shore."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.morphometry import axis_ratio

from conformance import BUNDLE, opened
from terraloom_engines.conservation import interleave, split_children
from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.lifting import (
    EXCESS_PERCENT,
    RELIEF_RANGE,
    REPOSE,
    SPREAD_TABLE,
    LiftingStage,
    Waters,
    shore,
    spread_of,
    stored_spread,
    threshold_hillslopes,
    tilt_floor,
)
from terraloom_engines.stages import StageSpec, Window
from terraloom_engines.tiling import WorldKind, row_ground_sample_distance, tile_from_lonlat
from terraloom_engines.world import open_world


@pytest.mark.parametrize("step", [2, 64, 640, 9000])
def test_a_plane_has_at_least_the_spread_that_its_slope_puts_into_a_pixel(step: int) -> None:
    rows, columns = np.mgrid[:32, :32]
    heights = (step * columns + 2 * step * rows).astype(np.int32)
    floor = interleave(tilt_floor(split_children(heights)))[1:-1, 1:-1]
    exact = step / 64 * 5**0.5 / 12**0.5
    np.testing.assert_allclose(spread_of(floor), exact, rtol=0.004)


def test_flat_ground_has_no_floor_to_speak_of() -> None:
    assert spread_of(tilt_floor(np.full((4, 8, 8), 12345, np.int32))).max() <= 1 / 64


def test_the_stored_spread_is_what_the_table_says_to_the_last_bit() -> None:
    smaller, larger = np.nextafter(SPREAD_TABLE, np.float32(0)), np.nextafter(SPREAD_TABLE, np.float32(np.inf))
    spreads = np.concatenate([SPREAD_TABLE, smaller, larger, np.array([0, 1e-30, 1e9], np.float32)])
    np.testing.assert_array_equal(stored_spread(spreads), np.searchsorted(SPREAD_TABLE, spreads) + RELIEF_RANGE[0])


def test_relief_beyond_threshold_hillslopes_is_compressed_and_less_is_left_alone() -> None:
    metres = np.array([10.0, 80.0], np.float32)
    gentle = np.full((4, 2, 3), round(256 * np.log2(0.1 * 10)), np.int32)
    np.testing.assert_array_equal(threshold_hillslopes(gentle, metres), gentle)
    knee = 256 * np.log2(REPOSE * metres)
    steep = np.broadcast_to(np.rint(knee + 256).astype(np.int32)[:, None], (4, 2, 3))
    kept = threshold_hillslopes(steep, metres) - knee[:, None]
    np.testing.assert_allclose(kept, 256 * EXCESS_PERCENT / 100, atol=2)


def test_the_shore_is_where_elevation_is_zero_and_pure_parents_stay_pure() -> None:
    heights = np.arange(-600, 600, 100, dtype=np.int32).reshape(4, 1, 3)
    relief = np.full((4, 1, 3), 256, np.int32)
    for pure in (0, 255):
        assert (shore(heights, relief, np.full((1, 3), pure, np.int32)) == pure).all()
    mixed = shore(heights, relief, np.full((1, 3), 90, np.int32))
    np.testing.assert_array_equal(mixed >= 128, heights >= 0)
    assert mixed.min() == 0
    assert mixed.max() == 255
    assert (np.diff(mixed.ravel()) >= 0).all()


def test_borders_of_large_blocks_are_as_rough_as_what_lies_between() -> None:
    world, ratios = open_world("earth"), []
    for place in ((7.9, 46.35), (-112.1, 36.1), (26.1, -16.1)):
        height = world.field(tile_from_lonlat(10, *place)).crop(0).channel("elevation") * ELEVATION_UNIT
        for raster in (height, height.T):
            steps = np.abs(np.diff(raster, axis=1)).mean(axis=0)
            border = np.arange(1, raster.shape[1]) % 8 == 0
            ratios.append(steps[border].mean() / steps[~border].mean())
    assert 0.95 < np.exp(np.mean(np.log(ratios))) < 1.05


def test_borders_of_the_base_are_as_rough_as_what_lies_between() -> None:
    world, ratios = open_world("earth"), []
    for place in ((8.0, 46.5), (-101.5, 38.5), (26.1, -16.1), (20.0, 47.0), (30.0, -2.0), (86.9, 27.9)):
        height = world.field(tile_from_lonlat(6, *place)).crop(0).channel("elevation") * ELEVATION_UNIT
        for raster in (height, height.T):
            steps = np.abs(np.diff(raster, axis=1)).mean(axis=0)
            border = np.arange(1, 256) % 4 == 0
            ratios.append(steps[border].mean() / steps[~border].mean())
    assert 0.935 < np.exp(np.mean(np.log(ratios))) < 1.03, "without `COARSE_KINKS` it is 0.915"


def test_creep_leaves_no_steps_at_the_borders_of_coarser_pixels() -> None:
    world, ratios = open_world("earth"), []
    for place in ((8.0, 46.5), (-101.5, 38.5), (138.5, 36.2), (20.0, 47.0), (30.0, -2.0), (86.9, 27.9)):
        height = world.field(tile_from_lonlat(16, *place)).crop(0).channel("elevation") * ELEVATION_UNIT
        for raster in (height, height.T):
            steps = np.abs(np.diff(raster, axis=1)).mean(axis=0)
            ratios += [steps[border] / steps[max(border - 12, 0) : border + 13].mean() for border in range(15, 240, 16)]
    assert 0.96 < np.mean(ratios) < 1.03, "without `FINE_KINKS` it is 1.05"


def test_slopes_of_gentle_land_hardly_grow_below_the_length_of_hillslopes() -> None:
    world, growth = open_world("earth"), []
    plains = ((-98.5, 38.5), (-101.5, 33.5), (19.0, 52.2), (2.3, 48.7), (20.5, 47.0), (-62.0, -35.0), (75.0, 60.0), (5.0, 27.0))
    for place in plains:
        medians = []
        for level in (12, 15):
            tile = tile_from_lonlat(level, *place)
            height = world.field(tile).crop(0).channel("elevation") * ELEVATION_UNIT
            medians.append(np.median(np.hypot(*np.gradient(height, row_ground_sample_distance(level, tile.y * 256)))))
        growth.append(medians[1] / medians[0])
    assert np.exp(np.mean(np.log(growth))) < 1.53, "1.67 where creep begins at level 12 everywhere, 1.15 on real gentle land"


@pytest.mark.parametrize("place", [(20.0, 47.0), (-60.0, -4.0)], ids=["a plain", "a lowland with forest"])
def test_gentle_land_stays_gentle_to_pixels_of_a_metre(place: tuple[float, float]) -> None:
    world = open_world("earth")
    for level in (11, 14, 16):
        tile = tile_from_lonlat(level, *place)
        height = world.field(tile).crop(0).channel("elevation") * ELEVATION_UNIT
        south, east = np.gradient(height, row_ground_sample_distance(level, tile.y * 256))
        median = np.degrees(np.arctan(np.median(np.hypot(south, east))))
        assert 0.05 < median < 4, f"{median:.1f} degrees at level {level}"


def hillside(stage: LiftingStage, angle: float, roughness: float) -> np.ndarray:
    """What is drawn below a plane of 31 degrees that falls at `angle`, whose pixels hold `roughness` of the spread of its slope."""
    metres = 2.0**5

    def plane(side: int, first: float, step: float) -> np.ndarray:
        place = first + step * np.arange(side)
        return 0.6 * metres * (300 + place[None, :] * np.cos(angle) + place[:, None] * np.sin(angle))

    elevation = np.rint(plane(224, 0, 1) / ELEVATION_UNIT).astype(np.int32)
    relief = np.full(elevation.shape, round(np.log2(0.6 * metres * roughness / 12**0.5) / LOG_UNIT), np.int32)
    waters = Waters(np.full_like(elevation, LAND_FULL), np.zeros_like(elevation), None)
    drawn = stage.refine(Window(12, 0, 0, 224, WorldKind.PLANE), elevation, relief, waters, None)
    return interleave(drawn.elevation) * ELEVATION_UNIT - plane(400, 11.75, 0.5)


def test_hillsides_are_drawn_with_far_fewer_lines_along_the_grid_than_the_network_draws_by_itself() -> None:
    graph, spec = opened("onnx-cpu").load(BUNDLE.model("geometry"), 224), StageSpec.from_manifest(BUNDLE.manifest["stages"]["geometry"])
    ratios = []
    for told in (spec, replace(spec, streaks=0.0)):
        stage = LiftingStage(graph, told, 2)
        made = [axis_ratio(hillside(stage, np.radians(angle), roughness)) for angle in (10, 35, 60) for roughness in (1.1, 1.5)]
        ratios.append(np.exp(np.mean(np.log(made))))
    assert ratios[1] > 1.8
    assert ratios[0] < 1.5
