"""Dimensional lifting: the stage that generates elevation and the relief left inside its pixels, p(H_z | H_{z-1}, I_z)."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from terraloom_engines import breaching, creep
from terraloom_engines.conservation import bound_scale, conserve, deviations, keep_sides, lean_to_land
from terraloom_engines.field import DETAIL_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.runtimes import Graph
from terraloom_engines.stages import Array, StageSpec, Window, draw_noise, draw_sample, in_units
from terraloom_engines.upsampling import REACH as KINK_REACH
from terraloom_engines.upsampling import kinks

Steps = NDArray[np.int32]

RELIEF_RANGE = (-6 * 256, 12 * 256)
"""Bounds of the stored relief: 1/64 m to 4 km."""
REACH = 4.0
"""A child departs from its parent by at most this many of its own ground sample distances (metres per metre)."""
REPOSE = 0.22
"""Spread inside a pixel over its size from which on relief counts as excess: a slope of 37 degrees."""
COAST_SPREADS = 0.5
"""Land that the mask puts beside the sea has a mean of at least this many of its spreads: lower, it would have to be flat."""
TO_THE_WATER = 0.75
"""Share of the way to the water's level that pure land, or pure water, may go in one step: a pixel at that level stays a plate for ever."""
LAND_SLACK = 1.2
"""How many times its part of a coastal parent's land a child may hold of its height, where a mask knows it."""
TALLEST = 3.5
"""Land beside water that a mask knows departs from its parent by at most so many of the parent's spreads; else the mask is not heeded."""
EXCESS_PERCENT = 35
"""What is kept of the excess, in per cent of its octaves."""
SELF_SIMILAR_LEVEL = 10
"""The finest level whose scale the network is told; finer land is drawn as that level's, in units of slope. Of real elevation finer than
17 m there are three rasters, so the network learns from all fine land in the same way (`training/samples.py`)."""
CREEP_LEVEL, GENTLE_CREEP_LEVEL = 12, 11
"""The coarsest level whose relief soil creep takes part of, pixels of 20 to 38 m, and that of gentle land, where hillslopes are longer."""
GENTLE = 1
"""Octaves by which slopes that are not gentle are below `REPOSE`, 11 degrees; gentle without any doubt are those an octave below that."""
OCTAVE = round(1 / LOG_UNIT)
"""Stored steps of relief in an octave."""
EVERY_SLOPE = 1 << 16
"""Stored steps by which no spread differs from another."""
STREAKS_BEGIN, STREAKS_WHOLE = 3, 14
"""Levels between which what is done against lines along the grid grows from none to the stage's, in heights."""
KINKS_BEGIN, KINKS_WHOLE = 5, 12
"""Levels between which the share of kinks that is mended grows from none to the stage's: on coarse land the network leaves fewer."""
COARSE_KINKS = {5: -8.0}
"""By level, how many times the stage's share is mended where `KINKS_BEGIN` does not say it. Just below a base of 10 km it is taken out
instead: smooth upsampling leaves less of a step across the borders of its pixels than land has that is as rough."""
FINE_KINKS = 3.0
"""How many times that is mended beyond `CREEP_LEVEL`: creep takes what lies between the borders of coarser pixels, not the borders."""

SPREAD_TABLE = np.exp2(np.arange(RELIEF_RANGE[0], RELIEF_RANGE[1] + 1, dtype=np.float64) * LOG_UNIT).astype(np.float32)
"""Metres (or 8-bit steps) of every stored relief (or texture) value."""

SPREAD_SQUARES = np.rint(12 * (SPREAD_TABLE.astype(np.float64) / ELEVATION_UNIT) ** 2).astype(np.int64)
"""Their squares, in twelfths of squared stored steps of elevation."""
_NEXT_LOWER = np.concatenate([[np.float32(-np.inf)], SPREAD_TABLE[:-1]]).astype(np.float32)
"""The spread of the stored value one below, by which none is below the least."""


def spread_of(stored: Steps) -> NDArray[np.float32]:
    """Standard deviation of stored log2 values, by table."""
    return SPREAD_TABLE.take(stored - RELIEF_RANGE[0], mode="clip")


