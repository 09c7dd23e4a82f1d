"""Where the water goes: stream networks of a raster of heights, by pyflwdir, and the laws that those of real land obey.

Depressions are filled to their outlets at the rim (Wang & Liu 2006), every pixel drains to its steepest neighbour (D8), a stream begins
where more than `SOURCE` pixels have gathered.
"""

from typing import Any

import numpy as np
import pyflwdir
from numpy.typing import NDArray

Raster = NDArray[np.float64]
Whole = NDArray[np.int64]

SOURCE = 40
"""Pixels whose water makes a stream."""
FILLED = 1e-3
"""Metres by which a pixel must have been raised to count as part of a depression."""


def flow(height: Raster) -> tuple[Any, Raster]:
    """pyflwdir's flow directions of heights (H, W) in metres, and the heights with all depressions filled."""
    filled, directions = pyflwdir.dem.fill_depressions(height.astype(np.float32), nodata=-99999.0, outlets="edge")
    return pyflwdir.from_array(directions, ftype="d8", check_ftype=False), filled.astype(np.float64)


def longest_ways(directions: Any, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the longest way of water that ends in a pixel, by flat index, given each pixel's step to the next, in pixels."""
    below, rank = directions.idxs_ds, directions.rank.ravel()
    length = np.zeros(below.size)
    order = np.argsort(-rank, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(rank[order])) + 1):
        moving = part[rank[part] > 0]
        np.maximum.at(length, below[moving], length[moving] + steps[moving])
    return length


def strahler(directions: Any, streams: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """Strahler's order of every stream pixel, 0 elsewhere, by flat index; and how many streams there are of the orders from 1."""
    order = directions.stream_order(type="strahler", mask=streams).ravel().astype(np.int64)
    order = np.where(streams.ravel(), np.maximum(order, 0), 0)
    below = directions.idxs_ds
    goes_on = (order > 0) & (below != np.arange(below.size)) & (order[below] == order)
    begun_above = np.zeros(order.size, bool)
    begun_above[below[goes_on]] = True
    heads = order[(order > 0) & ~begun_above]
    return order, np.bincount(heads, minlength=2)[1:]


def ratio_of(values: NDArray[np.floating]) -> float:
    """The factor from one order to the next, by regression of the logarithms: Horton's law says that it is a constant."""
    known = np.flatnonzero(values > 0)
    if len(known) < 2:
        return 1.0
    return float(np.exp(np.polyfit(known, np.log(values[known]), 1)[0]))


def statistics(height: Raster) -> dict[str, float]:
    """Hack's exponent, Horton's bifurcation and length ratios, and the share of pixels in depressions, of heights (H, W) in metres.

    Hack (1957): length of the longest stream over its basin's area to the power 0.5 to 0.6; Horton (1945): 3 to 5 times as many streams of
    an order as of the next, 1.5 to 3 times as long.
    """
    directions, filled = flow(height)
    area = directions.upstream_area(unit="cell").astype(np.float64)
    streams = area > SOURCE
    below, columns = directions.idxs_ds, height.shape[1]
    here = np.arange(below.size)
    across = (below // columns != here // columns) & (below % columns != here % columns)
    steps = np.where(below == here, 0.0, np.where(across, 2**0.5, 1.0))
    length = longest_ways(directions, steps)
    chosen = streams.ravel() & (length > 0)
    hack = float(np.polyfit(np.log(area.ravel()[chosen]), np.log(length[chosen]), 1)[0]) if chosen.sum() > 2 else 0.5
    order, counts = strahler(directions, streams)
    total = np.bincount(order, weights=steps, minlength=len(counts) + 1)[1:]
    return {
        "hack_exponent": hack,
        "bifurcation_ratio": 1 / ratio_of(counts.astype(np.float64)),
        "length_ratio": ratio_of(total / np.maximum(counts, 1)),
        "depressions": float((filled > height + FILLED).mean()),
    }
