"""What every tile promises: pure, seamless, conservative, anchored; on the real world with the shipped weights."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from terraloom.errors import CancelledError, DataLossError, InvalidArgumentError, NotFoundError
from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.bundle.archive import RasterArchive
from terraloom_engines.bundle.coast import CoastMask
from terraloom_engines.field import CHANNELS, ELEVATION_UNIT, LAND_FULL, Field
from terraloom_engines.lifting import REACH
from terraloom_engines.mesh import surface_elevation
from terraloom_engines.store import open_store
from terraloom_engines.texture import SEA_COLOUR, surface_colour
from terraloom_engines.tiling import TILE_SIZE, TileId, pixel_from_lonlat, row_ground_sample_distance, tile_from_lonlat
from terraloom_engines.world import World, open_world

PLACES = {"Alps": (8.0, 46.5), "Bangladesh": (90.5, 22.4), "Fiji": (179.97, -16.6), "Texas": (-97.4, 32.7)}
SAMPLE = [tile_from_lonlat(z, *place) for place in PLACES.values() for z in (3, 5, 8, 11)]


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("earth")


def digest(field: Field) -> int:
    return hash(field.data.tobytes())


@pytest.fixture(scope="module")
def reference(world: World) -> dict[TileId, int]:
    """Hash of every sample tile, asked one after the other."""
    return {tile: digest(world.field(tile)) for tile in SAMPLE}


def test_fields_that_are_kept_cannot_be_written_to(world: World) -> None:
    for tile in (SAMPLE[0], SAMPLE[2]):
        with pytest.raises(ValueError, match="read-only"):
            world.field(tile).data[0, 0, 0] = 1


def test_a_tile_does_not_depend_on_the_order_of_requests(reference: dict[TileId, int]) -> None:
    fresh = open_world("earth")
    assert {tile: digest(fresh.field(tile)) for tile in reversed(SAMPLE)} == reference


def test_a_tile_does_not_depend_on_who_else_asks(reference: dict[TileId, int]) -> None:
    fresh = open_world("earth")
    with ThreadPoolExecutor(8) as pool:
        assert dict(zip(SAMPLE, pool.map(lambda tile: digest(fresh.field(tile)), SAMPLE), strict=True)) == reference


def test_a_tile_does_not_depend_on_the_number_of_threads(reference: dict[TileId, int]) -> None:
    single = open_world("earth", threads=1)
    assert {tile: digest(single.field(tile)) for tile in SAMPLE} == reference


def test_a_tile_is_the_same_from_a_store_and_after_the_store_was_wiped(reference: dict[TileId, int], tmp_path: Path) -> None:
    filled = open_world("earth", store=open_store(tmp_path / "store"))
    for tile in SAMPLE:
        filled.field(tile)
    assert any((tmp_path / "store").rglob("*")), "nothing was stored"
    reopened = open_world("earth", store=open_store(tmp_path / "store"))
    assert {tile: digest(reopened.field(tile)) for tile in SAMPLE} == reference
    shutil.rmtree(tmp_path / "store")
    reopened.forget()
    assert {tile: digest(reopened.field(tile)) for tile in SAMPLE} == reference


def test_siblings_that_are_wanted_together_are_made_together_and_are_those_made_alone(world: World) -> None:
    tile, fresh = tile_from_lonlat(7, *PLACES["Fiji"]), open_world("earth")
    fresh.field(tile, wanted=lambda _: True)
    for sibling in tile.parent.children:
        made_already = fresh.field(sibling, cancelled=lambda: True)  # whatever is still to be made is cancelled
        assert digest(made_already) == digest(world.field(sibling))
    fewer = open_world("earth")
    fewer.field(tile, wanted=lambda other: other == tile.parent.children[0])
    with pytest.raises(CancelledError):
        fewer.field(tile.parent.children[2], cancelled=lambda: True)


def test_another_seed_gives_another_world_with_the_same_base(world: World) -> None:
    other = open_world("earth", seed=7)
    assert other.identity != world.identity
    tile = tile_from_lonlat(9, *PLACES["Alps"])
    assert digest(other.field(tile)) != digest(world.field(tile))
    base = tile.ancestor(4)
    assert digest(other.field(base)) == digest(world.field(base))


def overlap(first: Field, second: Field, dx: int, dy: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that two same-level neighbours both have; the second lies (dx, dy) tiles from the first."""
    side, h = 256, first.halo
    whole = side + 2 * h

    def span(step: int, mine: bool) -> slice:
        if step == 0:
            return slice(0, whole)
        return slice(side, whole) if mine == (step > 0) else slice(0, 2 * h)

    return first.data[:, span(dy, True), span(dx, True)], second.data[:, span(dy, False), span(dx, False)]


