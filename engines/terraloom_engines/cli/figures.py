"""Figures of a running server between two looks at it: rates, quantiles, shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from terraloom.v1 import operations_pb2 as ops

LATENCIES = ("generation", "encoding", "sending", "margin")
QUANTILES = (0.5, 0.95, 0.99)


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The value below which `share` (0..1) of a distribution lies, linear within a bucket; NaN when it is empty.

    Below the first and above the last bound nothing is known: those bounds stand in.
    """
    wanted = share * sum(counts)
    if not wanted:
        return math.nan
    below = 0
    for i, count in enumerate(counts):
        if count and below + count >= wanted:
            low, high = bounds[max(i - 1, 0)] if i else min(0.0, bounds[0]), bounds[min(i, len(bounds) - 1)]
            return low + (high - low) * (wanted - below) / count
        below += count
    return bounds[-1]


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of one distribution in seconds, and how often a second something was added to it.

    Of margins, where less is worse, p95 is what 95 % have at least.
    """

    p50: float
    p95: float
    p99: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened between two looks; of the first one, since the server started."""

    seconds: float
    tiles_per_second: float
    """Handed out, by streams and by calls."""
    bytes_per_second: float
    generated_per_second: float
    wasted_share: float
    """Of the time of generation, spent on tiles that nobody got; NaN when nothing was generated."""
    busy_share: float
    """Of the time, in which something was generated."""
    sources: dict[str, float]
    """Shares of what was handed out, by where it came from."""
    latencies: dict[str, Latency]


def figures(now: "ops.ServerStats", before: "ops.ServerStats | None") -> Figures:
    """What happened between `before` and `now`; a server that was started anew is looked at from its start."""
    former = before if before is not None and before.uptime < now.uptime else type(now)()
    seconds = max(now.uptime - former.uptime, 1e-3)

    def grown(name: str, rows: str) -> float:
        return sum(getattr(row, name) for row in getattr(now, rows)) - sum(getattr(row, name) for row in getattr(former, rows))

    busy, wasted = grown("busy_seconds", "worlds"), grown("wasted_seconds", "worlds")
    sources = {name: count - former.contents[name] for name, count in sorted(now.contents.items())}
    handed_out = sum(sources.values())
    return Figures(
        seconds=seconds,
        tiles_per_second=max(grown("tiles", "callers"), 0.0) / seconds,
        bytes_per_second=max(grown("bytes", "callers"), 0.0) / seconds,
        generated_per_second=max(grown("tiles_generated", "worlds"), 0.0) / seconds,
        wasted_share=max(wasted, 0.0) / busy if busy > 0 else math.nan,
        busy_share=min(max(busy, 0.0) / seconds, 1.0),
        sources={name: count / handed_out if handed_out else math.nan for name, count in sources.items()},
        latencies={name: _latency(now, former, f"{name}_seconds", seconds) for name in LATENCIES},
    )


def _latency(now: "ops.ServerStats", former: "ops.ServerStats", name: str, seconds: float) -> Latency:
    distribution = getattr(now, name)
    earlier = getattr(former, name).counts or [0] * len(distribution.counts)
    counts = [count - before for count, before in zip(distribution.counts, earlier, strict=True)]
    shares = [1.0 - share for share in QUANTILES] if name == "margin_seconds" else QUANTILES
    p50, p95, p99 = (quantile(distribution.bounds, counts, share) for share in shares)
    return Latency(p50, p95, p99, sum(counts) / seconds)
