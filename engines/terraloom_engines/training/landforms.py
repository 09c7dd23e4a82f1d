"""A proper score of what water and gravity see in relief: pits, summits, curvature by sign and direction, and where water gathers.

A score of linear filters knows no drainage: real land has next to no pits, since water cuts their rims, and its valleys go on. So maps of
such forms are taken of the draws and of the truth, averaged over small squares, and compared by the same rule as all else, E|X - y| -
1/2 E|X - X'|, which is least when the forms of the draws have the distribution of those of the truth (Gneiting & Raftery 2007).
"""

import torch
from torch import Tensor
from torch.nn import functional

from terraloom_engines.training.adversary import Land
from terraloom_engines.training.networks import crop

DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
STEPS = 8
"""How far water is followed, pixels."""
RIM = 10
"""Pixels that the maps lose on each side: as far as water is followed, and then some."""
BENDS = (1, 3, 6)
"""Half the spans of second differences, pixels."""
ROUGHNESS, DRAINAGE = slice(8, 10), 14
"""Of the maps: the bends over the shortest span; and the one that has no unit."""
BLOCKS, LATTICE_WEIGHT = (2, 4, 8), 8.0
"""Sides of the blocks whose borders must not show, and their weight beside forms."""
SQUARES = (4, 16)
"""Sides of the squares, in children, that forms are averaged over."""
SHARPNESS = 6.0
"""How strictly water takes the steepest way: the exponent's factor on a drop in units."""
WEIGHTS = (24.0, 12.0, 16.0, 8.0, 1.0, 1.0, 0.3, 0.3, 0.5, 0.5, 0.2, 0.2, 0.12, 0.12, 1.0)
"""Of the maps in the order of `forms`: what brings them to like size on real land."""


def shifted(raster: Tensor, dy: int, dx: int, reach: int) -> Tensor:
    """The neighbours (dy, dx) of all pixels but the outermost `reach`: (N, C, h - 2 reach, w - 2 reach)."""
    rows, columns = raster.shape[-2] - 2 * reach, raster.shape[-1] - 2 * reach
    return raster[..., reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]


def gathered(height: Tensor, unit: Tensor) -> Tensor:
    """log2 of the pixels whose water passes within `STEPS` pixels, multiple flow directions (Quinn et al. 1991), (N, 1, h, w).

    Water leaves a pixel for its lower neighbours, the more the steeper; at the rim it comes from inside alone.
    """
    padded = functional.pad(height, [1, 1, 1, 1], mode="replicate")
    drops = []
    for dy, dx in DIRECTIONS:
        drop = (height - shifted(padded, dy, dx, 1)) / unit / (dy * dy + dx * dx) ** 0.5
        drops.append(functional.relu(drop))
    drop = torch.cat(drops, dim=1)
    share = torch.softmax(SHARPNESS * drop, dim=1) * drop
    share = share / (share.sum(dim=1, keepdim=True) + 1e-4)
    water = torch.ones_like(height)
    for _ in range(STEPS):
        moved = functional.pad(share * water, [1, 1, 1, 1])
        water = 1 + sum(shifted(moved[:, k : k + 1], -dy, -dx, 1) for k, (dy, dx) in enumerate(DIRECTIONS))
    return torch.log2(water)


def forms(land: Land) -> Tensor:
    """Maps of a raster of heights (N, 1, h, w), without its rim: (N, 15, h - 2 RIM, w - 2 RIM).

    Depths of pits and heights of summits among the neighbours at one and at two pixels; hollows and humps over two spans; bends along the
    grid and across it over three, which are alike on land without a lattice; and where water gathers.
    """
    height, unit, centre = land.raster, crop(land.unit, RIM), crop(land.raster, RIM)
    maps = []
    for reach in (1, 2):
        around = [shifted(height, reach * dy, reach * dx, RIM) - centre for dy, dx in DIRECTIONS]
        lowest, highest = torch.stack(around).amin(dim=0), torch.stack(around).amax(dim=0)
        maps += [functional.relu(lowest) / unit, functional.relu(-highest) / unit]
    lattice = []
    for span in BENDS:
        bends = [
            (shifted(height, span * dy, span * dx, RIM) + shifted(height, -span * dy, -span * dx, RIM) - 2 * centre) / unit
            for dy, dx in DIRECTIONS[:4]
        ]
        lattice += [bends[0].abs() + bends[2].abs(), (bends[1].abs() + bends[3].abs()) / 2]
        if span < BENDS[-1]:
            maps += [functional.relu(bends[0] + bends[2]), functional.relu(-bends[0] - bends[2])]
    maps += [*lattice, crop(gathered(height, land.unit), RIM)]
    return torch.cat([weight * values for weight, values in zip(WEIGHTS, maps, strict=True)], dim=1)


def lattice(land: Land) -> Tensor:
    """How much larger steps are at the borders of blocks than elsewhere, by side of the blocks and axis: (N, 6), 0 on real land.

    The raster's first pixel begins a block of every side in `BLOCKS`.
    """
    found = []
    for raster, unit in ((land.raster, land.unit), (land.raster.mT, land.unit.mT)):
        steps = (raster[..., 1:] - raster[..., :-1]).abs() / unit[..., 1:]
        found += [steps[..., side - 1 :: side].mean(dim=(1, 2, 3)) - steps.mean(dim=(1, 2, 3)) for side in BLOCKS]
    return LATTICE_WEIGHT * torch.stack(found, dim=1)


def score(draws: tuple[Land, Land], truth: Land, mask: Tensor) -> Tensor:
    """The score of two draws of heights; windows with invalid pixels are left out; 0 when none is whole."""
    whole = mask.amin(dim=(1, 2, 3)) > 0
    if not whole.any():
        return mask.new_zeros(())
    maps = [forms(land[whole]) for land in (*draws, truth)]
    total = mask.new_zeros(())
    for side in SQUARES:
        first, second, real = (functional.avg_pool2d(each, side, stride=side // 2) for each in maps)
        apart = [(left - right).abs().mean() for left, right in ((first, real), (second, real), (first, second))]
        total = total + 0.5 * (apart[0] + apart[1] - apart[2])
    grids = [lattice(land[whole]) for land in (*draws, truth)]
    apart = [(left - right).abs().mean() for left, right in ((grids[0], grids[2]), (grids[1], grids[2]), (grids[0], grids[1]))]
    return total + 0.5 * (apart[0] + apart[1] - apart[2])


def likeness(real: Land, fake: Land) -> Tensor:
    """How far free-running land is from real land of like steepness (pairs in the order of `free_running.paired`), by its mean forms.

    The same score as above with the windows' means for maps and other real land for the truth: none is known of a window that came down
    many levels on its own. Forms are measured by each window's own bends here: how rough land is changes with its scale, which differs.
    """
    truth, made = (shape(land) for land in (real, fake))
    apart = (truth - made).abs().mean()
    count = len(made)
    if count < 2:
        return apart
    among = (made[:, None] - made[None, :]).abs().mean(dim=2).sum() / (count * (count - 1))
    return apart - 0.5 * among


def shape(land: Land) -> Tensor:
    """Mean forms and lattice of windows in units of their own roughness: (N, 21)."""
    means = torch.cat([forms(land).mean(dim=(2, 3)), lattice(land)], dim=1)
    rough = means[:, ROUGHNESS].mean(dim=1, keepdim=True) + 0.05
    return torch.cat([means[:, :DRAINAGE] / rough, means[:, DRAINAGE : DRAINAGE + 1], means[:, DRAINAGE + 1 :] / rough], dim=1)
