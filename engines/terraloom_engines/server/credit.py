"""Credit: how much may be under way to a client that has not yet said it applied it.

gRPC's own flow control lets a server run some 4 MB ahead of a stalled client, and all of it stands before an urgent tile.
So the server counts: it sends while what is unacknowledged stays within a window of bytes and tiles. The client says how large that is,
or leaves it to the server, which measures the connection (`pipe.py`). Of either, less urgent classes may fill a part only, so that the
credit that a more urgent tile needs is there when it comes.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from terraloom.errors import InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.selection import WorkClass
from terraloom_engines.server.checks import count_in_range, one_of
from terraloom_engines.server.pipe import Piece, Pipe
from terraloom_engines.tiling import TileId

DEFAULT_TILES = 256
MOST_BYTES = 8 << 20
"""The largest window that is chosen for a client that names none: 100 ms of a gigabit a second."""
LARGEST_BYTES, LARGEST_TILES = 1 << 28, 4096
"""The most that a client may ask for."""
RESERVES = {WorkClass.COLLISION: 0, WorkClass.NEAR: 0, WorkClass.FAR: 1, WorkClass.PREFETCH: 2}
"""How many parts of a window a class leaves to those more urgent. Collision has a connection of its own."""
PARTS = 4
"""Into how many parts a client's own window falls; of one that the server chooses, a part is as large as the largest tile."""


class ClassCredit(NamedTuple):
    """What tiles of a class and of all less urgent ones may take of a window together."""

    bytes: int
    tiles: int


@dataclass(frozen=True, slots=True)
class Credit:
    """A window: bytes of tile messages (0: measured, at most `most_bytes`), and tiles; and the parts of it that classes may fill.

    In `classes`, 0 leaves bytes or tiles to the server.
    """

    bytes: int = 0
    tiles: int = DEFAULT_TILES
    most_bytes: int = MOST_BYTES
    classes: Mapping[WorkClass, ClassCredit] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def from_message(cls, message: pb.Credit) -> "Credit":
        """The window that a client asks for; what it leaves out is the default."""
        classes: dict[WorkClass, ClassCredit] = {}
        names = {int(work_class): work_class.name for work_class in WorkClass}
        for i, part in enumerate(message.classes):
            where = f"credit.classes[{i}]"
            name = one_of(f"{where}.priority", names.get(part.priority, str(part.priority)), tuple(names.values()))
            work_class = WorkClass[name]
            if work_class in classes:
                raise InvalidArgumentError(f"{where} is the second one for {name}", field=where)
            limit = count_in_range(f"{where}.bytes", part.bytes, 0, LARGEST_BYTES)
            classes[work_class] = ClassCredit(limit, count_in_range(f"{where}.tiles", part.tiles, 0, LARGEST_TILES))
        return cls(
            count_in_range("credit.bytes", message.bytes, 0, LARGEST_BYTES),
            count_in_range("credit.tiles", message.tiles or DEFAULT_TILES, 1, LARGEST_TILES),
            count_in_range("credit.most_bytes", message.most_bytes or MOST_BYTES, 1, LARGEST_BYTES),
            classes,
        )

    def message(self) -> pb.Credit:
        """The window on the wire."""
        parts = [
            pb.ClassCredit(priority=pb.Priority.ValueType(kind), bytes=part.bytes, tiles=part.tiles) for kind, part in self.classes.items()
        ]
        return pb.Credit(bytes=self.bytes, tiles=self.tiles, most_bytes=self.most_bytes, classes=parts)


@dataclass(slots=True)
class Numbers:
    """Deliveries of a session are numbered over all its connections."""

    last: int = 0


class _Delivery(NamedTuple):
    tile: TileId
    work_class: WorkClass
    piece: Piece


class CreditWindow:
    """What is under way on one connection of a session; `numbers` are shared with its other ones."""

    def __init__(self, credit: Credit, numbers: Numbers | None = None) -> None:
        self.credit = credit
        self.numbers = numbers or Numbers()
        self.pipe = Pipe()
        self._deliveries: dict[int, _Delivery] = {}
        self._bytes = dict.fromkeys(WorkClass, 0)
        self._tiles = dict.fromkeys(WorkClass, 0)

    @property
    def bytes(self) -> int:
        """Of the tile messages under way."""
        return sum(self._bytes.values())

    @property
    def limit(self) -> int:
        """Bytes that may be under way, all classes together."""
        return self.credit.bytes or min(self.pipe.window + 2 * self.pipe.largest, self.credit.most_bytes)

    def share(self, work_class: WorkClass) -> ClassCredit:
        """What tiles of a class and of all less urgent ones may take together."""
        reserves, limit, tiles = RESERVES[work_class], self.limit, self.credit.tiles
        part = limit // PARTS if self.credit.bytes else min(self.pipe.largest, limit // PARTS)
        own = self.credit.classes.get(work_class, ClassCredit(0, 0))
        return ClassCredit(own.bytes or limit - reserves * part, own.tiles or max(tiles - reserves * (tiles // PARTS), 1))

    def allows(self, size: int, work_class: WorkClass) -> bool:
        """Whether a tile message of `size` bytes may go now; one always may when nothing is under way."""
        if not self._deliveries:
            return True
        if not self.credit.bytes and self.pipe.waits(time.monotonic()):
            return False
        for other in WorkClass:
            if other <= work_class:
                share = self.share(other)
                under_way = [kind for kind in WorkClass if kind >= other]
                if sum(self._bytes[kind] for kind in under_way) + size > share.bytes:
                    return False
                if sum(self._tiles[kind] for kind in under_way) >= share.tiles:
                    return False
        return True

    def send(self, tile: TileId, size: int, work_class: WorkClass) -> int:
        """Counts a tile message as under way and returns the number of its delivery."""
        self.numbers.last += 1
        self._deliveries[self.numbers.last] = _Delivery(tile, work_class, self.pipe.send(size, time.monotonic()))
        self._bytes[work_class] += size
        self._tiles[work_class] += 1
        return self.numbers.last

    def acknowledge(self, deliveries: Iterable[int]) -> None:
        """Returns the credit of deliveries; repeating one is harmless. Raises InvalidArgumentError for one that was never made."""
        returned = []
        for delivery in deliveries:
            if not 0 < delivery <= self.numbers.last:
                text = f"ack.deliveries names {delivery}, but {self.numbers.last} tiles were sent"
                raise InvalidArgumentError(text, field="ack.deliveries")
            if found := self._deliveries.pop(delivery, None):
                self._bytes[found.work_class] -= found.piece.size
                self._tiles[found.work_class] -= 1
                returned.append(found.piece)
        self.pipe.acknowledge(returned, time.monotonic())

    def abandon(self) -> list[TileId]:
        """The connection is another one: gives up what was under way, and returns it, for it may never have arrived."""
        lost = [delivery.tile for delivery in self._deliveries.values()]
        self._deliveries, self.pipe = {}, Pipe()
        self._bytes, self._tiles = dict.fromkeys(WorkClass, 0), dict.fromkeys(WorkClass, 0)
        return lost
