"""A critic of structure: what no linear filter sees (ridges that go on, valleys that join, fields with edges), it may.

A relativistic pairing GAN with zero-centred gradient penalties (Huang et al. 2024, "The GAN is dead; long live the GAN!"): real children
and those that a network has made of the same forefathers, three levels up, are compared in pairs, place by place, at three sizes. The
proper score keeps variances right beside it. A penalty that is too large makes the critic blind, and then it teaches nothing: with ten
times this one it told made land from real little better than chance, where this one hardly errs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines.training.networks import crop

PENALTY = 8.0
"""Weight of the squared gradients of an image's mean logits (gamma of Huang et al.), taken every fourth time."""
VEIL, SPREAD_VEIL = 0.08, 0.12
"""Noise on what the critic sees, in units and octaves: it shall not look at the steps that real heights and colours are stored in."""
ALONE, WARM = 150, 300
"""Steps that a new critic learns alone, and steps over which its say grows after that."""
LARGEST_WEIGHT = 10.0
"""Of the critic's gradients: where it can tell nothing they are small and mean nothing."""


@dataclass(frozen=True)
class Land:
    """What a critic looks at: rasters (N, C, h, w) in metres or 8-bit steps, with what they are measured by.

    `unit` (N, 1, h, w) is the scale of what was to be drawn, in the raster's unit; `spread` (N, 1, h, w) log2 of the children's spread
    over that of their forefather, normalised, `scale` (N, 2, h, w) the ground sample distance and the steepness, roughly normalised.
    """

    raster: Tensor
    spread: Tensor
    unit: Tensor
    scale: Tensor

    def __getitem__(self, rows: Tensor) -> "Land":
        return Land(self.raster[rows], self.spread[rows], self.unit[rows], self.scale[rows])

    def detached(self) -> "Land":
        """The same, through which no gradient flows."""
        return Land(self.raster.detach(), self.spread.detach(), self.unit, self.scale)

    def veiled(self) -> "Land":
        """The same under noise."""
        raster = self.raster + VEIL * self.unit * torch.randn_like(self.raster)
        return Land(raster, self.spread + SPREAD_VEIL * torch.randn_like(self.spread), self.unit, self.scale)

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


def _layer(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, stride=stride), nn.LeakyReLU(0.2))


class Critic(nn.Module):
    """Logits of patches of the view of `Land` with `channels` rasters, at three sizes: 10, 32 and 60 of its pixels."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        middle, broad = 2 * width, 3 * width
        self.bodies = nn.ModuleList([
            nn.Sequential(_layer(3 * channels + 3, width, 3), _layer(width, middle, 4, 2), _layer(middle, middle, 3)),
            nn.Sequential(_layer(middle, broad, 4, 2), _layer(broad, broad, 3), _layer(broad, broad, 3)),
            nn.Sequential(_layer(broad, broad, 4, 2), _layer(broad, broad, 3)),
        ])  # fmt: skip
        self.heads = nn.ModuleList([nn.Conv2d(channels, 1, 1) for channels in (middle, broad, broad)])

    def forward(self, view: Tensor) -> list[Tensor]:
        logits = []
        for body, head in zip(self.bodies, self.heads, strict=True):
            view = body(view)
            logits.append(head(view))
        return logits


def pairing_loss(better: list[Tensor], worse: list[Tensor]) -> Tensor:
    """Softplus of by how much the logits of the one are below those of the other, at the same places; least where they are far above."""
    return torch.stack([functional.softplus(low - high).mean() for high, low in zip(better, worse, strict=True)]).mean()


def critic_loss(critic: Critic, real: Tensor, fake: Tensor, penalty: float) -> Tensor:
    """What the critic minimises, given views: with the squared gradients of an image's mean logits, real and made (R1, R2), times
    `penalty` / 2."""
    pair = [view.detach().requires_grad_(penalty > 0) for view in (real, fake)]
    logits = [critic(view) for view in pair]
    loss = pairing_loss(*logits)
    if penalty > 0:
        for sizes, view in zip(logits, pair, strict=True):
            total = torch.stack([logit.mean(dim=(1, 2, 3)).sum() for logit in sizes]).sum()
            gradient = torch.autograd.grad(total, view, create_graph=True)[0]
            loss = loss + penalty / 2 * gradient.float().square().sum() / len(view)
    return loss


class Contest:
    """A critic that learns to tell real land from made, step by step, and says how far they are apart."""

    def __init__(self, channels: int, device: str) -> None:
        self.critic = Critic(channels).to(device)
        self.optimiser = torch.optim.AdamW(self.critic.parameters(), lr=4e-4, betas=(0.0, 0.99))
        self.steps = 0

    def learn(self, real: Land, fake: Land) -> None:
        """One step of the critic."""
        self.optimiser.zero_grad(set_to_none=True)
        self.steps += 1
        critic_loss(self.critic, real.veiled().view, fake.veiled().view, PENALTY if self.steps % 4 == 1 else 0.0).backward()
        if torch.stack([parameter.grad.norm() for parameter in self.critic.parameters() if parameter.grad is not None]).isfinite().all():
            self.optimiser.step()

    def verdict(self, real: Land, fake: Land) -> Tensor:
        """What the network is to minimise: how much more real than its children the critic finds the real ones."""
        self.critic.requires_grad_(False)
        loss = pairing_loss(self.critic(fake.veiled().view), self.critic(real.veiled().view))
        self.critic.requires_grad_(True)
        return loss

    @property
    def say(self) -> float:
        """How much of its say the critic has, up to 1."""
        return min(1.0, max(0, self.steps - ALONE) / WARM)

    def state(self) -> dict[str, Any]:
        """What `load` takes."""
        return {"critic": self.critic.state_dict(), "optimiser": self.optimiser.state_dict(), "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]
