"""Servers of another version: what they speak, told in one line."""

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc

from terraloom.errors import FailedPreconditionError, UnimplementedError
from terraloom.v1 import terraloom_pb2 as pb

if TYPE_CHECKING:
    from terraloom.v1.terraloom_pb2_grpc import TerraloomAsyncStub  # exists for type checkers only

PROTOCOL = pb.PROTOCOL_VERSION_1
"""The version of the contract that this client speaks."""
SECONDS_TO_DESCRIBE = 10.0


@cache
def client_name() -> str:
    """Name and version of this client."""
    return f"terraloom-python {version('terraloom')}"


def require_protocol(spoken: int, target: str, server_version: str = "") -> None:
    """Raises FailedPreconditionError unless the server at `target` speaks this client's version of the contract."""
    if spoken != PROTOCOL:
        name = f"version {server_version} " if server_version else ""
        older = "client" if spoken > PROTOCOL else "server"
        raise FailedPreconditionError(
            f"{target}: server {name}speaks protocol version {spoken}, {client_name()} speaks {PROTOCOL}: upgrade the {older}"
        )


async def missing_method(stub: "TerraloomAsyncStub", target: str, method: str) -> UnimplementedError:
    """The error for a call that the server at `target` does not know: what the server is, as far as it says."""
    try:
        answer = await stub.Describe(pb.DescribeRequest(), timeout=SECONDS_TO_DESCRIBE)
    except grpc.aio.AioRpcError:
        return UnimplementedError(f"{target} does not know {method}: it is no Terraloom server, or one of another protocol")
    return UnimplementedError(
        f"{target}: server version {answer.server_version} speaks protocol version {answer.protocol_version} without {method}, "
        f"which {client_name()} needs: upgrade the server"
    )
