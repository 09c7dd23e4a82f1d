"""Planes from base to field: the same ground wherever and however it is asked for, land like land, no end and no period."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.bundle.lattice import gradient_noise, octaves
from terraloom_engines.bundle.plane import PlaneBase
from terraloom_engines.field import CHANNELS
from terraloom_engines.tiling import TileId, WorldKind, plane_bounds, tile_from_place
from terraloom_engines.world import World, open_world, world_name

PLANE = WorldKind.PLANE
FAR = float(1 << 40)
"""Metres; farther than light goes in an hour."""
EDGES = [TileId(6, 0, 0, PLANE), tile_from_place(PLANE, 6, FAR, -FAR), tile_from_place(PLANE, 6, -FAR, 5e15)]


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("plane:7")


@pytest.fixture(scope="module")
def land() -> dict[str, np.ndarray]:
    """Rasters of four million square kilometres by sixteen: 1024 x 1024 pixels of level 4 round the origin."""
    region = PlaneBase(8)._region(4, -512, -512, 1024)
    return dict(zip(CHANNELS, region, strict=True))


def test_fields_do_not_depend_on_the_order_of_requests_or_on_who_else_asks(world: World) -> None:
    tiles = [TileId(4, -1, 0, PLANE), *EDGES[1:]]
    expected = [world.field(tile).data.tobytes() for tile in tiles]
    fresh = open_world("plane:7", threads=1)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda tile: fresh.field(tile).data.tobytes(), reversed(tiles)))
    assert found[::-1] == expected


@pytest.mark.parametrize("tile", EDGES, ids=["origin", "south-east", "north-west"])
def test_neighbours_agree_bit_for_bit_across_the_origin_and_2_to_the_40_metres_from_it(world: World, tile: TileId) -> None:
    here, west, north = world.field(tile), tile.neighbour(-1, 0), tile.neighbour(0, -1)
    assert west is not None
    assert north is not None
    both = 2 * here.halo
    np.testing.assert_array_equal(here.data[:, :, :both], world.field(west).data[:, :, -both:])
    np.testing.assert_array_equal(here.data[:, :both, :], world.field(north).data[:, -both:, :])


@pytest.mark.parametrize("tile", [TileId(3, -1, 0, PLANE), EDGES[1].parent, EDGES[2].parent], ids=["base", "south-east", "north-west"])
def test_four_children_average_to_their_parent_exactly(world: World, tile: TileId) -> None:
    parent = world.field(tile).crop(0)
    for child, (down, across) in zip(tile.children, ((0, 0), (0, 128), (128, 0), (128, 128)), strict=True):
        sums = world.field(child).crop(0).data.astype(np.int64).reshape(len(CHANNELS), 128, 2, 128, 2).sum(axis=(2, 4))
        for name in ("elevation", "red", "green", "blue"):
            channel = CHANNELS.index(name)
            np.testing.assert_array_equal(sums[channel], 4 * parent.data[channel, down : down + 128, across : across + 128])


def test_the_sea_is_below_zero_and_land_above(world: World, land: dict[str, np.ndarray]) -> None:
    field = world.field(EDGES[1])
    for elevation, share in ((land["elevation"], land["land"]), (field.channel("elevation"), field.channel("land"))):
        assert (elevation[share == 255] > 0).all()
        assert (elevation[share == 0] < 0).all()


def test_the_origin_of_every_plane_is_dry() -> None:
    for seed in range(20):
        ground = PlaneBase(seed)._region(4, -1, -1, 2)
        assert (ground[CHANNELS.index("land")] > 127).all()
        assert (ground[0] < 900 * 64).all()


def test_land_lies_as_it_does_on_earth(land: dict[str, np.ndarray]) -> None:
    """Against ETOPO5 on land between 20 and 45 degrees, at the same 8 km a pixel: differences of height over so many pixels, root mean
    square and median."""
    height, dry = land["elevation"] / 64, land["land"] > 127
    assert 0.35 < dry.mean() < 0.6
    earth = {1: (105, 17), 4: (270, 55), 16: (557, 144), 64: (1041, 353)}
    for lag, (rms, median) in earth.items():
        change = (height[:, lag:] - height[:, :-lag])[dry[:, lag:] & dry[:, :-lag]]
        assert 0.55 * rms < np.sqrt((change**2).mean()) < 1.6 * rms, lag
        assert 0.5 * median < np.median(abs(change)) < 1.7 * median, lag
    low, high = np.percentile(height[dry], [10, 98])
    assert low < 250
    assert 1500 < high < 5500


def test_ground_has_no_grain(land: dict[str, np.ndarray]) -> None:
    """Neither direction of the raster, nor its diagonals, is smoother than another, and no distance is a period."""
    height = np.clip(land["elevation"], 0, None) / 64.0
    steps = [np.abs(height[2:, 2:] - height[2:, :-2]).mean(), np.abs(height[2:, 2:] - height[:-2, 2:]).mean()]
    assert 0.8 < steps[0] / steps[1] < 1.25
    centred = height - height.mean()
    spectrum = abs(np.fft.rfft2(centred)) ** 2
    likeness = np.fft.irfft2(spectrum)
    likeness /= likeness[0, 0]
    for period in (16, 32, 64, 128, 256, 512):
        around = likeness[0, period - 4 : period + 5]
        assert likeness[0, period] - (around[0] + around[-1]) / 2 < 0.05


def test_noise_has_no_period_at_powers_of_two() -> None:
    layer, side = octaves(3, 24.0, 1)[0], np.arange(64) * 256
    parts = [gradient_noise(5, layer, side[None, :] + (1 << shift), side[:, None]) for shift in (0, 16, 24, 32, 40, 48, 54)]
    for one, other in pairwise(parts):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5
    assert len({part.tobytes() for part in parts}) == len(parts)


def test_other_seeds_are_other_planes(world: World) -> None:
    tile = TileId(5, 3, -2, PLANE)
    details, other = open_world("plane:7", seed=1), open_world("plane:8")
    assert world_name("plane:007") == world.name
    assert len({world.identity, details.identity, other.identity}) == 3
    assert len({opened.field(tile).data.tobytes() for opened in (world, details, other)}) == 3
    base = tile.parent
    assert details.field(base).data.tobytes() == world.field(base).data.tobytes() != other.field(base).data.tobytes()


@pytest.mark.parametrize("name", ["plane", "plane:", "plane:x", "plane:-1", "plane:4294967296", "plane:²"])
def test_a_plane_without_a_seed_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="plane:SEED with a seed of 0 to 4294967295"):
        world_name(name)
    with pytest.raises(NotFoundError, match="plane:SEED"):
        world_name("plan:7")


def test_addresses_of_planes_have_signs_and_a_range_that_is_named() -> None:
    tile = TileId(18, -3, 5, PLANE)
    assert tile.parent == TileId(17, -2, 2, PLANE)
    assert tile in tile.parent.children
    assert tile.ancestor(2) == TileId(2, -1, 0, PLANE)
    assert tile != TileId(18, 3, 5)
    last = TileId(18, (1 << 52) - 1, -(1 << 52), PLANE)
    assert last.neighbour(1, 0) is None is last.neighbour(0, -1)
    with pytest.raises(InvalidArgumentError, match=r"x and y at level 18 go from -4503599627370496 to 4503599627370495"):
        TileId(18, 1 << 52, 0, PLANE)
    with pytest.raises(InvalidArgumentError, match=r"z=1 is out of range: allowed are 2 to 18"):
        TileId(1, 0, 0, PLANE)


@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (-1.0, 1.0), (FAR + 0.5, -FAR - 0.5), (-1e17, 3e17)])
def test_a_place_lies_in_its_tile(east: float, north: float) -> None:
    for level in (2, 9, 18):
        west, south, right, top = plane_bounds(tile_from_place(PLANE, level, east, north))
        assert west <= east < right
        assert south < north <= top
