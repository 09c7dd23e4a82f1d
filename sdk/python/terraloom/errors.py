"""Every error that Terraloom raises, on either side of the wire.

    TerraloomError
    |-- InvalidArgumentError      the request can never succeed as it stands; the message names what is allowed
    |-- NotFoundError             an unknown world, session or file
    |-- FailedPreconditionError   right request, wrong moment: a view before the session was opened, another protocol version
    |-- ResourceExhaustedError    a limit of the server: sessions, queue, memory, message size
    |-- UnauthenticatedError      no credentials, or wrong ones
    |-- UnimplementedError        in the contract, but not in this server
    |-- UnavailableError          nobody answers, or not yet: worth another try
    |-- DeadlineExceededError     the caller's time is up
    |-- CancelledError            the caller, or the server on its way down, gave the work up
    `-- InternalError             a defect of ours
        `-- DataLossError         stored or received bytes that fail their checksum or their format

One table ties them to gRPC status codes: servers map errors by `status_name`, clients map statuses back by `error_from_status`.
Commands print one line, `error: <message>`, and exit with `exit_code`.
"""

from collections.abc import Mapping
from types import MappingProxyType


class TerraloomError(Exception):
    """Base of all errors of Terraloom; `str(error)` is one sentence for a person."""

    exit_code = 2


class InvalidArgumentError(TerraloomError):
    """The request can never succeed as it stands; the message names the value and what is allowed.

    `field` is the offending field of a request, such as "selection.radius.level", and `allowed` its values or "min..max"; both may be
    empty.
    """

    def __init__(self, message: str, *, field: str = "", allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.allowed = allowed


class NotFoundError(TerraloomError):
    """An unknown world, session or file; the message lists the known ones where they are few."""


class FailedPreconditionError(TerraloomError):
    """The request is well formed but comes at the wrong moment or speaks another protocol version."""


class ResourceExhaustedError(TerraloomError):
    """A limit of the server was reached: sessions, queue, memory or message size."""


class UnauthenticatedError(TerraloomError):
    """Credentials are missing or wrong."""


class UnimplementedError(TerraloomError):
    """The contract has it, this server does not."""


class UnavailableError(TerraloomError):
    """Nobody answers at the address, or not yet; the same request may succeed later."""


class DeadlineExceededError(TerraloomError):
    """The time that the caller allowed is up."""


class CancelledError(TerraloomError):
    """The work was given up on request before it was done."""


class InternalError(TerraloomError):
    """A defect of Terraloom."""


class DataLossError(InternalError):
    """Stored or received bytes fail their checksum or their format."""


GRPC_STATUS: Mapping[type[TerraloomError], str] = MappingProxyType(
    {
        InvalidArgumentError: "INVALID_ARGUMENT",
        NotFoundError: "NOT_FOUND",
        FailedPreconditionError: "FAILED_PRECONDITION",
        ResourceExhaustedError: "RESOURCE_EXHAUSTED",
        UnauthenticatedError: "UNAUTHENTICATED",
        UnimplementedError: "UNIMPLEMENTED",
        UnavailableError: "UNAVAILABLE",
        DeadlineExceededError: "DEADLINE_EXCEEDED",
        CancelledError: "CANCELLED",
        InternalError: "INTERNAL",
        DataLossError: "DATA_LOSS",
    }
)
"""Error class to name of the `grpc.StatusCode` member; the one place where the two meet."""


def status_name(error: BaseException) -> str:
    """Name of the gRPC status of `error`: that of its nearest class in the table, `INTERNAL` for anything else."""
    return next((GRPC_STATUS[kind] for kind in type(error).__mro__ if kind in GRPC_STATUS), "INTERNAL")


def error_from_status(name: str, message: str, *, field: str = "", allowed: tuple[str, ...] = ()) -> TerraloomError:
    """The error for a gRPC status name; a status outside the table becomes an `InternalError` that names it.

    `field` and `allowed` are those of an `InvalidArgumentError`.
    """
    for kind, status in GRPC_STATUS.items():
        if status == name:
            return InvalidArgumentError(message, field=field, allowed=allowed) if kind is InvalidArgumentError else kind(message)
    return InternalError(f"{name}: {message}")
