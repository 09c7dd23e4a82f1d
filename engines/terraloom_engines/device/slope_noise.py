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
    east, south = (functional.pixel_shuffle(part, 2) for part in directions(elevation))
    aside = asides(noise).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    steep = south.abs() == 1
    right, low = torch.where(steep, aside, 0.0), torch.where(steep, 0.0, aside)
    step = children.shape[-1] - 2
    rows = torch.arange(height * 2, device=noise.device)[:, None] + (2 * MARGIN - 1)
    start = rows * step + torch.arange(width * 2, device=noise.device)[None, :] + (2 * MARGIN - 1)
    total = torch.zeros(count, 2, 4 * height * width, device=noise.device)
    for number, tap in enumerate(TAPS):
        away = number - REACH
        place = start + torch.round(south * away + low).long() * step + torch.round(east * away + right).long()
        total += tap * rasters.gather(2, place.flatten(2).expand(-1, 2, -1))
    return functional.pixel_unshuffle(total.unflatten(2, (2 * height, 2 * width)), 2)


def asides(noise: Tensor) -> Tensor:
    """By how many children the ways through a pixel are shifted before they are rounded, (N, 1, h, w)."""
    eighths = noise[:, 4:5, MARGIN:-MARGIN, MARGIN:-MARGIN] * 8
    return eighths - torch.floor(eighths) - 0.5


def directions(elevation: Tensor) -> tuple[Tensor, Tensor]:
    """Which way slopes rise at the four children, eastward and southward, (N, 4, h, w) both."""
    height, width = elevation.shape[-2:]
    around = functional.pad(elevation.float(), [1, 1, 1, 1], mode="replicate")
    across, down = around[..., 2:] - around[..., :-2], around[..., 2:, :] - around[..., :-2, :]
    wide_east = across[..., 1:-1, :] * 2 + across[..., 2:, :] + across[..., :-2, :]
    wide_south = down[..., 1:-1] * 2 + down[..., 2:] + down[..., :-2]
    falling, rising = around[..., 1:, 1:] - around[..., :-1, :-1], around[..., :-1, 1:] - around[..., 1:, :-1]
    near_east, near_south = (falling + rising) * 4, (falling - rising) * 4
    corners = [(slice(child // 2, child // 2 + height), slice(child % 2, child % 2 + width)) for child in range(4)]
    east = torch.cat([wide_east + near_east[..., rows, columns] for rows, columns in corners], dim=1)
    south = torch.cat([wide_south + near_south[..., rows, columns] for rows, columns in corners], dim=1)
    largest = torch.maximum(east.abs(), south.abs())
    flat = largest == 0
    largest = torch.where(flat, 1.0, largest)
    return torch.where(flat, 1.0, east / largest), south / largest
