"""The proof, made on the spot, that a runtime treats every pixel of a window alike."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.runtimes import Graph
from terraloom_engines.stages import StageSpec

CONDITIONS: Mapping[str, Mapping[str, int]] = {
    "geometry": {"elevation": 1, "relief": 1, "land": 1, "imagery": 13},
    "imagery": {"colour": 3, "texture": 1, "land": 1, "geometry": 6},
}
"""Condition rasters of each network and their channels."""
SHIFT = 22
"""Parent pixels by which the second window is shifted: even, as every window origin is, and no multiple of a vector's length."""


def probe(network: str, spec: StageSpec, side: int) -> dict[str, NDArray[np.float32]]:
    """Pseudo-random inputs of plausible size for one network, (1, C, side, side)."""
    rng = np.random.default_rng(20260101)
    inputs = {name: rng.normal(0, 2, (1, count, side, side)).astype(np.float32) for name, count in CONDITIONS[network].items()}
    inputs["noise"] = rng.normal(0, 1, (1, spec.noise_channels, side, side)).astype(np.float32)
    return inputs


def shifted_windows_agree(graph: Graph, spec: StageSpec, network: str, side: int) -> bool:
    """Whether two windows of `side` parent pixels that overlap give bit-equal results where both have them."""
    whole = probe(network, spec, side + SHIFT)
    gsd = np.full((1, 1, side, 1), 5, np.float32)
    time = np.ones((1, 1, 1, 1), np.float32)

    def run(offset: int) -> NDArray[np.float32]:
        part = {name: np.ascontiguousarray(values[..., offset : offset + side, offset : offset + side]) for name, values in whole.items()}
        return graph.run(part | {"gsd": gsd, "time": time})

    first, second = run(0), run(SHIFT)
    return bool(np.array_equal(first[..., SHIFT:, SHIFT:], second[..., :-SHIFT, :-SHIFT]))
