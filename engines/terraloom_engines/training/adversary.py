"""A critic of local structure: what no linear filter sees (ridges that go on, valleys that join), it may.

A relativistic pairing GAN with a zero-centred gradient penalty (Huang et al. 2024, "The GAN is dead; long live the GAN!"): the real
children and the generated ones of the same grandparents are compared in pairs. It only bends the networks that the proper score has
trained; the score stays the larger part of the loss and keeps the variance right.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines.training.networks import crop


@dataclass(frozen=True)
class Land:
    """What a critic looks at: rasters (N, C, h, w) in metres or 8-bit steps, with what they are measured by.

    `unit` (N, 1, h, w) is the scale of what was to be drawn, in the raster's unit; `spread` (N, 1, h, w) log2 of the children's spread
    over it, `scale` (N, 2, h, w) the ground sample distance and the steepness, roughly normalised.
    """

    raster: Tensor
    spread: Tensor
    unit: Tensor
    scale: Tensor

    def __getitem__(self, rows: Tensor) -> "Land":
        return Land(self.raster[rows], self.spread[rows], self.unit[rows], self.scale[rows])

    @property
    def view(self) -> Tensor:
        """(N, 3C + 3, h - 2, w - 2): differences to the east and south, departure from the surroundings, spread and scale.

        Differences are taken before they are measured: the unit changes from place to place, and heights are large beside it.
        """
        raster, unit = self.raster, crop(self.unit, 1)
        east = raster[..., 1:-1, 2:] - raster[..., 1:-1, 1:-1]
        south = raster[..., 2:, 1:-1] - raster[..., 1:-1, 1:-1]
        level = raster - raster.mean(dim=(2, 3), keepdim=True)
        local = crop(level - functional.avg_pool2d(level, 9, stride=1, padding=4, count_include_pad=False), 1)
        return torch.cat([2 * east / unit, 2 * south / unit, local / unit, crop(self.spread, 1), crop(self.scale, 1)], dim=1).clamp(-8, 8)


class Critic(nn.Module):
    """Logits of patches of the view of `Land` with `channels` rasters."""

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

    def forward(self, view: Tensor) -> Tensor:
        return self.body(view)


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What the networks minimise: softplus of (real - fake) logits of the same place."""
    return functional.softplus(real - fake).mean()


def critic_loss(critic: Critic, real: Tensor, fake: Tensor, penalty: float) -> Tensor:
    """What the critic minimises, given views: with the squared gradient of a logit at real and at generated ones (R1, R2) times
    `penalty` / 2."""
    pair = [view.detach().requires_grad_(penalty > 0) for view in (real, fake)]
    logits = [critic(view) for view in pair]
    loss = functional.softplus(logits[1] - logits[0]).mean()
    if penalty > 0:
        for logit, view in zip(logits, pair, strict=True):
            gradient = torch.autograd.grad(logit.sum(), view, create_graph=True)[0]
            loss = loss + penalty / 2 * gradient.square().sum() / logit.numel()
    return loss
