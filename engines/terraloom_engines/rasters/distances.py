"""How far pixels lie from the edge of a mask, up to a reach, in Euclidean pixels."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["closed", "depth"]

Mask = NDArray[np.bool_]


def depth(mask: Mask, reach: int, *, beyond: bool = True) -> NDArray[np.float32]:
    """Distance of every pixel of a mask (H, W) to the nearest pixel outside of it, at most `reach` + 1; 0 outside.

    `beyond`: whether what lies beyond the raster counts as inside.
    """
    if not beyond:
        return depth(np.pad(mask, 1), reach)[1:-1, 1:-1]
    column = np.where(mask, np.float32(reach + 1), np.float32(0))
    for _ in range(reach):
        column[1:] = np.minimum(column[1:], column[:-1] + 1)
        column[:-1] = np.minimum(column[:-1], column[1:] + 1)
    squared = column * column
    padded = np.pad(squared, ((0, 0), (reach, reach)), constant_values=np.float32((reach + 1) ** 2))
    out = squared.copy()
    for step in range(1, reach + 1):
        for start in (reach - step, reach + step):
            np.minimum(out, padded[:, start : start + mask.shape[1]] + np.float32(step * step), out=out)
    return np.minimum(np.sqrt(out), np.float32(reach + 1))


def closed(mask: Mask, radius: int) -> Mask:
    """The mask with its gaps narrower than twice `radius` filled: dilated and eroded by a disc."""
    dilated = depth(~mask, radius) <= radius
    return (depth(dilated, radius) > radius) | mask
