"""Training windows: crops of real pyramids turned into the networks' inputs and targets, balanced over scales."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.training.networks import DETAIL_SCALE, HALO, SPREAD_MEAN, SPREAD_SCALE
from terraloom_engines.training.pyramid import Level, coarser
from terraloom_engines.training.rasters import Source

Array = NDArray[np.float32]


FINEST_TOLD = (60.0, 153.0)
"""Metres per pixel of the finest level that the geometry network is told of (`lifting.SELF_SIMILAR_LEVEL`), from 67 degrees north to the
equator: finer real land is taken for land of these, in units of slope, as all finer levels are when the world is made."""
FINEST_COUPLING = 10.0
"""The finest scale that colour paired with relief stands for: how they go together is known from coarse pairs almost alone."""


@dataclass(frozen=True)
class Augmentation:
    """How far the conditions are disturbed, so that a network trusts its own outputs of the level above (Ho et al. 2022)."""

    spread_octaves: float = 0.25
    elevation_spreads: float = 0.06
    condition_dropout: float = 0.5
    relief_dropout: float = 0.2
    vertical_octaves: float = 0.4
    self_similar: float = 0.4
    """Share of the windows of colour paired with relief that are taken for finer ones."""


def haar_details(children: Array) -> Array:
    """(C, 2h, 2w) to (C, 3, h, w): west-east, north-south and diagonal details of every 2x2 block."""
    nw, ne = children[:, ::2, ::2], children[:, ::2, 1::2]
    sw, se = children[:, 1::2, ::2], children[:, 1::2, 1::2]
    return np.stack([(ne + se - nw - sw) / 4, (sw + se - nw - ne) / 4, (nw + se - ne - sw) / 4], axis=1)


def unshuffle(children: Array) -> Array:
    """(H, W) of children to (4, H/2, W/2): north-west, north-east, south-west, south-east."""
    return np.stack([children[::2, ::2], children[::2, 1::2], children[1::2, ::2], children[1::2, 1::2]])


def window(level: Level, side: int, rng: np.random.Generator) -> tuple[Level, tuple[int, int]]:
    """A random crop of `side` pixels (reflected, and marked invalid, where the raster is smaller) at even offsets."""
    height, width = level.mean.shape[1:]
    pad_rows, pad_columns = max(0, side - height), max(0, side - width)
    pads = ((pad_rows // 4 * 2, pad_rows - pad_rows // 4 * 2), (pad_columns // 4 * 2, pad_columns - pad_columns // 4 * 2))
    top = int(rng.integers(0, (height + pad_rows - side) // 2 + 1)) * 2
    left = int(rng.integers(0, (width + pad_columns - side) // 2 + 1)) * 2
    return cut(level, side, top, left, pads), (top, left)


def cut(level: Level, side: int, top: int, left: int, pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))) -> Level:
    """The crop of `side` pixels at (top, left) of a level padded by reflection."""

    def take(values: NDArray[np.generic], mode: str) -> NDArray[np.generic]:
        axes = ((0, 0),) * (values.ndim - 2) + pads
        padded = np.pad(values, axes, mode="reflect") if mode == "reflect" else np.pad(values, axes)
        return padded[..., top : top + side, left : left + side]

    return Level(take(level.mean, "reflect"), take(level.spread, "reflect"), take(level.valid, "constant"), level.gsd)  # type: ignore[arg-type]


def turn(level: Level, quarter: int, flip: bool) -> Level:
    """One element of the dihedral group applied to a square crop."""

    def act(values: NDArray[np.generic]) -> NDArray[np.generic]:
        turned = np.rot90(values, quarter, axes=(-2, -1))
        return np.ascontiguousarray(turned[..., ::-1] if flip else turned)

    return Level(act(level.mean), act(level.spread), act(level.valid), level.gsd)  # type: ignore[arg-type]


def log_spreads(children: Level, parent_log: Array) -> Array:
    """Normalised log2 ratios of the children's spreads to the (perhaps disturbed) parent's: (4, h, w)."""
    ratio = np.log2(unshuffle(children.spread)) - parent_log
    return np.clip((ratio - SPREAD_MEAN) / SPREAD_SCALE, -5, 4)


def disturbed_spread(parent: Level, amount: float, rng: np.random.Generator) -> Array:
    """log2 of the parent's spread with a whole-window and a per-pixel error, half of the time."""
    exact = np.log2(parent.spread)[None]
    if rng.random() < 0.5:
        return exact.astype(np.float32)
    return (exact + rng.normal(0, amount / 2) + rng.normal(0, amount / 2, exact.shape)).astype(np.float32)


def told_scale(gsd: float, rng: np.random.Generator) -> float:
    """Metres per pixel that a window of elevation is taken for: fine ones stand for any latitude of the finest level that is told."""
    finest, coarsest = FINEST_TOLD
    return finest * (coarsest / finest) ** float(rng.random()) if gsd < coarsest else gsd


