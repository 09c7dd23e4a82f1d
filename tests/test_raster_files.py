"""What raster files mean by their numbers and places: read, placed and resampled, without a world made of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from terraloom.errors import InvalidArgumentError
from terraloom_engines.rasters.creation import _tell_level
from terraloom_engines.rasters.placement import Placement, place
from terraloom_engines.rasters.source import Layer, opened
from terraloom_engines.rasters.units import heights_of, metres_per_unit
from terraloom_engines.rasters.warped import Warped, warp

rasterio = pytest.importorskip("rasterio", reason="worlds of rasters need rasterio: pip install 'terraloom[raster]'")

PIXEL = 0.003
"""Degrees along a side of the pixels, 330 m."""


def quiet(*_: object) -> None:
    """Reports nothing."""


def write(path: Path, bands: np.ndarray, west: float = 10.0, north: float = 1.0, **changes: object) -> Path:
    """A GeoTIFF of (bands, rows, columns)."""
    transform = rasterio.Affine(PIXEL, 0, west, 0, -PIXEL, north)
    profile = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype, "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **{"transform": transform, "driver": "GTiff"} | profile | changes) as file:
        file.write(bands)
    return path


def slope(columns: int = 200, rows: int = 60) -> np.ndarray:
    """Heights that rise by a metre per column, from 500 m on."""
    return np.repeat(500 + np.arange(columns, dtype=np.float32)[None], rows, axis=0)[None]


def read(path: Path, layer: Layer = "elevation") -> tuple[Placement, Warped]:
    """A file on the pixels of its level."""
    with opened(path, layer) as source:
        placement = place([source])
        return placement, warp(source, placement, path.parent, 1.0, 0.0, quiet)


def known(path: Path, layer: Layer = "elevation") -> np.ndarray:
    """Values of all pixels that are known, (bands, n)."""
    _, warped = read(path, layer)
    return warped.values[:, warped.valid]


@pytest.mark.parametrize("west", [179.7, -180.3, 190.0, 400.0])
def test_columns_past_the_antimeridian_are_read(tmp_path: Path, west: float) -> None:
    here = known(write(tmp_path / "here.tif", slope(), west=-20.3))
    there = known(write(tmp_path / "there.tif", slope(), west=west))
    assert abs(there.shape[1] / here.shape[1] - 1) < 0.01
    assert there.min() < 501 and there.max() > 698


def test_columns_past_the_edge_of_mercator_are_read(tmp_path: Path) -> None:
    metres = {"crs": "EPSG:3857", "transform": rasterio.Affine(330, 0, 20037508 - 33000, 0, -330, 100_000)}
    found = known(write(tmp_path / "a.tif", slope(), **metres))
    assert found.min() < 501 and found.max() > 698


def test_a_grid_from_0_to_360_degrees_goes_all_the_way_round(tmp_path: Path) -> None:
    columns = 1 << 15
    around = {"transform": rasterio.Affine(360 / columns, 0, 0, 0, -360 / columns, 0.2)}
    placement, warped = read(write(tmp_path / "a.tif", slope(columns, 30) / 10, **around))
    assert placement.columns == 128 and warped.valid.any(axis=0).all()


def test_a_raster_of_all_longitudes_keeps_its_east(tmp_path: Path) -> None:
    around = {"transform": rasterio.Affine(0.01, 0, -180, 0, -0.01, 1)}
    with opened(write(tmp_path / "a.tif", slope(36_000, 20) / 10, **around), "elevation") as source:
        placement = place([source])
    assert (placement.column, placement.columns) == (0, 1 << placement.level)


def test_a_raster_beyond_the_map_reaches_its_rim(tmp_path: Path) -> None:
    tall = {"transform": rasterio.Affine(0.01, 0, 10, 0, -0.01, 89.9)}
    with opened(write(tmp_path / "a.tif", slope(40, 3000), **tall), "elevation") as source:
        assert place([source]).row == 0


@pytest.mark.parametrize("coarser", [1, 3], ids=["resampled", "averaged"])
def test_scattered_pixels_of_minus_9999_are_refused(tmp_path: Path, coarser: int) -> None:
    heights = slope(300, 300)
    heights[0, 7::20, 5::20] = -9999
    path = write(tmp_path / "a.tif", heights, transform=rasterio.Affine(PIXEL / coarser, 0, 10, 0, -PIXEL, 1))
    with pytest.raises(InvalidArgumentError, match="is -9999 where it seems to know nothing"):
        read(path)
    with rasterio.open(path, "r+") as file:
        file.nodata = -9999
    assert known(path).min() > 400


def test_a_trench_may_be_9999_metres_deep(tmp_path: Path) -> None:
    trench = np.repeat(-9990 - np.arange(60, dtype=np.int16)[:, None] // 3, 100, axis=1)[None]
    assert known(write(tmp_path / "a.tif", trench)).min() < -10_000


def test_the_scale_and_offset_of_a_band_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", (slope() * 10).astype(np.int16))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (100.0,)
    found = known(path)
    assert (found.min(), found.max()) == pytest.approx((600, 799), abs=1)


@pytest.mark.parametrize(
    ("unit", "crs", "metres"),
    [
        ("ft", "EPSG:4326", 0.3048),
        ("US survey foot", "EPSG:4326", 0.3048006),
        ("m", "EPSG:4326", 1.0),
        (None, "EPSG:4326", 1.0),
        (None, "EPSG:32633+6360", 0.3048006),
        (None, "EPSG:32633+5773", 1.0),
        ("furlong", "EPSG:4326", 1.0),
    ],
)
def test_the_unit_of_heights_is_the_one_that_the_file_names(unit: str | None, crs: str, metres: float) -> None:
    dataset = SimpleNamespace(scales=(1.0,), offsets=(0.0,), units=(unit,), crs=rasterio.crs.CRS.from_user_input(crs))
    told: list[str] = []
    assert metres_per_unit(heights_of(dataset), told.append) == pytest.approx(metres)
    assert bool(told) == (metres != 1.0 or unit == "furlong")


def test_feet_are_read_from_a_file(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a.tif", slope(), crs="EPSG:4326+6360"), "elevation") as source:
        assert source.heights.metres == pytest.approx(0.3048006)


@pytest.mark.parametrize("order", ["red green blue", "blue green red", "alpha red green blue", "undefined undefined undefined"])
def test_bands_of_colour_are_known_by_their_names(tmp_path: Path, order: str) -> None:
    names, value = order.split(), {"red": 10, "green": 20, "blue": 30, "alpha": 255}
    values = [value.get(name, 10 * band) for band, name in enumerate(names, start=1)]
    path = write(tmp_path / "a.tif", np.stack([np.full((60, 70), number, np.uint8) for number in values]))
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp[name] for name in names]
    assert np.median(known(path, "imagery"), axis=1).tolist() == [10, 20, 30]


@pytest.mark.parametrize(("metres", "notes"), [(1, 1), (330, 0)])
def test_imagery_that_is_much_finer_than_the_elevation_is_told(tmp_path: Path, metres: float, notes: int) -> None:
    colours = np.zeros((3, 50, 50), np.uint8)
    fine = write(tmp_path / "b.tif", colours, transform=rasterio.Affine(PIXEL * metres / 330, 0, 10, 0, -PIXEL * metres / 330, 1))
    told: list[str] = []
    with opened(write(tmp_path / "a.tif", slope()), "elevation") as ground, opened(fine, "imagery") as colour:
        _tell_level([ground, colour], place([ground, colour]), told.append)
    assert len(told) == notes and ("level 9" in told[0] if told else True)


def test_colours_of_nodata_are_not_seen_at_the_rim_of_a_hole(tmp_path: Path) -> None:
    colours = np.full((3, 300, 300), 130, np.uint8)
    colours[:, 100:200, 100:200] = 0
    metres = {"crs": "EPSG:32632", "transform": rasterio.Affine(30, 0, 400_000, 0, -30, 5_100_000)}
    found = known(write(tmp_path / "a.tif", colours, nodata=0, **metres), "imagery")
    assert found.min() > 120
