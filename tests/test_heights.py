"""Heights by one rule: the grid's vertices are the mesh's, samples are continuous over edges, and the grid lies where the mesh does."""

import numpy as np
import pytest

from rasters import field_of, rough
from terraloom.errors import CancelledError, DataLossError, InvalidArgumentError
from terraloom_engines.cascade import never
from terraloom_engines.content import GridOptions, build_content, content_hash, decode_content, encode_content
from terraloom_engines.geodesy import ecef_from_tile
from terraloom_engines.heights import GRID_SIDE, HEIGHT_UNIT, HeightGrid, build_height_grid, parts_by_tile, sample_heights
from terraloom_engines.mesh import build_mesh
from terraloom_engines.tiling import (
    MAX_LATITUDE,
    TILE_SIZE,
    TileId,
    WorldKind,
    latitude_from_row,
    longitude_from_column,
    pixel_from_place,
    tile_from_lonlat,
    tile_ground_sample_distance,
)
from terraloom_engines.world import World, open_world

PLANET = WorldKind.PLANET

PLACES = {"Alps": (7.66, 45.98), "antimeridian": (179.9999, -16.5), "equator": (-78.5, 0.0001), "Svalbard": (15.6, 78.2)}
LEVELS = [0, 1, 3, 5, 9, 13, 16, 18]
ALL_TILE = np.linspace(0.0, TILE_SIZE, 1001)


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("earth")


def rough_grid(tile: TileId) -> HeightGrid:
    return build_height_grid(field_of(tile, 48, rough))


def neighbours(tile: TileId) -> tuple[TileId, TileId]:
    """The tiles to the east and to the south."""
    east, south = tile.neighbour(1, 0), tile.neighbour(0, 1)
    assert east is not None and south is not None
    return east, south


@pytest.mark.parametrize("water", [True, False], ids=["ground_or_water", "ground"])
@pytest.mark.parametrize("level", LEVELS)
def test_vertices_are_those_of_the_mesh_of_128_segments(level: int, water: bool) -> None:
    field = field_of(tile_from_lonlat(level, *PLACES["Alps"]), 48, rough)
    grid, mesh = build_height_grid(field, water=water), build_mesh(field, 128, water=water)
    assert np.array_equal(grid.values * HEIGHT_UNIT, mesh.heights)
    assert (grid.min_height, grid.max_height) == (mesh.min_height, mesh.max_height)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("level", [1, 5, 9, 13, 16, 18])
def test_heights_are_continuous_over_the_edges_bit_for_bit(level: int, place: str) -> None:
    tile = tile_from_lonlat(level, *PLACES[place])
    here = rough_grid(tile)
    if tile.y < (1 << level) - 1:
        east, south = (rough_grid(other) for other in neighbours(tile))
        low, high = np.zeros_like(ALL_TILE), np.full_like(ALL_TILE, TILE_SIZE)
        assert np.array_equal(here.sample(high, ALL_TILE), east.sample(low, ALL_TILE))
        assert np.array_equal(here.sample(ALL_TILE, high), south.sample(ALL_TILE, low))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("level", LEVELS)
def test_the_vertices_of_a_tile_are_sampled_within_a_millimetre(level: int, place: str) -> None:
    tile = tile_from_lonlat(level, *PLACES[place])
    mesh = build_mesh(field_of(tile, 48, rough), 128)
    longitudes, latitudes = (axis.ravel().tolist() for axis in np.meshgrid(mesh.east, mesh.north))
    heights = sample_heights(rough_grid, PLANET, level, longitudes, latitudes)
    assert np.abs(heights - mesh.heights.ravel()).max() < 0.001


def test_between_vertices_the_height_is_bilinear() -> None:
    tile = TileId(12, 2133, 1457)
    plane = build_height_grid(field_of(tile, 1, lambda columns, rows: 3 * (columns % 4096) - 5 * (rows % 4096)), water=False)
    columns, rows = np.random.default_rng(2).uniform(0.0, TILE_SIZE, (2, 500))
    left, top = tile.x * TILE_SIZE % 4096 - 0.5, tile.y * TILE_SIZE % 4096 - 0.5
    assert np.allclose(plane.sample(columns, rows), (3 * (left + columns) - 5 * (top + rows)) / 64, rtol=0, atol=1e-9)
    saddle = HeightGrid(tile, np.add.outer(np.arange(GRID_SIDE) % 2, np.arange(GRID_SIDE) % 2).astype(np.int32) % 2)
    assert saddle.sample(np.array([1.0, 0.5]), np.array([1.0, 0.5])) == pytest.approx([0.5 * HEIGHT_UNIT, 0.375 * HEIGHT_UNIT])


def test_a_height_does_not_hang_on_the_other_places_of_a_request() -> None:
    longitudes, latitudes = np.random.default_rng(3).uniform((-180.0, -85.0), (180.0, 85.0), (97, 2)).T.tolist()
    together = sample_heights(rough_grid, PLANET, 2, longitudes, latitudes)
    alone = [sample_heights(rough_grid, PLANET, 2, [east], [north])[0] for east, north in zip(longitudes, latitudes, strict=True)]
    backwards = sample_heights(rough_grid, PLANET, 2, longitudes[::-1], latitudes[::-1])
    assert np.array_equal(together, alone) and np.array_equal(together, backwards[::-1])


