"""The order of work among clients and classes, without threads: who has had what share, and that nothing waits for ever."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom_engines import fairness
from terraloom_engines.fairness import QUANTUM, SHARES, FairQueue
from terraloom_engines.selection import Priority, WorkClass

COST = 0.2


class Worker:
    """Does pieces named "client class number" one after the other, each of which takes some seconds."""

    def __init__(self) -> None:
        self.queue: FairQueue[str] = FairQueue()
        self.had: Counter[str] = Counter()

    def put(self, client: str, work_class: WorkClass, number: int) -> str:
        piece = f"{client} {work_class.name} {number}"
        self.queue.put(piece, {client: Priority(work_class, 0.0, number)})
        return piece

    def work(self, seconds: float = COST) -> str:
        piece = self.queue.pop()
        assert piece is not None
        client, name, _ = piece.split()
        self.queue.charge([client], WorkClass[name], seconds)
        self.had[client] += seconds
        self.had[name] += seconds
        return piece


@pytest.mark.parametrize(("above", "below"), [(above, below) for below in SHARES for above in WorkClass if above < below])
def test_a_class_that_waits_gets_its_share_however_much_others_ask_for(above: WorkClass, below: WorkClass) -> None:
    worker = Worker()
    for i in range(1000):
        worker.put("steady", below, i)
    for i in range(1000):
        worker.put("greedy", above, i)
        worker.work()
    assert worker.had[below.name] == pytest.approx(SHARES[below] * worker.had[above.name], abs=QUANTUM + COST)


def test_nothing_waits_for_ever_below_classes_that_are_always_busy() -> None:
    worker = Worker()
    last = worker.put("steady", WorkClass.PREFETCH, 9)
    for i in range(2000):
        for work_class in (WorkClass.COLLISION, WorkClass.NEAR, WorkClass.FAR):
            worker.put("greedy", work_class, i)
        if worker.work() == last:
            break
    assert i * COST < QUANTUM / SHARES[WorkClass.PREFETCH] + QUANTUM


def test_collision_goes_first_until_others_are_owed() -> None:
    worker = Worker()
    worker.put("eye", WorkClass.NEAR, 0)
    for i in range(100):
        worker.put("body", WorkClass.COLLISION, i)
    done = [worker.work() for _ in range(100)]
    assert done.index("eye NEAR 0") == round(QUANTUM / SHARES[WorkClass.NEAR] / COST)


@settings(max_examples=25)
@given(st.lists(st.floats(0.01, 3.0), min_size=2, max_size=5), st.integers(0, 5))
def test_clients_with_enough_to_do_get_equal_seconds_whatever_their_pieces_cost(costs: list[float], head_start: int) -> None:
    worker = Worker()
    clients = {f"client{i}": cost for i, cost in enumerate(costs)}
    for i in range(head_start):
        worker.put("client0", WorkClass.NEAR, i)
        worker.work(costs[0])
    worker.had.clear()
    number = 100
    for client in clients:
        worker.put(client, WorkClass.NEAR, number)
    for _ in range(100):
        number += 1
        client = worker.work(0.0).split()[0]
        worker.queue.charge([client], WorkClass.NEAR, clients[client])
        worker.had[client] += clients[client]
        worker.put(client, WorkClass.NEAR, number)
    shares = [worker.had[client] for client in clients]
    assert max(shares) - min(shares) <= sum(sorted(costs)[-2:]) + head_start * costs[0] + 1e-6


def test_who_had_nothing_for_a_while_has_saved_nothing() -> None:
    worker = Worker()
    for i in range(100):
        worker.put("busy", WorkClass.NEAR, i)
    for _ in range(50):
        worker.work()
    for i in range(100):
        worker.put("late", WorkClass.NEAR, i)
    clients = [worker.work().split()[0] for _ in range(20)]
    assert clients.count("late") == pytest.approx(10, abs=1)


def test_a_piece_for_two_is_done_once_and_charged_to_both() -> None:
    queue: FairQueue[str] = FairQueue()
    now = Priority(WorkClass.NEAR, 0.0, 0)
    queue.put("shared", {"a": now, "b": now})
    assert queue.pop() == "shared"
    assert queue.pop() is None
    queue.charge(["a", "b"], WorkClass.NEAR, 1.0)
    queue.put("of a", {"a": now})
    queue.put("of c", {"c": Priority(WorkClass.NEAR, 0.0, 5)})
    assert queue.pop() == "of c"


def test_accounts_and_entries_do_not_pile_up() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(2 * fairness.MOST_LANES):
        for again in range(5):
            queue.put("piece", {f"client {i}": Priority(WorkClass.NEAR, float(again), 0)})
        assert queue.pop() == "piece"
        queue.charge([f"client {i}"], WorkClass.NEAR, 1.0)
    assert len(queue._lanes) <= fairness.MOST_LANES
    assert sum(len(heap) for lane in queue._lanes.values() for heap in lane.heaps.values()) <= 128
