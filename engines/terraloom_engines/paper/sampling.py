"""One window through one network of the paper's scale: DDIM (Song et al., arXiv 2010.02502) without fresh noise.

The first noise is that of the place, so windows that overlap begin with the same where they do, which makes what they draw alike.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from terraloom_engines.noise import gaussian_noise
from terraloom_engines.paper.models import GeometryModel, ImageryModel, PaperModels
from terraloom_engines.stages import Window

Array = NDArray[np.float32]
IMAGERY_STREAM, GEOMETRY_STREAM = 64, 80
"""Of noise: none of them is one of the shipped networks'."""
RESOLUTION_SCALE = 64.0
"""Of log2 of the metres per pixel, which the UNet is told as it is told a time: a label of 0 to 1000."""


@dataclass(frozen=True)
class Sampler:
    """Both networks of a world: its models, calls of a network per window, seed."""

    models: PaperModels
    steps: int
    seed: int

    @property
    def sides(self) -> tuple[int, int]:
        """Parent pixels along the side of the windows of imagery and of geometry."""
        return self.models.imagery.unet.config.sample_size // 2, self.models.geometry.vae.config.sample_size // 2

    def colours(self, window: Window, parents: Array) -> Array:
        """Children (3, 2 side, 2 side) in -1..1 of a window, given its parents' colours (3, side, side) in -1..1."""
        model: ImageryModel = self.models.imagery
        with torch.inference_mode():
            encoded = model.encoder(self._sent(parents))
            noise = self._noise(window, IMAGERY_STREAM, model.unet.config.out_channels, 1)
            label = torch.tensor([RESOLUTION_SCALE * _octaves(window)], device=self.models.device, dtype=self.models.dtype)
            made = self._denoised(model.scheduler, noise, lambda values, time: model.unet(
                torch.cat([values, encoded], dim=1), time, class_labels=label).sample)  # fmt: skip
        return self._received(made.clamp(-1, 1))

    def heights(self, window: Window, children: Array) -> Array:
        """Children (1, 2 side, 2 side) in -1..1, given their colours (3, 2 side, 2 side)."""
        model: GeometryModel = self.models.geometry
        with torch.inference_mode():
            image = model.vae.encode(self._sent(children)).latent_dist.mode()
            noise = self._noise(window, GEOMETRY_STREAM, model.unet.config.out_channels, _reduction(model.vae))
            made = self._denoised(model.scheduler, noise, lambda values, time: model.unet(
                torch.cat([values, image], dim=1), time, encoder_hidden_states=model.prompt).sample)  # fmt: skip
            picture = model.vae.decode(made / model.vae.config.scaling_factor).sample
        return self._received(picture.clamp(-1, 1).mean(dim=1, keepdim=True))

    def _denoised(self, scheduler: Any, noise: Tensor, network: Any) -> Tensor:
        scheduler.set_timesteps(self.steps, device=self.models.device)
        values = noise * scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            drawn = network(scheduler.scale_model_input(values, time), time)
            values = scheduler.step(drawn, time, values, eta=0.0).prev_sample
        return values

    def _noise(self, window: Window, stream: int, channels: int, reduction: int) -> Tensor:
        """Of the window's children, or of latents that stand for `reduction` of them along a side."""
        finer = replace(window, level=window.level + 1 - int(math.log2(reduction)))
        column, row, side = (2 * number // reduction for number in (window.column, window.row, window.side))
        drawn = gaussian_noise(self.seed, stream, finer.level, column, row, (channels, side, side), window.kind)
        return self._sent(drawn)

    def _sent(self, values: Array) -> Tensor:
        return torch.from_numpy(values[None]).to(self.models.device, self.models.dtype)

    @staticmethod
    def _received(values: Tensor) -> Array:
        out: Array = values[0].float().cpu().numpy()
        return out


def _octaves(window: Window) -> float:
    """log2 of the children's metres per pixel in the window's middle."""
    return float(window.log_child_gsd()[window.side // 2])


def _reduction(vae: Any) -> int:
    """Pixels along the side of what one latent stands for."""
    return 1 << (len(vae.config.block_out_channels) - 1)
