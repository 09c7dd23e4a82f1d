"""`/metrics` for Prometheus: the server's queues, sessions and worlds, and every request by route and status."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terraloom_engines.http.waiting import Admission
from terraloom_engines.spans import is_on, span

__all__ = ["HttpMetrics", "Measured", "metrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class HttpMetrics:
    """The metrics of requests, beside those of a server's `registry`."""

    def __init__(self, registry: CollectorRegistry, admission: Admission) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(registry)
        waiting = Gauge("terraloom_http_waiting", "Requests that wait for generation.", registry=self.registry)
        waiting.set_function(lambda: admission.waiting)
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
            carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]} if is_on() else None
            with span("HTTP", carrier, path=scope["path"]):
                await self._app(scope, receive, sending)
        finally:
            self._metrics.observe(getattr(scope.get("route"), "path", "none"), status, started, answered, sent)


async def metrics(request: Request) -> Response:
    """`/metrics`: all of it in the format that the client asks for."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    own: HttpMetrics = request.app.state.metrics
    return Response(encode(own.registry), headers={"Cache-Control": "no-store", "Content-Type": media_type})
