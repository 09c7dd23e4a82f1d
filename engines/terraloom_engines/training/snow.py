"""Summer: the snow of Blue Marble's spring taken off all land but glaciers, ice caps and the highest mountains.

Where a cell is whiter than its bare ground would be and its climate lets snow melt, it takes the colour of the bare ground: a small
network's, learnt where Blue Marble shows no snow, from Natural Earth II (which is painted without seasonal snow), the Koeppen class and
the height.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from terraloom_engines.training.relief_prior import local_spread

Raster = NDArray[np.float32]

CLASSES = (
    "Af", "Am", "As", "Aw", "BSh", "BSk", "BWh", "BWk", "Cfa", "Cfb", "Cfc", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc", "Dfa", "Dfb", "Dfc",
    "Dfd", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "EF", "ET", "Ocean",
)  # fmt: skip
"""Koeppen classes by their number in the data, less one."""
SNOWLINE = {
    -90: 0, -65: 300, -55: 1000, -50: 1300, -45: 1900, -40: 2500, -33: 4500, -25: 5700, -15: 5300, 0: 4900, 10: 5000, 20: 5400, 30: 5400,
    36: 5000, 40: 4200, 46: 2900, 52: 2500, 60: 1900, 66: 1800, 72: 1300, 78: 700, 90: 300,
}  # fmt: skip
"""Metres above which snow outlasts the summer, by degrees of latitude: rough means over wet and dry mountains."""
SNOW = np.array([238, 240, 242], np.float32)
STEPS, BATCH = 1200, 2048


def summer(coarse: dict[str, Any], tint: Raster) -> Raster:
    """Blue Marble (H, W, 3) without the snow that melts; `tint` (3, H, W) is Natural Earth II of the cells, 0..255."""
    colour, climate = coarse["rgb"].astype(np.float32), coarse["koppen"]
    height = coarse["etopo5"].astype(np.float32)
    cold = where_snow_falls(climate, height)
    doubt = ndimage.grey_dilation(whiteness(colour) * ramp(cold, 0.02, 0.3), size=(3, 3))
    latitude = np.linspace(90, -90, len(height), dtype=np.float32)[:, None]
    bare = (coarse["land255"] > 250) & (doubt < 0.03) & (np.abs(latitude) < 84)
    ground = bare_ground(colour, tint, height, climate, bare, cold > 0.02)
    excess, whole = colour - ground, SNOW - ground
    share = (excess * whole).sum(axis=-1) / np.maximum((whole**2).sum(axis=-1), 1)
    grey = ramp(excess[..., 2] / np.maximum(excess[..., 0], 1), 0.7, 1.0)
    melts = ramp(share, 0.06, 0.3) * grey * ramp(cold, 0.02, 0.3) * (1 - lasting(climate, tint, height))
    return (colour + melts[..., None] * (ground - colour)).astype(np.float32)


def ramp(values: Raster, low: float, high: float) -> Raster:
    """0 below `low`, 1 above `high`, smooth between."""
    part = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)
    smooth: Raster = part * part * (3 - 2 * part)
    return smooth


def of_class(climate: NDArray[Any], *beginnings: str) -> NDArray[np.bool_]:
    """Cells whose Koeppen class begins with one of these letters."""
    return np.isin(climate, [number for number, name in enumerate(CLASSES, start=1) if name.startswith(beginnings)])


def whiteness(colour: Raster) -> Raster:
    """0..1: bright and without hue."""
    blue = (colour[..., 2] / np.maximum(colour[..., 0], 1)).astype(np.float32)
    return np.asarray(ramp(colour.min(axis=-1), 70, 130) * ramp(blue, 0.8, 0.95), np.float32)


def where_snow_falls(climate: NDArray[Any], height: Raster) -> Raster:
    """0..1: cold climates, and temperate or dry ones as far as they are high or far from the equator."""
    away = np.abs(np.linspace(90, -90, len(height), dtype=np.float32))[:, None] + np.zeros_like(height)
    dry = of_class(climate, "BSk", "BWk") * np.maximum(ramp(height, 1200, 2200), ramp(away, 45, 52))
    mild = of_class(climate, "C") * np.maximum(ramp(height, 900, 1800), ramp(away, 50, 58))
    cold = np.maximum.reduce([of_class(climate, "D", "E").astype(np.float32), dry, mild, of_class(climate, "Ocean") * ramp(away, 40, 50)])
    return ndimage.gaussian_filter(cold, 2, mode=("nearest", "wrap")).astype(np.float32)


def lasting(climate: NDArray[Any], tint: Raster, height: Raster) -> Raster:
    """0..1: where snow lasts. Ice climates, what Natural Earth II paints as ice, and land whose higher parts reach the snowline."""
    latitude = np.linspace(90, -90, len(height))
    line = np.interp(latitude, list(SNOWLINE), list(SNOWLINE.values())).astype(np.float32)[:, None]
    smooth = {"mode": ("nearest", "wrap")}
    ice = ndimage.gaussian_filter(of_class(climate, "EF").astype(np.float32), 1, **smooth)
    polar = ndimage.gaussian_filter(of_class(climate, "E").astype(np.float32), 2, **smooth)
    painted = ramp(ndimage.gaussian_filter(tint.min(axis=0), 0.7, **smooth), 222, 240) * ramp(polar, 0.05, 0.5)
    summits = ramp(height + local_spread(height, 3) - line, -400, 400)
    return np.maximum.reduce([ramp(ice, 0.1, 0.7), painted, summits])


def bare_ground(
    colour: Raster, tint: Raster, height: Raster, climate: NDArray[Any], bare: NDArray[np.bool_], wanted: NDArray[np.bool_]
) -> Raster:
    """Colour of the ground without snow (H, W, 3), learnt on `bare` cells, predicted for `wanted` ones; others keep theirs."""
    torch.manual_seed(0)
    inputs = np.concatenate([tint / 64 - 2.5, height[None] / 2500]).reshape(4, -1).T
    values, kinds = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)), torch.from_numpy(climate.ravel().astype(np.int64))
    goal = torch.from_numpy(colour.reshape(-1, 3) / 128 - 1)
    embedding = nn.Embedding(len(CLASSES) + 1, 4)
    model = nn.Sequential(nn.Linear(8, 48), nn.GELU(), nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 3))
    optimiser = torch.optim.AdamW([*embedding.parameters(), *model.parameters()], lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=STEPS)
    for pick in torch.from_numpy(teachers(climate, bare)).split(BATCH):
        made = model(torch.cat([values[pick], embedding(kinds[pick])], dim=1))
        loss = (made - goal[pick]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    out = colour.reshape(-1, 3).copy()
    with torch.no_grad():
        for part in np.array_split(np.flatnonzero(wanted), 64):
            out[part] = (model(torch.cat([values[part], embedding(kinds[part])], dim=1)) * 128 + 128).numpy()
    return out.reshape(colour.shape)


def teachers(climate: NDArray[Any], bare: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bare cells to learn from, by area, cold climates more often: they are what is to be predicted."""
    weight = np.cos(np.linspace(np.pi / 2, -np.pi / 2, len(climate)))[:, None] * (
        1 + 11 * of_class(climate, "E") + 2 * of_class(climate, "D")
    )
    cells = np.flatnonzero(bare)
    chance = weight.ravel()[cells]
    return np.random.default_rng(0).choice(cells, STEPS * BATCH, p=chance / chance.sum())
