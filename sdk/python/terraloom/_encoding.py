"""Values that the wire cannot carry become errors of `terraloom.errors`, here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from terraloom.errors import InvalidArgumentError


@contextmanager
def encoded(value: object) -> Iterator[None]:
    """Raise InvalidArgumentError, which shows `value`, where protobuf refuses a part of it: a negative count, a text for a number."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{value!r} cannot be sent: {error}") from error
