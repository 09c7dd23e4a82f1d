"""Meshes: exact heights, true metres, and no seam between neighbours."""

import math

import numpy as np
import pyproj
import pytest
import trimesh

from rasters import field_of, rough
from terraloom.errors import InvalidArgumentError
from terraloom_engines.field import ELEVATION_UNIT, Field
from terraloom_engines.geodesy import ecef_from_geodetic, ecef_from_tile
from terraloom_engines.mesh import SEGMENTS, TileMesh, build_mesh, geometric_error, mesh_halo, rim, surface_elevation, triangles
from terraloom_engines.tiling import TILE_SIZE, TileId, row_ground_sample_distance, tile_from_lonlat, tile_ground_sample_distance

PLACES = {"Alps": (7.66, 45.98), "antimeridian": (179.9999, -16.5), "equator": (-78.5, 0.0001), "Svalbard": (15.6, 78.2)}
LEVELS = [0, 1, 3, 5, 9, 13, 16, 18]


def rough_mesh(tile: TileId, segments: int = 64) -> TileMesh:
    return build_mesh(field_of(tile, 48, rough), segments)


def flat(tile: TileId, height: float) -> Field:
    field = field_of(tile, 12, lambda columns, _: np.full_like(columns, height / ELEVATION_UNIT))
    field.channel("land")[:] = 255
    return field


def assert_edges_agree(west: TileMesh, east: TileMesh, north: TileMesh, south: TileMesh) -> None:
    """Bit-equality of longitude (but for a whole turn), latitude, height and normal along the edges west|east and north|south."""
    assert west.east[-1] % 360.0 == east.east[0] % 360.0
    assert np.array_equal(west.north, east.north)
    assert np.array_equal(west.heights[:, -1], east.heights[:, 0])
    assert np.array_equal(west.normals[:, -1], east.normals[:, 0])
    assert north.north[-1] == south.north[0]
    assert np.array_equal(north.east, south.east)
    assert np.array_equal(north.heights[-1], south.heights[0])
    assert np.array_equal(north.normals[-1], south.normals[0])


