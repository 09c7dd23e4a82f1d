"""The relief inside the cells of the base, predicted from data that may be shipped.

The measured spread inside 9 km cells comes from a grid that may be learnt from but not shipped. So a small network learns it from
ETOPO5, the land mask and the climate class, and only its prediction goes into the base. What ETOPO5's blur took away between
neighbouring cells is counted in, since the generator must put it back.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

FINER, FINER_ON_PLAINS, PLAINS = 1.3, 0.5, 25.0
"""Variance inside 9 km over that of 2.4 km means inside it: 1.3 (Alps, Everest, Rainier, Taiwan, New South Wales), and more where the
spread is not much above `PLAINS` metres (Ozarks 2.2, Texas 1.4)."""
LOST = 0.1
"""Share of ETOPO5's local error that is counted as relief still to come."""
Raster = NDArray[np.float32]


def features(coarse: dict[str, Any]) -> Raster:
    """Per cell (F, H, W): log local spreads and gradients of ETOPO5 at five scales, height, latitude, land fraction, climate."""
    height = np.clip(coarse["etopo5"].astype(np.float32), -3000, 9000)
    rows = [
        height / 2000,
        np.abs(np.linspace(90, -90, height.shape[0], dtype=np.float32))[:, None] / 45 + 0 * height,
        coarse["land255"] / 255.0,
    ]
    for size in (3, 5, 9, 17, 33):
        mean = ndimage.uniform_filter(height, size, mode=("nearest", "wrap"))
        square = ndimage.uniform_filter(height**2, size, mode=("nearest", "wrap"))
        rows.append(np.log2(np.sqrt(np.maximum(square - mean**2, 0)) + 3) / 3 - 1.5)
        rows.append((height - mean) / 300)
    rows.append(np.log2(ndimage.gaussian_gradient_magnitude(height, 1, mode=("nearest", "wrap")) + 2) / 3 - 1.5)
    klass = coarse["koppen"]
    rows.extend((klass == k).astype(np.float32) for k in range(1, 33))
    return np.stack(rows).astype(np.float32)


def target(coarse: dict[str, Any]) -> Raster:
    """log2 of the spread inside a cell, with the tail of finer scales and the relief that ETOPO5's blur lost."""
    error = coarse["elev"].astype(np.float32) - coarse["etopo5"]
    lost = ndimage.gaussian_filter((error - ndimage.gaussian_filter(error, 2)) ** 2, 1.5)
    spread = coarse["sub_sd"].astype(np.float32)
    variance = (FINER + FINER_ON_PLAINS * np.exp(-spread / PLAINS)) * spread**2 + LOST * lost
    return (0.5 * np.log2(variance + 1.5**2)).astype(np.float32)


def predict_relief(coarse: dict[str, Any], steps: int = 2500) -> Raster:
    """Fit on land and predict everywhere: log2 of the spread in metres, float32 (2160, 4320). Prints the error on held-out columns."""
    torch.manual_seed(0)
    inputs, truth = features(coarse), target(coarse)
    land = (coarse["land255"] > 200) & (np.abs(np.linspace(90, -90, 2160))[:, None] < 83)
    held_out = np.arange(4320)[None, :] // 120 % 6 == 0
    rows = torch.from_numpy(np.ascontiguousarray(inputs.reshape(len(inputs), -1).T))
    goal = torch.from_numpy(truth.ravel())
    learn = torch.from_numpy(np.flatnonzero((land & ~held_out).ravel()))
    judge = torch.from_numpy(np.flatnonzero((land & held_out).ravel())[::7])
    model = nn.Sequential(nn.Linear(len(inputs), 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for _ in range(steps):
        pick = learn[torch.randint(len(learn), (8192,))]
        loss = nn.functional.huber_loss(model(rows[pick])[:, 0], goal[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        error = (model(rows[judge])[:, 0] - goal[judge]).numpy()
        print(f"relief prior: held-out error {np.abs(error).mean():.3f} octaves, bias {error.mean():+.3f}", flush=True)
        log_spread = torch.cat([model(part)[:, 0] for part in rows.split(1 << 18)]).numpy().reshape(truth.shape)
    return np.asarray(log_spread, np.float32)
