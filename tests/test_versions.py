"""Servers that speak something else: an older or newer Terraloom, another service, no gRPC at all."""

import http.server
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from terraloom import Client, Region, View, connect
from terraloom.errors import FailedPreconditionError, TerraloomError, UnavailableError, UnimplementedError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomServicer, TerraloomStub, add_TerraloomServicer_to_server

VIEW = View(7.0, 46.0, 3000.0)


class Foreigner(TerraloomServicer):
    """A server of another version: describes itself and opens streams; knows no other call."""

    def __init__(self, protocol: int) -> None:
        self._protocol: Any = protocol

    def Describe(self, request: pb.DescribeRequest, context: object) -> pb.DescribeResponse:  # noqa: N802
        return pb.DescribeResponse(protocol_version=self._protocol, server_version="7.8.9")

    def Stream(self, request_iterator: Iterator[pb.ClientMessage], context: object) -> Iterator[pb.ServerEvent]:  # noqa: N802
        next(request_iterator)
        yield pb.ServerEvent(opened=pb.SessionOpened(protocol_version=self._protocol))


@contextmanager
def serving(add: Callable[[grpc.Server], None]) -> Iterator[Client]:
    """A client of a gRPC server with other services on it."""
    server = grpc.server(ThreadPoolExecutor(4))
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with connect(f"127.0.0.1:{port}") as client:
            yield client
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(("protocol", "older"), [(2, "client"), (0, "server")])
def test_another_protocol_is_told_with_both_versions_and_who_is_behind(protocol: int, older: str) -> None:
    with serving(lambda server: add_TerraloomServicer_to_server(Foreigner(protocol), server)) as client:
        expected = rf"{client.target}: server version 7.8.9 speaks protocol version {protocol}, .* speaks 1: upgrade the {older}"
        for ask in (client.describe, client.wait_ready):
            with pytest.raises(FailedPreconditionError, match=expected):
                ask()
        with pytest.raises(FailedPreconditionError, match=f"server speaks protocol version {protocol}"), client.stream(VIEW):
            pass


def test_a_method_that_an_older_server_lacks_is_named_with_the_servers_version() -> None:
    with serving(lambda server: add_TerraloomServicer_to_server(Foreigner(1), server)) as client:
        calls = {
            "GetTile": lambda: client.get_tile(0, 0, 0),
            "SampleHeights": lambda: client.sample_heights([(0, 0)]),
            "Barrier": lambda: client.barrier(Region(0, 0, 1, 1, 0)),
            "ListWorlds": client.worlds,
        }
        for method, call in calls.items():
            with pytest.raises(
                UnimplementedError, match=rf"server version 7.8.9 speaks protocol version 1 without {method}, which .* needs"
            ):
                call()


def test_another_service_is_no_terraloom_server() -> None:
    with serving(lambda server: None) as client:
        with pytest.raises(UnimplementedError, match=f"{client.target} does not know Describe: it is no Terraloom server"):
            client.describe()
        with pytest.raises(UnimplementedError, match="does not know Stream"), client.stream(VIEW):
            pass


def test_what_does_not_speak_grpc_is_told_in_one_line_with_its_address() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = f"127.0.0.1:{server.server_address[1]}"
        with connect(target) as client, pytest.raises(TerraloomError, match=target) as caught:
            client.describe(timeout=30.0)
        server.shutdown()
    assert "\n" not in str(caught.value) and isinstance(caught.value, UnavailableError)


def test_a_server_refuses_a_client_of_another_protocol_and_says_which_it_speaks(server: str) -> None:
    with grpc.insecure_channel(server) as channel, pytest.raises(grpc.RpcError) as caught:
        TerraloomStub(channel).OpenSession(pb.OpenSessionRequest(protocol_version=2))  # type: ignore[arg-type]
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "this server speaks 1" in caught.value.details()
