"""The proofs, made on the spot, that a runtime treats every pixel of a window alike and computes the network that it was given."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from terraloom_engines.cascade import Step, step_window
from terraloom_engines.field import CHANNELS, LAND_FULL, Field
from terraloom_engines.lifting import Steps
from terraloom_engines.runtimes import Array, Graph
from terraloom_engines.stages import StageSpec
from terraloom_engines.tiling import TILE_SIZE, TileId

CONDITIONS: Mapping[str, Mapping[str, int]] = {
    "geometry": {"elevation": 1, "relief": 1, "land": 1, "imagery": 13},
    "imagery": {"colour": 3, "texture": 1, "land": 1, "geometry": 6},
}
"""Condition rasters of each network and their channels."""
SHIFT = 22
"""Parent pixels by which the second window is shifted: even, as every window origin is, and no multiple of a vector's length."""
HEIGHT = np.float32(4000)
"""Metres by which a probe's ground is above the sea: there fp16 knows 2 m and bf16 16 m, so that differences taken in them are seen."""
SMALL = 64
"""Parent pixels along the side of the window that the reference computes."""
PLAUSIBLE = (0.02, 50.0)
"""Between these lies the root mean square of a sample's channels, which training brought to about 1."""
TOLERANCE = 0.02
"""Relative difference, as a ratio of norms, that a precision may make; a wrong kernel or a wrong weight makes more."""


def probe(network: str, spec: StageSpec, side: int) -> dict[str, Array]:
    """Pseudo-random inputs of plausible size for one network, (1, C, side, side)."""
    rng = np.random.default_rng(20260101)
    inputs = {name: rng.normal(0, 2, (1, count, side, side)).astype(np.float32) for name, count in CONDITIONS[network].items()}
    if "elevation" in inputs:
        inputs["elevation"] += HEIGHT
    inputs["noise"] = rng.normal(0, 1, (1, spec.noise_channels, side, side)).astype(np.float32)
    return inputs


def complete_probe(network: str, spec: StageSpec, side: int) -> dict[str, Array]:
    """A probe with all inputs of the network, to be run as it is."""
    return probe(network, spec, side) | _constants(side)


def _constants(side: int) -> dict[str, Array]:
    return {"gsd": np.full((1, 1, side, 1), 5, np.float32), "time": np.ones((1, 1, 1, 1), np.float32)}


def _part(whole: Mapping[str, Array], offset: int, side: int) -> dict[str, Array]:
    cut = slice(offset, offset + side)
    return {name: np.ascontiguousarray(values[..., cut, cut]) for name, values in whole.items()} | _constants(side)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found of one graph.

    `seamless`: two windows that overlap gave bit-equal results where both have them. `departure`: how far it is from the reference, as a
    ratio of norms; infinite where it is implausible.
    """

    seamless: bool
    departure: float


def prove(graph: Graph, reference: Graph, spec: StageSpec, network: str, side: int) -> Proof:
    """Runs a graph in windows of `side` pixels, and a reference that was loaded for windows of `SMALL`.

    A network is local, so a small window inside a large one has the same result.
    """
    whole = probe(network, spec, side + SHIFT)
    first, second = (graph.run(_part(whole, offset, side)) for offset in (0, SHIFT))
    seamless = bool(np.array_equal(first[..., SHIFT:, SHIFT:], second[..., :-SHIFT, :-SHIFT]))
    offset = (side - SMALL) // 4 * 2
    return Proof(seamless, _departure(first, reference.run(_part(whole, offset, SMALL)), offset))


def sizes_agree(small: Graph, large: Graph, spec: StageSpec, network: str, side: int, larger: int) -> bool:
    """Whether graphs loaded for windows of `side` and of `larger` pixels give bit-equal results where both have them."""
    whole = probe(network, spec, larger)
    inner, outer = small.run(_part(whole, SHIFT, side)), large.run(_part(whole, 0, larger))
    return bool(np.array_equal(inner, outer[..., SHIFT : SHIFT + inner.shape[-2], SHIFT : SHIFT + inner.shape[-1]]))


def steps_agree(first: Step, second: Step, across: int = 1) -> bool:
    """Whether two steps make the same integers of the first child of a field with every kind of land and water, with and without known
    details.

    The second makes it alone too, or (`across` 2) with its siblings.
    """
    parent, rng = _rough_field(TileId(6, 33, 22), 2 * first.loss), np.random.default_rng(20260102)
    shape = parent.data.shape[1:]
    mask = rng.choice((0, 90, 200, LAND_FULL), (4, *shape)).astype(np.int32)
    details = [rng.integers(-9, 10, (3, *shape)), rng.choice((0, 90, LAND_FULL), (1, *shape))]
    return all(_agree(first, second, across, parent, known) for known in (mask, np.concatenate([mask, *details]).astype(np.int32)))


def _agree(first: Step, second: Step, across: int, parent: Field, known: Steps) -> bool:
    children, made = parent.tile.children, []
    for step, count in ((first, 1), (second, across**2)):
        side = step_window(parent, children[:count], step.loss).side
        made.append(step.fields(parent, children[:count], np.ascontiguousarray(known[:, :side, :side]))[0].data)
    return bool(np.array_equal(made[0], made[1]))


def _rough_field(tile: TileId, halo: int) -> Field:
    """Integers of plausible size, pixel by pixel at random."""
    rng, side = np.random.default_rng(20260103), TILE_SIZE + 2 * halo
    drawn = {name: rng.integers(0, 255 * 64, (side, side)) for name in ("red", "green", "blue")}
    drawn |= {"elevation": rng.integers(-(1 << 14), 1 << 17, (side, side)), "relief": rng.integers(500, 2200, (side, side))}
    drawn |= {"texture": rng.integers(0, 1400, (side, side)), "land": rng.choice((0, 100, LAND_FULL), (side, side))}
    drawn["water"] = rng.choice((0, 0, 6400), (side, side))
    return Field(tile, halo, np.stack([drawn[name] for name in CHANNELS]).astype(np.int32))


def _departure(made: Array, wanted: Array, offset: int) -> float:
    inner = slice(offset, offset + wanted.shape[-1])
    with np.errstate(all="ignore"):
        sizes = np.sqrt(np.mean(np.square(made, dtype=np.float64), axis=(0, 2, 3)))
        if not (np.isfinite(made).all() and (sizes > PLAUSIBLE[0]).all() and (sizes < PLAUSIBLE[1]).all()):
            return float("inf")
        return float(np.linalg.norm(made[..., inner, inner] - wanted) / np.linalg.norm(wanted))
