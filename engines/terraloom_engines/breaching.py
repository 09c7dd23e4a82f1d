"""Water finds its way: the children of a step, changed where it would stand still.

The networks see too little land to know where water goes, and leave 2 to 40 times the pits that real land has. So the deepest places of
the children are breached: from a pit to the lowest ground within a few pixels a valley is cut along the straight way that takes the least
digging (after Lindsay 2016, "Efficient hybrid breaching-filling sink removal methods"), here by `share` of its depth. What is dug from a
block of four children goes to the others of the block, and what the block had of its own is lessened until its variance is what it was:
means are kept, and land grows no rougher. Before and after, shallow pits are evened out with their siblings and their outlets. Level after
level that joins valleys over any distance, though each step sees `REACH` children.

Each child is a function of its surroundings within `MARGIN` parents, by elementwise operations and minima alone, so that a result does
not depend on the window it was computed in.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.conservation import bound_scale, conserve, interleave, split_children

Steps = NDArray[np.int32]
Real = NDArray[np.float32]
Mask = NDArray[np.bool_]

REACH = 4
"""Children within which a pit's water looks for lower ground."""
EVENED = 2
"""Times that shallow pits are evened out before, and again after, valleys are cut."""
MARGIN = 2 * EVENED + REACH
"""Parent pixels on each side whose children see too little: one is lost each time that pits are evened, 2 REACH - 1 children to valleys."""
RAISED, LOWERED = 1.0, 0.4
"""Shares of a pit's depth that it is raised by, and that its outlet is lowered by."""
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
NOWHERE = np.float32(1e9)
"""Height of what lies beyond the window."""


@dataclass(frozen=True)
class Way:
    """A straight way to a pixel (rows, columns away): the pixels between, and the share of the way at which each lies."""

    end: tuple[int, int]
    between: tuple[tuple[int, int], ...]
    shares: tuple[float, ...]


def ways() -> tuple[Way, ...]:
    """All straight ways in eight directions to what lies 2 to `REACH` pixels away, the shortest first."""
    found = []
    for dy, dx in NEIGHBOURS:
        for count in range(2, REACH + 1):
            if count * count * (dy * dy + dx * dx) <= REACH * (REACH + 1):
                between = tuple((dy * k, dx * k) for k in range(1, count))
                found.append(Way((dy * count, dx * count), between, tuple(k / count for k in range(1, count))))
    return tuple(sorted(found, key=lambda way: (way.end[0] ** 2 + way.end[1] ** 2, way.end)))


WAYS = ways()


def drained(parent: Steps, children: Steps, free: Mask, limits: tuple[Real, Real], share: float) -> Steps:
    """Children (4, H, W) of their parents (H, W), stored heights, with pits breached by `share` where a block is `free` (H, W) to change.

    `limits` (H, W): how far below its parent, and how far above, a child may be. What lies in the outermost `MARGIN` parents is not to
    be used.
    """
    ground, steps = parent.astype(np.float32), (children - parent).astype(np.float32)
    for _ in range(EVENED):
        steps = evened(ground, steps, free)
    steps = breached(ground, steps, free, share)
    for _ in range(EVENED):
        steps = evened(ground, steps, free)
    return np.where(free, conserve(parent, steps * bound_scale(steps, *limits)), children).astype(np.int32)


def evened(parent: Real, steps: Real, free: Mask) -> Real:
    """Deviations (4, H, W) with pits raised to their lowest neighbour, which is lowered in turn; means of blocks are kept."""
    height = interleave(parent + steps)
    lowest = lowest_neighbours(height)
    rows, columns = np.nonzero(height < lowest)
    outlet, padded = lowest[rows, columns], np.pad(height, 1, constant_values=NOWHERE)
    depth, taken = outlet - height[rows, columns], np.zeros_like(padded)
    for dy, dx in NEIGHBOURS:
        row, column = rows + 1 + dy, columns + 1 + dx
        here = padded[row, column] == outlet
        np.maximum.at(taken, (row[here], column[here]), depth[here])
    change = taken[1:-1, 1:-1] * np.float32(-LOWERED)
    change[rows, columns] += depth * np.float32(RAISED)
    return steps + without_mean(split_children(change), free)


def breached(parent: Real, steps: Real, free: Mask, share: float) -> Real:
    """Deviations (4, H, W) with valleys cut from pits to lower ground; means of blocks are kept, and their variance where it can be."""
    height = interleave(parent + steps)
    depth = split_children(valleys(height) - height)
    rows, columns = np.nonzero((depth < 0).any(axis=0) & free)
    own, cut = steps[:, rows, columns], depth[:, rows, columns] * np.float32(share)
    dug = cut < 0
    heaped = -_sum(cut) / np.maximum(4 - dug.sum(axis=0), 1).astype(np.float32)
    change = without_mean(np.where(dug, cut, heaped), np.True_)
    # The factor of a block's own deviations at which those and the change together have the variance of the larger of both.
    squares, mixed, new = (_sum(a.astype(np.float64) * b) for a, b in ((own, own), (own, change), (change, change)))
    root = np.sqrt(np.maximum(mixed * mixed - squares * (new - np.maximum(squares, new)), 0))
    factor = np.clip((root - mixed) / np.maximum(squares, 1e-9), 0, 1).astype(np.float32)
    out = steps.copy()
    out[:, rows, columns] = own * factor + change
    return out


def valleys(height: Real) -> Real:
    """Heights (H, W) with a way cut from every pit to lower ground within `REACH`, where there is some."""
    rows, columns = np.nonzero(height < lowest_neighbours(height))
    padded = np.pad(height, REACH, constant_values=NOWHERE)
    rows, columns, bottom = rows + REACH, columns + REACH, height[rows, columns]
    least, chosen = np.full(len(rows), np.inf, np.float32), np.full(len(rows), -1)
    for number, way in enumerate(WAYS):
        end = padded[rows + way.end[0], columns + way.end[1]]
        digging = np.zeros(len(rows), np.float32)
        for (dy, dx), along in zip(way.between, way.shares, strict=True):
            digging += np.maximum(padded[rows + dy, columns + dx] - (bottom + (end - bottom) * np.float32(along)), 0)
        better = (end < bottom) & (digging < least)
        least, chosen = np.where(better, digging, least), np.where(better, number, chosen)
    out = padded.copy()
    for number, way in enumerate(WAYS):
        taken = chosen == number
        row, column, start = rows[taken], columns[taken], bottom[taken]
        end = padded[row + way.end[0], column + way.end[1]]
        for (dy, dx), along in zip(way.between, way.shares, strict=True):
            np.minimum.at(out, (row + dy, column + dx), start + (end - start) * np.float32(along))
    return out[REACH:-REACH, REACH:-REACH]


def lowest_neighbours(height: Real) -> Real:
    """The least of every pixel's eight neighbours (H, W); at the rim a pixel stands in for those that it lacks."""
    padded = np.pad(height, 1, mode="edge")
    beside = np.minimum(padded[:, :-2], padded[:, 2:])
    across = np.minimum(beside, padded[:, 1:-1])
    return np.minimum(np.minimum(across[:-2], across[2:]), beside[1:-1])


def without_mean(change: Real, free: Mask | np.bool_) -> Real:
    """Changes (4, ...) less their blocks' means; none where a block is not free."""
    return np.where(free, change - _sum(change) * np.float32(0.25), np.float32(0))


def _sum(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Over the four children, one after the other."""
    return ((values[0] + values[1]) + values[2]) + values[3]
