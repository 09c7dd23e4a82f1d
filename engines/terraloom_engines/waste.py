"""Waste: generation that was given up, and what of it was used after all.

What nobody wants any more is given up, but what is finished of it is kept: the levels of a tile, or the tile itself. A craft that turns
back uses it then. So seconds that were given up count as wasted at once, and as reclaimed when the same piece is used later: sent, that is,
or answered. A piece that was made and delivered to a session is given up when that does not send it.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["MOST_GIVEN_UP", "GivenUp", "SchedulerCounters"]

K = TypeVar("K", bound=Hashable)

MOST_GIVEN_UP = 8192
"""Pieces given up that are remembered; those beyond it, the oldest, stay wasted."""


@dataclass(slots=True)
class SchedulerCounters:
    """What a scheduler did since it started. Seconds are wall-clock seconds of the worker. None of them ever falls."""

    found: int = 0
    """Pieces that were stored already."""
    generated: int = 0
    """Pieces generated and delivered."""
    shared: int = 0
    """Wants that joined a piece already queued or running for somebody else."""
    dropped: int = 0
    """Pieces given up before they were generated: they cost nothing."""
    cancelled: int = 0
    """Pieces stopped while running, between two levels of the cascade, since nobody wanted them any more."""
    preempted: int = 0
    """Times that a running piece made way for collision and went back into the queue."""
    unwanted: int = 0
    """Pieces that finished when nobody wanted them any more."""
    unsent: int = 0
    """Pieces that were delivered, and given up by a session before they were sent, when nobody had used them yet."""
    failed: int = 0
    """Pieces that ended in an error."""
    busy_seconds: float = 0.0
    """Time the worker spent on all pieces."""
    wasted_seconds: float = 0.0
    """Part of `busy_seconds` spent on pieces that were given up, while they were made or before they were sent."""
    reclaimed_seconds: float = 0.0
    """Part of `wasted_seconds` spent on pieces that were used later: waste is what is left without it."""


class GivenUp(Generic[K]):
    """Seconds spent on pieces that were given up, until they are used, and on those that were delivered, until that is known."""

    def __init__(self, counters: SchedulerCounters) -> None:
        self._counters = counters
        self._seconds: dict[K, float] = {}
        self._made: dict[K, float] = {}

    def add(self, key: K, seconds: float) -> None:
        """A piece was given up after so many seconds of work, of which what is finished is kept."""
        self._counters.wasted_seconds += seconds
        self._seconds[key] = self._seconds.pop(key, 0.0) + seconds
        while len(self._seconds) > MOST_GIVEN_UP:
            del self._seconds[next(iter(self._seconds))]

    def made(self, key: K, seconds: float) -> None:
        """A piece was delivered after so many seconds of work; whether it is used is not known yet."""
        self._made[key] = self._made.pop(key, 0.0) + seconds
        while len(self._made) > MOST_GIVEN_UP:
            del self._made[next(iter(self._made))]

    def give_up(self, key: K) -> bool:
        """A piece that was delivered was not used; whether it had not been by anybody else either."""
        seconds = self._made.pop(key, None)
        if seconds is not None:
            self.add(key, seconds)
        return seconds is not None

    def reclaim(self, key: K) -> None:
        """A piece was used: what it cost before was no waste."""
        self._made.pop(key, None)
        self._counters.reclaimed_seconds += self._seconds.pop(key, 0.0)
