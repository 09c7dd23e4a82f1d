"""`terraloom_engines.guidance` on a device: sums of 64-bit integers, and roots that are rounded as IEEE 754 has it."""

import torch
from torch import Tensor

from terraloom_engines.device.finishing import block_details, smooth_details
from terraloom_engines.guidance import (
    COLOUR_NOISE,
    GAIN,
    HEIGHT_NOISE,
    LARGEST_DETAIL,
    LEAST_CORRELATION,
    RADIUS,
    ROUGHNESS_RADIUS,
    SCALE,
)
from terraloom_engines.upsampling import REACH as SMOOTH_REACH

_SPLITTER = float((1 << 27) + 1)


def root(values: Tensor) -> Tensor:
    """The square root of float64 numbers, rounded correctly: torch's own on processors may be off by one in the last place.

    One step of Newton's method from there, with the remainder by Dekker's exact product (Numerische Mathematik 18, 1971).
    """
    near = torch.sqrt(values)
    high = near * _SPLITTER
    high = high - (high - near)
    low, square = near - high, near * near
    error = ((high * high - square) + high * low + high * low) + low * low
    remainder = (values - square) - error
    return torch.where(values > 0, near + remainder / (near + near), near)


def box_sums(values: Tensor, radius: int) -> Tensor:
    """Sums over squares of 2 `radius` + 1 pixels: int64 (..., H, W) to (..., H - 2 radius, W - 2 radius)."""
    side = 2 * radius + 1
    for axis in (-1, -2):
        total = values.cumsum(dim=axis)
        length = values.shape[axis] - side + 1
        whole = total.narrow(axis, side - 1, length)
        values = torch.cat([whole.narrow(axis, 0, 1), whole.narrow(axis, 1, length - 1) - total.narrow(axis, 0, length - 1)], dim=axis)
    return values


def correlations(colour: Tensor, elevation: Tensor) -> tuple[Tensor, Tensor]:
    """How light goes with height round every pixel, (H', W'), and each band's part in it, (3, H', W')."""
    count = (2 * RADIUS + 1) ** 2
    height, bands = elevation.long(), colour.long()
    light = bands[0] + bands[1] + bands[2]
    sums = box_sums(torch.cat([torch.stack([height, height * height, light * light]), bands, bands * height]), RADIUS)
    mean, means = sums[0], sums[3:6]
    together = (count * sums[6:] - means * mean).double()
    lights = means[0] + means[1] + means[2]
    height_variance = (count * sums[1] - mean * mean).double() + (count * HEIGHT_NOISE) ** 2
    light_variance = (count * sums[2] - lights * lights).double() + (count * 3 * COLOUR_NOISE) ** 2
    whole = together[0] + together[1] + together[2]
    parts = (together * torch.sign(whole)).clamp(min=0)
    among = (parts[0] + parts[1] + parts[2]).clamp(min=1)
    parts = parts * (torch.full_like(among, 3) / among)  # `3 / among` would be 3 times a rounded reciprocal
    found = torch.cat([(whole / root(height_variance * light_variance))[None], parts])
    averaged = box_sums(torch.round(found * SCALE).long(), RADIUS).float() * (1 / (count * SCALE))
    return averaged[0], averaged[1:]


def shares(correlation: Tensor, largest: float) -> Tensor:
    """What share of its texture colour takes from relief, with the sign of how it goes with height."""
    beyond = (correlation.abs() - LEAST_CORRELATION).clamp(min=0) * GAIN
    return torch.sign(correlation) * beyond.clamp(max=largest)


def relief_details(parent: Tensor, children: Tensor, margin: int) -> Tensor:
    """What is new in the heights of four children (4, H, W), in typical details of the place: (3, H - 2 margin, W - 2 margin)."""
    outer, side = margin - ROUGHNESS_RADIUS, parent.shape[-1]
    near, far = slice(outer, side - outer), slice(outer - SMOOTH_REACH, side - outer + SMOOTH_REACH)
    new = block_details(children[:, near, near]) - smooth_details(parent[far, far].float())
    whole = torch.round(new).long()
    power = box_sums((whole * whole).sum(dim=0), ROUGHNESS_RADIUS).double()
    count = torch.full_like(power, 3 * (2 * ROUGHNESS_RADIUS + 1) ** 2)
    typical = root(power / count).float() + HEIGHT_NOISE
    inner = slice(ROUGHNESS_RADIUS, new.shape[-1] - ROUGHNESS_RADIUS)
    return (new[:, inner, inner] / typical).clamp(-LARGEST_DETAIL, LARGEST_DETAIL)
