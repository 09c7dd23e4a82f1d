"""Fairness: the order in which pieces of work are done when several clients want some. Pure bookkeeping: no threads, no clock.

Two rules. Work of a more urgent class goes first, but a class that waits is owed a share of what the classes above it take (`SHARES`), so
that nothing waits for ever. Within a class the client goes first that has had the least, counted in seconds of work, so that whoever asks
for thousands of pieces delays another by about one: start-time fair queueing (Goyal, Vin and Cheng 1996), with the cost of a piece known
once it is done. A client's own pieces go in the order of their priorities. A piece that several clients want is in the queue of each, done
once, and charged to them in equal parts.
"""

import heapq
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from terraloom_engines.selection import Priority, WorkClass

J = TypeVar("J")

SHARES: Mapping[WorkClass, float] = {WorkClass.NEAR: 1 / 4, WorkClass.FAR: 1 / 8, WorkClass.PREFETCH: 1 / 16}
"""Seconds that a class which waits is owed for each second that more urgent classes take."""
QUANTUM = 1.0
"""Seconds that a class must be owed before it goes first; then it does until that is paid."""
MOST_LANES = 4096
"""Clients whose accounts are remembered while they want nothing; the ones that wanted something longest ago go first."""


@dataclass(slots=True)
class _Lane(Generic[J]):
    """The account and the queues of one client."""

    had: float = 0.0
    """Start tag of its next piece: seconds of work it had, never behind those of the piece that started last."""
    heaps: dict[WorkClass, list[tuple[Priority, int, J]]] = field(default_factory=lambda: {work_class: [] for work_class in WorkClass})


class FairQueue(Generic[J]):
    """Pieces that wait, by client and priority; see the module. Pieces are compared by identity of their hash."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[J]] = {}
        self._waiting: dict[WorkClass, dict[str, _Lane[J]]] = {work_class: {} for work_class in WorkClass}
        self._tickets: dict[J, int] = {}
        """Number of a piece's valid entries; entries with another number are stale."""
        self._last_ticket = 0
        self._entries = 0
        self._now = 0.0
        """Virtual time: the start tag of the piece that started last."""
        self._owed = dict.fromkeys(SHARES, 0.0)
        self._paid: set[WorkClass] = set()
        """Classes that go first until what they are owed is paid."""

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, piece: J) -> bool:
        return piece in self._tickets

    def put(self, piece: J, wants: Mapping[str, Priority]) -> None:
        """Queues a piece for the clients that want it, or re-orders it."""
        if self._entries > 4 * len(self._tickets) + 64:
            self._sweep()
        self._last_ticket += 1
        self._tickets[piece] = self._last_ticket
        for client, priority in wants.items():
            lane = self._lanes.get(client) or self._open(client)
            heapq.heappush(lane.heaps[priority.work_class], (priority, self._last_ticket, piece))
            self._waiting[priority.work_class][client] = lane
            self._entries += 1

    def remove(self, piece: J) -> None:
        """Drops a piece, if it waits."""
        self._tickets.pop(piece, None)

    def pop(self) -> J | None:
        """The piece to do next; None when nothing waits."""
        for work_class in sorted(WorkClass, key=lambda work_class: (work_class not in self._paid, work_class)):
            first = min(self._heads(work_class), key=lambda head: head[:3], default=None)
            if first is not None:
                self._now, _, _, piece = first
                del self._tickets[piece]
                return piece
            self._owed[work_class] = 0.0
            self._paid.discard(work_class)
        return None

    def charge(self, clients: Collection[str], work_class: WorkClass, seconds: float) -> None:
        """A piece of `work_class` took `seconds`, for these clients."""
        for client in clients:
            lane = self._lanes.get(client) or self._open(client)
            lane.had = max(lane.had, self._now) + seconds / len(clients)
        if work_class in self._paid:
            self._owed[work_class] -= seconds
            if self._owed[work_class] <= 0.0:
                self._paid.discard(work_class)
        for below, share in SHARES.items():
            if below > work_class and self.waits(below):
                self._owed[below] = min(self._owed[below] + share * seconds, QUANTUM)
                if self._owed[below] >= QUANTUM:
                    self._paid.add(below)

    def waits(self, work_class: WorkClass) -> bool:
        """Whether anything of that class waits."""
        return next(self._heads(work_class), None) is not None

    def goes_before(self, coming: WorkClass, running: WorkClass) -> bool:
        """Whether a class goes before another at the moment."""
        return coming < running and running not in self._paid

    def behind(self, client: str, seconds: float = 0.0) -> bool:
        """Whether a client has had no more than the one whose piece started last, `seconds` of it counted."""
        lane = self._lanes.get(client)
        return lane is None or lane.had <= self._now + seconds

    def _heads(self, work_class: WorkClass) -> "Iterator[tuple[float, Priority, int, J]]":
        """The first piece of each client with its start tag."""
        for client, lane in list(self._waiting[work_class].items()):
            heap = lane.heaps[work_class]
            while heap and self._tickets.get(heap[0][2]) != heap[0][1]:
                heapq.heappop(heap)
                self._entries -= 1
            if heap:
                yield max(lane.had, self._now), *heap[0]
            else:
                del self._waiting[work_class][client]

    def _open(self, client: str) -> _Lane[J]:
        """A new account; the accounts of clients that want nothing are closed when there are too many, the debtless first."""
        lane = self._lanes[client] = _Lane(self._now)
        if len(self._lanes) > MOST_LANES:
            idle = [name for name in self._lanes if name != client and not any(name in lanes for lanes in self._waiting.values())]
            for name in sorted(idle, key=lambda name: self._lanes[name].had > self._now)[: MOST_LANES // 8]:
                del self._lanes[name]
        return lane

    def _sweep(self) -> None:
        """Drops stale entries."""
        for lane in self._lanes.values():
            for heap in lane.heaps.values():
                heap[:] = [entry for entry in heap if self._tickets.get(entry[2]) == entry[1]]
                heapq.heapify(heap)
        self._entries = sum(len(heap) for lane in self._lanes.values() for heap in lane.heaps.values())
