"""How far a runtime is from the reference, on what the cascade really feeds it: per level, in floats and in stored integers.

A chain of tiles goes down at each place, computed by the reference. At every level the runtime is given the reference's parent field, so
that what is seen is the difference of one step, not of all steps before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from terraloom_engines.bundle.base import Base
from terraloom_engines.cascade import Cascade, Stages
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage
from terraloom_engines.networks import Networks
from terraloom_engines.runtimes import Array, Graph
from terraloom_engines.tiling import TileId, tile_from_lonlat

__all__ = ["PLACES", "LevelDifference", "verify"]

PLACES = ((8.0, 46.5), (90.5, 22.4), (-97.4, 32.7))
"""Longitude and latitude: mountains, a coast, plains."""


@dataclass
class LevelDifference:
    """One level, over all places.

    `relative_error` is by network, of its sample, as a ratio of norms; `changed` the share of stored integers that differ, by channel;
    `largest` the largest difference in stored steps.
    """

    level: int
    relative_error: dict[str, float] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)


class _Compared:
    """Runs two graphs on the same input; gives what the second made, and remembers both."""

    def __init__(self, reference: Graph, candidate: Graph) -> None:
        self._reference, self._candidate = reference, candidate
        self.squares = np.zeros(2)

    def run(self, inputs: Mapping[str, Array]) -> Array:
        wanted, made = self._reference.run(inputs), self._candidate.run(inputs)
        self.squares += [np.square(part, dtype=np.float64).sum() for part in (made - wanted, wanted)]
        return made

    def relative_error(self) -> float:
        """Since the last time."""
        error = float(np.sqrt(self.squares[0] / self.squares[1]))
        self.squares[:] = 0
        return error


@dataclass
class _LastField:
    """Remembers one field: the parent that a step is to be taken from."""

    field: Field | None = None

    def get(self, tile: TileId) -> Field | None:
        return self.field if self.field is not None and self.field.tile == tile else None

    def put(self, field: Field) -> None:
        self.field = field


def verify(
    base: Base, reference: Networks, candidate: Networks, levels: Sequence[int], places: Sequence[tuple[float, float]] = PLACES
) -> Iterator[LevelDifference]:
    """Takes one step to each of `levels`, all below the base, at each of `places` of a planet."""
    compared = {name: _Compared(reference.graphs[name], candidate.graphs[name]) for name in reference.graphs}
    kept, given = [_LastField() for _ in places], _LastField()
    chain = [_cascade(base, reference, reference.graphs, memory) for memory in kept]
    step = _cascade(base, reference, compared, given)
    for level in levels:
        found, pairs = LevelDifference(level), []
        for cascade, place in zip(chain, places, strict=True):
            tile = tile_from_lonlat(level, *place)
            given.put(cascade.field(tile.parent))
            wanted = cascade.field(tile)
            pairs.append((step.field(tile).data, wanted.data))
        found.relative_error = {name: both.relative_error() for name, both in compared.items()}
        difference = np.abs(np.stack([made - wanted for made, wanted in pairs]))
        for index, channel in enumerate(CHANNELS):
            found.changed[channel] = float((difference[:, index] > 0).mean())
            found.largest[channel] = int(difference[:, index].max())
        yield found


def _cascade(base: Base, networks: Networks, graphs: Mapping[str, Graph], memory: _LastField) -> Cascade:
    lifting = LiftingStage(graphs["geometry"], networks.specs["geometry"], 0)
    return Cascade(base, Stages(lifting, ImageryStage(graphs["imagery"], networks.specs["imagery"], 0)), memory)