def stored_spread(spread: NDArray[np.float32]) -> Steps:
    """The least stored value whose spread is not below that given (metres or 8-bit steps, >= 0); one above the range if there is none.

    A logarithm says where to look and the table decides, so that no platform's logarithm takes part in the result.
    """
    octaves = np.maximum(spread, np.float32(2.0**-20))
    np.log2(octaves, out=octaves)
    octaves *= np.float32(1 / LOG_UNIT)
    np.clip(np.ceil(octaves, out=octaves), RELIEF_RANGE[0], RELIEF_RANGE[1], out=octaves)
    near = octaves.astype(np.intp) - RELIEF_RANGE[0]
    near -= _NEXT_LOWER.take(near, mode="clip") >= spread
    near += SPREAD_TABLE.take(near, mode="clip") < spread
    near += RELIEF_RANGE[0]
    return near.astype(np.int32)


def not_below(stored: Steps, spread: NDArray[np.float32]) -> Steps:
    """Stored values, within their range, that are not below `stored_spread` of spreads of their shape; only those that are need a look."""
    out = np.clip(stored, *RELIEF_RANGE)
    larger = np.flatnonzero(spread > spread_of(out))
    out.reshape(-1)[larger] = np.minimum(stored_spread(spread.reshape(-1)[larger]), RELIEF_RANGE[1])
    return out


@dataclass(frozen=True)
class Waters:
    """What is known beside a window's heights and spreads: land fraction and the water's surface of the parents, stored (side, side).

    `mask` is the children's land fraction beside the sea, (4, side, side), where a mask knows it: lakes are not in it. `details` is what is
    known of the children's relief beyond that (`Base.details`), (4, side, side).
    """

    land: Steps
    surface: Steps
    mask: Steps | None
    details: Steps | None = None

    @classmethod
    def above(cls, land: Steps, surface: Steps, known: Steps | None) -> Self:
        """Of parents' rasters, and what a base knows of their children: `mask`, and `details` after it where there are any."""
        if known is None or len(known) == 4:
            return cls(land, surface, known)
        return cls(land, surface, known[:4], known[4:])


@dataclass(frozen=True)
class Geometry:
    """Four children per parent pixel: elevation, relief (stored steps) and land, each int32 (4, H, W)."""

    elevation: Steps
    relief: Steps
    land: Steps


def child_relief(parent: Steps, sample: Array, spec: StageSpec) -> Steps:
    """Stored log2 spreads of four children (4, H, W) from the sample's normalised log ratios."""
    octaves = sample * np.float32(spec.spread_scale)
    octaves += np.float32(spec.spread_mean)
    octaves /= np.float32(LOG_UNIT)
    stored = np.rint(octaves, out=octaves).astype(np.int32)
    stored += parent
    return np.clip(stored, *RELIEF_RANGE, out=stored)


def threshold_hillslopes(relief: Steps, gsd: NDArray[np.float32]) -> Steps:
    """Stored relief (4, H, W) with its excess over what hillslopes bear compressed; `gsd` (H,) is the children's metres per pixel.

    Steep land fails at a threshold angle (Burbank et al. 1996): on one steep real DEM (Taiwan) the median spread inside a pixel stays at
    0.23 to 0.25 of its size from 139 m down to 17 m. Elevation finer than that is scarce in training: left alone, the relief was seen
    to pile up there. The knee and the compression are chosen by eye.
    """
    excess = relief - hillslope_knee(gsd)[:, None]
    np.maximum(excess, 0, out=excess)
    return relief - excess + excess * EXCESS_PERCENT // 100


def hillslope_knee(gsd: NDArray[np.float32]) -> Steps:
    """Stored relief from which on it counts as excess, (H,), for pixels of `gsd` metres."""
    return np.array([math.floor(math.log2(REPOSE * float(metres)) / LOG_UNIT) for metres in gsd], np.int32)


def crept(elevation: Steps, relief: Steps, percent: int, steepest: Steps) -> Steps:
    """Stored steps (H, W) by which soil creep lessens the relief of children; their parents' rasters have `creep.MARGIN` on every side.

    `percent` of the octaves beyond what land keeps are taken out, from an octave below what slopes put into pixels at the `steepest` (H,)
    on less and less.
    """
    found, sloping = creep.roughness(elevation, SPREAD_SQUARES.take(relief - RELIEF_RANGE[0], mode="clip"))
    slope = stored_spread(sloping * np.float32(creep.BORNE))
    excess, share = stored_spread(found) - slope, np.clip(steepest[:, None] - slope, 0, OCTAVE)
    return np.maximum(excess, 0, out=excess) * percent // 100 * share // OCTAVE


