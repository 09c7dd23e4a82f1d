"""Bounds: how long every text, every bytes and every list of a request may be. A test holds the table to the contract: no field is without.

What a message may be as a whole is bounded before it is read (`MESSAGE_BYTES`); this bounds the work and the memory behind it.
"""

from types import MappingProxyType

from google.protobuf.message import Message

from terraloom.errors import InvalidArgumentError

__all__ = ["LONGEST", "check_bounds"]

LONGEST = MappingProxyType(
    {
        "terraloom.v1.WorldId.name": 128,
        "terraloom.v1.View.waypoints": 64,
        "terraloom.v1.HeldTile.content_hash": 64,
        "terraloom.v1.OpenSessionRequest.have": 65_536,
        "terraloom.v1.OpenSessionRequest.priorities": 16,
        "terraloom.v1.OpenSessionRequest.client": 256,
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
_HAVE_BOUNDED_PARTS = {name.rpartition(".")[0] for name in LONGEST}


def check_bounds(message: Message) -> None:
    """Raises InvalidArgumentError for a field that is longer than it may be, wherever in the message."""
    for field, value in message.ListFields():
        longest = LONGEST.get(field.full_name)
        if longest is not None and len(value) > longest:
            raise InvalidArgumentError(
                f"{field.name} has a length of {len(value)}, which is out of range: allowed are 0 to {longest}",
                field=field.name,
                allowed=(f"0..{longest}",),
            )
        if field.message_type is None:
            continue
        if not field.is_repeated:
            check_bounds(value)
        elif field.message_type.full_name in _HAVE_BOUNDED_PARTS:
            for part in value:
                check_bounds(part)