def test_longitudes_wrap_and_places_past_the_rim_take_the_rims_height() -> None:
    around = sample_heights(rough_grid, PLANET, 3, [-180.0, 180.0, 540.0, -180.0 - 1e-14, 7.0, 367.0], [12.0, 12.0, 12.0, 12.0, 46.0, 46.0])
    assert len(set(around[:4])) == 1 and around[4] == pytest.approx(around[5], abs=1e-6)
    for pole, rim in ((90.0, MAX_LATITUDE), (-90.0, -MAX_LATITUDE)):
        polar = sample_heights(rough_grid, PLANET, 3, [33.0, 33.0], [pole, rim])
        assert polar[0] == polar[1]


def test_each_tile_is_asked_for_once_and_no_places_ask_for_none() -> None:
    longitudes, latitudes = np.random.default_rng(4).uniform((7.0, 46.0), (8.0, 46.5), (1000, 2)).T.tolist()
    parts = parts_by_tile(PLANET, 9, longitudes, latitudes)
    assert len({part.tile for part in parts}) == len(parts) < 10
    assert sorted(np.concatenate([part.indices for part in parts]).tolist()) == list(range(1000))
    assert parts_by_tile(PLANET, 9, [], []) == [] and sample_heights(rough_grid, PLANET, 9, [], []).shape == (0,)


@pytest.mark.parametrize(("kind", "level"), [(PLANET, 0), (PLANET, 13), (WorldKind.PLANE, 2), (WorldKind.PLANE, 18)])
def test_places_fall_into_pixels_as_everywhere_else_bit_for_bit(kind: WorldKind, level: int) -> None:
    east, north = np.random.default_rng(6).uniform((-540.0, -90.0), (540.0, 90.0), (500, 2)).T * (1.0 if kind is PLANET else 1e9)
    for part in parts_by_tile(kind, level, east.tolist(), north.tolist()):
        expected = [pixel_from_place(kind, level, east[index].item(), north[index].item()) for index in part.indices]
        found = part.columns + part.tile.x * TILE_SIZE, part.rows + part.tile.y * TILE_SIZE
        assert np.array_equal(np.transpose(found), expected)


@pytest.mark.parametrize("place", ["Alps", "equator", "Svalbard"])
@pytest.mark.parametrize("level", [9, 13, 16, 18])
def test_the_grid_lies_where_the_mesh_does_but_for_the_curve_of_the_earth(level: int, place: str) -> None:
    tile = tile_from_lonlat(level, *PLACES[place])
    field = field_of(tile, 48, lambda columns, _: np.zeros_like(columns))
    grid, mesh = build_height_grid(field), build_mesh(field, 128)
    index = np.arange(GRID_SIDE)
    x = grid.origin[0] + index * grid.spacing[0]
    z = grid.origin[1] + index * grid.spacing[1]
    drawn = mesh.positions[: GRID_SIDE**2].reshape(GRID_SIDE, GRID_SIDE, 3)
    half, radius = TILE_SIZE / 2 * tile_ground_sample_distance(tile), 6.35e6
    assert np.abs(drawn[..., 1]).max() <= 1.02 * half**2 / radius  # the sagitta at the corners
    shift = np.hypot(drawn[..., 0] - x, drawn[..., 2] - z[:, None]).max()
    narrowing = 1.1 * half**2 / radius * np.tan(np.radians(PLACES[place][1]))
    assert shift <= narrowing + 2 * half**3 / radius**2 + 2 * np.spacing(np.float32(half))


@pytest.mark.parametrize("place", ["Alps", "antimeridian"])
@pytest.mark.parametrize("level", [5, 9, 13])
def test_the_real_world_is_continuous_over_its_edges(world: World, level: int, place: str) -> None:
    tile = tile_from_lonlat(level, *PLACES[place])
    grids = {one: build_height_grid(world.field(one)) for one in (tile, *neighbours(tile))}
    here, east, south = grids.values()
    assert np.array_equal(here.values[:, -1], east.values[:, 0]) and np.array_equal(here.values[-1], south.values[0])
    edge = longitude_from_column(level, (tile.x + 1) * TILE_SIZE)
    latitude = latitude_from_row(level, tile.y * TILE_SIZE + 100.3)
    nudge = 1e-9
    west_side, on, east_side = sample_heights(grids.__getitem__, PLANET, level, [edge - nudge, edge, edge + nudge], [latitude] * 3)
    assert west_side == pytest.approx(on, abs=0.001) and east_side == pytest.approx(on, abs=0.001)


def test_stored_grids_come_back_and_other_bytes_are_data_loss(world: World) -> None:
    tile, options = tile_from_lonlat(5, *PLACES["Alps"]), GridOptions()
    made = build_content(world, tile, options, never)
    read = decode_content(encode_content(made), tile, made.content_hash)
    assert made.height_grid is not None and read.height_grid is not None and (made.glb, read.glb) == (b"", b"")
    assert np.array_equal(read.height_grid.values, made.height_grid.values)
    assert (read.min_height, read.max_height, read.content_hash) == (made.min_height, made.max_height, made.content_hash)
    assert np.array_equal(read.world_from_tile, ecef_from_tile(tile))
    assert content_hash(world.identity, tile, GridOptions("ground")) != made.content_hash
    with pytest.raises(DataLossError):
        decode_content(encode_content(made)[:-4], tile, made.content_hash)


def test_a_grid_that_nobody_wants_stops_and_other_surfaces_are_refused(world: World) -> None:
    with pytest.raises(CancelledError):
        build_content(world, tile_from_lonlat(5, 133.0, -25.0), GridOptions(), lambda: True)  # one that no other test makes
    with pytest.raises(InvalidArgumentError, match="ground_or_water, ground"):
        GridOptions("roof")  # type: ignore[arg-type]
