"""The relief inside the cells of the base, predicted from data that may be shipped.

The measured spread inside 9 km cells comes from a grid that may be learnt from but not shipped. So a small network learns it from
ETOPO5, the land mask, the climate class, Blue Marble and Natural Earth II, whose painted shading of 5 km shows where land is rough, and
only its prediction goes into the base. What ETOPO5's blur took away between neighbouring cells is counted in, since the generator must
put it back.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import nn

from terraloom_engines.tiling import MAX_LATITUDE

FINER, FINER_ON_PLAINS, PLAINS = 1.3, 0.5, 25.0
"""Variance inside 9 km over that of 2.4 km means inside it: 1.3 (Alps, Everest, Rainier, Taiwan, New South Wales), and more where the
spread is not much above `PLAINS` metres (Ozarks 2.2, Texas 1.4)."""
LOST = 0.1
"""Share of ETOPO5's local error that is counted as relief still to come."""
Raster = NDArray[np.float32]


def features(coarse: dict[str, Any], tint: Raster) -> Raster:
    """Per cell (F, H, W): what heights, climate and pictures say; `tint` (8192, 8192, 3) is Natural Earth II on the Mercator square."""
    height = np.clip(coarse["etopo5"].astype(np.float32), -3000, 9000)
    rows = height_features(height) + shading_features(tint)
    wide = (rows[3], rows[5], rows[-1], rows[-9])
    rows += [ndimage.uniform_filter(row, size, mode=("nearest", "wrap")) for size in (3, 7) for row in wide]
    steps = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if (y, x) != (0, 0)]
    rows += [np.arcsinh((np.roll(height, step, (0, 1)) - height) / 50) / 3 for step in steps]
    colour = coarse["rgb"].astype(np.float32)
    light = colour.mean(axis=-1)
    rows += [colour[..., band] / 128 - 1 for band in range(3)]
    rows += [np.log2(local_spread(light, 2 * size + 1) + 0.5) / 3 for size in (1, 3)]
    rows += [
        np.abs(np.linspace(90, -90, height.shape[0], dtype=np.float32))[:, None] / 45 + 0 * height,
        coarse["land255"] / 255.0,
    ]
    rows += [(coarse["koppen"] == k).astype(np.float32) for k in range(1, 33)]
    return np.stack([row.astype(np.float16) for row in rows])


def local_spread(values: Raster, size: int) -> Raster:
    """Standard deviation in a square of `size` cells."""
    mean = ndimage.uniform_filter(values, size, mode=("nearest", "wrap"))
    spread: Raster = np.sqrt(np.maximum(ndimage.uniform_filter(values**2, size, mode=("nearest", "wrap")) - mean**2, 0))
    return spread


def height_features(height: Raster) -> list[Raster]:
    """Height, and its log local spreads, departures and gradient at five scales."""
    rows = [height / 2000]
    for size in (3, 5, 9, 17, 33):
        rows.append(np.log2(local_spread(height, size) + 3) / 3 - 1.5)
        rows.append((height - ndimage.uniform_filter(height, size, mode=("nearest", "wrap"))) / 300)
    return [*rows, np.log2(ndimage.gaussian_gradient_magnitude(height, 1, mode=("nearest", "wrap")) + 2) / 3 - 1.5]


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
    """log2 of the spread inside a cell, with the tail of finer scales and the relief that ETOPO5's blur lost."""
    error = coarse["elev"].astype(np.float32) - coarse["etopo5"]
    lost = ndimage.gaussian_filter((error - ndimage.gaussian_filter(error, 2)) ** 2, 1.5)
    spread = coarse["sub_sd"].astype(np.float32)
    variance = (FINER + FINER_ON_PLAINS * np.exp(-spread / PLAINS)) * spread**2 + LOST * lost
    return (0.5 * np.log2(variance + 1.5**2)).astype(np.float32)


def predict_relief(coarse: dict[str, Any], tint: Raster, steps: int = 4000) -> Raster:
    """Fit on land and predict everywhere: log2 of the spread in metres, float32 (2160, 4320). Prints the error on held-out columns."""
    torch.manual_seed(0)
    inputs, truth = features(coarse, tint), target(coarse)
    land = (coarse["land255"] > 200) & (np.abs(np.linspace(90, -90, 2160))[:, None] < 83)
    held_out = np.arange(4320)[None, :] // 120 % 6 == 0
    rows = torch.from_numpy(np.ascontiguousarray(inputs.reshape(len(inputs), -1).T))
    goal = torch.from_numpy(truth.ravel())
    learn = torch.from_numpy(np.flatnonzero((land & ~held_out).ravel()))
    judge = torch.from_numpy(np.flatnonzero((land & held_out).ravel())[::7])
    model = nn.Sequential(nn.Linear(len(inputs), 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for _ in range(steps):
        pick = learn[torch.randint(len(learn), (8192,))]
        loss = nn.functional.huber_loss(model(rows[pick].float())[:, 0], goal[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        error = (model(rows[judge].float())[:, 0] - goal[judge]).numpy()
        print(f"relief prior: held-out error {np.abs(error).mean():.3f} octaves, bias {error.mean():+.3f}", flush=True)
        log_spread = torch.cat([model(part.float())[:, 0] for part in rows.split(1 << 18)]).numpy().reshape(truth.shape)
    return np.asarray(log_spread, np.float32)
