"""Decoding: what comes over the wire is a message, or its sender is told so. Left to gRPC, bytes that are none end as UNKNOWN, each with a
traceback in the log, before anybody asked for a token.
"""

from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.message import DecodeError

from terraloom.errors import InvalidArgumentError

__all__ = ["Undecodable", "decoder", "require_decoded"]


class Undecodable(NamedTuple):
    """Stands in for a message whose bytes are none."""

    reason: str


def decoder(deserialize: Callable[[bytes], object] | None) -> Callable[[bytes], object] | None:
    """A deserializer that gives an `Undecodable` where `deserialize` raises."""
    if deserialize is None:
        return None

    def decode(data: bytes) -> object:
        try:
            return deserialize(data)
        except DecodeError as error:
            return Undecodable(str(error).partition("\n")[0])

    return decode


def require_decoded(request: object) -> None:
    """Raises InvalidArgumentError for bytes that were no message."""
    if isinstance(request, Undecodable):
        raise InvalidArgumentError(f"the request is no message of its kind: {request.reason}")