def slope_spread(raster: Steps, unit: float, pixels: int) -> Steps:
    """Stored spread that the slope alone puts into a pixel: of a plane of gradient s it is s g / sqrt(12).

    `raster` (H + 2, W + 2) in steps of `unit` has a ring of neighbours; a central difference spans `pixels` of the pixels meant. (H, W).
    """
    return stored_spread(_plane_spread(raster[1:-1, 2:] - raster[1:-1, :-2], raster[2:, 1:-1] - raster[:-2, 1:-1], unit, pixels))


def _plane_spread(east: Steps, south: Steps, unit: float, pixels: int) -> NDArray[np.float32]:
    """Spread inside pixels of planes that rise by `east` and `south` steps of `unit` over `pixels` of them."""
    squared, other = east.astype(np.float32), south.astype(np.float32)
    squared *= squared
    other *= other
    squared += other
    squared *= np.float32(unit**2 / (12 * pixels**2))
    return np.sqrt(squared, out=squared)


def tilt_floor(children: Steps) -> Steps:
    """The least stored relief of four children (4, H, W): what their slope alone puts into a pixel.

    Without this floor a pixel beside a cliff may believe that it is flat, and the cliff stays a step at the border of blocks, level after
    level. The outermost ring of the children's raster sees itself repeated and is not to be used.
    """
    return stored_spread(tilt_spread(children))


def tilt_spread(children: Steps) -> NDArray[np.float32]:
    """Spread that the slope of the children's raster puts into each of four children (4, H, W)."""
    pairs = children.reshape(2, 2, *children.shape[1:])  # rows of a block, its columns
    east, south = np.empty_like(pairs), np.empty_like(pairs)
    _rises(pairs[:, 0], pairs[:, 1], (east[:, 0], east[:, 1]), -1)
    _rises(pairs[0], pairs[1], (south[0], south[1]), -2)
    return _plane_spread(east, south, ELEVATION_UNIT, 2).reshape(children.shape)


def _rises(first: Steps, second: Steps, out: tuple[Steps, Steps], axis: int) -> None:
    """By how much the pixel after is above the one before along an axis, for the first pixels of blocks and for the second."""
    one, two, of_one, of_two = (np.moveaxis(values, axis, 0) for values in (first, second, *out))
    of_one[0], of_two[-1] = two[0] - one[0], two[-1] - one[-1]
    np.subtract(two[1:], two[:-1], out=of_one[1:])
    np.subtract(one[1:], one[:-1], out=of_two[:-1])


def shore(elevation: Steps, relief: Steps, parent_land: Steps) -> Steps:
    """Land fraction of four children where no mask knows it: pure below pure parents, else the share of a pixel above the water.

    `elevation` is that over the water. A ramp of four spreads stands for the distribution of heights inside the pixel; it is half land
    exactly at 0.
    """
    out = np.broadcast_to(parent_land, relief.shape).copy()
    coast = (parent_land > 0) & (parent_land < LAND_FULL)
    if coast.any():
        over = elevation[:, coast]
        width = np.maximum(spread_of(relief[:, coast]) * np.float32(4 / ELEVATION_UNIT), np.float32(1))
        ramp = np.floor(np.float32(128) + over.astype(np.float32) * np.float32(255) / width)
        mixed = np.clip(ramp, 0, LAND_FULL).astype(np.int32)
        out[:, coast] = np.where(over >= 0, np.maximum(mixed, 128), np.minimum(mixed, 127))
    return out


