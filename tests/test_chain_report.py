"""The realism report knows planes, plain answers, which pictures are real, and what the first version was."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from benchmarks import chain, colours, first, morphometry, realism, sheets

from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.field import COLOUR_UNIT
from terraloom_engines.training.pyramid import Level, coarser


def reaches_back() -> bool:
    """Whether the history that lies here has the first bundle: shallow clones and archives have not."""
    try:
        first.file_of_first("manifest.json")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


needs_history = pytest.mark.skipif(not reaches_back(), reason="the history does not reach back to the first bundle")


def test_a_plane_has_its_slope_and_three_quarters_of_its_variance_between_children() -> None:
    y, x = np.mgrid[:64, :64].astype(float)
    height, inside = 3 * x + 4 * y, np.full((64, 64), 5 / 12**0.5)  # 0.5 m/m at 10 m
    found = chain.figures(height, inside, np.ones((64, 64), bool), 10.0)
    assert found["slope_median"] == pytest.approx(np.degrees(np.arctan(0.5)))
    assert found["slope_p95"] == pytest.approx(found["slope_median"])
    assert found["share_between_children"] == pytest.approx(0.75)


def test_water_is_no_part_of_the_slopes() -> None:
    _, x = np.mgrid[:64, :64].astype(float)
    height, land = np.where(x < 32, 0, 10 * (x - 31)), np.mgrid[:64, :64][1] >= 34
    found = chain.figures(height, np.ones((64, 64)), land, 10.0)
    assert found["slope_median"] == pytest.approx(45)


def test_levels_are_laid_beside_real_land_of_the_nearest_pixels() -> None:
    made = {"z9": {"metres": 200.0, "slope_median": 8.0}, "z10": {"metres": 100.0, "slope_median": 12.0}}
    truth = [{"metres": 90.0, "slope_median": 10.0}, {"metres": 20.0, "slope_median": 20.0}]
    assert chain.beside(made, truth) == {"90 m (z10)": {"slope_median": 1.2}}  # nothing stands near 20 m
    row = {"slope_median": 0.5, "share_between_children": -0.1}
    other = {"slope_median": 2.0, "share_between_children": 0.1}
    figures = {"here": {maker: {"beside real": {"a": row, "b": other}} for maker in ("v0", "shipped")}}
    assert chain.summary(figures)["shipped"] == {"slope_median, factor": 2.0, "share_between_children, deviation": 0.1}


def test_aims_name_the_regions_beyond_them() -> None:
    statistics = ("geomorphons", "slope_degrees", "curvature", "psd_slope")
    near, far = dict.fromkeys(statistics, 1.0), dict.fromkeys(statistics, 1.0) | {"curvature": 3.0}
    figures = {
        name: {"floor": dict.fromkeys(statistics, 1.0), "lattice of real land": {}, "net": net}
        for name, net in (("hills", near), ("alps", far))
    }
    lines = realism.aims(figures, realism.summary(figures))
    assert [("missed" in line, "alps 3.00" in line, "hills" in line) for line in lines] == [
        (False, False, False), (False, False, False), (True, True, False), (False, False, False),
    ]  # fmt: skip


def test_pairs_show_the_real_picture_where_the_key_says() -> None:
    grey = [np.full((200, 200), value, np.uint8) for value in (200, 50)]
    picture, key = sheets.pairs({f"place {i}": (grey[0], grey[1]) for i in range(8)}, seed=7)
    assert {entry.split()[1] for entry in key} == {"left", "right"}
    for i, entry in enumerate(key):
        left, top = i % 2 * (2 * (sheets.SIDE + sheets.GAP) + sheets.GAP), i // 2 * (sheets.SIDE + sheets.TITLE + sheets.GAP)
        shown = picture.getpixel((left + 50, top + sheets.TITLE + 50))
        assert shown == ((200, 200, 200) if "left" in entry else (50, 50, 50))


def scene(side: int) -> Level:
    """A scene of clouds whose pixels are even inside."""
    rng = np.random.default_rng(2)
    values = 90 + 25 * rng.standard_normal((3, side // 8, side // 8))
    return Level(
        np.kron(values, np.ones((8, 8))).astype(np.float32), np.full((side, side), 1.0, np.float32), np.ones((side, side), bool), 30.0
    )


def coarse_scene() -> Level:
    """The same, 4 times coarser, twice 8 pixels wide."""
    return coarser(coarser(scene(64)))


@needs_history
def test_painted_scenes_keep_the_colour_they_were_made_from() -> None:
    colour = coarse_scene()
    image, height = colours.maker(*realism.stages_of([])["shipped"][:2])(colour, colours.even_ground(colour), 4)
    assert image.shape == (3, 64, 64)
    means = image.reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(means, np.rint(colour.mean / COLOUR_UNIT) * COLOUR_UNIT, atol=1e-9)
    assert image.std(axis=(1, 2)).min() > colour.mean.std(axis=(1, 2)).min()
    np.testing.assert_allclose(height.reshape(16, 4, 16, 4).mean(axis=(1, 3)), 100, atol=1e-9)


def test_the_plain_answer_has_the_spread_that_coarse_pixels_hold() -> None:
    colour = coarse_scene()
    even = Level(np.full_like(colour.mean, 120), np.full_like(colour.spread, 9), colour.valid, colour.gsd)
    image, _ = colours.plain(even, colours.even_ground(even), 4, np.random.default_rng(1))
    assert image.std() == pytest.approx(9, rel=0.05)
    assert np.ptp(image, axis=0).max() == pytest.approx(0, abs=1e-9), "grey noise on grey"


def test_land_of_the_plain_answer_has_the_slope_of_real_spectra() -> None:
    even = Level(np.zeros((1, 16, 16), np.float32), np.full((16, 16), 20, np.float32), np.ones((16, 16), bool), 480.0)
    assert morphometry.spectral_slope(realism.fractal(even, 16, np.random.default_rng(1))) == pytest.approx(realism.SLOPE, abs=0.3)


@needs_history
def test_named_networks_of_one_file_name_are_judged_apart_and_with_the_kinks_asked_for(tmp_path: Path) -> None:
    graph, files = Bundle.open(embedded_bundles()["earth"]).model("geometry"), [tmp_path / name / "geometry.onnx" for name in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(graph)
    stages = realism.stages_of(files, kinks=0.25)
    named = [name for name in stages if name != "v0"]
    assert [name.rsplit("/", 2)[1:] for name in named] == [["a", "geometry"], ["b", "geometry"]]
    assert {stages[name].lifting.spec.kinks for name in named} == {0.25}
    assert "shipped" not in stages


@needs_history
def test_the_first_version_knows_nothing_of_what_came_later() -> None:
    stages = first.first_stages()
    assert [stage.spec.kinks for stage in (stages.lifting, stages.imagery)] == [0, 0]
    assert stages.imagery.spec.guidance == 0
    assert stages.imagery.spec.spread_mean == -0.86
    assert stages.lifting.finest_told > 20
