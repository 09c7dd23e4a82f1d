"""The parts that a raster is joined to Earth with."""

from pathlib import Path

import numpy as np
import pytest

from terraloom.errors import InvalidArgumentError
from terraloom_engines.bundle.raster import RasterFolder, check_raster_name
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.rasters.blocks import doubled, paired, quarters
from terraloom_engines.rasters.distances import closed, depth
from terraloom_engines.rasters.joining import STRIP, Difference, fade, octave_masks, offsets
from terraloom_engines.rasters.placement import Placement
from terraloom_engines.rasters.shores import lakes_of, land_of, open_surface
from terraloom_engines.rasters.spreads import inner_variance
from terraloom_engines.tiling import TileId, latitude_from_row


@pytest.mark.parametrize("beyond", [True, False])
def test_depth_is_the_euclidean_distance_to_the_nearest_pixel_outside(beyond: bool) -> None:
    mask = np.random.default_rng(3).random((40, 50)) < 0.97
    outside = np.argwhere(~np.pad(mask, 1, constant_values=beyond)) - 1
    rows, columns = np.mgrid[:40, :50]
    exact = np.sqrt(((rows[..., None] - outside[:, 0]) ** 2 + (columns[..., None] - outside[:, 1]) ** 2).min(axis=-1))
    np.testing.assert_allclose(depth(mask, 9, beyond=beyond), np.minimum(exact, 10), atol=1e-5)


def test_closing_bridges_narrow_gaps_and_leaves_wide_ones() -> None:
    mask = np.ones((60, 120), bool)
    mask[:, 30:38] = False
    mask[:, 70:100] = False
    found = closed(mask, 6)
    assert found[10:-10, 30:38].all() and not found[10:-10, 76:94].any()


def test_what_is_taken_off_at_the_edge_is_the_whole_difference_and_nothing_deep_inside() -> None:
    covered = np.zeros((160, 160), bool)
    covered[16:144, 16:144] = True
    rows, columns = np.mgrid[:160, :160]
    values = (200 + rows + 20 * np.sin(columns / 3)).astype(np.float32)[None]
    masks = octave_masks(covered)
    assert len(masks) == 2, "half of 128 cells is 64; the second strip is 24 cells wide, the third would be 48"
    taken = offsets(Difference(values * covered, covered), masks)[0]
    difference = values[0]
    assert abs(taken - difference)[16, 30:130].max() < 8
    assert abs(taken[56:104, 56:104]).max() < 1
    assert not octave_masks(covered[:40, :40])


def test_a_difference_is_filled_from_its_surroundings() -> None:
    known = np.random.default_rng(5).random((33, 47)) < 0.2
    filled = Difference(np.where(known, np.float32(7), np.float32(0))[None], known).filled()
    np.testing.assert_allclose(filled, 7, atol=1e-4)


