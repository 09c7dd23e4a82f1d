"""The networks alone, on one runtime."""

from dataclasses import dataclass

from terraloom_engines.bench.ceilings import best_seconds
from terraloom_engines.bench.work import operations
from terraloom_engines.bundle import Bundle
from terraloom_engines.networks import Networks
from terraloom_engines.self_test import complete_probe
from terraloom_engines.tiling import TILE_SIZE

TILE_PIXELS = TILE_SIZE**2


@dataclass(frozen=True, slots=True)
class StageFigures:
    """One network: milliseconds of a call, which makes a tile with its halo; microseconds per pixel of that tile; operations a second."""

    ms: float
    us_per_pixel: float
    gflop: float
    gflops: float


def stage_figures(bundle: Bundle, networks: Networks, repeats: int = 5) -> dict[str, StageFigures]:
    """Best of `repeats` calls of every network, copies to and from the device included."""
    found = {}
    for name, graph in networks.graphs.items():
        spec, side = networks.specs[name], networks.sides[name]
        inputs = complete_probe(name, spec, side)
        seconds = best_seconds(lambda graph=graph, inputs=inputs: graph.run(inputs), repeats)  # type: ignore[misc]
        work = operations(bundle.model(name), name, spec, side)
        found[name] = StageFigures(1e3 * seconds, 1e6 * seconds / TILE_PIXELS, work / 1e9, work / seconds / 1e9)
    return found
