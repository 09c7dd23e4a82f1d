"""Coarser rasters of a base by averaging: levels above its finest one."""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import CHANNELS, LOG_UNIT

__all__ = ["halved"]

_WATER = CHANNELS.index("water")
_RED = CHANNELS.index("red")
_RELIEF, _TEXTURE = CHANNELS.index("relief"), CHANNELS.index("texture")


def halved(data: NDArray[np.int32]) -> NDArray[np.int32]:
    """Parents (channel, H, W) of a region (channel, 2H, 2W): means of elevation, land and colour, spreads by the law of total variance.

    Water has the mean height of what lakes there are. A mean is exact where a sum of four divides by four, else rounded down: elevation
    in whole metres and colour in whole steps, stored in 1/64, are exact three times over.
    """
    blocks = data.reshape(len(data), data.shape[1] // 2, 2, data.shape[2] // 2, 2)
    out = (blocks.sum(axis=(2, 4)) // 4).astype(np.int32)
    means = {_RELIEF: blocks[0] / 64.0, _TEXTURE: blocks[_RED : _RED + 3].mean(axis=0) / 64.0}
    lakes = blocks[_WATER] != 0
    out[_WATER] = blocks[_WATER].sum(axis=(1, 3)) // np.maximum(lakes.sum(axis=(1, 3)), 1)
    for channel, mean in means.items():
        inside = np.exp2(blocks[channel] * (2 * LOG_UNIT)).mean(axis=(1, 3))
        out[channel] = np.rint(np.log2(inside + mean.var(axis=(1, 3))) / (2 * LOG_UNIT))
    return out