def terrain_condition(sources: list[Source], side: int, log_gsd: float, rng: np.random.Generator) -> Array:
    """Geometry for a window of imagery (6, side, side): a real DEM of the nearest scale, taken for one of `log_gsd` (log2 metres)."""
    near = sorted(sources, key=lambda source: abs(np.log2(source.level.gsd) - log_gsd))[: max(16, len(sources) // 8)]
    children = window(near[int(rng.integers(len(near)))].level, 2 * side, rng)[0]
    factor = np.float32(2.0**log_gsd / children.gsd)
    children = Level(children.mean * factor, children.spread * factor, children.valid, float(2.0**log_gsd))
    parent = coarser(children)
    rasters = [parent.mean, np.log2(parent.spread)[None], haar_details(children.mean)[0], np.ones((1, side, side))]
    return np.concatenate(rasters).astype(np.float32)


def geometry_sample(source: Source, side: int, how: Augmentation, rng: np.random.Generator) -> dict[str, NDArray[np.floating]]:
    """Inputs and target of the geometry network for a window of `side` parent pixels."""
    children, (top, left) = window(source.level, 2 * side, rng)
    light = None
    if source.partner is not None and rng.random() > how.condition_dropout and min(source.level.mean.shape[1:]) >= 2 * side:
        light = cut(source.partner, 2 * side, top, left)
    quarter, flip = (0, bool(rng.integers(2))) if light else (int(rng.integers(4)), bool(rng.integers(2)))
    children = turn(children, quarter, flip)
    factor = np.float32(2.0 ** rng.normal(0, how.vertical_octaves))
    told = told_scale(children.gsd, rng)
    factor *= np.float32(told / children.gsd)
    children = Level(children.mean * factor, children.spread * factor, children.valid, told)
    parent = coarser(children)
    land = parent_land(children) if source.sea else np.ones((1, side, side), np.float32)
    relief = disturbed_spread(parent, how.spread_octaves, rng)
    spread = np.exp2(relief)
    target = np.concatenate([haar_details(children.mean)[0] / spread / DETAIL_SCALE, log_spreads(children, relief)])
    elevation = parent.mean + spread * rng.normal(0, how.elevation_spreads * rng.random(), parent.mean.shape)
    imagery = np.zeros((13, side, side), np.float32)
    if light is not None:
        colour = turn(light, quarter, flip).mean
        imagery[:12] = np.stack([unshuffle(c) for c in colour], axis=1).reshape(12, side, side) / 128 - 1
        imagery[12] = 1
    return {
        "elevation": elevation, "relief": relief, "land": land, "gsd": np.full((1, side, 1), np.log2(children.gsd)),
        "imagery": imagery, "target": target, "mask": mask(parent), "children": children.mean, "spreads": children.spread[None],
    }  # fmt: skip


def parent_land(children: Level) -> Array:
    """Land fraction of the parent pixels (1, h, w), from the sign of the children's elevation."""
    above = (children.mean > 0).astype(np.float32)
    return (above[:, ::2, ::2] + above[:, ::2, 1::2] + above[:, 1::2, ::2] + above[:, 1::2, 1::2]) / np.float32(4)


def mask(parent: Level) -> Array:
    """1 where the network's output counts: valid parent pixels inside its halo."""
    return parent.valid[None, HALO:-HALO, HALO:-HALO].astype(np.float32)


def imagery_sample(source: Source, side: int, how: Augmentation, rng: np.random.Generator) -> dict[str, NDArray[np.floating]]:
    """Inputs and target of the imagery network for a window of `side` parent pixels. Only mirrored east-west: the sun stays put."""
    children, (top, left) = window(source.level, 2 * side, rng)
    dem = None
    if source.partner is not None and rng.random() > how.relief_dropout and min(source.level.mean.shape[1:]) >= 2 * side:
        dem = cut(source.partner, 2 * side, top, left)
    flip = bool(rng.integers(2))
    children = turn(children, 0, flip)
    smaller = 1.0
    if dem is not None and rng.random() < how.self_similar:
        smaller = 2.0 ** -float(rng.uniform(0, max(0.0, np.log2(children.gsd / FINEST_COUPLING))))
    children = Level(children.mean, children.spread, children.valid, children.gsd * smaller)
    parent = coarser(children)
    texture = disturbed_spread(parent, how.spread_octaves, rng)
    spread = np.exp2(texture)
    details = haar_details(children.mean).reshape(9, side, side) / spread / DETAIL_SCALE
    target = np.concatenate([np.clip(details, -5, 5), log_spreads(children, texture)])
    colour = parent.mean + spread * rng.normal(0, how.elevation_spreads * rng.random(), parent.mean.shape)
    geometry = np.zeros((6, side, side), np.float32)
    if dem is not None:
        below = turn(dem, 0, flip)
        below = Level(below.mean * np.float32(smaller), below.spread * np.float32(smaller), below.valid, children.gsd)
        above = coarser(below)
        geometry = np.concatenate([above.mean, np.log2(above.spread)[None], haar_details(below.mean)[0], np.ones((1, side, side))])
    return {
        "colour": colour, "texture": texture, "land": np.ones((1, side, side), np.float32),
        "gsd": np.full((1, side, 1), np.log2(children.gsd)), "geometry": geometry, "target": target, "mask": mask(parent),
        "children": children.mean, "spreads": children.spread[None],
    }  # fmt: skip


class ScaleBalance:
    """Draws sources so that every octave of ground sample distance is seen equally often; those finer than `finest` are one."""

    def __init__(self, sources: list[Source], finest: float = 0.0) -> None:
        octaves: dict[int, list[Source]] = {}
        for source in sources:
            octaves.setdefault(int(np.floor(np.log2(max(source.level.gsd, finest)))), []).append(source)
        self.octaves = sorted(octaves)
        self.groups = [octaves[octave] for octave in self.octaves]
        self.weights = [np.array([s.level.mean[0].size ** 0.5 * (4 if s.partner else 1) for s in group]) for group in self.groups]

    def draw(self, rng: np.random.Generator) -> Source:
        """One source: octave first, then a raster with probability as the square root of its size."""
        octave = int(rng.integers(len(self.groups)))
        weights = self.weights[octave]
        return self.groups[octave][int(rng.choice(len(weights), p=weights / weights.sum()))]
