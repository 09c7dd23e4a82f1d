"""gRPC statuses become the errors of `terraloom.errors`, here and nowhere else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2, empty_pb2
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from terraloom.errors import TerraloomError, UnauthenticatedError, UnavailableError, UnimplementedError, error_from_status
from terraloom.v1 import terraloom_pb2 as pb

DETAILS = "grpc-status-details-bin"
WRITE_FAILED = "Internal error from Core"
"""What grpcio says, in place of the call's own status, when it was writing to a call that had just ended (grpc/grpc#36066)."""
STATUS_DETAILS_FIELD, RETRY_DELAY_FIELD = 3, 1
"""Numbers of `details` in google.rpc.Status and of `retry_delay` in RetryInfo, which are read without a library of their own."""
RETRY_INFO = "google.rpc.RetryInfo"

HANDSHAKE_FAULTS = (
    (re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)"), "the server's certificate is not trusted: {0}"),
    (
        re.compile(r"Hostname Verification Check failed"),
        "the server's certificate is not for this host; give tls the server_name it is for",
    ),
    (re.compile(r"WRONG_VERSION_NUMBER"), "the server does not speak TLS"),
    (re.compile(r"handshake failed[^:]*: \S+: error:\w+:[^:]*:[^:]*:(\w+)", re.I), "the TLS handshake failed: {0}"),
)
"""What gRPC says of a handshake that failed, and what it means; none of it mends itself."""
CLOSED_AT_ONCE = re.compile(r"^failed to connect to all addresses; .*: (Socket closed|.*(Connection reset by peer|Broken pipe).*)$")


class MissingMethodError(UnimplementedError):
    """The server does not know the method at all; a server of ours that declines a part of it says which."""


class CutOffError(UnavailableError):
    """The call ended while it was written to; why, is lost."""


@contextmanager
def translated_errors(target: str) -> Iterator[None]:
    """Raise the error of the table in place of a gRPC status; a connection failure names `target`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        trailers: Any = error.trailing_metadata() or ()  # pairs, which the stubs take for objects
        told = dict(trailers).get(DETAILS, b"")
        if error.code() is grpc.StatusCode.UNIMPLEMENTED and not told:
            raise MissingMethodError(f"{target} does not know a call: {error.details()}") from error
        if error.code() is grpc.StatusCode.INTERNAL and error.details() == WRITE_FAILED:
            raise CutOffError(f"{target}: the call was cut off while it was written to") from error
        if error.code() is grpc.StatusCode.UNAVAILABLE and (fault := _handshake_fault(error.details() or "")):
            raise UnauthenticatedError(f"{target}: {fault}") from error
        detail, retry_after = _details(told)
        detail.status, detail.message = error.code().name, " ".join((error.details() or error.code().name).split())
        if CLOSED_AT_ONCE.search(detail.message):
            detail.message = "the connection was closed before a word was said: does the server want TLS, or a certificate of the client's?"
        raise error_from_detail(detail, target, retry_after) from error


def error_from_detail(detail: pb.ErrorDetail, target: str, retry_after: float | None = None) -> TerraloomError:
    """The error that the server at `target` tells of, in a status or in a stream."""
    message = f"{target}: {detail.message}" if detail.status == grpc.StatusCode.UNAVAILABLE.name else detail.message
    return error_from_status(detail.status, message, field=detail.field, allowed=tuple(detail.allowed), retry_after=retry_after)


def _handshake_fault(details: str) -> str:
    """What went wrong in a TLS handshake, in words; "" when it was something else."""
    for pattern, meaning in HANDSHAKE_FAULTS:
        if found := pattern.search(details):
            return meaning.format(*found.groups())
    return ""


def _details(status: bytes) -> tuple[pb.ErrorDetail, float | None]:
    """The ErrorDetail, and the seconds of the RetryInfo, among the details of a serialised google.rpc.Status; empty ones without."""
    found, retry_after = pb.ErrorDetail(), None
    try:
        for part in _fields(status, STATUS_DETAILS_FIELD):
            packed = any_pb2.Any.FromString(part)
            if packed.TypeName() == RETRY_INFO:
                retry_after = next(map(_seconds, _fields(packed.value, RETRY_DELAY_FIELD)), None)
            else:
                packed.Unpack(found)
    except DecodeError:
        return pb.ErrorDetail(), None
    return found, retry_after


def _fields(message: bytes, number: int) -> list[bytes]:
    """The values of one field of a serialised message whose type is not at hand."""
    parts = UnknownFieldSet(empty_pb2.Empty.FromString(message))
    return [part.data for part in (parts[index] for index in range(len(parts))) if part.field_number == number]


def _seconds(duration: bytes) -> float:
    return duration_pb2.Duration.FromString(duration).ToTimedelta().total_seconds()
