"""Planes after generation: flat meshes whose edges meet, places that keep their digits, selections that move with the viewpoint."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasters import field_of, rough
from terraloom_engines.collision import select_ground
from terraloom_engines.geodesy import plane_from_tile
from terraloom_engines.heights import HeightGrid, build_height_grid, parts_by_tile, sample_heights
from terraloom_engines.mesh import build_mesh, geometric_error
from terraloom_engines.selection import Criteria, Radius, ScreenSpaceError, select
from terraloom_engines.tiling import TileId, WorldKind, plane_bounds, plane_side, tile_from_place
from terraloom_engines.viewpoint import ViewState, Waypoint, extrapolate

PLANE = WorldKind.PLANE
FAR = float(1 << 40)
GROUND = (0.0, 1000.0)
PLACES = [(0.0, 0.0), (-1.0, 1.0), (FAR, -FAR), (-3e12, 7e14)]
views = st.builds(
    ViewState,
    east=st.floats(-1e7, 1e7),
    north=st.floats(-1e7, 1e7),
    height=st.floats(-100.0, 3e5),
    velocity=st.tuples(st.floats(-300.0, 300.0), st.floats(-300.0, 300.0), st.floats(-50.0, 50.0)),
    kind=st.just(PLANE),
)


def known(tile: TileId) -> tuple[float, float]:
    return GROUND


def grid_of(tile: TileId) -> HeightGrid:
    return build_height_grid(field_of(tile, 48, rough))


@pytest.mark.parametrize("level", [2, 9, 18])
@pytest.mark.parametrize("place", PLACES)
def test_meshes_of_neighbours_meet_in_place_height_and_normal(place: tuple[float, float], level: int) -> None:
    west = tile_from_place(PLANE, level, *place)
    east, south = west.neighbour(1, 0), west.neighbour(0, 1)
    assert east is not None
    assert south is not None
    here, right, below = (build_mesh(field_of(tile, 48, rough)) for tile in (west, east, south))
    assert here.east[-1] == right.east[0]
    assert here.north[-1] == below.north[0]
    for name in ("heights", "normals"):
        np.testing.assert_array_equal(getattr(here, name)[:, -1], getattr(right, name)[:, 0])
        np.testing.assert_array_equal(getattr(here, name)[-1], getattr(below, name)[0])


@pytest.mark.parametrize("place", PLACES)
def test_the_frame_puts_every_vertex_where_the_mesh_says(place: tuple[float, float]) -> None:
    tile = tile_from_place(PLANE, 14, *place)
    mesh, frame = build_mesh(field_of(tile, 48, rough)), plane_from_tile(tile)
    x, y, z = (mesh.positions[: 65 * 65].astype(np.float64) @ frame[:3, :3].T).T.reshape(3, 65, 65)  # round the tile's middle
    np.testing.assert_array_equal(x + (frame[0, 3] - mesh.east[0]), np.broadcast_to(mesh.east - mesh.east[0], (65, 65)))
    np.testing.assert_array_equal(y + (frame[1, 3] - mesh.north[-1]), np.broadcast_to(mesh.north - mesh.north[-1], (65, 65)).T)
    np.testing.assert_allclose(z, mesh.heights, atol=1e-3)
    assert np.linalg.det(frame[:3, :3]) == 1.0
    up = mesh.tile_normals[: 65 * 65] @ frame[:3, :3].T
    np.testing.assert_allclose(up.reshape(65, 65, 3), mesh.normals, atol=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_heights_at_places_are_those_of_the_mesh_and_run_on_over_edges(place: tuple[float, float]) -> None:
    tile = tile_from_place(PLANE, 13, *place)
    mesh = build_mesh(field_of(tile, 48, rough), 128)
    x, y = (axis.ravel() for axis in np.meshgrid(mesh.east[:-1:16], mesh.north[1::16]))
    heights = sample_heights(grid_of, PLANE, 13, x.tolist(), y.tolist())
    np.testing.assert_array_equal(heights.reshape(8, 8), mesh.heights[1::16, :-1:16])
    west, _, east, north = plane_bounds(tile)
    middle = [(west + (east - west) * share, north) for share in (0.1, 0.37, 0.9)]
    step = 2.0**-8
    for at, edge in middle:
        above, on, below = sample_heights(grid_of, PLANE, 13, [at] * 3, [edge + step, edge, edge - step])
        assert abs(above - on) + abs(on - below) < 2.0


def test_places_are_sorted_by_tile_whatever_their_signs() -> None:
    parts = parts_by_tile(PLANE, 18, [-1.0, 1.0, -1.0, 1.0, -2.0], [1.0, 1.0, -1.0, -1.0, 1.0])
    found = {(part.tile.x, part.tile.y): part.indices.tolist() for part in parts}
    assert found == {(-1, -1): [0, 4], (0, -1): [1], (-1, 0): [2], (0, 0): [3]}


@settings(max_examples=25, deadline=None)
@given(view=views, target=st.sampled_from([16.0, 64.0]), max_level=st.integers(4, 9))
def test_what_is_selected_covers_the_ground_once_and_is_as_fine_as_asked(view: ViewState, target: float, max_level: int) -> None:
    selection = select(view, Criteria(ScreenSpaceError(target), max_level=max_level), known)
    leaves = set(selection.leaves)
    assert not any(leaf.ancestor(level) in leaves for leaf in leaves for level in range(2, leaf.z))
    side = min(plane_side(leaf.z) for leaf in leaves)
    roots = [entry.tile for entry in selection.tiles if entry.tile.z == selection.tiles[0].tile.z]
    assert sum((plane_side(leaf.z) / side) ** 2 for leaf in leaves) == len(roots) * (plane_side(roots[0].z) / side) ** 2
    for turn in range(8):
        reach = 0.49 * plane_side(roots[0].z)
        east, north = view.east + reach * math.sin(turn), view.north + reach * math.cos(turn)
        assert any(tile_from_place(PLANE, level, east, north) in leaves for level in range(2, max_level + 1))
    lines = view.lines_per_radian
    for leaf in leaves:
        if leaf.z < max_level:
            above = max(GROUND[0] - view.height, view.height - GROUND[1], 0.0)
            assert geometric_error(leaf) * lines <= target * math.hypot(distance(view, leaf), above) * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(view=views, columns=st.integers(-1 << 20, 1 << 20), rows=st.integers(-1 << 20, 1 << 20))
def test_a_selection_moves_with_its_viewpoint_however_far(view: ViewState, columns: int, rows: int) -> None:
    """By whole tiles of the coarsest level, up to 9e12 m away; the place is rounded to where the double there has its digits."""
    view = replace(view, east=round(view.east * 64) / 64, north=round(view.north * 64) / 64)
    criteria, side = Criteria(ScreenSpaceError(32.0), max_level=8), plane_side(2)
    away = replace(view, east=view.east + columns * side, north=view.north - rows * side)
    moved = []
    for entry in select(view, criteria, known).tiles:
        tile, below = entry.tile, entry.tile.z - 2
        moved.append((TileId(tile.z, tile.x + (columns << below), tile.y + (rows << below), PLANE), entry.refined))
    assert [(entry.tile, entry.refined) for entry in select(away, criteria, known).tiles] == moved


def test_a_radius_refines_what_it_touches_on_a_plane() -> None:
    view, disc = ViewState(-1000.0, 700.0, 100.0, kind=PLANE), Radius(5000.0, 9)
    finest = {entry.tile for entry in select(view, Criteria(disc), known).tiles if entry.tile.z == 9}
    around = {TileId(8, x, y, PLANE) for x in range(-3, 3) for y in range(-3, 3)}
    assert {tile.parent for tile in finest} == {tile for tile in around if distance(view, tile) < disc.radius}
    ground = select_ground(view, Radius(200.0, 18))
    nearest = tile_from_place(PLANE, 18, -1000.0, 700.0)
    reach = range(-3, 4)
    around = {tile for dx in reach for dy in reach if (tile := nearest.neighbour(dx, dy)) is not None}
    assert set(ground) == {tile for tile in around if distance(view, tile) <= 202.0}


def distance(view: ViewState, tile: TileId) -> float:
    """Metres along the ground to a tile."""
    west, south, east, north = plane_bounds(tile)
    return math.hypot(max(west - view.east, view.east - east, 0.0), max(south - view.north, view.north - north, 0.0))


def test_wide_radii_and_great_heights_start_coarse_and_low_views_at_the_base() -> None:
    def coarsest(height: float, radius: float = 0.0, max_level: int = 18) -> set[int]:
        view = ViewState(1e6, 1e6, height, kind=PLANE)
        by = Radius(radius, 2) if radius else ScreenSpaceError(1000.0)
        return {min(entry.tile.z for entry in select(view, Criteria(by, max_level=max_level), known).tiles)}

    assert coarsest(1000.0) == {4}
    assert coarsest(300_000.0) == {3}
    assert coarsest(5e6) == {2}
    assert coarsest(0.0, 9e6) == {2}
    assert coarsest(0.0, max_level=3) == {3}


def test_viewpoints_go_straight_over_a_plane() -> None:
    moving = ViewState(FAR, -FAR, 100.0, velocity=(100.0, -50.0, 2.0), kind=PLANE)
    later = extrapolate(moving, 8.0)
    assert (later.east - FAR, later.north + FAR, later.height) == (800.0, -400.0, 116.0)
    way = replace(moving, waypoints=(Waypoint(FAR + 400.0, -FAR, 300.0, 4.0),))
    half = extrapolate(way, 2.0)
    assert (half.east - FAR, half.north + FAR, half.height) == (200.0, 0.0, 200.0)
