"""Training on the chain's own outputs: two steps in a row scored as one, and three judged by a critic.

A network that has seen only real parents sharpens the small faults of its own, level after level, into stripes and steps. So half of the
training scores the children that the network makes from parents it made itself, given the real grandparents: the same proper score as of
one step, on p(children | grandparents), with gradients through both steps. Nothing needs to be paired but what is paired in nature.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines.training import networks, objective
from terraloom_engines.training.adversary import Land

CONDITIONS = ("elevation", "relief", "land", "gsd", "imagery", "colour", "texture", "geometry")
TYPICAL_DEPARTURE = 0.35
"""Typical departure of a child from the upsampled grandparent, in units of the grandparent's spread."""
LEVELS = 3
"""Steps in a row that a critic judges."""
Terrain = Callable[[int, float], Tensor]
"""Real geometry for a window of imagery: the condition (6, n, n) for n and log2 metres of the children."""


@dataclass(frozen=True)
class Chain:
    """Two two-step draws and the truth, each measured by the grandparent's spread."""

    draws: tuple[Land, Land]
    truth: Land


def chain_draws(model: nn.Module, batch: dict[str, Tensor], mean: str, spread: str) -> Chain:
    """Two independent two-step draws below the batch's grandparents.

    `mean` and `spread` name the condition rasters that travel down, (N, C, n, n): elevation and relief, or colour and texture.
    """
    given = {key: values for key, values in batch.items() if key in CONDITIONS}
    above = {key: grandparent(values, key, batch[mean], mean, spread) for key, values in given.items()}
    edge = 2 * networks.HALO
    inside = networks.crop(above[spread], networks.HALO)
    octaves = networks.crop(functional.interpolate(inside, scale_factor=4, mode="bilinear"), edge)
    gsd = batch["gsd"].mean(dim=2, keepdim=True)
    unit = torch.exp2(octaves) * TYPICAL_DEPARTURE
    scale = torch.cat([((gsd - 7) / 4).expand_as(unit), (torch.log2(unit) - gsd + 3) / 2.5], dim=1)

    def land(children: Tensor, log_spread: Tensor) -> Land:
        return Land(children, (log_spread - octaves) / networks.SPREAD_SCALE, unit, scale)

    draws = []
    for _ in range(2):
        parent, relief = one_step(model, above, mean, spread)
        draws.append(land(*one_step(model, given | {mean: parent, spread: relief}, mean, spread)))
    return Chain((draws[0], draws[1]), land(networks.crop(batch["children"], edge), networks.crop(torch.log2(batch["spreads"]), edge)))


def forefathers(given: dict[str, Tensor], mean: str, spread: str) -> list[dict[str, Tensor]]:
    """The conditions of `LEVELS` steps in a row that end with those `given`, finest first; the coarser ones are reflected at their rim."""
    found, inner = [given], given
    for _ in range(LEVELS - 1):
        found.append({key: grandparent(values, key, inner[mean], mean, spread) for key, values in inner.items()})
        inner = {
            key: networks.crop(values, networks.HALO) if key != "gsd" else values[:, :, networks.HALO : -networks.HALO]
            for key, values in found[-1].items()
        }
    return found


def long_chain(model: nn.Module, batch: dict[str, Tensor], mean: str, spread: str, terrain: Terrain | None = None) -> tuple[Land, Land]:
    """Real children, and those drawn `LEVELS` steps below the same forefathers; with gradients through all steps.

    Windows of imagery are given `terrain`, where their own is not known: any, since no critic sees it, and worlds always have some.
    """
    levels = forefathers({key: values for key, values in batch.items() if key in CONDITIONS}, mean, spread)
    if terrain is not None:
        for number, given in enumerate(levels):
            if number or float(given["geometry"][:, 5].max()) == 0:
                side, gsd = given[mean].shape[-1], float(given["gsd"].mean())
                given["geometry"] = torch.stack([terrain(side, gsd) for _ in range(len(given[mean]))]).to(given["geometry"])
    edge = 2 * networks.HALO
    inside = networks.crop(levels[-1][spread], networks.HALO)
    octaves = networks.crop(functional.interpolate(inside, scale_factor=2**LEVELS, mode="bilinear"), edge)
    children, spreads = one_step(model, levels[-1], mean, spread)
    for given in reversed(levels[:-1]):
        if given is not levels[0]:
            pad = [networks.HALO] * 4
            children, spreads = (functional.pad(values, pad, mode="reflect") for values in (children, spreads))
        children, spreads = one_step(model, given | {mean: children, spread: spreads}, mean, spread)
    gsd = batch["gsd"].mean(dim=2, keepdim=True)
    unit = torch.exp2(octaves) * TYPICAL_DEPARTURE
    steepness = torch.log2(unit) - (gsd if mean == "elevation" else 4)
    scale = torch.cat([((gsd - 7) / 4).expand_as(unit), (steepness + 3) / 2.5], dim=1)

    def land(raster: Tensor, log_spread: Tensor) -> Land:
        return Land(raster, (log_spread - octaves) / networks.SPREAD_SCALE, unit / 2, scale)

    truth = land(networks.crop(batch["children"], edge), networks.crop(torch.log2(batch["spreads"]), edge))
    return truth, land(children, spreads)


