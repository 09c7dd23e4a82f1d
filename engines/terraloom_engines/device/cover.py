"""`terraloom_engines.cover` on a device, operation by operation as numpy has it."""

from torch import Tensor

from terraloom_engines.cover import AMBIENT, CANOPY, DARK, DIM, GREEN, GREENEST, OPEN, WHITE, WHITEST
from terraloom_engines.field import COLOUR_UNIT


def canopy(red: Tensor, green: Tensor, light: Tensor) -> Tensor:
    """Share of a pixel that trees cover, 0..1, by its colour in stored steps."""
    greenness, darkness = (green - red - GREEN).float() * (1 / (GREENEST - GREEN)), (DIM - light).float() * (1 / (DIM - DARK))
    return greenness.clamp(0, 1) * darkness.clamp(0, 1)


def least_texture(colours: Tensor, light: Tensor, grains: Tensor) -> Tensor:
    """The least spread of light inside children, in 8-bit steps (4, H, W), by their cover; arguments are those of numpy's."""
    trees = canopy(colours[:, 0], colours[:, 1], light)
    snow = ((light - WHITE).float() * (1 / (WHITEST - WHITE))).clamp(0, 1)
    share = OPEN * (1 - snow) + trees * (CANOPY - OPEN)
    return (light + AMBIENT).float() * (share * COLOUR_UNIT) * grains[:, None]
