"""`terraloom_engines.conservation` and `upsampling` on a device: int32 and float32 tensors, the same operations in the same order.

numpy takes the difference of a float32 and an int32 in float64, torch in float32: where that could change a bit it is said here.
Every other operation is exact, or rounded once as IEEE 754 has it, on processors and GPUs alike.
"""

import torch
from torch import Tensor

from terraloom_engines.field import DETAIL_UNIT, LAND_FULL
from terraloom_engines.stages import StageSpec
from terraloom_engines.upsampling import REACH, TAPS

_SIGNS = ((-1, -1, 1), (1, -1, -1), (-1, 1, -1), (1, 1, 1))


def informed(sample: Tensor, known: Tensor, spec: StageSpec) -> Tensor:
    """`lifting.informed`: a sample (7, H, W) with known details in the place of drawn ones, to the share that they are known."""
    share = known[3].float() * (1 / LAND_FULL)
    drawn = sample[:3] * torch.sqrt((1 - share * share).double()).float()  # torch's root of float32 is not rounded as IEEE 754 has it
    return torch.cat([drawn + known[:3].float() * (share * (DETAIL_UNIT / spec.detail_scale)), sample[3:]])


def deviations(details: Tensor) -> Tensor:
    """Child offsets (4, H, W) from Haar details (3, H, W)."""
    return torch.stack([a * details[0] + b * details[1] + c * details[2] for a, b, c in _SIGNS])


def bound_scale(deviation: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Largest factor in 0..1 (H, W) that keeps all four deviations between `-below` and `above`."""
    low, high = -deviation.amin(dim=0), deviation.amax(dim=0)
    return torch.minimum(below / low.clamp(min=1e-6), above / high.clamp(min=1e-6)).clamp(max=1)


def conserve(parent: Tensor, deviation: Tensor) -> Tensor:
    """Integer children (4, H, W) whose sum is exactly four times the parent (H, W)."""
    whole = torch.floor(deviation).to(torch.int32)
    remainder = deviation.double() - whole.double()  # in float32 a little below 0 would be as good as 1
    short = -whole.sum(dim=0, dtype=torch.int32)
    children = []
    for i in range(4):
        ahead = torch.zeros_like(parent)
        for j in range(4):
            if j != i:
                ahead = ahead + ((remainder[j] > remainder[i]) if j > i else (remainder[j] >= remainder[i]))
        children.append(parent + whole[i] + (ahead < short))
    children[0] = children[0] + (4 * parent - (children[0] + children[1] + children[2] + children[3]))
    return torch.stack(children)


def lean_to_land(parent: Tensor, deviation: Tensor, land: Tensor, slack: float) -> Tensor:
    """Deviations (4, H, W) of children that hold no more of their parent's height than `slack` times their part of its land."""
    total = land[0] + land[1] + land[2] + land[3]
    whole = parent.float()
    height = whole + deviation
    most = land.float() * (whole * (4 * slack) / total.clamp(min=1).float())
    held = torch.minimum(height, most)
    spare = most - held
    given = (height[0] - held[0]) + (height[1] - held[1]) + (height[2] - held[2]) + (height[3] - held[3])
    part = given / (spare[0] + spare[1] + spare[2] + spare[3]).clamp(min=1)
    return torch.where(total > 0, held + spare * part.clamp(max=1) - whole, deviation)


def keep_sides(children: Tensor, dry: Tensor, parent: Tensor, least: Tensor) -> Tensor:
    """Put the children of a coastal parent on their side of sea level, and give the difference to those of the other side."""
    held = torch.where(dry, torch.maximum(children, least), children.clamp(max=-1))
    excess = held.sum(dim=0, dtype=torch.int32) - 4 * parent
    takers = torch.where(excess > 0, ~dry, dry)
    count = takers.sum(dim=0, dtype=torch.int32)
    size, among = excess.abs(), count.clamp(min=1)
    share = torch.div(size, among, rounding_mode="floor")
    rank = takers.cumsum(dim=0, dtype=torch.int32) - 1
    move = torch.where(takers, share + (rank < size - share * among), 0) * -torch.sign(excess)
    alone = torch.where((dry.all(dim=0) & (parent > 0)) | (~dry.any(dim=0) & (parent < 0)), parent, children)
    return torch.where((excess == 0) | (count > 0), held + move, alone)


def interleave(children: Tensor) -> Tensor:
    """Four children (4, ..., H, W) to their raster (..., 2H, 2W)."""
    height, width = children.shape[-2:]
    pairs = children.unflatten(0, (2, 2)).movedim((0, 1), (-3, -1))  # (..., H, 2, W, 2)
    return pairs.reshape(*children.shape[1:-2], 2 * height, 2 * width)


def split_children(raster: Tensor) -> Tensor:
    """A raster (..., 2H, 2W) to its four children (4, ..., H, W)."""
    return torch.stack([raster[..., ::2, ::2], raster[..., ::2, 1::2], raster[..., 1::2, ::2], raster[..., 1::2, 1::2]])


def block_details(children: Tensor) -> Tensor:
    """Haar details (3, H, W) of four children (4, H, W), in their unit."""
    nw, ne, sw, se = children.float()
    return torch.stack([(ne + se - nw - sw) / 4, (sw + se - nw - ne) / 4, (nw + se - ne - sw) / 4])


def smooth_details(values: Tensor) -> Tensor:
    """Haar details (..., 3, H - 6, W - 6) of the smooth children of rasters (..., H, W)."""
    across = _half_difference(values, -1)
    south = _half_difference(values, -2)
    return torch.stack([across[..., REACH:-REACH, :], south[..., REACH:-REACH], _half_difference(across, -2)], dim=-3)


def kinks(values: Tensor) -> Tensor:
    """What the smooth children of degree 6 have over those of degree 2, in Haar details: (..., 3, H - 6, W - 6)."""
    inner = _beside(values)
    diagonal = (inner[..., 2:, 2:] - inner[..., 2:, :-2] - inner[..., :-2, 2:] + inner[..., :-2, :-2]) / 64
    return smooth_details(values) - torch.cat([_tilts(values), diagonal[..., None, :, :]], dim=-3)


def _tilts(values: Tensor) -> Tensor:
    """Haar details of the plane through every pixel's four neighbours: (..., 2, H - 6, W - 6) of rasters (..., H, W)."""
    inner = _beside(values)
    west_east, north_south = inner[..., 1:-1, 2:] - inner[..., 1:-1, :-2], inner[..., 2:, 1:-1] - inner[..., :-2, 1:-1]
    return torch.stack([west_east, north_south], dim=-3) / 8


def _beside(values: Tensor) -> Tensor:
    """Rasters but for `REACH` - 1 pixels on each side."""
    return values[..., REACH - 1 : values.shape[-2] - REACH + 1, REACH - 1 : values.shape[-1] - REACH + 1]


def _half_difference(values: Tensor, axis: int) -> Tensor:
    """Half the difference of every pixel's two halves along an axis, which loses `REACH` pixels at both ends."""
    side = values.shape[axis] - 2 * REACH
    parts = [
        tap * (values.narrow(axis, REACH + step, side) - values.narrow(axis, REACH - step, side)) for step, tap in enumerate(TAPS, start=1)
    ]
    return parts[0] + parts[1] + parts[2]
