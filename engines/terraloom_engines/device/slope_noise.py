"""`slope_noise` on a device, for windows or for batches of them: the same numbers, bit for bit."""

import torch
from torch import Tensor
from torch.nn import functional

from terraloom_engines.slope_noise import BROADENED, DRAWN_OUT, MARGIN, REACH, TAPS


def along_slopes(noise: Tensor, elevation: Tensor) -> Tensor:
    """Noise (N, 8, h, w) drawn out along the slopes of elevation (N, 1, h, w), out of white noise (N, 8, h + 2 MARGIN, w + 2 MARGIN)."""
    count, _, height, width = elevation.shape
    children = functional.pixel_shuffle(noise, 2)
    broad = children[:, 1:, 1:-1] * 2 + children[:, 1:, 2:] + children[:, 1:, :-2]
    broad = broad[..., 1:-1] * 2 + broad[..., 2:] + broad[..., :-2]
    rasters = torch.cat([children[:, :1, 1:-1, 1:-1] * DRAWN_OUT, broad * BROADENED], dim=1).flatten(2)
    east, south = (_doubled(part) for part in directions(elevation))
    step = children.shape[-1] - 2
    down = torch.arange(height * 2, device=noise.device)[:, None] + (2 * MARGIN - 1)
    right = torch.arange(width * 2, device=noise.device)[None, :] + (2 * MARGIN - 1)
    total = torch.zeros(count, 2, 4 * height * width, device=noise.device)
    for number, tap in enumerate(TAPS):
        away = number - REACH
        place = (down + torch.round(south * away).long()) * step + right + torch.round(east * away).long()
        total += tap * rasters.gather(2, place.flatten(2).expand(-1, 2, -1))
    return functional.pixel_unshuffle(total.unflatten(2, (2 * height, 2 * width)), 2)


def directions(elevation: Tensor) -> tuple[Tensor, Tensor]:
    """Which way slopes rise, eastward and southward, the larger one 1 or -1; due east where there is none. (N, 1, h, w) as given."""
    around = functional.pad(elevation.float(), [1, 1, 1, 1], mode="replicate")
    across = around[..., 2:] - around[..., :-2]
    down = around[..., 2:, :] - around[..., :-2, :]
    east = across[..., 1:-1, :] * 2 + across[..., 2:, :] + across[..., :-2, :]
    south = down[..., 1:-1] * 2 + down[..., 2:] + down[..., :-2]
    largest = torch.maximum(east.abs(), south.abs())
    flat = largest == 0
    largest = torch.where(flat, 1.0, largest)
    return torch.where(flat, 1.0, east / largest), south / largest


def _doubled(values: Tensor) -> Tensor:
    return values.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
