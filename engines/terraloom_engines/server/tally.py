"""Tally: what one session sent, what it cost, and when the client hears of it."""

import time
from typing import Protocol

from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import TileContent
from terraloom_engines.server.credit import CreditWindow
from terraloom_engines.waste import SchedulerCounters

__all__ = ["Tally"]

STATS_SECONDS = 1.0
"""How often a client that asked for them gets counters."""


class Queue(Protocol):
    """What is told of the server's work."""

    counters: SchedulerCounters

    def __len__(self) -> int: ...


class Tally:
    """The counters of one session since it was opened; `reports` says whether the client wants them once a second."""

    def __init__(self, queue: Queue, reports: bool = False) -> None:
        self.counts = pb.Stats()
        self._queue, self._busy_before = queue, queue.counters.busy_seconds
        self._opened_at = time.monotonic()
        self._due = self._opened_at + STATS_SECONDS if reports else None

    @property
    def seconds(self) -> float:
        """Since the session was opened."""
        return time.monotonic() - self._opened_at

    def note(self, content: TileContent, size: int) -> None:
        """A tile was sent, in a message of `size` bytes."""
        self.counts.tiles_sent += 1
        self.counts.bytes_sent += size
        self.counts.tiles_provisional += content.refined_level is not None

    def pause(self) -> float | None:
        """Seconds until the next report; None when there is none."""
        return max(self._due - time.monotonic(), 0.0) if self._due is not None else None

    def report(self, window: CreditWindow) -> pb.Stats | None:
        """The counters, if they are due."""
        if self._due is None or time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + STATS_SECONDS
        self.counts.tiles_queued = len(self._queue)
        self.counts.bytes_unacknowledged, self.counts.window_bytes = window.bytes, window.limit
        self.counts.delivery_rate, self.counts.round_trip = window.pipe.rate, window.pipe.round_trip
        self.counts.generation_seconds = self._queue.counters.busy_seconds - self._busy_before
        return self.counts
