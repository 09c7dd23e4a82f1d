"""Every error that Terraloom raises, on either side of the wire.

    TerraloomError
    |-- InvalidArgumentError      the request can never succeed as it stands; the message names what is allowed
    |-- NotFoundError             an unknown world, session or file
    |-- FailedPreconditionError   right request, wrong moment: a view before the session was opened, another protocol version
    |-- ResourceExhaustedError    a limit of the server: sessions, queue, memory, message size
    |-- UnauthenticatedError      no credentials, or wrong ones; a server that cannot prove who it is
    |-- PermissionDeniedError     who you are is known, and you may not
    |-- UnimplementedError        in the contract, but not in this server
    |-- UnavailableError          nobody answers, or not yet: worth another try
    |-- DeadlineExceededError     the caller's time is up
    |-- CancelledError            the caller, or the server on its way down, gave the work up
    `-- InternalError             a defect of ours
        `-- DataLossError         stored or received bytes that fail their checksum or their format

One table, `CODES`, ties them to gRPC statuses, HTTP statuses and exit codes: servers map errors by `codes`, clients map statuses back by
`error_from_status`. Commands print one line, `error: <message>`, and exit with `exit_code`: 2 for bad input, 3 for what may go well
later, 4 for what this server will not do, 1 for all else.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class TerraloomError(Exception):
    """Base of all errors of Terraloom; `str(error)` is one sentence for a person."""

    retry_after: float | None = None
    """Seconds after which the server asks to come back; None where it does not say."""

    @property
    def exit_code(self) -> int:
        """What a command exits with."""
        return codes(self).exit


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
    """A limit of the server was reached: sessions, queue, memory or message size; `retry_after` where waiting helps."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnauthenticatedError(TerraloomError):
    """Credentials are missing or wrong, on either side."""


class PermissionDeniedError(TerraloomError):
    """The credentials are right, and what they stand for may not do this."""


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


class Codes(NamedTuple):
    """What an error is called elsewhere: name of the `grpc.StatusCode` member, HTTP status, exit code of a command."""

    grpc: str
    http: int
    exit: int


CODES: Mapping[type[TerraloomError], Codes] = MappingProxyType(
    {
        InvalidArgumentError: Codes("INVALID_ARGUMENT", 400, 2),
        NotFoundError: Codes("NOT_FOUND", 404, 2),
        FailedPreconditionError: Codes("FAILED_PRECONDITION", 400, 4),
        ResourceExhaustedError: Codes("RESOURCE_EXHAUSTED", 429, 3),
        UnauthenticatedError: Codes("UNAUTHENTICATED", 401, 4),
        PermissionDeniedError: Codes("PERMISSION_DENIED", 403, 4),
        UnimplementedError: Codes("UNIMPLEMENTED", 501, 4),
        UnavailableError: Codes("UNAVAILABLE", 503, 3),
        DeadlineExceededError: Codes("DEADLINE_EXCEEDED", 504, 3),
        CancelledError: Codes("CANCELLED", 499, 1),
        InternalError: Codes("INTERNAL", 500, 1),
        DataLossError: Codes("DATA_LOSS", 500, 1),
    }
)
"""The one place where errors meet other people's numbers; HTTP as google.rpc.Code has it."""


def codes(error: BaseException) -> Codes:
    """The codes of `error`: those of its nearest class in the table, those of an `InternalError` for anything else."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), CODES[InternalError])


def status_name(error: BaseException) -> str:
    """Name of the gRPC status of `error`."""
    return codes(error).grpc


def error_from_status(
    name: str, message: str, *, field: str = "", allowed: tuple[str, ...] = (), retry_after: float | None = None
) -> TerraloomError:
    """The error for a gRPC status name; a status outside the table becomes an `InternalError` that names it.

    `field` and `allowed` are those of an `InvalidArgumentError`.
    """
    kind = next((kind for kind, known in CODES.items() if known.grpc == name), None)
    if kind is InvalidArgumentError:
        return InvalidArgumentError(message, field=field, allowed=allowed)
    error = kind(message) if kind is not None else InternalError(f"{name}: {message}")
    error.retry_after = retry_after
    return error
