"""The relief inside the cells of the base, predicted from data that may be shipped.

The measured spread inside 9 km cells comes from a grid that may be learnt from but not shipped. So boosted trees learn it from ETOPO5 (in
its place, see `registration`), the land mask, the climate class, Blue Marble and Natural Earth II, whose painted shading of 5 km shows
where land is rough, and only their prediction goes into the base.

    python -m terraloom_engines.training.relief_prior --data DATA --out PRIOR.npz
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingRegressor

from terraloom_engines.tiling import MAX_LATITUDE
from terraloom_engines.training.rasters import data_folder, load_pack
from terraloom_engines.training.registration import registered

MEASURED = (0, 1, 2, 3, 5, 7, 11, 16, 26, 40, 65, 104, 164, 250, 400, 900)
WHOLE = (0.9, 1.7, 2.9, 4.2, 6.3, 9.0, 13.8, 20.1, 31.0, 49.0, 80.0, 127.0, 195.0, 290.0, 456.0, 1000.0)
"""Spread of 2.4 km means inside a cell in the data, and the median of the whole spread where it is known: 19,761 cells of SRTM of all
continents, down to 185 m or 93 m."""
TEACHERS = 500_000
"""Cells that are learnt from, drawn by area."""
TREES = {
    "max_iter": 300, "max_leaf_nodes": 95, "learning_rate": 0.1, "min_samples_leaf": 100, "l2_regularization": 5.0, "max_features": 0.4,
    "max_bins": 127, "early_stopping": False, "random_state": 0,
}  # fmt: skip
HELD_OUT = 120, 6
"""Columns of a strip, and how many strips there are to one that is held out to tell the error."""
FAR_FROM_LAND = 5.0
"""log2 metres of relief where no land is near: nobody sees it."""
Raster = NDArray[np.float32]
SMOOTH = ("nearest", "wrap")


@dataclass(frozen=True)
class Prior:
    """Per cell (2160, 4320): its height in metres, and log2 of the likely spread inside it in metres."""

    height: Raster
    relief: Raster

    def save(self, path: Path) -> None:
        """Write it as an archive of arrays."""
        np.savez(path, height=self.height, relief=self.relief)

    @classmethod
    def load(cls, path: Path) -> "Prior":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["height"], arrays["relief"])


def features(coarse: dict[str, Any], height: Raster, tint: Raster, wanted: NDArray[np.bool_]) -> Raster:
    """What heights, climate and pictures say of the `wanted` cells (N, F); `tint` (8192, 8192, 3) is that of `natural_earth`."""
    high = np.clip(height, -1000, 9000)
    rows = height_features(high) + shading_features(tint)
    wide = (rows[3], rows[5], rows[-1], rows[-9])
    rows += [ndimage.uniform_filter(row, size, mode=SMOOTH) for size in (3, 7) for row in wide]
    steps = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if (y, x) != (0, 0)]
    rows += [np.arcsinh((np.roll(high, step, (0, 1)) - high) / 50) for step in steps]
    colour, land = coarse["rgb"].astype(np.float32), (coarse["land255"] / 255).astype(np.float32)
    light = colour.mean(axis=-1)
    rows += [colour[..., band] for band in range(3)]
    rows += [np.log2(local_spread(light, 2 * size + 1) + 0.5) for size in (1, 3)]
    rows += [np.abs(np.linspace(90, -90, len(high), dtype=np.float32))[:, None] + 0 * high, land]
    rows += roughness_features(high)
    rows += [ndimage.gaussian_filter(colour[..., band], size, mode=SMOOTH) for band in range(3) for size in (2, 6)]
    texture = (light - ndimage.gaussian_filter(light, 1, mode=SMOOTH)) ** 2
    rows += [log_mean(texture, size, 0.3) for size in (1, 2, 5)]
    rows += [coarse["koppen"].astype(np.float32)] + [ndimage.gaussian_filter(land, size, mode=SMOOTH) for size in (3, 10)]
    return np.stack([row[wanted].astype(np.float32) for row in rows], axis=1)


def log_mean(squares: Raster, width: float, least: float) -> Raster:
    """log2 of the root of a Gaussian mean of squares, `least` added."""
    out: Raster = np.log2(np.sqrt(ndimage.gaussian_filter(squares, width, mode=SMOOTH)) + least)
    return out


def roughness_features(height: Raster) -> list[Raster]:
    """Log strength of gradient, curvature and departure from the neighbours, at several scales."""
    south, east = np.gradient(height)
    steepness = np.asarray(south**2 + east**2, np.float32)
    rows = [log_mean(steepness, width, 1) for width in (0.7, 1.5, 3, 8)]
    rows += [log_mean(ndimage.laplace(height) ** 2, width, 1) for width in (0.7, 1.5, 3, 8)]
    departure = (height - ndimage.gaussian_filter(height, 1, mode=SMOOTH)) ** 2
    return rows + [log_mean(departure, width, 1) for width in (1, 3, 8)]


def local_spread(values: Raster, size: int) -> Raster:
    """Standard deviation in a square of `size` cells."""
    mean = ndimage.uniform_filter(values, size, mode=SMOOTH)
    spread: Raster = np.sqrt(np.maximum(ndimage.uniform_filter(values**2, size, mode=SMOOTH) - mean**2, 0))
    return spread


def height_features(height: Raster) -> list[Raster]:
    """Height, and its log local spreads, departures and gradient at five scales."""
    rows = [height / 2000]
    for size in (3, 5, 9, 17, 33):
        rows.append(np.log2(local_spread(height, size) + 3) / 3 - 1.5)
        rows.append((height - ndimage.uniform_filter(height, size, mode=SMOOTH)) / 300)
    return [*rows, np.log2(ndimage.gaussian_gradient_magnitude(height, 1, mode=SMOOTH) + 2) / 3 - 1.5]


def shading_features(tint: Raster) -> list[Raster]:
    """Log strength of the shading at three scales, as high-passed light, gradient and curvature, and the tint itself, per cell."""
    light = tint.mean(axis=-1)
    gradient = (ndimage.sobel(light, 0) ** 2 + ndimage.sobel(light, 1) ** 2) / 64
    strengths = [(light - ndimage.gaussian_filter(light, 1.2)) ** 2, gradient, ndimage.laplace(light) ** 2]
    rows = [np.log2(np.sqrt(ndimage.gaussian_filter(strength, size)) + 0.3) / 2 for size in (5, 2, 0.8) for strength in strengths]
    rows += [ndimage.gaussian_filter(tint[..., band], 1) / 128 - 1 for band in range(3)]
    return [cells_of_square(row) for row in [*rows[9:], *rows[:9]]]


def quarters_of_cells(tint: Raster) -> Raster:
    """Natural Earth II (8192, 8192, 3) in the middle of each cell's four quarters: (4, 3, 2160, 4320), north-west, north-east, ..."""
    steps = [(south, east) for south in (-0.25, 0.25) for east in (-0.25, 0.25)]
    return np.stack([np.stack([cells_of_square(tint[..., band], *step) for band in range(3)]) for step in steps])