@pytest.mark.parametrize("level", [5, 9, 13, 16])
@pytest.mark.parametrize("place", ["Alps", "Fiji"])
def test_neighbours_agree_bit_for_bit_on_every_pixel_they_share(world: World, place: str, level: int) -> None:
    tile = tile_from_lonlat(level, *PLACES[place])
    if place == "Fiji":
        tile = TileId(level, (1 << level) - 1, tile.y)
    for dx, dy in ((1, 0), (0, 1), (1, 1)):
        neighbour = tile.neighbour(dx, dy)
        assert neighbour is not None
        mine, theirs = overlap(world.field(tile), world.field(neighbour), dx, dy)
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("tile", [TileId(1, 1, 0), TileId(2, 2, 1), *SAMPLE[:2], *SAMPLE[3::4]], ids=str)
def test_four_children_average_to_their_parent_exactly(world: World, tile: TileId) -> None:
    parent = world.field(tile).crop(0)
    for child_id, (dy, dx) in zip(tile.children, ((0, 0), (0, 128), (128, 0), (128, 128)), strict=True):
        child = world.field(child_id).crop(0).data.astype(np.int64)
        means = child.reshape(len(CHANNELS), 128, 2, 128, 2).sum(axis=(2, 4))
        for name in ("elevation", "red", "green", "blue"):
            channel = CHANNELS.index(name)
            np.testing.assert_array_equal(means[channel], 4 * parent.data[channel, dy : dy + 128, dx : dx + 128])


@pytest.mark.parametrize("tile", [tile for tile in SAMPLE if tile.z > 7], ids=str)
def test_no_child_departs_from_its_parent_by_more_than_the_bound(world: World, tile: TileId) -> None:
    child = world.field(tile).crop(0).channel("elevation")
    parent = world.field(tile.parent).crop(0).channel("elevation")
    quarter = parent[(tile.y & 1) * 128 :, (tile.x & 1) * 128 :][:128, :128]
    departure = abs(child - np.kron(quarter, np.ones((2, 2), np.int32))) / 64
    limits = np.array([REACH * row_ground_sample_distance(tile.z, tile.y * 256 + row) for row in range(256)])[:, None]
    assert (departure <= limits + 0.1).all()


def test_a_pixel_beyond_the_halo_changes_nothing(world: World) -> None:
    """The outermost pixels a window reads may not matter, since a neighbour's window does not have them."""
    from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
    from terraloom_engines.self_test import probe
    from terraloom_engines.stages import StageSpec

    bundle = Bundle.open(embedded_bundles()["earth"])
    for network, entry in bundle.manifest["stages"].items():
        spec = StageSpec.from_manifest(entry)
        graph = OnnxCpuRuntime(1).load(bundle.model(network))
        fixed = {"gsd": np.full((1, 1, 64, 1), 5, np.float32), "time": np.ones((1, 1, 1, 1), np.float32)}
        inputs = probe(network, spec, 64)
        before = graph.run(inputs | fixed)
        poked = {name: values.copy() for name, values in inputs.items()}
        for values in poked.values():
            values[..., 32, 32] += 3
        changed = np.argwhere((graph.run(poked | fixed) != before).any(axis=(0, 1))) + spec.border
        assert len(changed) > 0
        assert abs(changed - 32).max() <= spec.border


def test_the_coast_is_that_of_the_mask(world: World) -> None:
    """Where GLOBE's cells agree for two pixels around, land is land and sea is sea, three levels below the mask."""
    folder = embedded_bundles()["earth"]
    mask = CoastMask(RasterArchive(folder / "coast.zip"))
    wrong = compared = 0
    for place in ("Bangladesh", "Fiji"):
        tile = tile_from_lonlat(10, *PLACES[place])
        land = world.field(tile).crop(0).channel("land")
        expected = mask.land(7, tile.x * 32, tile.y * 32, 32, 32)
        pure = np.kron(expected, np.ones((8, 8), np.int32))
        wrong += int(((pure == 255) & (land < 128)).sum() + ((pure == 0) & (land >= 128)).sum())
        compared += int(((pure == 255) | (pure == 0)).sum())
    assert compared > 10_000
    assert wrong == 0


