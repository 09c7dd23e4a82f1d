"""`/metrics` for Prometheus: the server's queues, sessions and worlds, and every request by route and status."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terraloom_engines.http.waiting import Admission
from terraloom_engines.server.metrics import REGISTRY
from terraloom_engines.server.sessions import Sessions
from terraloom_engines.server.worlds import Worlds

__all__ = ["HttpMetrics", "Measured", "metrics"]

OUTCOMES = ("found", "generated", "shared", "dropped", "cancelled", "unwanted", "failed")
"""Counters of the scheduler: what became of the tiles that somebody wanted."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class HttpMetrics:
    """The metrics of one server, those of its process among them."""

    def __init__(self, worlds: Worlds, sessions: Sessions, admission: Admission) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(REGISTRY)
        self.registry.register(_State(worlds, sessions, admission))
        labels = ["route", "status"]
        self._seconds = Histogram(
            "terraloom_http_request_seconds", "From a request to its last byte.", labels, buckets=SECONDS, registry=self.registry
        )
        self._send = Histogram(
            "terraloom_http_send_seconds", "From the first byte of an answer to its last.", buckets=SECONDS, registry=self.registry
        )
        self._bytes = Counter("terraloom_http_sent_bytes_total", "Bytes of answers.", ["route"], registry=self.registry)

    def observe(self, route: str, status: int, started: float, answered: float, sent: int) -> None:
        """One request that ended now. Times are those of `time.perf_counter`."""
        now = time.perf_counter()
        self._seconds.labels(route, str(status)).observe(now - started)
        self._send.observe(now - answered)
        self._bytes.labels(route).inc(sent)


class _State(Collector):
    """What is true at the moment of asking."""

    def __init__(self, worlds: Worlds, sessions: Sessions, admission: Admission) -> None:
        self._worlds, self._sessions, self._admission = worlds, sessions, admission

    def collect(self) -> Iterable[Metric]:
        opened = self._worlds.opened
        yield GaugeMetricFamily("terraloom_worlds", "Worlds that are open.", len(opened))
        yield GaugeMetricFamily("terraloom_sessions", "Sessions of gRPC that are open.", len(self._sessions))
        yield GaugeMetricFamily("terraloom_http_waiting", "Requests that wait for generation.", self._admission.waiting)
        queue = GaugeMetricFamily("terraloom_queue_tiles", "Tiles looked for, queued or being generated.", labels=["world", "seed"])
        tiles = CounterMetricFamily("terraloom_tiles", "Tiles by what became of them.", labels=["world", "seed", "outcome"])
        busy = CounterMetricFamily("terraloom_busy_seconds", "Time spent on generation.", labels=["world", "seed", "use"])
        for served in opened:
            name, scheduler = [served.world.name, str(served.world.seed)], served.contents.scheduler
            counters = scheduler.counters
            queue.add_metric(name, len(scheduler))
            for outcome in OUTCOMES:
                tiles.add_metric([*name, outcome], getattr(counters, outcome))
            busy.add_metric([*name, "wasted"], counters.wasted_seconds)
            busy.add_metric([*name, "used"], counters.busy_seconds - counters.wasted_seconds)
        yield from (queue, tiles, busy)


class Measured:
    """Middleware that observes every request of an application."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = answered = time.perf_counter()
        status, sent = 499, 0

        async def sending(message: Message) -> None:
            nonlocal answered, status, sent
            if message["type"] == "http.response.start":
                answered, status = time.perf_counter(), message["status"]
            await send(message)
            sent += len(message.get("body", b""))

        try:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.observe(getattr(scope.get("route"), "path", "none"), status, started, answered, sent)


async def metrics(request: Request) -> Response:
    """`/metrics`: all of it in the format that the client asks for."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    own: HttpMetrics = request.app.state.metrics
    return Response(encode(own.registry), headers={"Cache-Control": "no-store", "Content-Type": media_type})
