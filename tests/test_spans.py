"""Spans as a collector receives them, from a real server; and nothing of them where nobody asked."""

import gzip
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from terraloom.testing import run_server
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def collecting(spans: list[Any]) -> Iterator[str]:
    """A collector of OTLP over HTTP; its address."""
    trace = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            request = trace.ExportTraceServiceRequest.FromString(body)
            spans.extend(span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_call_is_traced_from_its_caller_through_the_queue_to_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[Any] = []
    with collecting(spans) as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with run_server() as address, grpc.insecure_channel(address) as channel:
            request = pb.GetTileRequest(id=pb.TileId(z=6, x=33, y=22))
            TerraloomStub(channel).GetTile(request, metadata=(("traceparent", f"00-{TRACE}-{PARENT}-01"),), timeout=60.0)
    mine = [span for span in spans if span.trace_id.hex() == TRACE]
    by_name = {span.name: span for span in mine}
    assert {"GetTile", "queue", "generate", "generate level", "mesh", "encode"} <= by_name.keys()
    call, work = by_name["GetTile"], by_name["generate"]
    assert call.parent_span_id.hex() == PARENT
    assert by_name["queue"].parent_span_id == work.parent_span_id == call.span_id
    for name in ("generate level", "mesh", "encode"):
        assert by_name[name].parent_span_id == work.span_id
    levels = [
        next(item.value.int_value for item in span.attributes if item.key == "level") for span in mine if span.name == "generate level"
    ]
    assert levels == [5, 6]
    assert call.start_time_unix_nano <= by_name["queue"].start_time_unix_nano <= work.start_time_unix_nano < work.end_time_unix_nano


def test_without_a_collector_nothing_of_opentelemetry_is_loaded() -> None:
    code = "import sys; from terraloom_engines import spans; from terraloom_engines.server import Server; spans.set_up(); "
    code += "print('opentelemetry' in sys.modules, spans.is_on(), spans.span('a', b=1) is spans.span('c'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]
