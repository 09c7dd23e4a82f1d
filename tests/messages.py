"""Hypothesis strategies for messages of the wire: any of them, made from their descriptors, with the values that break things."""

import math
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

FLOATS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 45.0, 90.0, 180.0, 1e9, -1e18, 1e300, math.nan, math.inf, -math.inf]) | st.floats()
SIGNED = st.sampled_from([0, 1, -1, 7, 1 << 31, -(1 << 63), (1 << 63) - 1]) | st.integers(-4, 300)
UNSIGNED = st.sampled_from([0, 1, 7, 18, 19, 1 << 31, (1 << 32) - 1]) | st.integers(0, 300)
TEXTS = st.sampled_from(["", "earth", "planet:7", "plane:7", "raster:none", "mars", "plane:-1", "..", "\x00"]) | st.text(max_size=8)
MOST_REPEATED = 4

_SCALARS = {
    FieldDescriptor.CPPTYPE_DOUBLE: FLOATS,
    FieldDescriptor.CPPTYPE_FLOAT: FLOATS,
    FieldDescriptor.CPPTYPE_INT32: UNSIGNED.filter(lambda value: value < 1 << 31),
    FieldDescriptor.CPPTYPE_INT64: SIGNED,
    FieldDescriptor.CPPTYPE_UINT32: UNSIGNED,
    FieldDescriptor.CPPTYPE_UINT64: UNSIGNED,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.sampled_from([0, 1, 2, 3, 4, 5, 9]),
}


def messages_of(kind: type[Message] | Descriptor) -> st.SearchStrategy[Any]:
    """Messages of one type with any of their fields set."""
    descriptor = kind if isinstance(kind, Descriptor) else kind.DESCRIPTOR
    fields = {field.name: _values(field) for field in descriptor.fields}
    choices = st.fixed_dictionaries({}, optional=fields).map(lambda chosen: _without_rivals(descriptor, chosen))
    return choices.map(lambda chosen: GetMessageClass(descriptor)(**chosen))


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        single: st.SearchStrategy[Any] = st.binary(max_size=20)
    elif field.type == FieldDescriptor.TYPE_STRING:
        single = TEXTS
    elif field.message_type is not None:
        single = st.deferred(lambda: messages_of(field.message_type))
    else:
        single = _SCALARS[field.cpp_type]
    return st.lists(single, max_size=MOST_REPEATED) if field.is_repeated else single


def _without_rivals(descriptor: Descriptor, chosen: dict[str, Any]) -> dict[str, Any]:
    """One field of each `oneof`."""
    for oneof in descriptor.oneofs:
        rivals = [field.name for field in oneof.fields if field.name in chosen]
        for name in rivals[1:]:
            del chosen[name]
    return chosen
