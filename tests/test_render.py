"""Pictures: mosaics join without a seam, the perspective view shows the ground where it is."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasters import field_of, rough
from terraloom import Tile
from terraloom import TileId as ClientTileId
from terraloom.errors import DataLossError, InvalidArgumentError, NotFoundError
from terraloom_engines.geodesy import ecef_from_tile
from terraloom_engines.gltf import Material, encode_glb
from terraloom_engines.mesh import build_mesh, geometric_error
from terraloom_engines.render.atmosphere import Air
from terraloom_engines.render.camera import Eye, Lens
from terraloom_engines.render.chart import Chart, draw_chart
from terraloom_engines.render.clipmap import WINDOW, windows
from terraloom_engines.render.oblique import Weather, oblique_picture
from terraloom_engines.render.overhead import Frame, mosaic, picture
from terraloom_engines.render.places import PLACES, parse_place
from terraloom_engines.render.received import SEGMENTS, TileSurface, read_surface
from terraloom_engines.selection import plane_reach
from terraloom_engines.shading import Sun, hillshade, sunlit
from terraloom_engines.texture import SEA_COLOUR, encode_texture, surface_colour
from terraloom_engines.tiling import TileId, WorldKind, tile_from_lonlat, tile_from_place

TILE = TileId(12, 2135, 1457)
SMALL = Lens(width=160, height=90)


def received(tile: TileId, segments: int = SEGMENTS) -> Tile:
    """A tile as the client has it, made without a server."""
    field = field_of(tile, 48, rough)
    mesh = build_mesh(field, segments)
    glb = encode_glb(mesh, Material(encode_texture(field, "webp", 100)), "")
    transform = tuple(ecef_from_tile(tile).ravel())
    heights = mesh.min_height, mesh.max_height
    return Tile(ClientTileId(tile.z, tile.x, tile.y), glb, transform, *heights, geometric_error(tile), b"", tile.z, False, 0, 0)


def flat(tile: TileId, height: float, colour: tuple[int, int, int]) -> TileSurface:
    side = SEGMENTS + 1
    return TileSurface(tile, np.full((side, side), height, np.float32), np.full((256, 256, 3), colour, np.uint8))


def pyramid(
    east: float, north: float, height: float, colour: tuple[int, int, int], kind: WorldKind = WorldKind.PLANET
) -> Iterator[TileSurface]:
    """Flat ground round a place: all levels down to 12, a block of 3 x 3 tiles each."""
    for level in range(kind.min_level, 13):
        middle = tile_from_place(kind, level, east, north)
        around = {middle.neighbour(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
        yield from (flat(tile, height, colour) for tile in around if tile)


@pytest.mark.parametrize("place", [(7.66, 45.98), (179.99, -16.6), (-180.0, 60.0)])
def test_a_mosaic_shows_what_its_tiles_show(place: tuple[float, float]) -> None:
    frame = Frame(*place, level=9, width=300, height=200)
    whole = mosaic(frame, lambda tile: field_of(tile, 2, rough))
    (left, top), size = frame.origin, 256 << 9
    for row, column in ((0, 0), (0, 299), (199, 0), (100, 150), (63, 255)):
        x, y = (left + column) % size, top + row
        tile = field_of(TileId(9, x // 256, y // 256), 0, rough)
        assert np.array_equal(whole.colour[row + 1, column + 1], surface_colour(tile)[y % 256, x % 256])


def test_a_mosaic_of_the_whole_earth_repeats_round_the_antimeridian_and_stops_at_the_poles() -> None:
    whole = mosaic(Frame(0.0, 0.0, level=0, width=512, height=400), lambda tile: field_of(tile, 2, rough))
    assert np.array_equal(whole.colour[:, 1:257], whole.colour[:, 257:513])
    assert np.array_equal(whole.colour[0], whole.colour[72]) and np.array_equal(whole.colour[-1], whole.colour[328])


@pytest.mark.parametrize(("style", "size"), [("colour", (64, 48)), ("hillshade", (64, 48)), ("both", (128, 48))])
def test_styles_have_their_sizes(style: str, size: tuple[int, int]) -> None:
    rasters = mosaic(Frame(7.66, 45.98, level=9, width=64, height=48), lambda tile: field_of(tile, 2, rough))
    assert picture(rasters, style).size == size  # type: ignore[arg-type]


@given(st.floats(0, 359), st.floats(5, 85), st.floats(-1, 1), st.floats(-1, 1))
def test_hillshade_is_the_cosine_between_sun_and_plane(azimuth: float, altitude: float, east: float, north: float) -> None:
    rows, columns = np.mgrid[0:5, 0:5]
    sun = Sun(azimuth, altitude)
    plane = 10.0 * (east * columns - north * rows)
    normal = np.array([-east, -north, 1]) / math.hypot(east, north, 1)
    assert np.allclose(hillshade(plane, 10.0, sun), max(normal @ sun.direction, 0.0), atol=1e-9)


def test_a_wall_casts_its_shadow_away_from_the_sun() -> None:
    heights = np.zeros((64, 64), np.float32)
    heights[:, 30:32] = 100.0
    lit = sunlit(heights, 10.0, Sun(azimuth=270.0, altitude=45.0))
    assert lit[32, 20] == 1.0 and lit[32, 36] < 0.1 and lit[32, 50] == 1.0


@pytest.mark.parametrize("tile", [TILE, TileId(3, 7, 2), TileId(16, 34200, 23300)])
def test_heights_and_colours_come_back_out_of_a_received_tile(tile: TileId) -> None:
    surface = read_surface(received(tile))
    field = field_of(tile, 48, rough)
    assert np.allclose(surface.heights, build_mesh(field, SEGMENTS).heights, atol=0.3 if tile.z < 5 else 0.005)
    assert np.array_equal(surface.colour, surface_colour(field.crop(0)))


def test_tiles_of_other_grids_are_refused() -> None:
    with pytest.raises(DataLossError, match="not a textured grid of 128 segments"):
        read_surface(received(TILE, 32))


def test_windows_hold_the_tiles_where_they_belong_and_interpolate_elsewhere() -> None:
    longitude, latitude = 7.66, 45.98
    coarse, fine = tile_from_lonlat(8, longitude, latitude), tile_from_lonlat(9, longitude, latitude)
    surfaces = [read_surface(received(coarse)), read_surface(received(fine))]
    *_, last = windows(surfaces, (longitude, latitude))
    top, left = fine.y * 256 - last.row, fine.x * 256 - last.column
    assert last.level == 9 and last.colour.shape == (WINDOW, WINDOW, 3)
    assert np.array_equal(last.colour[top : top + 256, left : left + 256], surfaces[1].colour)
    assert np.array_equal(last.vertices[top // 2 : top // 2 + 129, left // 2 : left // 2 + 129], surfaces[1].heights)
    beside = 256 if fine.x % 2 == 0 else -1
    inside_coarse = surfaces[0].colour[:, 128 if fine.x % 2 == 0 else 127].astype(int)
    row = 100 + (256 if fine.y % 2 else 0)
    assert np.abs(last.colour[top + 100, left + beside].astype(int) - inside_coarse[row // 2]).max() <= 130


def test_the_horizon_is_where_the_curve_of_the_earth_puts_it() -> None:
    height = 3000.0
    ground = list(pyramid(7.66, 45.98, 1.0, (10, 10, 10)))
    clear = Weather(Sun(azimuth=250.0, altitude=28.0), Air(visibility=1e9))
    view = np.asarray(oblique_picture(ground, Eye(7.66, 45.98, height, 140.0, 0.0), SMALL, clear)).astype(int)
    dip = math.sqrt(2 * height / (6371008.8 * 7 / 6))
    row = SMALL.height / 2 * (1 + dip / math.tan(math.radians(SMALL.vertical_field_of_view / 2)))
    steepest = int(np.abs(np.diff(view[..., 0].mean(axis=1))).argmax())
    assert abs(steepest - row) < 3


@pytest.mark.parametrize(
    ("place", "height"), [((700_000.0, -300_000.0), 100.0), ((-(2.0**40), 2.0**40), 10_000.0), ((700_000.0, -300_000.0), 600_000.0)]
)
def test_a_plane_is_flat_as_far_as_one_sees(place: tuple[float, float], height: float) -> None:
    ground = list(pyramid(*place, 1.0, (90, 90, 90), WorldKind.PLANE))
    clear = Weather(Sun(azimuth=250.0, altitude=28.0), Air(visibility=1e9))
    eye = Eye(*place, height, 140.0, 0.0, WorldKind.PLANE)
    view = np.asarray(oblique_picture(ground, eye, SMALL, clear)).astype(int)
    edge = math.atan(height / plane_reach(height))
    row = SMALL.height / 2 * (1 + math.tan(edge) / math.tan(math.radians(SMALL.vertical_field_of_view / 2)))
    brightness = view.sum(axis=2).mean(axis=1)
    assert np.ptp(view[: int(row) - 2].sum(axis=2), axis=1).max() < 150, "the sky is even along the horizon"
    assert abs(int(np.abs(np.diff(brightness)).argmax()) - row) < 3 or height < 1000.0, "near the ground all is lost in the air first"


@pytest.mark.parametrize("kind", WorldKind)
def test_a_mountain_ahead_stands_above_the_horizon_and_one_behind_does_not(kind: WorldKind) -> None:
    plane = kind is WorldKind.PLANE
    (east, north), far = ((-(2.0**40) + 1000.0, 2.0**40 + 500.0), 9000.0) if plane else ((7.66, 45.98), 0.08)
    ground = list(pyramid(east, north, 1.0, (120, 120, 120), kind))
    tower = flat(tile_from_place(kind, 12, east, north + far), 6000.0, (200, 30, 30))
    lens = Lens(320, 180)
    for heading, stands in ((0.0, True), (180.0, False)):
        view = np.asarray(oblique_picture([*ground, tower], Eye(east, north, 4000.0, heading, 0.0, kind), lens)).astype(int)
        red = view[: lens.height // 2, :, 0] - view[: lens.height // 2, :, 2] > 20
        assert (red.sum() > 1000) == stands


def test_ground_that_no_tile_shows_is_sea() -> None:
    view = np.asarray(oblique_picture([flat(TileId(0, 0, 0), 0.0, SEA_COLOUR)], Eye(-30.0, 30.0, 1000.0, 0.0, -45.0), SMALL))
    bottom = view[-1].astype(int).mean(axis=0)
    assert bottom[2] > bottom[0]


def test_a_chart_shows_outlines_path_and_marks() -> None:
    surfaces = list(pyramid(7.66, 45.98, 0.0, (60, 90, 40)))
    path = [(7.60, 45.95), (7.72, 46.01)]
    drawn = frozenset(surface.tile for surface in surfaces if surface.tile.z == 12)
    chart = np.asarray(draw_chart(Chart(drawn, path, path[:1], 400, 300), surfaces))
    bare = np.asarray(draw_chart(Chart(frozenset(), path, [], 400, 300), surfaces))
    assert chart.shape == (300, 400, 3)
    assert (bare.reshape(-1, 3) == (255, 255, 255)).all(axis=1).sum() > 100
    assert 1000 < (chart != bare).any(axis=2).sum() < 30_000


def test_places_have_names_or_degrees() -> None:
    assert parse_place("matterhorn") is PLACES["matterhorn"]
    assert parse_place("Grand Canyon") is PLACES["grand-canyon"]
    assert (parse_place("-112.1,36.1").longitude, parse_place("-112.1,36.1").latitude) == (-112.1, 36.1)
    with pytest.raises(NotFoundError, match="matterhorn"):
        parse_place("mordor")
    for wrong in ("1,2,3", "east,north", "181,0", "0,-91", "nan,0"):
        with pytest.raises(InvalidArgumentError):
            parse_place(wrong)