@pytest.mark.parametrize("level", [4, 5, 6, 7, 9])
def test_land_at_the_coast_is_above_the_sea_at_every_level(world: World, level: int) -> None:
    """But for the blocks that the mask and the base disagree on beyond repair, which must be few."""
    below = coast = 0
    for place in ("Bangladesh", "Fiji"):
        field = world.field(tile_from_lonlat(level, *PLACES[place])).crop(0)
        mixed = (field.channel("land") > 127) & (field.channel("land") < 255)
        coast += int(mixed.sum())
        below += int((field.channel("elevation")[mixed] < 0).sum())
    assert coast > 100
    assert below <= 0.03 * coast


def test_the_sea_is_below_zero_and_its_coast_is_the_zero_contour(world: World) -> None:
    field = world.field(tile_from_lonlat(11, *PLACES["Bangladesh"])).crop(0)
    land, height = field.channel("land"), field.channel("elevation")
    assert (height[land == 0] < 0).all()
    assert ((land >= 128) == (height >= 0))[(land > 0) & (land < 255)].all()


PUBLISHED_HEIGHTS = {
    "Denver": (-104.99, 39.74, 1609), "Mexico City": (-99.13, 19.43, 2240), "Bogota": (-74.07, 4.71, 2640),
    "Quito": (-78.47, -0.18, 2850), "Addis Ababa": (38.75, 9.02, 2355), "Nairobi": (36.82, -1.29, 1795),
    "Johannesburg": (28.05, -26.20, 1753), "Madrid": (-3.70, 40.42, 657),
    "Munich": (11.58, 48.14, 519), "Bern": (7.45, 46.95, 540), "Kathmandu": (85.32, 27.72, 1400), "Lhasa": (91.13, 29.65, 3656),
    "Tehran": (51.39, 35.69, 1190), "Kabul": (69.17, 34.53, 1790), "Ulaanbaatar": (106.91, 47.92, 1350), "Xi'an": (108.94, 34.34, 405),
    "Kunming": (102.83, 24.88, 1890), "Bengaluru": (77.59, 12.97, 920), "Ankara": (32.85, 39.93, 938), "Moscow": (37.62, 55.75, 156),
    "Chicago": (-87.65, 41.88, 181), "Winnipeg": (-97.14, 49.90, 240), "Alice Springs": (133.88, -23.70, 545),
    "Brasilia": (-47.88, -15.79, 1172), "Manaus": (-60.02, -3.10, 92), "Cairo": (31.24, 30.04, 23), "Timbuktu": (-3.00, 16.77, 261),
    "Omsk": (73.37, 54.99, 87), "Paris": (2.35, 48.86, 35), "Dead Sea": (35.55, 31.20, -430),
}  # fmt: skip
"""Longitude, latitude, metres above the sea as published by the cities and surveys."""


def test_heights_at_thirty_named_places_are_those_published_within_the_base_s_error(world: World) -> None:
    """ETOPO5 is a mean over 9 km: a town in a valley is lower than its cell. The error is stated in README, not hidden.

    At so few places the median is 53 to 63 m by seed, and 59 m for the base's own pixels.
    """
    errors = []
    for longitude, latitude, height in PUBLISHED_HEIGHTS.values():
        tile = tile_from_lonlat(8, longitude, latitude)
        column, row = pixel_from_lonlat(8, longitude, latitude)
        ground = world.field(tile).crop(0).channel("elevation")[int(row) % 256, int(column) % 256] / 64
        errors.append(ground - height)
    error = np.abs(errors)
    print("height error at 30 places: median", np.median(error), "90 %", np.percentile(error, 90), "mean", np.mean(errors))
    assert np.median(error) <= 70
    assert np.percentile(error, 90) <= 500


LAKES = {
    "Superior": (-87.5, 47.7, 183), "Victoria": (33.0, -1.0, 1134), "Great Bear": (-121.0, 66.0, 156), "Titicaca": (-69.3, -15.8, 3812),
    "Caspian Sea": (50.5, 40.0, -28),
}  # fmt: skip
"""Longitude, latitude, metres of the surface as published."""


