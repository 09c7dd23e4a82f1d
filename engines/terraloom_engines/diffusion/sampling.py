"""Few-step sampling of distributional diffusion models (De Bortoli et al., arXiv 2502.02483)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Denoiser = Callable[[Array, float], Array]
"""(noised sample and extra noise (C, n, n), time) to one draw of the clean sample given them (D, n - 2h, n - 2h)."""


def sample_distributional(denoise: Denoiser, noises: Sequence[Array], times: Sequence[float]) -> Array:
    """A sample in len(times) calls: draw x0 given x_t, then go back to the next time with fresh noise (their Algorithm 1).

    `times` falls from 1; `noises` holds one array (C, n_k, n_k) per call, each smaller by the denoiser's border
    than the one before; its first D channels noise the sample. Returns (D, m, m).
    """
    clean = denoise(noises[0], times[0])
    for noise, time in zip(noises[1:], times[1:], strict=True):
        size = clean.shape[0]
        noised = np.float32(1 - time) * clean + np.float32(time) * noise[:size]
        clean = denoise(np.concatenate([noised, noise[size:]]), time)
    return clean
