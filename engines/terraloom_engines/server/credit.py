"""Credit: how much may be under way to a client that has not yet said it applied it.

gRPC's own flow control lets a server run some 4 MB ahead of a stalled client, and all of it stands before an urgent tile.
So the server counts: it sends while what is unacknowledged stays within a window of bytes and tiles.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from terraloom.errors import InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.server.checks import count_in_range

DEFAULT_BYTES = 1 << 20
DEFAULT_TILES = 32


@dataclass(frozen=True, slots=True)
class Credit:
    """A window: bytes of tile messages, and tiles."""

    bytes: int = DEFAULT_BYTES
    tiles: int = DEFAULT_TILES

    @classmethod
    def from_message(cls, message: pb.Credit) -> "Credit":
        """The window that a client asks for; what it leaves out is the default."""
        return cls(
            count_in_range("credit.bytes", message.bytes or DEFAULT_BYTES, 1, 1 << 28),
            count_in_range("credit.tiles", message.tiles or DEFAULT_TILES, 1, 4096),
        )

    def message(self) -> pb.Credit:
        """The window on the wire."""
        return pb.Credit(bytes=self.bytes, tiles=self.tiles)


@dataclass(slots=True)
class Numbers:
    """Deliveries of a session are numbered over all its connections."""

    last: int = 0


class CreditWindow:
    """What is under way on one connection of a session; `numbers` are shared with its other ones."""

    def __init__(self, credit: Credit, numbers: Numbers | None = None) -> None:
        self.credit = credit
        self.bytes = 0
        self.numbers = numbers or Numbers()
        self._deliveries: dict[int, int] = {}

    def allows(self, size: int) -> bool:
        """Whether a tile message of `size` bytes may go now; one always may when nothing is under way."""
        if not self._deliveries:
            return True
        return self.bytes + size <= self.credit.bytes and len(self._deliveries) < self.credit.tiles

    def send(self, size: int) -> int:
        """Counts a tile message as under way and returns the number of its delivery."""
        self.numbers.last += 1
        self._deliveries[self.numbers.last] = size
        self.bytes += size
        return self.numbers.last

    def acknowledge(self, deliveries: Iterable[int]) -> None:
        """Returns the credit of deliveries; repeating one is harmless. Raises InvalidArgumentError for one that was never made."""
        for delivery in deliveries:
            if not 0 < delivery <= self.numbers.last:
                text = f"ack.deliveries names {delivery}, but {self.numbers.last} tiles were sent"
                raise InvalidArgumentError(text, field="ack.deliveries")
            self.bytes -= self._deliveries.pop(delivery, 0)