@pytest.mark.parametrize("name", LAKES)
def test_lakes_are_flat_at_their_published_heights_and_have_the_colour_of_water(world: World, name: str) -> None:
    longitude, latitude, height = LAKES[name]
    for level in (4, 6):
        field = world.field(tile_from_lonlat(level, longitude, latitude)).crop(0)
        column, row = (int(edge) % 256 for edge in pixel_from_lonlat(level, longitude, latitude))
        assert field.channel("land")[row, column] == 0
        assert surface_elevation(field)[row, column] == height * 64
        assert surface_elevation(field, water=False)[row, column] < height * 64
        assert tuple(surface_colour(field)[row, column]) == SEA_COLOUR


SEASONS = {
    "Taymyr": (100.0, 74.0, False), "Hudson Bay": (-95.0, 63.0, False), "Dovre": (9.3, 62.2, False), "Greenland": (-40.0, 73.0, True),
    "Antarctica": (60.0, -75.0, True), "Devon ice cap": (-82.0, 75.2, True), "Patagonian ice": (-73.5, -49.3, True),
}  # fmt: skip
"""Longitude, latitude, whether snow outlasts the summer."""


@pytest.mark.parametrize("name", SEASONS)
def test_it_is_summer_snow_lies_where_it_lasts(world: World, name: str) -> None:
    longitude, latitude, white = SEASONS[name]
    column, row = (int(edge) % 256 for edge in pixel_from_lonlat(4, longitude, latitude))
    colour = world.field(tile_from_lonlat(4, longitude, latitude)).crop(2).imagery[:, row : row + 5, column : column + 5] / 64
    assert (np.median(colour.min(axis=0)) > 140) == white


def test_generation_stops_between_levels_when_cancelled() -> None:
    fresh = open_world("earth")
    asked = iter([False, False, True])
    with pytest.raises(CancelledError, match="14/"):
        fresh.field(tile_from_lonlat(14, *PLACES["Alps"]), lambda: next(asked))


def test_bad_requests_are_named(world: World) -> None:
    with pytest.raises(NotFoundError, match="'mars'.*earth"):
        open_world("mars")
    with pytest.raises(InvalidArgumentError, match="seed -1"):
        open_world("earth", seed=-1)
    with pytest.raises(InvalidArgumentError, match="z=19.*0 to 18"):
        world.field(TileId(19, 0, 0))
    with pytest.raises(InvalidArgumentError, match="3/8/0"):
        TileId(3, 8, 0)


def test_a_damaged_bundle_is_refused_by_name(tmp_path: Path) -> None:
    copy = tmp_path / "earth"
    shutil.copytree(embedded_bundles()["earth"], copy)
    model = copy / "geometry.onnx"
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(DataLossError, match=r"geometry\.onnx"):
        Bundle.open(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(NotFoundError, match=r"manifest\.json"):
        Bundle.open(copy)


def test_fjords_are_cut_into_the_land_and_raise_no_towers_beside_them(world: World) -> None:
    for level in (7, 8):
        field = world.field(tile_from_lonlat(level, 7.1, 62.1)).crop(0)
        heights = field.channel("elevation") * ELEVATION_UNIT
        assert heights.max() < 3000, f"{heights.max():.0f} m at level {level}: Norway's highest mountain has 2,469 m"
        wet = np.pad(field.channel("land") < LAND_FULL, 5)
        beside = heights[np.lib.stride_tricks.sliding_window_view(wet, (11, 11)).any(axis=(2, 3))].max()
        assert beside < 1900, f"{beside:.0f} m within five pixels of a fjord at level {level}"
    arms = world.field(tile_from_lonlat(7, 7.1, 62.1)).crop(0).channel("land") == 0
    assert 0.12 < arms.mean() < 0.5


def test_fjords_keep_the_water_that_the_mask_gives_them(world: World) -> None:
    """Where land would have to tower, the mask is not heeded: seldom, or arms of the sea become ponds."""
    mask = CoastMask(RasterArchive(embedded_bundles()["earth"] / "coast.zip"))
    wet = lost = 0
    for place in ((7.1, 62.2), (6.6, 60.9)):
        tile = tile_from_lonlat(7, *place)
        land, told = world.field(tile).crop(0).channel("land"), mask.land(7, tile.x * TILE_SIZE, tile.y * TILE_SIZE, TILE_SIZE, TILE_SIZE)
        wet += int((told < 128).sum())
        lost += int(((told < 128) & (land >= 128)).sum())
    assert 0 < lost < 0.022 * wet
