"""Bounds: how long every text, every bytes and every list of a request may be. What the table does not name is bounded by `OTHERS`.

What a message may be as a whole is bounded before it is read (`MESSAGE_BYTES`); this bounds the work and the memory behind it.
"""

from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from terraloom.errors import InvalidArgumentError

__all__ = ["LONGEST", "OTHERS", "check_bounds"]

LONGEST = MappingProxyType(
    {
        "terraloom.v1.WorldId.name": 128,
        "terraloom.v1.View.waypoints": 64,
        "terraloom.v1.View.viewpoint": 64,
        "terraloom.v1.Leave.viewpoints": 16,
        "terraloom.v1.HeldTile.content_hash": 64,
        "terraloom.v1.OpenSessionRequest.have": 65_536,
        "terraloom.v1.OpenSessionRequest.priorities": 16,
        "terraloom.v1.OpenSessionRequest.client": 256,
        "terraloom.v1.Credit.classes": 16,
        "terraloom.v1.OpenSessionRequest.views": 16,
        "terraloom.v1.Ack.deliveries": 16_384,
        "terraloom.v1.Forget.tiles": 65_536,
        "terraloom.v1.SubscribeRequest.session_id": 64,
        "terraloom.v1.SubscribeRequest.priorities": 16,
        "terraloom.v1.UpdateViewRequest.session_id": 64,
        "terraloom.v1.BarrierRequest.session_id": 64,
        "terraloom.v1.SampleHeightsRequest.east": 10_000,
        "terraloom.v1.SampleHeightsRequest.north": 10_000,
    }
)
"""Characters, bytes or items by field."""
OTHERS = 256
"""Of every field that is not named, so that none is without a bound."""


class _Plan(NamedTuple):
    """What is to be looked at in messages of one type."""

    own: tuple[tuple[str, int], ...]
    """Names of its texts, bytes and lists, and how long they may be."""
    single: tuple[str, ...]
    """Names of its parts that have such fields within."""
    lists: tuple[str, ...]
    """The same of lists of parts."""


@cache
def _plan(kind: Descriptor) -> _Plan:
    """The plan of a type. No request holds itself."""
    open_ended = [field for field in kind.fields if field.is_repeated or field.type in (Field.TYPE_STRING, Field.TYPE_BYTES)]
    deep = [field for field in kind.fields if field.message_type is not None and any(_plan(field.message_type))]
    return _Plan(
        tuple((field.name, LONGEST.get(field.full_name, OTHERS)) for field in open_ended),
        tuple(field.name for field in deep if not field.is_repeated),
        tuple(field.name for field in deep if field.is_repeated),
    )


def check_bounds(message: Message) -> None:
    """Raises InvalidArgumentError for a field that is longer than it may be, wherever in the message."""
    plan = _plan(message.DESCRIPTOR)
    for name, longest in plan.own:
        length = len(getattr(message, name))
        if length > longest:
            text = f"{name} has a length of {length}, which is out of range: allowed are 0 to {longest}"
            raise InvalidArgumentError(text, field=name, allowed=(f"0..{longest}",))
    for name in plan.single:
        if message.HasField(name):
            check_bounds(getattr(message, name))
    for name in plan.lists:
        for part in getattr(message, name):
            check_bounds(part)
