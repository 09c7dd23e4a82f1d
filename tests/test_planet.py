"""Invented planets: pure, seamless and conservative like every base, shaped like Earth, and none of them Earth."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from terraloom.errors import InvalidArgumentError
from terraloom_engines.bundle import embedded_bundles
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.bundle.planet import PlanetBase
from terraloom_engines.bundle.planet.biomes import BRIGHTEST
from terraloom_engines.bundle.planet.patches import Patch
from terraloom_engines.field import CHANNELS, COLOUR_UNIT, LAND_FULL
from terraloom_engines.tiling import TileId, row_ground_sample_distance, tile_from_lonlat
from terraloom_engines.world import open_base, open_world

HALO = 48
ELEVATION, LAND = CHANNELS.index("elevation"), CHANNELS.index("land")
CONSERVED = [CHANNELS.index(name) for name in ("elevation", "red", "green", "blue")]

Rasters = Callable[[TileId], np.ndarray]


@pytest.fixture(scope="module")
def fields() -> Rasters:
    """Rasters of planet 7 with their halo."""
    base = PlanetBase(7)
    return cache(lambda tile: base.field(tile, HALO).data)


def globe(seed: int) -> np.ndarray:
    """Level 1 of a whole planet."""
    base = PlanetBase(seed)
    rows = [np.concatenate([base.field(TileId(1, x, y), 0).data for x in (0, 1)], axis=2) for y in (0, 1)]
    return np.concatenate(rows, axis=1)


@pytest.fixture(scope="module")
def globes() -> Iterator[dict[int, np.ndarray]]:
    return {seed: globe(seed) for seed in (7, 8)}


def test_a_planet_is_a_function_of_its_seed_alone(fields: Rasters) -> None:
    tile = TileId(4, 3, 9)
    other = PlanetBase(7)
    other.field(TileId(1, 1, 1), 8)
    np.testing.assert_array_equal(other.field(tile, HALO).data, fields(tile))
    np.testing.assert_array_equal(other.field(tile, 8).crop(8).data, fields(tile)[:, HALO - 8 : -HALO + 8, HALO - 8 : -HALO + 8])


@pytest.mark.parametrize("tile", [TileId(4, 15, 6), TileId(2, 3, 1)], ids=str)
def test_neighbours_agree_over_the_antimeridian_and_southward(fields: Rasters, tile: TileId) -> None:
    east, south = tile.neighbour(1, 0), tile.neighbour(0, 1)
    assert east is not None and south is not None
    assert east.x == 0
    np.testing.assert_array_equal(fields(tile)[:, :, 256:], fields(east)[:, :, : 2 * HALO])
    np.testing.assert_array_equal(fields(tile)[:, 256:], fields(south)[:, : 2 * HALO])


def test_rows_beyond_the_square_repeat_its_rim(fields: Rasters) -> None:
    north = fields(TileId(3, 7, 0))
    assert (north[:, :HALO] == north[:, HALO : HALO + 1]).all()


@pytest.mark.parametrize("tile", [TileId(1, 1, 0), TileId(2, 3, 1), TileId(3, 7, 3)], ids=str)
def test_four_children_average_to_their_parent_exactly(fields: Rasters, tile: TileId) -> None:
    parent, child = (fields(t)[:, HALO:-HALO, HALO:-HALO].astype(np.int64) for t in (tile, tile.children[3]))
    sums = child.reshape(len(CHANNELS), 128, 2, 128, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(sums[CONSERVED], 4 * parent[CONSERVED, 128:, 128:])


def test_the_cascade_goes_on_from_a_planet_without_a_seam() -> None:
    world = open_world("planet:7")
    assert (world.base_level, world.title) == (4, "Planet 7")
    tile = TileId(5, 31, 13)
    east = tile.neighbour(1, 0)
    assert east is not None
    mine, theirs, above = (world.field(t).data for t in (tile, east, tile.parent))
    np.testing.assert_array_equal(mine[:, :, 256:], theirs[:, :, : 2 * HALO])
    sums = mine[:, HALO:-HALO, HALO:-HALO].astype(np.int64).reshape(len(CHANNELS), 128, 2, 128, 2).sum(axis=(2, 4))
    quarter = above[:, HALO + 128 : HALO + 256, HALO + 128 : HALO + 256]
    np.testing.assert_array_equal(sums[CONSERVED], 4 * quarter[CONSERVED])


def test_pure_land_lies_above_the_sea_and_pure_water_below(fields: Rasters) -> None:
    for tile in (TileId(4, 15, 6), TileId(2, 3, 1)):
        height, land = fields(tile)[ELEVATION], fields(tile)[LAND]
        assert (height[land == LAND_FULL] > 0).all()
        assert (height[land == 0] < 0).all()
        assert ((land >= 128) == (height >= 0)).all()


def test_the_coast_is_mixed_wherever_height_changes_sign(fields: Rasters) -> None:
    """Or the shore below the base would follow the borders of its pixels."""
    height, land = (fields(TileId(4, 15, 6))[channel] for channel in (ELEVATION, LAND))
    crossing = (height[:, 1:] >= 0) != (height[:, :-1] >= 0)
    mixed = (land > 0) & (land < LAND_FULL)
    assert crossing.sum() > 100
    assert (mixed[:, 1:] | mixed[:, :-1])[crossing].all()


QUANTILES = {0.05: (-6000, -5000), 0.3: (-4700, -4000), 0.5: (-3700, -2900), 0.8: (170, 400), 0.9: (550, 1000), 0.97: (1500, 2900)}
"""Bounds in metres of the height below which a share of the surface lies; Earth: -5500, -4350, -3310, 265, 760, 2300."""


@pytest.mark.parametrize("seed", [7, 8])
def test_heights_are_distributed_as_on_earth(globes: dict[int, np.ndarray], seed: int) -> None:
    height = globes[seed][ELEVATION] / 64
    area = np.repeat([row_ground_sample_distance(1, row) ** 2 for row in range(512)], 512)
    order = np.argsort(height.ravel())
    share = np.cumsum(area[order]) / area.sum()
    found = {q: float(height.ravel()[order][np.searchsorted(share, q)]) for q in QUANTILES}
    land = float(area[height.ravel() >= 0].sum() / area.sum())
    print(f"planet {seed}: land {land:.3f}, heights {found}")
    assert 0.26 <= land <= 0.32
    assert all(low <= found[q] <= high for q, (low, high) in QUANTILES.items())


def test_no_planet_is_another_or_earth(globes: dict[int, np.ndarray]) -> None:
    earth = EarthBase(embedded_bundles()["earth"]).field(TileId(0, 0, 0), 0).data[LAND]
    lands = [earth, *(g[LAND].reshape(256, 2, 256, 2).mean(axis=(1, 3)) for g in globes.values())]
    middle = slice(48, 208)
    likeness = np.corrcoef([land[middle].ravel() for land in lands])
    assert (abs(likeness[~np.eye(3, dtype=bool)]) < 0.35).all()


def test_nothing_shrinks_to_points_or_stripes_at_the_poles(globes: dict[int, np.ndarray]) -> None:
    """Steps between neighbouring pixels are as large from east to west as from north to south, at the rims as in the middle."""
    height = globes[8][ELEVATION] / 64
    for rows in (slice(0, 40), slice(472, 512), slice(236, 276)):
        part = height[rows]
        ratio = abs(np.diff(part, axis=1)).mean() / abs(np.diff(part, axis=0)).mean()
        assert 0.4 < ratio < 2.5


def test_colour_follows_the_climate(globes: dict[int, np.ndarray]) -> None:
    """Ice near the poles, green near the equator, and no colour outside of 0 to 255."""
    for data in globes.values():
        red, green, blue = (data[CHANNELS.index(name)] / 64 for name in ("red", "green", "blue"))
        assert min(red.min(), green.min(), blue.min()) >= 0 and max(red.max(), green.max(), blue.max()) <= 255
        assert np.median(blue[:20]) > 200
        tropics = np.s_[250:262]
        assert np.median(green[tropics] - blue[tropics]) > 10


def test_no_colour_is_at_the_end_of_its_range(globes: dict[int, np.ndarray]) -> None:
    for globe in globes.values():
        for band in ("red", "green", "blue"):
            assert globe[CHANNELS.index(band)].max() * COLOUR_UNIT <= BRIGHTEST


def test_land_at_the_water_is_no_plate() -> None:
    """A steep coast: where a step put pure land on the water's very level, all below it stayed flat, a square of 18 km."""
    world = open_world("planet:3")
    field = world.field(tile_from_lonlat(11, 50.3462, -54.7327)).crop(0)
    ground, pure = field.channel("elevation"), field.channel("land") == LAND_FULL
    flat = pure[:, 1:] & pure[:, :-1] & (ground[:, 1:] == ground[:, :-1])
    assert pure.mean() > 0.4
    assert flat.mean() < 1e-3


def test_the_world_of_a_seed_is_spelt_in_one_way() -> None:
    assert open_base("planet:3", None).identity != open_base("planet:4", None).identity  # type: ignore[arg-type]  # no bundle is read
    for name in ("planet:-1", "planet", "planet:x", "planet:4294967296"):
        with pytest.raises(InvalidArgumentError, match="planet:SEED"):
            open_world(name)
    with pytest.raises(InvalidArgumentError, match="4294967296 is out of range"):
        PlanetBase(1 << 32)


def test_a_patch_knows_its_place_in_others() -> None:
    patch = Patch(3, 10, -5, 21, 30)
    raster = np.arange(27 * 36).reshape(27, 36)
    assert patch.grown(3).window(patch) == (slice(3, 24), slice(3, 33))
    assert raster[patch.grown(3).window(patch)].shape == patch.shape
    assert patch.parent == Patch(2, 5, -3, 11, 16)
    assert patch.parent.children.window(patch) == (slice(0, 21), slice(1, 31))
    assert sum(strip.height for strip in patch.strips(100)) == 21
