"""The law of total variance, enforced in part: what the relief inside pixels is corrected by, so that it does not pile up.

    V_parent = mean of V_child + variance of the children's heights

The network has learnt it, yet on its own output it leaves too much inside the children of gentle land: that piles up level after level and
comes out in the finest ones as roughness. So where there is too much round a parent, its children's spreads are lowered by a share of it.
Raising them where there is too little was tried: land grew too rough.

All sums are sums of integers, so a pixel's result does not depend on the window it was computed in.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import LOG_UNIT
from terraloom_engines.guidance import box_sums

Steps = NDArray[np.int32]

RADIUS = 4
"""Parent pixels on each side over which the law is taken: between single pixels it holds only on average."""
LEAST, MOST = 0.3, 1.0
"""Bounds of what the variance inside children is multiplied by, before the share."""


@lru_cache(maxsize=8)
def shift_edges(share: float) -> tuple[NDArray[np.float64], int]:
    """Factors of the variance at which the shift of the stored spread grows by a step, and the shift below the first of them."""
    steps_per_octave = share / 2 / LOG_UNIT
    lowest, highest = (round(steps_per_octave * float(np.log2(factor))) for factor in (LEAST, MOST))
    return np.exp2((np.arange(lowest, highest) + 0.5) / steps_per_octave), lowest


def shifts(total: NDArray[np.int64], between: NDArray[np.int64], inside: NDArray[np.int64], share: float) -> Steps:
    """What the stored spreads of children move by, (H, W).

    Variances are four times those of a parent, in squared steps of elevation: `total` of the parent, `between` its children, and `inside`
    them, as drawn. The outermost `RADIUS` pixels see their neighbours repeated.
    """
    around = np.pad(np.stack([total - between, inside]), ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS)), mode="edge")
    left, present = box_sums(around, RADIUS).astype(np.float64)
    return shift_of(np.divide(left, present, out=left), share)


def shift_of(factors: NDArray[np.float64], share: float) -> Steps:
    """What a stored spread moves by where its variance is multiplied by a factor: the edges below it are counted.

    A logarithm says where to look and the edges decide, so that no platform's logarithm takes part in the result.
    """
    edges, lowest = shift_edges(share)
    octaves = np.log2(np.maximum(factors, 2.0**-20))
    octaves *= share / 2 / LOG_UNIT
    np.clip(np.ceil(octaves - (lowest + 0.5), out=octaves), 0, len(edges), out=octaves)
    near = octaves.astype(np.intp)
    near -= np.concatenate([[-np.inf], edges]).take(near) >= factors
    near += np.concatenate([edges, [np.inf]]).take(near) < factors
    near += lowest
    return near.astype(np.int32)