class LiftingStage:
    """The geometry network with its integer finishing."""

    finest_told = SELF_SIMILAR_LEVEL
    """Of the children's levels, the finest whose scale the network is told."""

    def __init__(self, graph: Graph, spec: StageSpec, seed: int) -> None:
        self._graph, self.spec, self._seed = graph, spec, seed

    def refine(self, window: Window, elevation: Steps, relief: Steps, waters: Waters, imagery: Array | None) -> Geometry:
        """Children of the window's inner pixels, (4, side - 2 halo, side - 2 halo).

        elevation, relief: the parents' stored rasters (side, side). imagery: the children's colours, float32 (12, side, side) in
        -1..1, where lifting from imagery is wanted.
        """
        return self.finished(self.drawn(window, elevation, relief, waters, imagery), window, elevation, relief, waters)

    def drawn(self, window: Window, elevation: Steps, relief: Steps, waters: Waters, imagery: Array | None) -> Array:
        """The network's sample (7, side - 2 halo, side - 2 halo); arguments are those of `refine`."""
        known = np.zeros((13, window.side, window.side), np.float32)
        if imagery is not None:
            known[:12], known[12] = imagery, 1
        finer = max(0, window.level + 1 - self.finest_told)
        noises = draw_noise(self.spec, window, self._seed, streaks_taken(self.spec, window), elevation)
        return draw_sample(self._graph, self.spec, window, noises, {
            "elevation": in_units(elevation, ELEVATION_UNIT * 2**finer)[None],
            "relief": (in_units(relief, LOG_UNIT) + np.float32(finer))[None],
            "land": in_units(waters.land, 1 / LAND_FULL)[None], "imagery": known,
        }, coarser=finer)  # fmt: skip

    def finished(self, sample: Array, window: Window, elevation: Steps, relief: Steps, waters: Waters) -> Geometry:
        """The integers of a sample; the other arguments are those of `refine`."""
        if waters.details is not None:
            inner = slice(self.spec.halo, window.side - self.spec.halo)
            sample = informed(sample, waters.details[:, inner, inner], self.spec)
        return finished_geometry(sample, self.spec, window, elevation, relief, waters)

    def drained(self, window: Window, elevation: Steps, waters: Waters, drawn: Geometry) -> Geometry:
        """What `refine` has drawn, with the valleys that water cuts into pure land (`breaching.py`); arguments are those of `refine`.

        Colour is told what was drawn, since it needs children nearer to the rim than this leaves: those of the outermost
        `breaching.MARGIN` parents are not to be used, and their relief of one parent more.
        """
        if not self.spec.breaching:
            return drawn
        inner = slice(self.spec.halo, window.side - self.spec.halo)
        parent, coast, surface = elevation[inner, inner], waters.land[inner, inner], waters.surface[inner, inner]
        below, above = room(parent - surface, coast, crop_rows(window, self.spec.halo))
        free = (coast == LAND_FULL) & (parent > surface)
        children = breaching.drained(parent, drawn.elevation, free, (below, above), self.spec.breaching)
        return Geometry(children, not_below(drawn.relief, tilt_spread(children)), drawn.land)


