"""Integer finishing of a refine step: bound the deviations of four children from their parent and round them without losing any.

Children are ordered north-west, north-east, south-west, south-east; arrays are (4, H, W) per raster. Every function is a fixed
sequence of elementwise operations, so that a pixel's result does not depend on the window it was computed in.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Deviation = NDArray[np.float32]
Steps = NDArray[np.int32]
Number = TypeVar("Number", bound=np.generic)

_SIGNS = ((-1, -1, 1), (1, -1, -1), (-1, 1, -1), (1, 1, 1))


def deviations(details: Deviation) -> Deviation:
    """Child offsets (4, H, W) from Haar details (3, H, W): west-east, north-south, diagonal."""
    return np.stack([a * details[0] + b * details[1] + c * details[2] for a, b, c in _SIGNS]).astype(np.float32)


def bound_scale(deviation: Deviation, below: NDArray[np.float32], above: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest factor in 0..1 (H, W) that keeps all four deviations between `-below` and `above` (both >= 0)."""
    low, high = -deviation.min(axis=0), deviation.max(axis=0)
    scale = np.minimum(1, np.minimum(below / np.maximum(low, np.float32(1e-6)), above / np.maximum(high, np.float32(1e-6))))
    return scale.astype(np.float32)


def conserve(parent: Steps, deviation: Deviation) -> Steps:
    """Integer children (4, H, W) whose sum is exactly four times the parent (H, W): largest-remainder rounding (Hamilton's method)."""
    whole = np.floor(deviation).astype(np.int32)
    remainder = deviation - whole
    short = -whole.sum(axis=0)
    children = parent + whole
    for i in range(4):
        ahead = np.zeros(parent.shape, np.int32)
        for j in range(4):
            if j != i:
                ahead += (remainder[j] > remainder[i]) if j > i else (remainder[j] >= remainder[i])
        children[i] += (ahead < short).astype(np.int32)
    # Deviations add up to zero but for float rounding: what that leaves over (at most a few steps) goes to the first child.
    children[0] += 4 * parent - children.sum(axis=0)
    return children


def keep_sides(children: Steps, dry: NDArray[np.bool_], parent: Steps, least: Steps) -> Steps:
    """Put the children of a coastal parent on their side of sea level, and give the difference to those of the other side.

    `dry` (4, H, W): land rises to `least` (4, H, W, positive steps) above 0, water sinks to one step below; the sum over the four is kept
    by lowering all water or raising all land by equal shares. Where all four are on the parent's own side they take its mean if they
    must; where they are all on the other side, nothing can be done, and they stay as they were.
    """
    held = np.where(dry, np.maximum(children, least), np.minimum(children, -1))
    excess = held.sum(axis=0) - 4 * parent
    takers = np.where(excess > 0, ~dry, dry)
    count = takers.sum(axis=0)
    share, left = np.divmod(np.abs(excess), np.maximum(count, 1))
    rank = np.cumsum(takers, axis=0) - 1
    move = np.where(takers, share + (rank < left), 0) * -np.sign(excess)
    alone = np.where((dry.all(axis=0) & (parent > 0)) | (~dry.any(axis=0) & (parent < 0)), parent, children)
    return np.where((excess == 0) | (count > 0), held + move, alone).astype(np.int32)


def interleave(children: NDArray[Number]) -> NDArray[Number]:
    """Four children (4, ..., H, W) to their raster (..., 2H, 2W)."""
    out = np.empty((*children.shape[1:-2], 2 * children.shape[-2], 2 * children.shape[-1]), children.dtype)
    out[..., ::2, ::2], out[..., ::2, 1::2], out[..., 1::2, ::2], out[..., 1::2, 1::2] = children
    return out


def split_children(raster: NDArray[Number]) -> NDArray[Number]:
    """A raster (..., 2H, 2W) to its four children (4, ..., H, W): the inverse of `interleave`."""
    return np.stack([raster[..., ::2, ::2], raster[..., ::2, 1::2], raster[..., 1::2, ::2], raster[..., 1::2, 1::2]])


def block_details(children: NDArray[np.number]) -> NDArray[np.float32]:
    """Haar details (3, H, W) of four children (4, H, W), in their unit."""
    nw, ne, sw, se = children.astype(np.float32)
    return np.stack([(ne + se - nw - sw) / 4, (sw + se - nw - ne) / 4, (nw + se - ne - sw) / 4])
