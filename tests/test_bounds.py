"""Bounds: nothing that comes from outside may be as long, as many or as slow as it likes."""

import asyncio
import socket
import time
from urllib.parse import urlsplit

import grpc
import pytest
import uvicorn
from google.protobuf.descriptor_pool import Default
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from terraloom.errors import InvalidArgumentError
from terraloom.testing import ServerAddress
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.http import protocol
from terraloom_engines.http.protocol import MOST_HEADERS, BoundedProtocol
from terraloom_engines.server.bounds import LONGEST, check_bounds


def test_a_text_and_a_list_that_nobody_thought_of_have_a_bound_too() -> None:
    for message in (pb.ErrorDetail(message="x" * 257), pb.ErrorDetail(allowed=["x"] * 257), pb.BarrierResponse(world_hash=bytes(257))):
        with pytest.raises(InvalidArgumentError, match="a length of 257, which is out of range: allowed are 0 to 256"):
            check_bounds(message)
        inside = pb.ServerEvent(error=message) if isinstance(message, pb.ErrorDetail) else message
        with pytest.raises(InvalidArgumentError):
            check_bounds(inside)


def test_the_table_names_fields_of_the_contract() -> None:
    for name in LONGEST:
        message, _, field = name.rpartition(".")
        assert field in Default().FindMessageTypeByName(message).fields_by_name


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("GetTile", pb.GetTileRequest(world={"name": "x" * 129})),
        ("UpdateView", pb.UpdateViewRequest(session_id="x" * 65)),
        ("UpdateView", pb.UpdateViewRequest(ack=pb.Ack(deliveries=[1] * 16_385))),
        ("OpenSession", pb.OpenSessionRequest(protocol_version=1, client="x" * 257)),
        ("OpenSession", pb.OpenSessionRequest(protocol_version=1, have=[pb.HeldTile(content_hash=bytes(65))])),
        ("OpenSession", pb.OpenSessionRequest(protocol_version=1, priorities=[2] * 17)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_is_too_long_is_refused_by_name(server: ServerAddress, call: str, request_: object) -> None:
    with grpc.insecure_channel(server) as channel, pytest.raises(grpc.RpcError) as caught:
        getattr(TerraloomStub(channel), call)(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT and len(caught.value.details()) < 200
    assert "out of range: allowed are 0 to" in caught.value.details()


def test_a_stream_with_too_long_a_list_ends_with_the_bound(server: ServerAddress) -> None:
    opening = pb.OpenSessionRequest(protocol_version=1, selection=pb.Selection(max_level=1))
    messages = [pb.ClientMessage(open=opening), pb.ClientMessage(ack=pb.Ack(deliveries=range(1, 20_000)))]
    with grpc.insecure_channel(server) as channel:
        events = TerraloomStub(channel).Stream(iter(messages), timeout=30.0)
        assert next(events).opened.session_id
        with pytest.raises(grpc.RpcError, match="deliveries has a length of 19999"):
            list(events)


def test_metadata_of_any_size_is_refused_and_the_server_goes_on(server: ServerAddress) -> None:
    with grpc.insecure_channel(server) as channel:
        stub = TerraloomStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Describe(pb.DescribeRequest(), metadata=(("x-long", "x" * 100_000),), timeout=20.0)
        assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        assert stub.Describe(pb.DescribeRequest(), timeout=20.0).protocol_version == 1


def said(server: ServerAddress, *parts: bytes) -> bytes:
    """What a server answers to bytes as they are, until it closes or has been silent for a while."""
    host = urlsplit(server.http)
    with socket.create_connection((host.hostname, host.port), timeout=30.0) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            return connection.recv(65_536)
        except (BrokenPipeError, ConnectionResetError):
            return b"closed"


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"GET /healthz HTTP/1.1\r\n", *[b"x: y\r\n"] * (MOST_HEADERS + 1), b"\r\n"],
        [b"GET /healthz HTTP/1.1\r\nx: ", *[b"y" * 100_000] * 100],
        [b"GET /", *[b"y" * 100_000] * 100],
        [b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 40_000 + b"\r\n\r\n"],
    ],
    ids=["url", "many headers", "endless header", "endless url", "long header"],
)
def test_heads_of_requests_that_are_too_long_are_refused(server: ServerAddress, parts: list[bytes]) -> None:
    answer = said(server, *parts)
    assert answer == b"closed" or b" 431 " in answer or answer == b"", answer[:200]
    assert b" 200 OK" in said(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")


def test_a_head_within_the_bounds_is_answered_in_pieces_and_in_a_row(server: ServerAddress) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"x: " + b"y" * 20_000 + b"\r\n\r\n"
    host = urlsplit(server.http)
    with socket.create_connection((host.hostname, host.port), timeout=30.0) as connection:
        for _ in range(3):
            for start in range(0, len(request), 7000):
                connection.sendall(request[start : start + 7000])
            answer = b""
            while not answer.endswith(b'"ok"}'):
                answer += connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 OK")
        connection.sendall(request * 2)
        answer, end = b"", time.monotonic() + 20.0
        while answer.count(b" 200 OK") < 2 and time.monotonic() < end:
            answer += connection.recv(65_536)
        assert answer.count(b" 200 OK") == 2


async def test_who_never_finishes_a_head_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    config, state = uvicorn.Config(PlainTextResponse("here"), lifespan="off", log_config=None), ServerState()
    listener = await asyncio.get_running_loop().create_server(lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0)
    async with listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in await reader.readuntil(b"here")
        await asyncio.sleep(0.7)
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        assert await asyncio.wait_for(reader.read(), 20.0) == b"", "it was let wait between requests, and not within one"
        writer.close()
