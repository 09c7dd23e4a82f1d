"""A critic of local structure: what no linear filter sees (ridges that go on, valleys that join), it may.

A relativistic pairing GAN with a zero-centred gradient penalty (Huang et al. 2024, "The GAN is dead; long live the GAN!"): the real
children and the generated ones of the same grandparents are compared in pairs. It only bends the networks that the proper score has
trained; the score stays the larger part of the loss and keeps the variance right.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines.training.networks import crop


class Critic(nn.Module):
    """Patch logits for rasters (N, C, h, w) in units of the grandparent's spread, with their log2 spread (N, 1, h, w)."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3 * channels + 3, width, 3), nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 4, stride=2), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1),
        )  # fmt: skip

    def forward(self, raster: Tensor, log_spread: Tensor, scale: Tensor) -> Tensor:
        """`scale` (N, 2, h, w): log2 of the ground sample distance and of the unit, roughly normalised."""
        east = raster[..., 1:-1, 2:] - raster[..., 1:-1, 1:-1]
        south = raster[..., 2:, 1:-1] - raster[..., 1:-1, 1:-1]
        local = raster - functional.avg_pool2d(raster, 9, stride=1, padding=4, count_include_pad=False)
        parts = [2 * east, 2 * south, crop(local, 1), crop(log_spread, 1), crop(scale, 1)]
        return self.body(torch.cat([part.clamp(-8, 8) for part in parts], dim=1))


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What the networks minimise: softplus of (real - fake) logits of the same place."""
    return functional.softplus(real - fake).mean()


def critic_loss(critic: Critic, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], scale: Tensor, penalty: float) -> Tensor:
    """What the critic minimises, with the squared gradient of a logit at real and at generated rasters (R1, R2) times
    `penalty` / 2."""
    pair = [tuple(part.detach().requires_grad_(penalty > 0) for part in side) for side in (real, fake)]
    logits = [critic(side[0], side[1], scale) for side in pair]
    loss = functional.softplus(logits[1] - logits[0]).mean()
    if penalty > 0:
        for logit, side in zip(logits, pair, strict=True):
            gradients = torch.autograd.grad(logit.sum(), side, create_graph=True)
            loss = loss + penalty / 2 * sum(gradient.square().sum() for gradient in gradients) / logit.numel()
    return loss