def room(over: Steps, coast: Steps, gsd: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far children may be below their parents, and above them, (H, W) in stored steps.

    `over` (H, W) are the parents' heights over the water, `coast` their land fraction, `gsd` (H,) the children's metres per pixel.
    """
    reach = np.broadcast_to(gsd[:, None] * np.float32(REACH / ELEVATION_UNIT), over.shape)
    depth = np.maximum(np.abs(over) - 2, 0).astype(np.float32) * np.float32(TO_THE_WATER)
    below = np.where((coast == LAND_FULL) & (over >= 1), np.minimum(depth, reach), reach)
    return below, np.where((coast == 0) & (over <= -1), np.minimum(depth, reach), reach)


def informed(sample: Array, known: Steps, spec: StageSpec) -> Array:
    """A sample (7, H, W) with known details in the place of drawn ones, to the share that they are known; the variance stays.

    `known` (4, H, W) as `Base.details` has it.
    """
    out, share = sample.copy(), known[3].astype(np.float32)
    share *= np.float32(1 / LAND_FULL)
    out[:3] *= np.sqrt(np.float32(1) - share * share)
    share *= np.float32(DETAIL_UNIT / spec.detail_scale)
    out[:3] += known[:3].astype(np.float32) * share
    return out


def finished_geometry(sample: Array, spec: StageSpec, window: Window, elevation: Steps, relief: Steps, waters: Waters) -> Geometry:
    """The integers of a sample (7, H, W), bounded, conserved and on their side of the coast; arguments are those of `refine`.

    The relief of the outermost children sees itself repeated and is not to be used.
    """
    halo = spec.halo
    inner = slice(halo, window.side - halo)
    parent, spread, coast = elevation[inner, inner], spread_of(relief[inner, inner]), waters.land[inner, inner]
    surface = waters.surface[inner, inner]
    near = slice(halo - KINK_REACH, window.side - halo + KINK_REACH)
    details = kinks(elevation[near, near].astype(np.float32))
    details *= mended_kinks(spec, window)
    details += sample[:3] * (spread * np.float32(spec.detail_scale / ELEVATION_UNIT))
    steps = deviations(details)
    limits = room(parent - surface, coast, crop_rows(window, halo))
    steps *= bound_scale(steps, *limits)
    lands = waters.mask[:, inner, inner] if waters.mask is not None else None
    children = conserve(parent, steps)
    drawn = threshold_hillslopes(child_relief(relief[inner, inner], sample[3:], spec), crop_rows(window, halo))
    if percent := creep_percent(window):
        far = slice(halo - creep.MARGIN, window.side - halo + creep.MARGIN)
        steepest = hillslope_knee(crop_rows(window, halo)) + creep_room(window)
        drawn -= crept(elevation[far, far], relief[far, far], percent, steepest)
    if lands is not None:
        least = np.maximum(spread_of(drawn) * np.float32(COAST_SPREADS / ELEVATION_UNIT), 1).astype(np.int32)
        mixed = (coast > 0) & (coast < LAND_FULL) & (surface == 0)
        tallest = np.minimum(
            crop_rows(window, halo)[:, None] * np.float32(REACH / ELEVATION_UNIT), spread * np.float32(TALLEST / ELEVATION_UNIT)
        )
        leaning = lean_to_land(parent, steps, lands, LAND_SLACK)
        leaning *= bound_scale(leaning, *limits)
        # A narrow fjord through high land: what its water would give to the dry children would make towers of them.
        beyond = mixed
        for held in (children, conserve(parent, np.where(parent > 0, leaning, steps))):
            kept = keep_sides(held, lands > LAND_FULL // 2, parent, least)
            fits = mixed & (np.abs(kept - parent) <= tallest).all(axis=0)
            children, beyond = np.where(fits, kept, children), beyond & ~fits
    reliefs = not_below(drawn, tilt_spread(children))
    shores = shore(children - surface, reliefs, coast)
    if lands is not None:
        shores = np.where((surface == 0) & ~beyond, lands, shores)
    return Geometry(children, reliefs, shores)


def creep_percent(window: Window) -> int:
    """What creep takes from the children of a window: nothing where they are larger than hillslopes."""
    return creep.PERCENT if window.level + 1 >= GENTLE_CREEP_LEVEL else 0


def creep_room(window: Window) -> int:
    """Stored steps that the slopes of a window may put into its pixels beyond `hillslope_knee` to creep at all."""
    return EVERY_SLOPE if window.level + 1 >= CREEP_LEVEL else -GENTLE * OCTAVE


def mended_kinks(spec: StageSpec, window: Window) -> np.float32:
    """Share of `upsampling.kinks` that the children of a window get.

    Chosen so that the borders of large blocks, where mending adds up level after level, are as rough as what lies between.
    """
    level = window.level + 1
    if level in COARSE_KINKS:
        return np.float32(spec.kinks * COARSE_KINKS[level])
    fine = FINE_KINKS if level > CREEP_LEVEL else 1.0
    return np.float32(spec.kinks * growing(window, KINKS_BEGIN, KINKS_WHOLE) * fine)


def streaks_taken(spec: StageSpec, window: Window) -> float:
    """Share of streaks that is taken out of the noise of a window."""
    return spec.streaks * growing(window, STREAKS_BEGIN, STREAKS_WHOLE)


def growing(window: Window, begin: int, whole: int) -> float:
    """0 where a window's children are of level `begin` or coarser, 1 from `whole` on, and even steps between."""
    return min(max((window.level + 1 - begin) / (whole - begin), 0.0), 1.0)


def crop_rows(window: Window, margin: int) -> NDArray[np.float32]:
    """Child ground sample distances of the window's rows without `margin` at both ends."""
    return window.child_gsd()[margin : window.side - margin]
