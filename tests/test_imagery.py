"""The rules round the imagery network: room before black and white, hues in light and shade."""

import numpy as np

from terraloom_engines.imagery import HAZE, HEADROOM, NEAREST, WHITE, brightness_shares, room
from terraloom_engines.tiling import tile_from_lonlat
from terraloom_engines.world import World, open_world


def test_colours_keep_away_from_white_by_their_spread_and_never_get_there() -> None:
    spread = np.full(3, 1000, np.float32)
    distance = np.array([4000, 1100, 40], np.int32)
    np.testing.assert_allclose(room(distance, spread * np.float32(HEADROOM)), [3200, 300, 40 * NEAREST])
    assert (room(distance, spread) < distance).all()


def test_a_change_of_light_keeps_the_mean_of_the_channels_and_their_order() -> None:
    bands = np.array([3000, 1500, 0], np.int32)[:, None, None]
    shares = brightness_shares(bands)
    np.testing.assert_allclose(shares.sum(axis=0), 3, rtol=1e-6)
    brighter = bands + 600 * shares
    np.testing.assert_allclose((brighter + HAZE) / (bands + HAZE), np.full((3, 1, 1), 1 + 600 * 3 / (4500 + 3 * HAZE)), rtol=1e-5)


def test_snow_has_no_saturated_plates() -> None:
    world: World = open_world("earth")
    field = world.field(tile_from_lonlat(9, 86.5, 28.0)).crop(0)
    saturated = (field.imagery >= WHITE - 16).all(axis=0)
    assert field.imagery.max() > 0.8 * WHITE, "there is snow"
    assert saturated.mean() < 0.001


def test_forest_without_any_red_or_blue_is_no_plate() -> None:
    world: World = open_world("earth")
    colours = world.field(tile_from_lonlat(7, -63.2, -3.9)).crop(0).imagery
    blocks = colours.reshape(3, 128, 2, 128, 2)
    flat = (np.ptp(blocks, axis=(2, 4)) == 0).all(axis=0)
    assert (colours.min(axis=0) == 0).any(), "there is a band that has gone out"
    assert flat.mean() < 0.0005