@pytest.mark.parametrize("segments", SEGMENTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("level", [5, 9, 13, 16])
def test_neighbours_agree_bit_for_bit_on_their_edge(level: int, place: str, segments: int) -> None:
    tile = tile_from_lonlat(level, *PLACES[place])
    east, south = tile.neighbour(1, 0), tile.neighbour(0, 1)
    assert east is not None and south is not None
    mesh = rough_mesh(tile, segments)
    assert_edges_agree(mesh, rough_mesh(east, segments), mesh, rough_mesh(south, segments))


@pytest.mark.parametrize("level", LEVELS)
def test_edges_of_neighbours_lie_on_each_other_in_space(level: int) -> None:
    tile = tile_from_lonlat(level, *PLACES["antimeridian"])
    east = tile.neighbour(1, 0)
    assert east is not None
    here, there = (ecef_grid(rough_mesh(one)) for one in (tile, east))
    assert np.abs(here[:, -1] - there[:, 0]).max() < tile_ground_sample_distance(tile) / 16


def ecef_grid(mesh: TileMesh) -> np.ndarray:
    """Vertices of the grid from the float32 positions, earth-centred earth-fixed, (rows, columns, 3)."""
    side = mesh.segments + 1
    frame = ecef_from_tile(mesh.tile)
    return (mesh.positions[: side * side].astype(np.float64) @ frame[:3, :3].T + frame[:3, 3]).reshape(side, side, 3)


def test_vertices_of_a_coarser_grid_have_the_places_of_every_second_one_of_the_finer() -> None:
    """Their heights differ: each is a mean over as many pixels as there are to the next vertex."""
    coarse, middle, fine = (rough_mesh(TileId(9, 266, 181), segments) for segments in SEGMENTS)
    for one, other in ((coarse, middle), (middle, fine)):
        assert np.array_equal(one.east, other.east[::2]) and np.array_equal(one.north, other.north[::2])
    stripes = field_of(TileId(9, 266, 181), 48, lambda columns, _: 64 * (columns % 8 // 4))
    stripes.channel("land")[:] = 255
    assert [float(np.ptp(build_mesh(stripes, segments).heights)) for segments in SEGMENTS] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("segments", SEGMENTS)
def test_heights_are_the_exact_means_of_the_pixels_round_each_corner(segments: int) -> None:
    field, step = field_of(TileId(9, 266, 181), 48, rough), TILE_SIZE // segments
    surface, heights = surface_elevation(field).astype(object), rough_mesh(field.tile, segments).heights
    for row in range(0, segments + 1, 7):
        for column in range(0, segments + 1, 5):
            top, left = 48 + row * step - step // 2, 48 + column * step - step // 2
            total = surface[top : top + step, left : left + step].sum()
            assert heights[row, column] == total / (64 * step * step)


def test_the_sea_is_flat_and_the_ground_below_it_is_there_when_asked_for() -> None:
    field = flat(TileId(9, 266, 181), -3000.0)
    field.channel("land")[:] = 127
    field.channel("water")[:] = 0
    assert np.all(build_mesh(field).heights == 0.0)
    assert np.all(build_mesh(field, water=False).heights == -3000.0)


def test_a_lake_is_flat_at_its_own_height() -> None:
    field = flat(TileId(9, 266, 181), 150.0)
    field.channel("land")[:] = 127
    field.channel("water")[:] = 183 * 64
    assert np.all(build_mesh(field).heights == 183.0)
    assert np.all(build_mesh(field, water=False).heights == 150.0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("level", LEVELS)
def test_vertices_are_where_pyproj_puts_them(level: int, place: str) -> None:
    mesh = rough_mesh(tile_from_lonlat(level, *PLACES[place]))
    to_ecef = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    longitudes, latitudes = np.meshgrid(mesh.east, mesh.north)
    expected = np.stack(to_ecef.transform(longitudes, latitudes, mesh.heights), axis=-1)
    quantum = np.spacing(np.abs(mesh.positions).max())
    assert np.abs(ecef_grid(mesh) - expected).max() <= quantum + 1e-6


@pytest.mark.parametrize("place", PLACES)
def test_the_frame_is_east_up_south_at_the_middle_of_the_tile(place: str) -> None:
    tile = tile_from_lonlat(13, *PLACES[place])
    frame, size = ecef_from_tile(tile), TILE_SIZE << 13
    longitude = (tile.x * TILE_SIZE + 128) / size * 360 - 180
    latitude = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (tile.y * TILE_SIZE + 128) / size))))
    assert np.allclose(frame[:3, :3] @ frame[:3, :3].T, np.eye(3), atol=1e-15) and np.isclose(np.linalg.det(frame), 1.0)
    steps = np.array([[1e-5, 0, 0], [0, 0, 1.0], [0, -1e-5, 0]])
    for axis, (east, north, up) in zip(frame[:3, :3].T, steps, strict=True):
        moved = ecef_from_geodetic(longitude + east, latitude + north, up) - ecef_from_geodetic(longitude, latitude, 0)
        assert np.allclose(moved / np.linalg.norm(moved), axis, atol=1e-7)


@pytest.mark.parametrize("segments", SEGMENTS)
def test_all_triangles_face_outward_and_none_is_degenerate(segments: int) -> None:
    mesh = build_mesh(flat(TileId(9, 266, 181), 500.0), segments)
    solid = trimesh.Trimesh(mesh.positions, triangles(segments), process=False)
    assert solid.area_faces.min() > 0
    grid = 2 * segments * segments
    assert solid.face_normals[:grid, 1].min() > 0.99
    outward = solid.triangles_center[grid:] * [1, 0, 1]
    assert np.all(np.einsum("ij,ij->i", solid.face_normals[grid:], outward) > 0)
    assert solid.is_winding_consistent


