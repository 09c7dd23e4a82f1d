"""What the sea sends to the eye: its own colour from below, and the sky and the sun mirrored by its waves."""

import math

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.render.atmosphere import Sky

__all__ = ["mirrored"]

Array = NDArray[np.float32]

WAVES = 0.025
"""Mean square of the slope of waves, some 4 m/s of wind (Cox and Munk, 1954)."""
_LEAST = 0.06
"""Cosine below which waves hide each other."""


def mirrored(rays: Array, sun: Array, sunlight: Array, sky: Sky) -> tuple[Array, Array]:
    """Light that level water mirrors, shape (n, 3), and the share of light from below that passes its surface, (n, 1).

    `rays` (n, 3) are unit vectors from the eye and `sun` (3,) that to the sun, both right, forward, up. Schlick's reflectance; the sun's
    glitter by the slopes of waves.
    """
    down = np.maximum(-rays[:, 2], np.float32(_LEAST))
    share = (0.02 + 0.98 * (1 - down) ** 5)[:, None].astype(np.float32)
    up = np.arcsin(np.clip(-rays[:, 2], 0, 1)) + np.float32(math.sqrt(WAVES) / 2)
    sunward = rays[:, 0] * sun[0] + rays[:, 1] * sun[1] - rays[:, 2] * sun[2]
    half = sun - rays
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    tilt = (half[:, 0] ** 2 + half[:, 1] ** 2) / np.maximum(half[:, 2] ** 2, 1e-6)
    glitter = np.exp(-tilt / WAVES) / (math.pi * WAVES * 4 * np.maximum(half[:, 2], 1e-3) ** 4 * down)
    light = share * (sky.light(up.astype(np.float32), sunward.astype(np.float32)) + glitter[:, None].astype(np.float32) * sunlight)
    return light, 1 - share
