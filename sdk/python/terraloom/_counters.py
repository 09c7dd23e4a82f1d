"""Counters of one stream."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

LATENCIES_KEPT = 100_000


@dataclass(slots=True)
class Counters:
    """What a stream has received so far; times in seconds, measured when the bytes arrive and not when the consumer takes them."""

    tiles: int = 0
    bytes: int = 0
    provisional: int = 0
    views: int = 0
    views_sent: int = 0
    """Views handed to the transport; the others were replaced by newer ones first."""
    reconnects: int = 0
    """How often the stream went on after its connection was lost."""
    first_tile: float = math.nan
    """From the first view to the first tile."""
    last_tile: float = math.nan
    """From the first view to the newest tile."""
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT), repr=False)
    """From the view that first asked for a tile to that tile, for the newest tiles."""

    def latency(self, quantile: float) -> float:
        """Quantile (0..1) of the time from view to tile in seconds; NaN before the first tile."""
        return percentile(self.latencies, quantile)


def percentile(values: Iterable[float], quantile: float) -> float:
    """Nearest-rank quantile of `values`: the smallest value that at least that share does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(quantile * len(ordered)) - 1, 0)] if ordered else math.nan
