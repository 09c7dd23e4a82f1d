"""The training objective: proper scoring rules over local features, so that one network call draws a sample instead of a mean.

Two draws X, X' against the truth y, as in distributional diffusion models (De Bortoli et al., arXiv 2502.02483):
E|X - y| - 1/2 E|X - X'|, least when the draws have the distribution of the truth (Gneiting & Raftery 2007). It is taken twice:
as an energy score of small patches, and as a sliced one: the CRPS of linear filters slid over the child raster. The fixed filters
(derivatives of first and second order, along and across the grid) see every border between pixels, so that a step at the border of a
2x2 block costs as much as it is unlikely; the random ones, new in every step, see the joint distribution (Cramer-Wold).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from terraloom_engines.training.networks import HAAR

PATCHES = (1, 3)
"""Sides of the energy score's patches in parent pixels."""
FILTER_SIDE = 9
RANDOM_FILTERS = 12
PHASES = 4
"""Pixels along the side of the squares that become channels; a filter's side and `PHASES` less one are a multiple of it, and one."""


def patch_norms(error: Tensor, mask: Tensor, side: int) -> Tensor:
    """Mean over patches of the Euclidean norm of `error` (N, C, h, w), per channel root-mean-square; `mask` (N, 1, h, w) weighs pixels."""
    squares = functional.avg_pool2d((error**2).mean(dim=1, keepdim=True), side, stride=max(1, side // 2))
    weights = (functional.avg_pool2d(mask, side, stride=max(1, side // 2)) > 0.999).to(error.dtype)
    return (torch.sqrt(squares + 1e-4) * weights).sum() / weights.sum().clamp(min=1)


def child_raster(details: Tensor) -> Tensor:
    """Details (N, 3C, h, w) to child offsets (N, C, 2h, 2w)."""
    batch, channels, height, width = details.shape
    offsets = torch.einsum("kd,bcdhw->bckhw", HAAR.to(details), details.view(batch, channels // 3, 3, height, width))
    return functional.pixel_shuffle(offsets.flatten(1, 2), 2)


def derivative_filters() -> Tensor:
    """Fixed filters (F, 9, 9): first and second differences along rows, columns and both diagonals at steps of 1 and 2 pixels."""
    rows = []
    for step in (1, 2):
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            first, second = torch.zeros(FILTER_SIDE, FILTER_SIDE), torch.zeros(FILTER_SIDE, FILTER_SIDE)
            for kernel, taps in ((first, ((0, -1.0), (1, 1.0))), (second, ((-1, 1.0), (0, -2.0), (1, 1.0)))):
                for place, value in taps:
                    kernel[4 + place * dy * step, 4 + place * dx * step] = value
            rows += [first, second]
    return torch.stack(rows)


def random_filters(count: int, device: torch.device) -> Tensor:
    """Random filters (count, 9, 9): Gaussian taps under Gaussian windows of random width, so that all sizes up to 9 pixels occur."""
    place = torch.arange(FILTER_SIDE, device=device) - FILTER_SIDE // 2
    width = torch.rand(count, 1, 1, device=device) * 2 + 0.6
    window = torch.exp(-(place[:, None] ** 2 + place[None, :] ** 2) / (2 * width**2))
    return torch.randn(count, FILTER_SIDE, FILTER_SIDE, device=device) * window


def unit_filters(device: torch.device) -> Tensor:
    """The fixed filters and one draw of the random ones (F, 9, 9), each of norm 1."""
    kernels = torch.cat([derivative_filters().to(device), random_filters(RANDOM_FILTERS, device)])
    return kernels / kernels.flatten(1).norm(dim=1)[:, None, None]


def mean_response(planes: Tensor, kernels: Tensor) -> Tensor:
    """Mean absolute response (N, 1, h - 8, w - 8) of planes (N, 1, h, w) to kernels (F, 9, 9).

    Processors are slow at convolutions of one channel, and slower at their gradients: where sides allow it, squares of `PHASES` x `PHASES`
    pixels become channels, and every kernel as many, one for each place that it may have in them.
    """
    if planes.shape[-2] % PHASES or planes.shape[-1] % PHASES:
        return functional.conv2d(planes, kernels[:, None].to(planes.dtype)).abs().mean(dim=1, keepdim=True)
    spare = PHASES - 1
    shifted = torch.stack([
        functional.pad(kernels, [right, spare - right, down, spare - down]) for down in range(PHASES) for right in range(PHASES)
    ])  # fmt: skip
    together = functional.pixel_unshuffle(shifted.flatten(0, 1)[:, None], PHASES)
    responses = functional.conv2d(functional.pixel_unshuffle(planes, PHASES), together.to(planes.dtype))
    means = responses.abs().unflatten(1, (PHASES**2, len(kernels))).mean(dim=2)
    return functional.pixel_shuffle(means, PHASES)


def sliced_distance(mask: Tensor, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Mean absolute filter response of the difference of two child rasters (N, C, 2h, 2w), for one draw of the random filters."""
    kernels = unit_filters(device)
    fine = functional.interpolate(mask, scale_factor=2)
    weights = (functional.avg_pool2d(fine, FILTER_SIDE, stride=1) > 0.999).to(fine.dtype)

    def distance(error: Tensor) -> Tensor:
        spread = mean_response(error.flatten(0, 1)[:, None], kernels).unflatten(0, error.shape[:2]).mean(dim=1)
        return (spread * weights).sum() / weights.sum().clamp(min=1)

    return distance


def distance(first: Tensor, second: Tensor, mask: Tensor, details: int) -> Tensor:
    """The patch norms of the energy score; the first `details` channels are Haar details, the others log spreads."""
    error = first - second
    parts = [patch_norms(error[:, :details], mask, side) + 0.5 * patch_norms(error[:, details:], mask, side) for side in PATCHES]
    return torch.stack(parts).sum()


def energy_score(first: Tensor, second: Tensor, truth: Tensor, mask: Tensor, details: int) -> Tensor:
    """Score of two independent draws (N, C, h, w) against the truth; lower is better."""
    sliced = sliced_distance(mask, truth.device)

    def whole(left: Tensor, right: Tensor) -> Tensor:
        heights = sliced(child_raster(left[:, :details] - right[:, :details]))
        spreads = sliced(functional.pixel_shuffle(left[:, details:] - right[:, details:], 2))
        return distance(left, right, mask, details) + 3 * heights + spreads

    return 0.5 * (whole(first, truth) + whole(second, truth)) - 0.5 * whole(first, second)


def noised(truth: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """The straight path between data (time 0) and noise (time 1) of flow matching (Lipman et al. 2023)."""
    return (1 - time) * truth + time * noise