@pytest.mark.parametrize(("slope", "seed"), [(3.0, 1), (3.4, 2), (3.8, 3)])
def test_the_variance_inside_pixels_is_foreseen_on_fractal_land(slope: float, seed: int) -> None:
    """Noise with a power law, averaged over 4 x 4: what is foreseen from the averages against what the averages lost."""
    size = 512
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((size, size))) * frequency ** (-slope / 2)
    blocks = np.fft.irfft2(spectrum).reshape(size // 4, 4, size // 4, 4)
    foreseen = inner_variance(blocks.mean(axis=(1, 3)).astype(np.float32) * 1000).mean()
    assert abs(0.5 * np.log2(foreseen / (blocks * 1000).var(axis=(1, 3)).mean())) < 0.5


def test_the_variance_of_a_plane_is_near_what_its_slope_puts_into_a_pixel() -> None:
    plane = (np.arange(64)[None] * np.float32(6)).repeat(64, axis=0)
    assert abs(np.log2(inner_variance(plane)[24:40, 24:40].mean() / (6**2 / 12))) < 1


def test_land_is_what_lies_above_the_sea_or_what_earth_knows_for_land() -> None:
    elevation = np.array([[64 * 50.0, 0.0, -64 * 50.0, -64 * 3.0, 64.0]], np.float32)
    spread = np.full((1, 5), 2 * 256, np.int16)
    means, land = land_of(elevation, spread, np.array([[0, 0, 0, 255, 100]], np.int32))
    assert land.tolist() == [[255, 0, 0, 255, 143]]
    assert means.tolist() == [[3200.0, -2.0, -3200.0, -192.0, 64.0]]


def lake_of_earth() -> Field:
    """A tile whose left half is a lake at 372 m with a bed at 300 m, whose right half is land at 400 m."""
    data = np.zeros((len(CHANNELS), 256, 256), np.int32)
    for name, left, right in (("elevation", 300 * 64, 400 * 64), ("land", 0, 255), ("water", 372 * 64, 372 * 64)):
        data[CHANNELS.index(name), :, :128], data[CHANNELS.index(name), :, 128:] = left, right
    return Field(TileId(8, 0, 100), 0, data)


def test_a_lake_of_earth_lies_at_its_surface_beside_a_raster() -> None:
    surface = open_surface(lake_of_earth()) / 64
    assert (surface[:, :128] == 372).all() and (surface[:, 128:] == 400).all()


def test_a_raster_at_about_the_height_of_a_lake_leaves_it_a_lake() -> None:
    rows = {"about as high": 375.0, "clearly above": 390.0, "the bed": 340.0}
    elevation = np.repeat(np.repeat(np.array([*rows.values()], np.float32), [86, 85, 85])[:, None] * 64, 256, axis=1)
    lake, height, land, water = lakes_of(elevation, np.zeros((256, 256), np.int16), lake_of_earth())
    assert lake[:, :128].all() and not lake[:, 128:].any()
    found = [(height[row, 5] / 64, land[row, 5], water[row, 5] / 64) for row in (0, 100, 200)]
    assert found == [(300, 0, 372), (390, 255, 0), (340, 0, 372)]
    rough = np.full((256, 256), 5 * 256, np.int16)
    assert lakes_of(elevation, rough, lake_of_earth())[2][100, 5] == 0, "18 m above it is within a spread of 32 m"


def test_blocks_are_taken_apart_and_doubled() -> None:
    raster = np.arange(24.0, dtype=np.float32).reshape(4, 6)
    assert quarters(raster)[:, 0, 0].tolist() == [0, 1, 6, 7]
    assert paired(raster[:3, :5]).shape == (4, 6)
    np.testing.assert_allclose(quarters(doubled(raster)).mean(axis=0)[1:-1, 1:-1], raster[1:-1, 1:-1])
    np.testing.assert_allclose(fade(np.ones((50, 50), bool), STRIP)[[0, 25], [25, 25]], [0.005, 1.0], atol=1e-3)


def test_a_placement_over_the_antimeridian_wraps_its_columns() -> None:
    placement = Placement(8, 255, 100, 3, 1)
    assert [tile for tile, _, _ in placement.tiles()] == [TileId(8, 255, 100), TileId(8, 0, 100), TileId(8, 1, 100)]
    assert placement.parent == Placement(7, 127, 50, 2, 1)


@pytest.mark.parametrize(
    ("west", "east", "middle"), [(179.3, -179.3, -180.0), (179.0, -178.0, -179.5), (170.0, 179.0, 174.5), (-180.0, 180.0, 0.0)]
)
def test_the_middle_of_bounds_over_the_antimeridian_lies_between_them(west: float, east: float, middle: float) -> None:
    found = RasterFolder(Path("x"), "", {"bounds": [west, -17.0, east, -16.0]}).middle
    assert found == pytest.approx((middle, -16.5))


def test_bounds_are_those_of_the_pixels_known_not_of_their_tiles() -> None:
    placement, mask = Placement(8, 255, 100, 2, 1), np.zeros((256, 512), np.bool_)
    mask[10:20, 200:300] = True
    pixel = 360 / 65536
    west, south, east, north = placement.bounds(mask)
    assert (west, east) == pytest.approx((180 - 56 * pixel, -180 + 44 * pixel))
    assert (north, south) == (latitude_from_row(8, 25610), latitude_from_row(8, 25620))
    mask[:, :256], mask[:, 256:] = True, False
    assert placement.bounds(mask)[2] == 180.0
    assert Placement(1, 0, 0, 2, 1).bounds(np.ones((256, 512), np.bool_))[::2] == (-180.0, 180.0)


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a" * 65, "-a", "ä"])
def test_names_that_are_not_allowed(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not allowed"):
        check_raster_name(name)