def cells_of_square(square: NDArray[Any], south: float = 0.0, east: float = 0.0) -> Raster:
    """A raster of the Mercator square, resampled to the cells (2160, 4320) at a place given in cells from their middles."""
    latitude = np.radians(np.clip(90 - (np.arange(2160) + 0.5 + south) / 12, -MAX_LATITUDE, MAX_LATITUDE))
    row = (1 - np.arcsinh(np.tan(latitude)) / np.pi) / 2 * len(square) - 0.5
    column = (np.arange(4320) + 0.5 + east) / 4320 * len(square) - 0.5
    grid = np.stack(np.meshgrid(row, column, indexing="ij")).astype(np.float32)
    cells: Raster = ndimage.map_coordinates(square.astype(np.float32), grid, order=1, mode="nearest")
    return cells


def natural_earth(data: Path) -> Raster:
    """Natural Earth II of the training folder: (8192, 8192, 3), 0..255."""
    with Image.open(data / "ne2_mercator_8192.webp") as picture:
        return np.asarray(picture.convert("RGB")).astype(np.float32)


def target(coarse: dict[str, Any]) -> Raster:
    """log2 of the spread inside a cell, with what is finer than the data."""
    measured = np.log(coarse["sub_sd"].astype(np.float32) + np.float32(0.5))
    octaves: Raster = np.interp(measured, np.log(np.array(MEASURED) + 0.5), np.log2(WHOLE)).astype(np.float32)
    return octaves


def predict(coarse: dict[str, Any], tint: Raster) -> Prior:
    """Learn on land and predict there and beside it; prints the error on strips of land that were held out before all land was learnt."""
    height = registered(coarse["etopo5"].astype(np.float32), coarse["elev"].astype(np.float32), coarse["land255"] > 200)
    near = ndimage.binary_dilation(coarse["land255"] > 0, np.ones((3, 3)), iterations=3)
    inputs, truth = features(coarse, height, tint, near), target(coarse)[near]
    latitude = np.broadcast_to(np.linspace(np.pi / 2, -np.pi / 2, len(near))[:, None], near.shape)[near]
    land = (coarse["land255"] > 200)[near] & (np.abs(latitude) < np.radians(83))
    strip, every = HELD_OUT
    held_out = np.broadcast_to(np.arange(near.shape[1]) // strip % every == 0, near.shape)[near]
    area = np.cos(latitude) * land
    judge = np.flatnonzero(land & held_out)[::7]
    error = learnt(inputs, truth, area * ~held_out).predict(inputs[judge]) - truth[judge]
    print(f"relief: held-out error {np.abs(error).mean():.3f} octaves, bias {error.mean():+.3f}", flush=True)
    relief = np.full(near.shape, FAR_FROM_LAND, np.float32)
    relief[near] = learnt(inputs, truth, area).predict(inputs)
    return Prior(height, relief)


def learnt(inputs: Raster, truth: Raster, weight: NDArray[np.float64]) -> HistGradientBoostingRegressor:
    """Trees that predict the mean of `truth`, learnt from `TEACHERS` cells drawn by weight."""
    picks = np.sort(np.random.default_rng(0).choice(len(truth), TEACHERS, replace=False, p=weight / weight.sum()))
    return HistGradientBoostingRegressor(**TREES).fit(inputs[picks], truth[picks])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=data_folder, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    predict(load_pack(given.data, "earth_coarse"), natural_earth(given.data)).save(given.out)


if __name__ == "__main__":
    main()