def chain_score(chain: Chain, mask: Tensor) -> Tensor:
    """Sliced proper score of the two draws against the truth."""
    draws, truth = chain.draws, chain.truth
    sliced = objective.sliced_distance(mask, mask.device)

    def whole(left: Land, right: Land) -> Tensor:
        return 3 * sliced((left.raster - right.raster) / left.unit) + sliced(left.spread - right.spread)

    return 0.5 * (whole(draws[0], truth) + whole(draws[1], truth)) - 0.5 * whole(draws[0], draws[1])


def one_step(model: nn.Module, conditions: dict[str, Tensor], mean: str, spread: str) -> tuple[Tensor, Tensor]:
    """Children drawn below a window: mean (N, C, 2m, 2m) and log2 spread (N, 1, 2m, 2m), m = n - 2 halo."""
    count, _, side, _ = conditions[mean].shape
    start = torch.randn(count, int(model.channels), side, side, device=conditions[mean].device)
    noise = torch.cat([start, networks.extra_noise(model, conditions)], dim=1)
    sample = model(noise, torch.ones(count, 1, 1, 1, device=noise.device), **conditions).float()
    parent, relief = networks.crop(conditions[mean], networks.HALO), networks.crop(conditions[spread], networks.HALO)
    details = 3 * parent.shape[1]
    scale = torch.exp2(relief) * networks.DETAIL_SCALE
    offsets = torch.einsum("kd,bcdhw->bckhw", networks.HAAR.to(sample), sample[:, :details].unflatten(1, (-1, 3)))
    means = functional.pixel_shuffle((parent[:, :, None] + offsets * scale[:, :, None]).flatten(1, 2), 2)
    spreads = functional.pixel_shuffle(relief + sample[:, details:] * networks.SPREAD_SCALE + networks.SPREAD_MEAN, 2)
    return means, torch.maximum(spreads, tilt_floor(means)) if parent.shape[1] == 1 else spreads


def tilt_floor(heights: Tensor) -> Tensor:
    """log2 of the spread that the slope alone puts into a pixel (a plane: gradient / sqrt(12)); heights (N, 1, h, w) in metres."""
    padded = functional.pad(heights, [1, 1, 1, 1], mode="replicate")
    east = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    south = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return 0.5 * torch.log2((east**2 + south**2) / 12 + 1e-6)


def grandparent(values: Tensor, key: str, mean_raster: Tensor, mean: str, spread: str) -> Tensor:
    """One condition raster a level up, reflected by the border that the network loses."""
    pad = [networks.HALO] * 4
    if key == "gsd":
        return functional.pad(values[:, :, ::2] + 1, [0, 0, *pad[:2]], mode="replicate")
    if key in ("imagery", "geometry"):
        coarse = torch.zeros_like(functional.avg_pool2d(values, 2))
    elif key == spread:
        light = mean_raster.mean(dim=1, keepdim=True)
        between = functional.avg_pool2d((light - light.mean()) ** 2, 2) - functional.avg_pool2d(light - light.mean(), 2) ** 2
        coarse = 0.5 * torch.log2(functional.avg_pool2d(torch.exp2(2 * values), 2) + between.clamp(min=0))
    else:
        coarse = functional.avg_pool2d(values, 2)
    return functional.pad(coarse, pad, mode="reflect")
