"""The perspective view: lines of sight, sky, sea, what an eye needs of a world, and `terraloom view`."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rasters import field_of, rough
from terraloom_engines.cli import main
from terraloom_engines.field import Field
from terraloom_engines.mesh import geometric_error
from terraloom_engines.render.atmosphere import Air, Sky
from terraloom_engines.render.camera import Eye, Lens
from terraloom_engines.render.oblique import Weather, oblique_picture
from terraloom_engines.render.received import TileSurface
from terraloom_engines.render.scene import Scene, surface_of
from terraloom_engines.render.water import mirrored
from terraloom_engines.shading import Sun
from terraloom_engines.tiling import TileId, tile_from_lonlat

NOON = Sun(azimuth=180.0, altitude=60.0)
SMALL = Lens(width=160, height=90, vertical_field_of_view=50.0)


def painted(tile: TileId, colour: tuple[int, int, int], height: float = 100.0) -> TileSurface:
    return TileSurface(tile, np.full((257, 257), height, np.float32), np.full((256, 256, 3), colour, np.uint8))


def flat_ground(longitude: float, latitude: float) -> list[TileSurface]:
    """Grey ground at 100 m, down to level 10; what the tile north of the place shows is red at all levels."""
    north = tile_from_lonlat(10, longitude, latitude).neighbour(0, -1)
    assert north is not None
    surfaces = []
    for level in range(11):
        middle = tile_from_lonlat(level, longitude, latitude)
        for tile in {middle.neighbour(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} - {None}:
            assert tile is not None
            surface = painted(tile, (120, 120, 120))
            if north.ancestor(level) == tile:
                size = 256 >> 10 - level
                left, top = (north.x - (tile.x << 10 - level)) * size, (north.y - (tile.y << 10 - level)) * size
                surface.colour[top : top + size, left : left + size] = (200, 20, 20)
            surfaces.append(surface)
    return surfaces


@given(st.floats(-90, 90), st.floats(5, 120))
def test_the_middle_of_the_picture_looks_along_the_pitch(pitch: float, fov: float) -> None:
    lens = Lens(8, 6, fov)
    rays = lens.rays(pitch)
    vectors = np.stack([np.sin(rays.azimuth), np.cos(rays.azimuth), rays.slope.astype(np.float64)]) / np.hypot(1, rays.slope)
    forward = np.array([0.0, math.cos(math.radians(pitch)), math.sin(math.radians(pitch))])
    middle = vectors.sum(axis=1)
    assert np.allclose(middle / np.linalg.norm(middle), forward, atol=1e-3)
    corner = math.degrees(math.acos(min(float((vectors.T @ forward).min()), 1.0)))
    assert corner < math.degrees(math.atan(math.tan(math.radians(fov / 2)) * math.hypot(1, 8 / 6)))


@pytest.mark.parametrize(("heading", "side"), [(0.0, "top"), (90.0, "left"), (180.0, "bottom"), (270.0, "right")])
def test_straight_down_the_heading_is_at_the_top(heading: float, side: str) -> None:
    middle = TileId(10, 533, 363)
    column, row = (middle.x + 0.5) / 1024, (middle.y + 0.5) / 1024
    longitude, latitude = 360 * column - 180, math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row))))
    lens = Lens(96, 96, 60.0)
    ground = flat_ground(longitude, latitude)
    view = np.asarray(oblique_picture(ground, Eye(longitude, latitude, 40_000.0, heading, -90.0), lens)).astype(int)
    red = view[..., 0] - view[..., 1] > 40
    parts = {"top": red[:15, 48], "bottom": red[-15:, 48], "left": red[48, :15], "right": red[48, -15:]}
    assert parts[side].all() and not any(part.any() for name, part in parts.items() if name != side)
    assert not red[44:52, 44:52].any()


def test_there_are_no_holes_at_any_pitch_or_height() -> None:
    ground = flat_ground(7.66, 45.98)
    for height, pitches in ((0.0, (-20.0, 90.0)), (5000.0, (-90.0, -5.0)), (400_000.0, (-25.0,))):
        for pitch in pitches:
            view = np.asarray(oblique_picture(ground, Eye(7.66, 45.98, height, 30.0, pitch), SMALL)).astype(int)
            assert np.ptp(view, axis=2).max() < 250 and view.max() > 0
            flat_rows = np.abs(np.diff(view.sum(axis=2), axis=1)).max()
            assert flat_rows < 400, "neighbouring pixels of smooth ground and sky differ little"


def test_the_sky_is_blue_above_bright_at_the_horizon_and_red_at_dusk() -> None:
    away = np.zeros(1, np.float32)
    noon, dusk = Sky(0.0, NOON, Air()), Sky(0.0, Sun(180.0, 2.0), Air())
    zenith, horizon = (noon.light(np.full(1, elevation, np.float32), away)[0] for elevation in (1.5, 0.02))
    assert zenith[2] > 2 * zenith[0] and horizon.sum() > zenith.sum()
    assert np.ptp(horizon) / horizon.max() < np.ptp(zenith) / zenith.max()
    low = dusk.light(np.full(1, 0.02, np.float32), np.ones(1, np.float32))[0]
    assert low[0] > low[2]
    assert Air().sunlight(0.0, 2.0)[0] > 3 * Air().sunlight(0.0, 2.0)[2]
    assert noon.irradiance.sum() > dusk.irradiance.sum() > 0


@given(st.floats(0, 500_000), st.floats(1, 90), st.floats(1000, 300_000))
def test_light_is_finite_and_never_negative(height: float, altitude: float, visibility: float) -> None:
    sky = Sky(height, Sun(0.0, altitude), Air(visibility))
    light = sky.light(np.linspace(-1.6, 1.6, 50, dtype=np.float32), np.linspace(-1, 1, 50, dtype=np.float32))
    assert np.isfinite(light).all() and (light >= 0).all()
    passing = Air(visibility).transmittance(
        np.geomspace(1, 1e6, 20).astype(np.float32), height, np.linspace(-500, 9000, 20, dtype=np.float32)
    )
    assert np.isfinite(passing).all() and (passing >= 0).all() and (passing <= 1).all()


def test_haze_takes_distant_ground_into_the_colour_of_the_horizon() -> None:
    ground, eye = flat_ground(7.66, 45.98), Eye(7.66, 45.98, 2000.0, 0.0, -5.0)
    contrast = []
    for visibility in (10_000.0, 200_000.0):
        view = np.asarray(oblique_picture(ground, eye, SMALL, Weather(NOON, Air(visibility)))).astype(int)
        contrast.append(int(np.abs(view[25].mean(axis=0) - view[60].mean(axis=0)).sum()))
    assert contrast[0] < contrast[1]


def test_water_mirrors_the_sky_at_a_grazing_angle_and_the_sun_where_it_stands() -> None:
    sun = np.array([0.0, math.cos(0.5), math.sin(0.5)], np.float32)
    sky = Sky(100.0, Sun(0.0, math.degrees(0.5)), Air())
    grazing, steep, glint = (np.array([[0.0, math.cos(a), -math.sin(a)]], np.float32) for a in (0.01, 1.5, 0.5))
    white = np.ones(3, np.float32)
    (_, passing_grazing), (_, passing_steep) = mirrored(grazing, sun, white, sky), mirrored(steep, sun, white, sky)
    assert passing_grazing[0, 0] < 0.5 < 0.95 < passing_steep[0, 0]
    aside = np.array([[math.cos(0.5), 0.0, -math.sin(0.5)]], np.float32)
    assert mirrored(glint, sun, white, sky)[0].sum() > 5 * mirrored(aside, sun, white, sky)[0].sum()


def test_a_scene_is_as_fine_as_asked_for_and_holds_parents_first() -> None:
    asked: list[TileId] = []

    def field(tile: TileId) -> Field:
        asked.append(tile)
        return field_of(tile, 1, lambda columns, rows: np.full(columns.shape, 64 * 100))

    eye = Eye(7.66, 45.98, 20_000.0, 0.0, -90.0)
    surfaces = Scene(field, target_pixels=16.0).look(eye, SMALL)
    assert len(asked) == len(set(asked)) and {surface.tile for surface in surfaces} == set(asked)
    assert all(tile.z == 0 or tile.parent in asked[:index] for index, tile in enumerate(asked))
    below = max((surface.tile for surface in surfaces if surface.tile == tile_from_lonlat(surface.tile.z, 7.66, 45.98)), key=lambda t: t.z)
    assert geometric_error(below) * SMALL.texels / 19_900 <= 16.0 < 2 * geometric_error(below) * SMALL.texels / 19_900


def test_a_surface_has_a_vertex_on_every_corner_of_a_pixel() -> None:
    field = field_of(TileId(9, 266, 181), 1, rough)
    surface = surface_of(field)
    assert surface.heights.shape == (257, 257)
    elevation = field.channel("elevation").astype(float) / 64 * (2 * field.channel("land") > 255)
    assert surface.heights[3, 5] == pytest.approx(elevation[3:5, 5:7].mean(), abs=1.0)


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terraloom_engines.cli", "view", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


def test_a_view_of_a_place_is_written_and_told(tmp_path: Path) -> None:
    options = ["--height", "300000", "--pitch", "-40", "--size", "160x90", "--detail", "32"]
    result = run("alps", *options, "--json", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert (answer["file"], answer["height"], answer["pitch"]) == ("alps-view.png", 300_000.0, -40.0)
    picture = np.asarray(Image.open(tmp_path / "alps-view.png")).astype(int)
    assert picture.shape == (90, 160, 3) and picture.std() > 10


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--pitch", "-91"], "--pitch -91 is out of range: allowed are -90 to 90"),
        (["--fov", "0"], "--fov 0 is out of range: allowed are 5 to 120"),
        (["--fov", "nan"], "--fov nan is out of range"),
        (["--height", "inf"], "--height inf is out of range: allowed are -500 to 1e+06"),
        (["--sun-elevation", "-5"], "--sun-elevation -5 is out of range: allowed are 1 to 90"),
        (["--visibility", "0"], "--visibility 0 is out of range"),
        (["--detail", "0.1"], "--detail 0.1 is out of range: allowed are 2 to 64"),
        (["--heading", "inf"], "finite numbers of degrees"),
        (["--height", "5", "--above-ground", "5"], "give one of them"),
        (["--size", "0x10"], "allowed are 1 to 8192"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["terraloom", "view", "alps", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and complaint in said.err and said.err.count("\n") == 1
