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

from terraloom_engines.conservation import bound_scale, conserve, interleave

Steps = NDArray[np.int32]
Real = NDArray[np.float32]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

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


class Ground:
    """The children of a window as a raster with a rim of `REACH` pixels of `NOWHERE`, and as deviations from their parents by block.

    Pixels are named by their place in the flattened raster, blocks by that of their parent in the flattened window: few of either change.
    """

    def __init__(self, parent: Real, steps: Real) -> None:
        """Parents (H, W), and deviations (4, H, W), which are written to."""
        self.shape = rows, columns = parent.shape
        self.parent, self.steps = parent.reshape(-1), steps.reshape(4, -1)
        self.raster = np.full((2 * (rows + REACH), 2 * (columns + REACH)), NOWHERE, np.float32)
        self.inside = self.raster[REACH:-REACH, REACH:-REACH]
        self.flat, self.width = self.raster.reshape(-1), self.raster.shape[1]
        interleave(parent + steps, self.inside)

    def away(self, place: tuple[int, int]) -> int:
        """How far apart pixels lie that are so many rows and columns away."""
        return place[0] * self.width + place[1]

    def pits(self) -> tuple[Places, Real]:
        """Pixels below all eight neighbours, and the least of those; at the rim of the window there are none."""
        height = self.inside
        beside = np.minimum(height[:, :-2], height[:, 2:])
        across = np.minimum(beside, height[:, 1:-1])
        lowest = np.minimum(across[:-2], across[2:])
        np.minimum(lowest, beside[1:-1], out=lowest)
        found = np.flatnonzero(height[1:-1, 1:-1] < lowest)
        rows, columns = np.divmod(found, lowest.shape[1])
        return (rows + REACH + 1) * self.width + columns + REACH + 1, lowest.reshape(-1)[found]

    def blocks_of(self, pixels: Places, free: Mask) -> Places:
        """The `free` blocks that hold some of these pixels, each once."""
        rows, columns = np.divmod(pixels, self.width)
        touched = np.zeros(self.parent.shape, np.bool_)
        touched[(rows - REACH) // 2 * self.shape[1] + (columns - REACH) // 2] = True
        return np.flatnonzero(touched & free.reshape(-1))

    def pixels_of(self, blocks: Places) -> Places:
        """The four children of each block, (4, n)."""
        rows, columns = np.divmod(blocks, self.shape[1])
        first = (2 * rows + REACH) * self.width + 2 * columns + REACH
        return first + np.array([0, 1, self.width, self.width + 1])[:, None]

    def put(self, blocks: Places, steps: Real) -> None:
        """Other deviations (4, n) for these blocks."""
        self.steps[:, blocks] = steps
        self.flat[self.pixels_of(blocks)] = self.parent[blocks] + steps


def drained(parent: Steps, children: Steps, free: Mask, limits: tuple[Real, Real], share: float) -> Steps:
    """Children (4, H, W) of their parents (H, W), stored heights, with pits breached by `share` where a block is `free` (H, W) to change.

    `limits` (H, W): how far below its parent, and how far above, a child may be. What lies in the outermost `MARGIN` parents is not to
    be used.
    """
    steps = (children - parent).astype(np.float32)
    ground = Ground(parent.astype(np.float32), steps)
    before = steps.copy()
    for _ in range(EVENED):
        even(ground, free)
    breach(ground, free, share)
    for _ in range(EVENED):
        even(ground, free)
    scale = bound_scale(steps, *limits)
    # All others are what they were: whole numbers, within their limits, of their parent's mean.
    other = (steps != before).any(axis=0) | (scale < 1) | (children.sum(axis=0, dtype=np.int32) != 4 * parent)
    rows, columns = np.nonzero(other & free)
    out = children.copy()
    out[:, rows, columns] = conserve(parent[rows, columns], steps[:, rows, columns] * scale[rows, columns])
    return out


def even(ground: Ground, free: Mask) -> None:
    """Raises pits to their lowest neighbour, which is lowered in turn, where blocks are `free`; their means are kept."""
    pits, outlet = ground.pits()
    depth, taken = outlet - ground.flat[pits], np.zeros_like(ground.flat)
    around = pits + np.array([ground.away(place) for place in NEIGHBOURS])[:, None]
    lowest = ground.flat[around] == outlet
    outlets = around[lowest]
    np.maximum.at(taken, outlets, np.broadcast_to(depth, lowest.shape)[lowest])
    taken[outlets] *= np.float32(-LOWERED)  # an outlet is no pit
    taken[pits] += depth * np.float32(RAISED)
    blocks = ground.blocks_of(np.concatenate([pits, outlets]), free)
    change = taken[ground.pixels_of(blocks)]
    ground.put(blocks, ground.steps[:, blocks] + without_mean(change))


def breach(ground: Ground, free: Mask, share: float) -> None:
    """Cuts valleys from pits to lower ground by `share` of their depth; means of blocks are kept, and their variance where it can be."""
    pixels, lowered = valleys(ground)
    blocks = ground.blocks_of(pixels, free)
    children = ground.pixels_of(blocks)
    own, cut = ground.steps[:, blocks], (lowered[children] - ground.flat[children]) * np.float32(share)
    dug = cut < 0
    heaped = -_sum(cut) / np.maximum(4 - dug.sum(axis=0), 1).astype(np.float32)
    change = without_mean(np.where(dug, cut, heaped))
    # The factor of a block's own deviations at which those and the change together have the variance of the larger of both.
    squares, mixed, new = (_sum(a.astype(np.float64) * b) for a, b in ((own, own), (own, change), (change, change)))
    root = np.sqrt(np.maximum(mixed * mixed - squares * (new - np.maximum(squares, new)), 0))
    factor = np.clip((root - mixed) / np.maximum(squares, 1e-9), 0, 1).astype(np.float32)
    ground.put(blocks, own * factor + change)


def valleys(ground: Ground) -> tuple[Places, Real]:
    """Pixels that lie on a way from a pit to lower ground within `REACH` and are lowered for it, and the flattened raster with those ways.

    Every pit takes the way with the least digging, of several the shortest.
    """
    pits, _ = ground.pits()
    bottom = ground.flat[pits]
    ends = ground.flat[pits + np.array([ground.away(way.end) for way in WAYS])[:, None]]
    digging = np.full(ends.shape, np.inf, np.float32)
    for way, end, dug in zip(WAYS, ends, digging, strict=True):
        (there,) = np.nonzero(end < bottom)
        total, start, fall = np.zeros(len(there), np.float32), bottom[there], end[there] - bottom[there]
        for place, along in zip(way.between, way.shares, strict=True):
            total += np.maximum(ground.flat[pits[there] + ground.away(place)] - (start + fall * np.float32(along)), 0)
        dug[there] = total
    chosen, lowered, cut = digging.argmin(axis=0), ground.flat.copy(), []
    for number, (way, end) in enumerate(zip(WAYS, ends, strict=True)):
        (taken,) = np.nonzero((chosen == number) & (end < bottom))
        start, fall = bottom[taken], end[taken] - bottom[taken]
        for place, along in zip(way.between, way.shares, strict=True):
            cut.append(pits[taken] + ground.away(place))
            np.minimum.at(lowered, cut[-1], start + fall * np.float32(along))
    pixels = np.concatenate(cut)
    return pixels[lowered[pixels] < ground.flat[pixels]], lowered


def without_mean(change: Real) -> Real:
    """Changes (4, ...) less their blocks' means."""
    return change - _sum(change) * np.float32(0.25)


def _sum(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Over the four children, one after the other."""
    return ((values[0] + values[1]) + values[2]) + values[3]
