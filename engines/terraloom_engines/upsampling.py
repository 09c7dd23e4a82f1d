"""Smooth upsampling that keeps averages: what four children are when nothing new happens between them.

Average-interpolating refinement of degree 6 (Donoho 1993; the low-pass part of the CDF 1,7 wavelets), along rows, columns and both.
Repeated for ever it has continuous slopes: with the three taps of degree 2 every border of a coarse pixel stays a kink in the finest
hillshade.
"""

import numpy as np
from numpy.typing import NDArray

TAPS = (201 / 1024, -44 / 1024, 5 / 1024)
"""Weights of the differences at 1, 2 and 3 pixels in half the difference of a pixel's two halves."""
REACH = len(TAPS)
"""Pixels lost on each side."""


def smooth_details(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Haar details (..., 3, H - 6, W - 6) of the smooth children of rasters (..., H, W): west-east, north-south, diagonal."""
    rows, columns = values.shape[-2] - 2 * REACH, values.shape[-1] - 2 * REACH
    out = np.empty((*values.shape[:-2], 3, rows, columns), np.float32)
    across = _half_difference(values, -1)
    out[..., 0, :, :] = across[..., REACH:-REACH, :]
    _half_difference(values[..., REACH:-REACH], -2, out[..., 1, :, :])
    _half_difference(across, -2, out[..., 2, :, :])
    return out


def kinks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the smooth children of degree 6 have over those of degree 2, in Haar details: (..., 3, H - 6, W - 6) of rasters (..., H, W).

    Networks learn on real parents what departs from smooth children; on their own, which have steps at the borders of blocks, they mend too
    few of them, level after level, whatever the degree in their graph.
    """
    return kinks_of(values, smooth_details(values))


def kinks_of(values: NDArray[np.float32], smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same for rasters whose `smooth_details` are known."""
    inner = values[..., REACH - 1 : values.shape[-2] - REACH + 1, REACH - 1 : values.shape[-1] - REACH + 1]
    plain = np.empty_like(smooth)
    np.subtract(inner[..., 1:-1, 2:], inner[..., 1:-1, :-2], out=plain[..., 0, :, :])
    np.subtract(inner[..., 2:, 1:-1], inner[..., :-2, 1:-1], out=plain[..., 1, :, :])
    diagonal = plain[..., 2, :, :]
    np.subtract(inner[..., 2:, 2:], inner[..., 2:, :-2], out=diagonal)
    diagonal -= inner[..., :-2, 2:]
    diagonal += inner[..., :-2, :-2]
    plain[..., :2, :, :] /= np.float32(8)
    diagonal /= np.float32(64)
    return np.subtract(smooth, plain, out=plain)


def _half_difference(values: NDArray[np.float32], axis: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Half the difference of every pixel's two halves along an axis, -1 or -2, which loses `REACH` pixels at both ends."""
    lines = np.moveaxis(values, axis, 0)
    side = len(lines) - 2 * REACH
    total = np.empty(_without_reach(values.shape, axis), np.float32) if out is None else out
    part, sums = np.empty_like(total), np.moveaxis(total, axis, 0)
    for step, tap in enumerate(TAPS, start=1):
        far, near = lines[REACH + step : REACH + step + side], lines[REACH - step : REACH - step + side]
        np.subtract(far, near, out=sums if step == 1 else np.moveaxis(part, axis, 0))
        if step == 1:
            total *= np.float32(tap)
        else:
            part *= np.float32(tap)
            total += part
    return total


def _without_reach(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """A shape that has lost `REACH` at both ends of an axis."""
    return tuple(length - 2 * REACH if number == len(shape) + axis else length for number, length in enumerate(shape))