def test_normals_are_those_of_the_mesh_itself() -> None:
    wave = 64 * 300.0
    mesh = build_mesh(field_of(TileId(12, 2133, 1457), 48, lambda c, r: wave * np.sin(c / 40) * np.cos(r / 30)), water=False)
    grid = trimesh.Trimesh(mesh.positions, triangles(64)[: 2 * 64 * 64], process=False)
    inner = np.arange(65 * 65).reshape(65, 65)[1:-1, 1:-1].ravel()
    cosine = np.einsum("ij,ij->i", mesh.tile_normals[inner], grid.vertex_normals[inner])
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 2.0


def test_normals_use_the_metres_of_their_own_row() -> None:
    field = field_of(TileId(5, 16, 6), 48, lambda columns, _: columns * 64 * 100)
    mesh = build_mesh(field, water=False)
    slope = -mesh.normals[:, 32, 0] / mesh.normals[:, 32, 2]
    metres = np.array([row_ground_sample_distance(5, 6 * 256 + 4 * row) for row in range(65)])
    assert np.allclose(slope, 100 / metres, rtol=0.01) and slope[0] > 1.05 * slope[-1]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_coarse_tiles_follow_the_curve_of_the_earth(level: int) -> None:
    mesh = build_mesh(flat(TileId(level, 0, 0), 0.0))
    radii = np.linalg.norm(ecef_grid(mesh), axis=-1)
    assert 6356752 - 1 < radii.min() < radii.max() < 6378137 + 1
    up = ecef_grid(mesh) / radii[..., None]
    normals = (mesh.tile_normals[: 65 * 65] @ ecef_from_tile(mesh.tile)[:3, :3].T).reshape(65, 65, 3)
    assert np.einsum("ijk,ijk->ij", up, normals).min() > math.cos(math.radians(0.2))


@pytest.mark.parametrize("segments", SEGMENTS)
def test_skirts_hang_eight_ground_sample_distances_below_the_rim(segments: int) -> None:
    mesh = rough_mesh(TileId(13, 4270, 2914), segments)
    skirt = mesh.positions[(segments + 1) ** 2 :]
    drop = mesh.positions[rim(segments)] - skirt
    assert np.allclose(np.linalg.norm(drop, axis=1), 8 * tile_ground_sample_distance(mesh.tile), rtol=1e-3)
    assert np.all(drop[:, 1] > 0)


def test_heights_of_the_tile_leave_the_skirts_out() -> None:
    mesh = rough_mesh(TileId(9, 266, 181))
    assert (mesh.min_height, mesh.max_height) == (mesh.heights.min(), mesh.heights.max())


def test_the_geometric_error_is_the_spacing_of_64_segments() -> None:
    tile = TileId(9, 266, 181)
    mesh = build_mesh(flat(tile, 0.0))
    spacing = np.linalg.norm(mesh.positions[32 * 65 + 33] - mesh.positions[32 * 65 + 32])
    assert geometric_error(tile) == pytest.approx(spacing, rel=0.01)


def test_a_pixel_beyond_the_ring_changes_nothing() -> None:
    tile = TileId(9, 266, 181)
    for segments in SEGMENTS:
        field, halo = field_of(tile, 48, rough), mesh_halo(segments)
        before = build_mesh(field, segments)
        field.data[:, : 48 - halo] = 0
        field.data[:, :, 48 + TILE_SIZE + halo :] = 0
        after = build_mesh(field, segments)
        assert np.array_equal(before.positions, after.positions) and np.array_equal(before.tile_normals, after.tile_normals)


def test_other_numbers_of_segments_are_refused_with_the_allowed_ones() -> None:
    with pytest.raises(InvalidArgumentError, match="32, 64, 128"):
        rough_mesh(TileId(9, 266, 181), 48)
