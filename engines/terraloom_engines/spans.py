"""Spans: what took how long in the making of a tile, for OpenTelemetry. Without the extra `otel`, or unless asked for, nothing at all.

A span of a call holds one of the time in the queue and those of generation, level by level, of the mesh and of its encoding, which run in
another thread; a tile that a stream asks for has no call, and is a trace of its own. `OTEL_*` variables say where spans go, and which.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

__all__ = ["Asked", "asked_now", "finished", "is_on", "set_up", "shut_down", "span", "within"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Either of them turns spans on."""
_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: Any = None
_provider: Any = None
_log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """From where, and when (nanoseconds since 1970), something was asked for that another thread will do."""

    context: Any
    at: int


def is_on() -> bool:
    """Whether spans are taken."""
    return _tracer is not None


def set_up() -> None:
    """Turns spans on if the environment names a collector; logs why not if it does and cannot be heeded."""
    global _tracer, _provider
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        _log.warning("no traces: OpenTelemetry is not installed; pip install 'terraloom[otel]'")
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "terraloom"), "service.version": version("terraloom")})
    _provider = TracerProvider(resource=resource)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("terraloom")


def shut_down() -> None:
    """Sends what waits, and turns spans off."""
    global _tracer, _provider
    if _provider is not None:
        _provider.shutdown()
    _tracer = _provider = None


def span(name: str, carrier: Mapping[str, str] | None = None, **attributes: object) -> AbstractContextManager[None]:
    """A span while the body runs, within that of a caller by its headers, the `carrier` (W3C Trace Context), else within the current."""
    return _NOTHING if _tracer is None else _span(name, carrier, attributes)


@contextmanager
def _span(name: str, carrier: Mapping[str, str] | None, attributes: Mapping[str, object]) -> Iterator[None]:
    from opentelemetry.propagate import extract

    context = extract(carrier) if carrier is not None else None
    with _tracer.start_as_current_span(name, context=context, attributes=_plain(attributes)):
        yield


def asked_now() -> Asked:
    """The place and time of asking; only while spans are on."""
    from opentelemetry.context import get_current

    return Asked(get_current(), time.time_ns())


def finished(name: str, began: int, asked: Asked | None = None, **attributes: object) -> None:
    """A span that began at a time (nanoseconds since 1970) and ends now, within the one that asked."""
    if _tracer is not None:
        _tracer.start_span(name, context=asked.context if asked else None, attributes=_plain(attributes), start_time=began).end()


@contextmanager
def within(asked: Asked | None) -> Iterator[None]:
    """While the body runs in another thread, spans belong to the one that asked; the time until now was spent in the queue."""
    if _tracer is None or asked is None:
        yield
        return
    from opentelemetry.context import attach, detach

    finished("queue", asked.at, asked)
    token = attach(asked.context)
    try:
        yield
    finally:
        detach(token)


def _plain(attributes: Mapping[str, object]) -> dict[str, Any]:
    return {name: value if isinstance(value, str | bool | int | float) else str(value) for name, value in attributes.items()}
