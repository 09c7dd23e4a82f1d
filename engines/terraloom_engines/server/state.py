"""State: what is true of a server at the moment of asking, for Prometheus. What happened is in `metrics`."""

import platform
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from terraloom_engines.selection import WorkClass
from terraloom_engines.server.callers import Callers
from terraloom_engines.server.certificates import Certificates
from terraloom_engines.server.metrics import REGISTRY
from terraloom_engines.server.sessions import Sessions
from terraloom_engines.server.worlds import Worlds

__all__ = ["OUTCOMES", "State"]

OUTCOMES = ("found", "generated", "shared", "dropped", "cancelled", "unwanted", "unsent", "failed")
"""Counters of the scheduler: what became of the tiles that somebody wanted."""


class State(Collector):
    """One server's worlds, sessions, callers and certificate; `registry` has them, and the metrics of the process."""

    def __init__(self, worlds: Worlds, sessions: Sessions, callers: Callers, certificates: Certificates | None) -> None:
        self.worlds, self.sessions, self.callers, self._certificates = worlds, sessions, callers, certificates
        self._started = time.monotonic()
        self.registry = CollectorRegistry()
        self.registry.register(REGISTRY)
        self.registry.register(self)

    @property
    def uptime(self) -> float:
        """Seconds since the server started."""
        return time.monotonic() - self._started

    def queued(self) -> Counter[WorkClass]:
        """Tiles looked for, queued or being generated, by class."""
        return sum((served.contents.scheduler.by_class() for served in self.worlds.opened), Counter())

    def collect(self) -> Iterable[Metric]:
        """What Prometheus reads."""
        yield InfoMetricFamily("terraloom_build", "What runs.", self._build())
        yield GaugeMetricFamily("terraloom_uptime_seconds", "Since the server started.", self.uptime)
        yield from self._of_worlds()
        yield from self._of_sessions()
        yield from self._of_callers()
        if self._certificates is not None:
            text = "When the certificate in use expires, in seconds since 1970."
            yield GaugeMetricFamily("terraloom_certificate_expiry_timestamp_seconds", text, self._certificates.expires)

    def _build(self) -> dict[str, str]:
        runtime = self.worlds.default.world.runtime_identity
        return {"version": version("terraloom"), "python": platform.python_version(), "runtime": runtime}

    def _of_worlds(self) -> Iterable[Metric]:
        opened = self.worlds.opened
        yield GaugeMetricFamily("terraloom_worlds", "Worlds that are open.", len(opened))
        yield GaugeMetricFamily("terraloom_cache_bytes", "Encoded tiles in memory.", self.worlds.cache_bytes)
        queue = GaugeMetricFamily(
            "terraloom_queue_tiles", "Tiles looked for, queued or being generated.", labels=["world", "seed", "class"]
        )
        tiles = CounterMetricFamily("terraloom_tiles", "Tiles by what became of them.", labels=["world", "seed", "outcome"])
        busy = CounterMetricFamily("terraloom_busy_seconds", "Time spent on generation.", labels=["world", "seed", "use"])
        reclaimed = CounterMetricFamily("terraloom_reclaimed_seconds", "Wasted time whose tiles were used later.", labels=["world", "seed"])
        for served in opened:
            name, scheduler = [served.world.name, str(served.world.seed)], served.contents.scheduler
            counters, by_class = scheduler.counters, scheduler.by_class()
            for work_class in WorkClass:
                queue.add_metric([*name, work_class.name.lower()], by_class[work_class])
            queue.add_metric([*name, "unwanted"], len(scheduler) - sum(by_class.values()))
            for outcome in OUTCOMES:
                tiles.add_metric([*name, outcome], getattr(counters, outcome))
            busy.add_metric([*name, "wasted"], counters.wasted_seconds)
            busy.add_metric([*name, "used"], counters.busy_seconds - counters.wasted_seconds)
            reclaimed.add_metric(name, counters.reclaimed_seconds)
        yield from (queue, tiles, busy, reclaimed)

    def _of_sessions(self) -> Iterable[Metric]:
        sessions = self.sessions.all
        yield GaugeMetricFamily("terraloom_sessions", "Sessions that are open.", len(sessions))
        yield GaugeMetricFamily("terraloom_sessions_attached", "Sessions that somebody listens to.", sum(one.attached for one in sessions))
        under_way = sum(one.window.bytes for one in sessions)
        yield GaugeMetricFamily("terraloom_unacknowledged_bytes", "Tiles sent that clients have not applied yet.", under_way)
        credit = sum(one.window.limit for one in sessions)
        yield GaugeMetricFamily("terraloom_credit_bytes", "What sessions may have unacknowledged, all together.", credit)

    def _of_callers(self) -> Iterable[Metric]:
        yield CounterMetricFamily("terraloom_denied", "Calls without a valid token.", self.callers.denied)
        sessions = GaugeMetricFamily("terraloom_caller_sessions", "Sessions open, by the name of their token.", labels=["caller"])
        tiles = CounterMetricFamily("terraloom_caller_tiles", "Tiles handed out.", labels=["caller"])
        size = CounterMetricFamily("terraloom_caller_bytes", "Bytes handed out.", labels=["caller"])
        refused = CounterMetricFamily("terraloom_caller_refused", "Calls turned away by the caller's limits.", labels=["caller"])
        for caller in self.callers.all:
            allowance = caller.allowance
            for family, value in (
                (sessions, caller.sessions),
                (tiles, allowance.tiles),
                (size, allowance.bytes),
                (refused, allowance.refused),
            ):
                family.add_metric([caller.name], value)
        yield from (sessions, tiles, size, refused)
