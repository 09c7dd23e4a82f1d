"""`terraloom_engines.exposure` on a device: the same operations in the same order."""

import torch
from torch import Tensor

from terraloom_engines.device.finishing import block_details, interleave, smooth_details, split_children
from terraloom_engines.device.guidance import box_sums, root
from terraloom_engines.exposure import GENTLE, LARGEST_SHARE, MARGIN, MORNING, MOST_TAKEN, ROCK, STEEP, SUNNY
from terraloom_engines.field import ELEVATION_UNIT
from terraloom_engines.guidance import LARGEST_DETAIL, ROUGHNESS_RADIUS


def exposure(elevation: Tensor, gsd: Tensor, sunward: Tensor) -> tuple[Tensor, Tensor]:
    """How far ground faces the sun, -1..1, and how bare it is, 0..1, (H - 2, W - 2) of a raster of heights (H, W)."""
    unit = (torch.full_like(gsd, ELEVATION_UNIT / 2) / gsd)[1:-1, None]
    east = (elevation[1:-1, 2:] - elevation[1:-1, :-2]).float() * unit
    north = (elevation[:-2, 1:-1] - elevation[2:, 1:-1]).float() * unit
    facing = north * sunward[1:-1, None] - east * MORNING
    bare = (east * east + north * north - GENTLE) * (1 / (STEEP - GENTLE))
    return facing / (facing.abs() + 1), bare.clamp(0, 1)


def light_details(light: Tensor, spread: Tensor, parent: Tensor, children: Tensor, rows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """What exposure puts into the light of four children, Haar details (3, H, W), and the share of drawn variance that it takes."""
    gsd, sunward = rows
    fine = exposure(interleave(children), gsd.repeat_interleave(2), sunward.repeat_interleave(2))
    coarse = exposure(parent, gsd * 2, sunward)
    rim = 2 * (MARGIN - ROUGHNESS_RADIUS) - 1
    facing, bare = (split_children(part[rim:-rim, rim:-rim]) for part in fine)
    cut = slice(MARGIN - ROUGHNESS_RADIUS, ROUGHNESS_RADIUS - MARGIN)
    here = light[cut, cut].float()
    sun, rock = here * SUNNY, ROCK - here
    new = block_details(facing * sun + bare * rock) - (smooth_details(coarse[0]) * sun + smooth_details(coarse[1]) * rock)
    whole = torch.round(new).long()
    power = box_sums((whole * whole).sum(dim=0), ROUGHNESS_RADIUS).double()
    count = torch.full_like(power, 3 * (2 * ROUGHNESS_RADIUS + 1) ** 2)
    typical = root(power / count).float() + 1
    kept = torch.minimum(typical, spread * LARGEST_SHARE)
    inner = slice(ROUGHNESS_RADIUS, -ROUGHNESS_RADIUS)
    limit = typical * LARGEST_DETAIL
    share = kept / spread.clamp(min=1)
    return torch.minimum(torch.maximum(new[:, inner, inner], -limit), limit) * (kept / typical), (share * share).clamp(max=MOST_TAKEN)
