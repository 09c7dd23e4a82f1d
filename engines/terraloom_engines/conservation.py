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


def deviations(details: Deviation) -> Deviation:
    """Child offsets (4, H, W) from Haar details (3, H, W): west-east, north-south, diagonal."""
    across, south, diagonal = details
    out = np.empty((4, *across.shape), np.float32)
    together, apart = across + south, across - south
    np.subtract(diagonal, together, out=out[0])
    np.subtract(apart, diagonal, out=out[1])
    np.add(apart, diagonal, out=out[2])
    np.negative(out[2], out=out[2])
    np.add(together, diagonal, out=out[3])
    return out


def bound_scale(deviation: Deviation, below: NDArray[np.float32], above: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest factor in 0..1 (H, W) that keeps all four deviations between `-below` and `above` (both >= 0)."""
    low, high = deviation.min(axis=0), deviation.max(axis=0)
    np.maximum(np.negative(low, out=low), np.float32(1e-6), out=low)
    np.maximum(high, np.float32(1e-6), out=high)
    scale = np.minimum(np.divide(below, low, out=low), np.divide(above, high, out=high), out=low)
    return np.minimum(scale, np.float32(1), out=scale)


def conserve(parent: Steps, deviation: Deviation) -> Steps:
    """Integer children (4, ...) whose sum is exactly four times the parent (...): largest-remainder rounding (Hamilton's method)."""
    floor = np.floor(deviation)
    whole = floor.astype(np.int32)
    remainder = deviation.astype(np.float64)  # in float32 a little below 0 would be as good as 1
    remainder -= floor
    short = np.clip(-whole.sum(axis=0, dtype=np.int32), 0, 4).astype(np.int8)
    ahead = np.zeros(deviation.shape, np.int8)
    for i in range(4):
        ahead[i] += i
        for j in range(i + 1, 4):
            larger = (remainder[j] > remainder[i]).view(np.int8)
            ahead[i] += larger
            ahead[j] -= larger
    children = whole
    children += parent
    children += (ahead < short).view(np.int8)
    # Deviations add up to zero but for float rounding: what that leaves over (at most a few steps) goes to the first child.
    children[0] += 4 * parent - children.sum(axis=0, dtype=np.int32)
    return children


def lean_to_land(parent: Steps, deviation: Deviation, land: Steps, slack: float) -> Deviation:
    """Deviations (4, H, W) of children that hold no more of their parent's height than `slack` times their part of its land.

    `parent` (H, W) are heights over the sea, above 0, `land` (4, H, W) the children's land fractions. What a child gives up goes to those
    with land to spare, so sums are kept. A child that is nearly all water and high would have all of that in what little land it has.
    """
    total = land[0] + land[1] + land[2] + land[3]
    whole = parent.astype(np.float32)
    height = whole + deviation
    most = land.astype(np.float32) * (whole * np.float32(4 * slack) / np.maximum(total, 1).astype(np.float32))
    held = np.minimum(height, most)
    spare = most - held
    given = (height[0] - held[0]) + (height[1] - held[1]) + (height[2] - held[2]) + (height[3] - held[3])
    part = given / np.maximum(spare[0] + spare[1] + spare[2] + spare[3], np.float32(1))
    return np.where(total > 0, held + spare * np.minimum(part, np.float32(1)) - whole, deviation)


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


def interleave(children: NDArray[Number], out: NDArray[Number] | None = None) -> NDArray[Number]:
    """Four children (4, ..., H, W) to their raster (..., 2H, 2W), which is `out` where that is given."""
    if out is None:
        out = np.empty((*children.shape[1:-2], 2 * children.shape[-2], 2 * children.shape[-1]), children.dtype)
    out[..., ::2, ::2], out[..., ::2, 1::2], out[..., 1::2, ::2], out[..., 1::2, 1::2] = children
    return out


def split_children(raster: NDArray[Number]) -> NDArray[Number]:
    """A raster (..., 2H, 2W) to its four children (4, ..., H, W): the inverse of `interleave`."""
    return np.stack([raster[..., ::2, ::2], raster[..., ::2, 1::2], raster[..., 1::2, ::2], raster[..., 1::2, 1::2]])


def block_details(children: NDArray[np.number]) -> NDArray[np.float32]:
    """Haar details (3, H, W) of four children (4, H, W), in their unit."""
    nw, ne, sw, se = children.astype(np.float32)
    out = np.empty((3, *nw.shape), np.float32)
    for detail, (first, second, third) in zip(out, ((ne, nw, sw), (sw, nw, ne), (nw, ne, sw)), strict=True):
        np.add(first, se, out=detail)
        detail -= second
        detail -= third
        detail /= 4
    return out
