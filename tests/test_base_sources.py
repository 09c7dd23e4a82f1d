"""What the base of Earth is made from: heights moved to where they belong, and relief that is right on other land than was learnt from."""

import numpy as np
import pytest

ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed: the training extra is tested where it is")

from terraloom_engines.training.rasters import globe_sources  # noqa: E402
from terraloom_engines.training.registration import OFFSETS, moved_by, registered  # noqa: E402


def rough_globe(rows: int = 180, columns: int = 360) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal((rows, columns)).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(noise, 1.5, mode=("nearest", "wrap")) * 1500 + 600, np.float32)


def test_every_source_of_heights_is_moved_to_its_own_place() -> None:
    truth = rough_globe()
    land = np.ones(truth.shape, bool)
    land[:, :40] = False
    misplaced = np.concatenate(
        [moved_by(truth, (-south, -east))[:, number * 90 : (number + 1) * 90] for number, (south, east) in enumerate(OFFSETS)], axis=1
    )
    placed = registered(misplaced, truth, land)
    for number in range(1, len(OFFSETS)):
        inside = np.s_[20:-20, number * 90 + 20 : (number + 1) * 90 - 20]
        before, after = (np.abs(heights - truth)[inside].mean() for heights in (misplaced, placed))
        assert after < 0.1 * before, f"source {OFFSETS[number]}: {before:.0f} m off before, {after:.0f} m after"
    inside = np.s_[20:-20, 45:70]
    np.testing.assert_allclose(placed[inside], truth[inside], atol=1)


def test_no_height_of_the_grid_compared_with_comes_into_the_result() -> None:
    source, land = rough_globe(), np.ones((180, 360), bool)
    np.testing.assert_array_equal(registered(source, 2 * source + 100, land), source)


def test_relief_learnt_from_counts_in_what_is_finer_than_the_data() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: the training extra is tested where it is")
    from terraloom_engines.training.relief_prior import MEASURED, target

    inside = np.arange(max(MEASURED) + 1)
    whole = np.exp2(target({"sub_sd": inside}))
    assert (np.diff(whole) > 0).all()
    assert (whole > inside).all()
    share = 1 - (inside[1:] / whole[1:]) ** 2  # of the variance: more on plains than in mountains
    assert 0.5 < share[1] < 0.7
    assert 0.15 < share[500] < 0.3


def test_relief_of_a_pixel_is_less_than_of_a_larger_cell_and_of_one_size_where_they_are() -> None:
    for module in ("torch", "sklearn"):
        pytest.importorskip(module, reason=f"{module} is not installed: the training extra is tested where it is")
    from terraloom_engines.training.base_grid import GROWTH, MISSED, SIDE, inside_pixels

    octaves = inside_pixels(np.full((2160, 4320), 5.0, np.float32))[:, 0]
    assert octaves[SIDE // 2] == pytest.approx(5.0 + MISSED + GROWTH * np.log2(9784 / 9276), abs=1e-3)
    assert (np.diff(octaves[SIDE // 2 :]) <= 0).all()
    at_60 = octaves[np.abs(np.arange(SIDE) - 1187).argmin()]  # a pixel of 4.9 km in a cell of 9.3 by 4.6 km
    assert at_60 == pytest.approx(5.0 + MISSED + GROWTH * np.log2(9784 * 0.5 / (9276 * np.sqrt(0.625))), abs=0.01)


def test_the_globe_teaches_colour_on_square_pixels() -> None:
    """Noise that is as wide as it is high on the ground stays so: its west-east differences are as large as its north-south ones."""
    rows = slice(300, 556)
    narrow = np.cos(np.radians(90 - (300 + 128) / 12))
    noise = np.random.default_rng(6).standard_normal((256, 4320))
    light = ndimage.gaussian_filter(noise, (1.5, 1.5 / narrow))
    colour = np.zeros((2160, 4320, 3), np.uint8)
    colour[rows] = np.clip(100 + 15 * light / light.std(), 1, 255)[..., None]
    land = np.zeros((2160, 4320), np.uint8)
    land[rows] = 255
    nothing = np.zeros((2160, 4320), np.float32)
    finest = [s.level for s in globe_sources({"rgb": colour, "land255": land, "elev": nothing, "sub_sd": nothing}) if s.level.gsd < 9500]
    whole = [level for level in finest if level.valid.all()]
    assert len(whole) > 5 and all(level.mean.shape == (3, 256, 256) for level in whole)
    south, east = (np.mean([np.diff(level.mean[0], axis=axis).var() for level in whole]) for axis in (0, 1))
    assert 0.9 < east / south < 1.1, "0.55 were cells taken as square"
