"""`terraloom_engines.creep` on a device."""

import torch
from torch import Tensor

from terraloom_engines.creep import COUNT, RADIUS
from terraloom_engines.device.guidance import box_sums, root
from terraloom_engines.field import ELEVATION_UNIT


def roughness(elevation: Tensor, squares: Tensor) -> Tensor:
    """Root mean squares, in metres, of the relief round pixels and of what slopes put into it, float32 (2, H, W)."""
    east = (elevation[1:-1, 2:] - elevation[1:-1, :-2]).long()
    south = (elevation[2:, 1:-1] - elevation[:-2, 1:-1]).long()
    sums = box_sums(torch.stack([squares[1:-1, 1:-1] * 4, east * east + south * south]), RADIUS).double()
    return (root(sums / torch.full_like(sums, 48 * COUNT)) * ELEVATION_UNIT).float()
