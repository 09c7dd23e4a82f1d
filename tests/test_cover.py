"""Ground has the texture of what grows on it: how much, at which scale, and that it comes out at the end of the chain."""

import numpy as np
import pytest

from conformance import BUNDLE
from terraloom_engines import cover
from terraloom_engines.field import COLOUR_UNIT, LOG_UNIT
from terraloom_engines.tiling import tile_from_lonlat
from terraloom_engines.world import World, open_base, open_world

FOREST, GRASS, SAND, SNOW = (50, 66, 46), (99, 93, 70), (196, 162, 118), (240, 242, 243)


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("earth", threads=2)


def least(colour: tuple[int, int, int], gsd: float) -> float:
    """The least texture of even ground of a colour, as a share of its light."""
    stored = np.full((4, 3, 1, 1), 0, np.int32) + np.array(colour, np.int32)[:, None, None] * 64
    light = stored.sum(axis=1) // 3
    found = cover.least_texture(stored, light, cover.grain(np.array([gsd], np.float32)))
    return float(found[0, 0, 0] / (light[0, 0, 0] * COLOUR_UNIT))


def test_trees_are_rougher_than_grass_and_both_than_snow() -> None:
    forest, grass, sand, snow = (least(colour, 8.0) for colour in (FOREST, GRASS, SAND, SNOW))
    assert forest > 1.8 * grass > 1.8 * 3 * snow and sand > 2 * snow
    assert 0.2 < forest < 0.35, "crowns and what is between them"


def test_crowns_average_out_in_wide_pixels_and_are_parted_in_fine_ones() -> None:
    shares = [least(FOREST, gsd) for gsd in (0.5, 2.0, 8.0, 20.0, 40.0)]
    assert shares[0] < shares[1] < shares[2] > shares[3] > shares[4]
    assert least(FOREST, 65.0) == 0
    assert shares[4] < 0.04, "the 4 % that forests of satellite scenes have inside 40 m are not exceeded"


def test_forest_is_told_from_meadow_by_darkness_and_from_soil_by_hue() -> None:
    def share(red: int, green: int, light: int) -> float:
        return float(cover.canopy(*(np.array([value * 64], np.int32) for value in (red, green, light)))[0])

    assert share(50, 66, 54) == 1
    assert share(88, 104, 98) == 0, "a meadow"
    assert share(70, 62, 58) == 0, "dark soil"
    assert 0 < share(64, 65, 60) < 1


def test_forest_has_crowns_at_a_metre_and_none_at_a_kilometre(world: World) -> None:
    def variation(level: int) -> float:
        """Of the light of two by two pixels, in that light."""
        light = world.field(tile_from_lonlat(level, 22.0, -1.0)).crop(0).imagery.mean(axis=0) * COLOUR_UNIT
        blocks = light.reshape(128, 2, 128, 2).swapaxes(1, 2)
        return float(np.sqrt(blocks.var(axis=(2, 3)).mean()) / light.mean())

    fine, coarse = variation(17), variation(9)
    assert fine > 0.08, "rain forest at 1.2 m per pixel"
    assert fine > 0.7 * coarse


def test_no_pixel_is_smoother_than_its_cover(world: World) -> None:
    field = world.field(tile_from_lonlat(16, 10.0, 52.0)).crop(0)
    colours = np.stack([field.imagery] * 4).astype(np.int32)
    light = colours.sum(axis=1) // 3
    grains = cover.grain(np.full(light.shape[1], 156543.03 * np.cos(np.radians(52.0)) / 2**16, np.float32))
    floor = cover.least_texture(colours, light, grains)[0]
    bright = (light[0] > 30 / COLOUR_UNIT) & (light[0] < 170 / COLOUR_UNIT)
    assert bright.mean() > 0.5
    assert (np.exp2(field.channel("texture") * LOG_UNIT)[bright] > 0.98 * floor[bright]).all()


@pytest.mark.parametrize("name", ["earth", "planet:7", "plane:42"])
def test_bases_know_how_varied_land_is(name: str) -> None:
    base = open_base(name, BUNDLE)
    lights, shares = [], []
    for tile in [tile_from_lonlat(4, lon, lat) for lon in (-100.0, -60.0, 20.0, 100.0) for lat in (-20.0, 5.0, 45.0)]:
        field = base.field(tile, 0)
        land = field.channel("land") == 255
        light = (field.imagery.mean(axis=0) * COLOUR_UNIT)[land]
        lights.append(light)
        shares.append(np.exp2(field.channel("texture")[land] * LOG_UNIT) / light)
    light, share = np.concatenate(lights), np.concatenate(shares)
    dark, white = (light > 55) & (light < 100), light > 225
    assert dark.sum() > 1000
    assert 0.12 < np.median(share[dark]) < 0.35, "farmland, woods and steppe: scenes have 0.2 to 0.5"
    assert white.sum() < 100 or np.median(share[white]) < 0.08, "ice is even"
