"""`terraloom_engines.breaching` on a device, operation by operation as numpy has it; pits are masks here, since all shapes are fixed."""

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from terraloom_engines.breaching import EVENED, LOWERED, NEIGHBOURS, NOWHERE, RAISED, REACH, WAYS
from terraloom_engines.device.finishing import bound_scale, conserve, interleave, split_children


def drained(parent: Tensor, children: Tensor, free: Tensor, limits: tuple[Tensor, Tensor], share: float) -> Tensor:
    """Children (4, H, W) of their parents (H, W) with pits breached by `share` where a block is `free` (H, W) to change."""
    ground, steps = parent.float(), (children - parent).float()
    for _ in range(EVENED):
        steps = evened(ground, steps, free)
    steps = breached(ground, steps, free, share)
    for _ in range(EVENED):
        steps = evened(ground, steps, free)
    return torch.where(free, conserve(parent, steps * bound_scale(steps, *limits)), children)


def evened(parent: Tensor, steps: Tensor, free: Tensor) -> Tensor:
    """Deviations (4, H, W) with pits raised to their lowest neighbour, which is lowered in turn; means of blocks are kept."""
    height = interleave(parent + steps)
    lowest = lowest_neighbours(height)
    depth = (lowest - height).clamp(min=0)
    outlet, depths = _padded(torch.where(depth > 0, lowest, _nowhere(height)), 1), functional.pad(depth, (1, 1, 1, 1))
    zero = torch.zeros_like(height)
    taken = zero
    for offset in NEIGHBOURS:
        taken = torch.maximum(taken, torch.where(_beside(outlet, offset, 1) == height, _beside(depths, offset, 1), zero))
    return steps + without_mean(split_children(taken * -LOWERED + depth * RAISED), free)


def breached(parent: Tensor, steps: Tensor, free: Tensor, share: float) -> Tensor:
    """Deviations (4, H, W) with valleys cut from pits to lower ground; means of blocks are kept, and their variance where it can be."""
    height = interleave(parent + steps)
    cut = split_children(valleys(height) - height) * share
    dug = cut < 0
    others = (4 - dug.sum(dim=0)).clamp(min=1).float()
    heaped = -_sum(cut) / others
    change = without_mean(torch.where(dug, cut, heaped), free)
    own, mixed, new = (_sum(a.double() * b.double()) for a, b in ((steps, steps), (steps, change), (change, change)))
    root = torch.sqrt((mixed * mixed - own * (new - torch.maximum(own, new))).clamp(min=0))
    factor = ((root - mixed) / own.clamp(min=1e-9)).clamp(0, 1).float()
    return torch.where(dug.any(dim=0) & free, steps * factor + change, steps)


def valleys(height: Tensor) -> Tensor:
    """Heights (H, W) with a way cut from every pit to lower ground within `REACH`, where there is some."""
    pit, padded = height < lowest_neighbours(height), _padded(height, REACH)
    least, chosen = torch.full_like(height, torch.inf), torch.full_like(height, -1, dtype=torch.int32)
    for number, way in enumerate(WAYS):
        end = _beside(padded, way.end, REACH)
        digging = torch.zeros_like(height)
        for place, along in zip(way.between, way.shares, strict=True):
            digging = digging + (_beside(padded, place, REACH) - (height + (end - height) * along)).clamp(min=0)
        better = (end < height) & (digging < least)
        least, chosen = torch.where(better, digging, least), torch.where(better, number, chosen)
    out = height
    for number, way in enumerate(WAYS):
        taken, end = pit & (chosen == number), _beside(padded, way.end, REACH)
        for (dy, dx), along in zip(way.between, way.shares, strict=True):
            level = torch.where(taken, height + (end - height) * along, _nowhere(height))
            out = torch.minimum(out, _beside(_padded(level, REACH), (-dy, -dx), REACH))
    return out


def lowest_neighbours(height: Tensor) -> Tensor:
    """The least of every pixel's eight neighbours (H, W); at the rim a pixel stands in for those that it lacks."""
    padded = functional.pad(height[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    return reduce(torch.minimum, [_beside(padded, offset, 1) for offset in NEIGHBOURS])


def without_mean(change: Tensor, free: Tensor) -> Tensor:
    """Changes (4, H, W) less their blocks' means; none where a block is not free."""
    return torch.where(free, change - _sum(change) * 0.25, torch.zeros_like(change))


def _nowhere(like: Tensor) -> Tensor:
    return torch.full_like(like, float(NOWHERE))


def _padded(values: Tensor, margin: int) -> Tensor:
    return functional.pad(values, (margin, margin, margin, margin), value=float(NOWHERE))


def _beside(padded: Tensor, offset: tuple[int, int], margin: int) -> Tensor:
    """The neighbours (rows, columns away) of the pixels of a raster (H, W) that was padded by `margin`: (H, W)."""
    rows, columns = padded.shape[0] - 2 * margin, padded.shape[1] - 2 * margin
    return padded[margin + offset[0] : margin + offset[0] + rows, margin + offset[1] : margin + offset[1] + columns]


def _sum(values: Tensor) -> Tensor:
    """Over the four children, one after the other."""
    return ((values[0] + values[1]) + values[2]) + values[3]
