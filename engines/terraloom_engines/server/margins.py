"""Margins: how long before a viewpoint needs a tile it is sent, or how long after."""

import time
from collections.abc import Mapping

from terraloom_engines.selection import Priority, WorkClass
from terraloom_engines.server.metrics import MARGIN, SEND
from terraloom_engines.tiling import TileId

__all__ = ["Margins", "observe_sending"]

_NAMES = {int(work_class): work_class.name.lower() for work_class in WorkClass}


class Margins:
    """When the tiles of one session's plan are needed, or were first."""

    def __init__(self) -> None:
        self._due: dict[TileId, float] = {}

    def replan(self, tiles: Mapping[TileId, Priority]) -> None:
        """Another plan: what lies ahead is due when it says now, what is needed already since it first was."""
        now = time.monotonic()
        self._due = {
            tile: now + priority.time_to_need if priority.time_to_need else min(self._due.get(tile, now), now)
            for tile, priority in tiles.items()
        }

    def sent(self, tile: TileId, work_class: WorkClass) -> None:
        """A tile of the plan is sent now."""
        MARGIN.labels(_NAMES[work_class]).observe(self._due[tile] - time.monotonic())


def observe_sending(priority: int, seconds: float) -> None:
    """A tile of some class was taken by the transport after `seconds`."""
    SEND.labels(_NAMES[priority]).observe(seconds)
