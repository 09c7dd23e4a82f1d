"""The scheduler with real threads: order, sharing, cancellation, bounds, and what it counts."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom.errors import CancelledError, DataLossError, InternalError, ResourceExhaustedError, TerraloomError, UnavailableError
from terraloom_engines.scheduler import Scheduler, Subscription, Workers
from terraloom_engines.selection import Priority, WorkClass
from terraloom_engines.waste import MOST_GIVEN_UP, GivenUp, SchedulerCounters

NOW = Priority(WorkClass.NEAR, 0.0, 0)


class Workshop:
    """Work whose pieces are words: each waits until its gate opens, then answers the word in capitals."""

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.started: list[str] = []
        self.stored: dict[str, str] = {}
        self.finishes = False
        """Whether a piece goes on to its end though it is given up."""
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.workers = Workers(capacity)
        self.scheduler: Scheduler[str, str] = Scheduler(self.stored.get, self.build, self.workers)
        self.delivered: list[tuple[str, str | TerraloomError]] = []

    def build(self, word: str, cancelled: Callable[[], bool]) -> str:
        self.started.append(word)
        self.begun.release()
        while not self.gate.wait(0.002):
            if cancelled() and not self.finishes:
                raise CancelledError(f"{word} was given up")
        if word == "damaged":
            raise DataLossError("damaged entry")
        if word == "broken":
            raise ZeroDivisionError("defect")
        return word.upper()

    def subscribe(self, client: str = "somebody") -> Subscription[str, str]:
        return self.scheduler.subscribe(lambda word, result: self.delivered.append((word, result)), client)

    async def close(self) -> None:
        self.scheduler.close()
        await self.workers.close()

    async def until_begun(self) -> None:
        """Returns when one more piece has started."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=60)

    async def until_waiting(self, pieces: int) -> None:
        """Returns when so many pieces were looked for and wait to be generated."""
        await self.until(lambda: len(self.workers) == pieces)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns when `holds()`; fails after a minute."""
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.002)


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    workshop = Workshop()
    yield workshop
    workshop.gate.set()
    await workshop.close()


async def blocked(workshop: Workshop) -> asyncio.Task[str]:
    """A first piece that keeps the worker busy until the gate opens."""
    task = asyncio.create_task(workshop.scheduler.run("first", NOW, "somebody"))
    await workshop.until_begun()
    return task


async def test_the_most_urgent_comes_first(workshop: Workshop) -> None:
    await blocked(workshop)
    subscription = workshop.subscribe()
    wants = {
        "later": Priority(WorkClass.NEAR, 2.0, 3),
        "prefetch": Priority(WorkClass.PREFETCH, 0.1, 1),
        "far": Priority(WorkClass.FAR, 0.0, 2),
        "child": Priority(WorkClass.NEAR, 0.0, 5),
        "parent": Priority(WorkClass.NEAR, 0.0, 4),
        "collision": Priority(WorkClass.COLLISION, 9.0, 9),
    }
    subscription.replace(wants)
    await workshop.until_begun()  # that for collision, for which the first made way
    await workshop.until_waiting(6)
    workshop.gate.set()
    await workshop.until(lambda: len(workshop.delivered) == len(wants))
    assert workshop.started[1:] == ["collision", "first", "parent", "child", "later", "far", "prefetch"]


async def test_a_running_piece_makes_way_for_collision_and_goes_on_after_it(workshop: Workshop) -> None:
    first = await blocked(workshop)
    subscription = workshop.subscribe()
    subscription.replace({"body": Priority(WorkClass.COLLISION, 8.0, 18)})
    await workshop.until_begun()
    assert workshop.started == ["first", "body"]
    workshop.gate.set()
    assert await first == "FIRST"
    assert workshop.started == ["first", "body", "first"]
    counters = workshop.scheduler.counters
    assert (counters.preempted, counters.cancelled, counters.wasted_seconds) == (1, 0, 0.0)


async def test_a_running_piece_makes_way_for_much_coarser_ones_alone(workshop: Workshop) -> None:
    task = asyncio.create_task(workshop.scheduler.run("deep", Priority(WorkClass.NEAR, 0.0, level=15), "somebody"))
    await workshop.until_begun()
    subscription = workshop.subscribe()
    subscription.replace({"parent": Priority(WorkClass.NEAR, 0.0, level=14), "idle": Priority(WorkClass.PREFETCH, 0.1, level=2)})
    await workshop.until_waiting(2)
    await asyncio.sleep(0.05)
    assert workshop.started == ["deep"]
    subscription.replace({"coarse": Priority(WorkClass.NEAR, 0.0, level=3)})
    await workshop.until_begun()
    workshop.gate.set()
    assert await task == "DEEP"
    assert workshop.started == ["deep", "coarse", "deep"]


async def test_what_is_wanted_ahead_is_generated_once_that_has_lasted_and_what_is_stored_comes_at_once(workshop: Workshop) -> None:
    workshop.gate.set()
    workshop.stored["stored"] = "STORED"
    subscription = workshop.subscribe()
    ahead = Priority(WorkClass.PREFETCH, 60.0, 1)
    subscription.replace({"stored": ahead, "passing": ahead, "steady": ahead})
    await workshop.until(lambda: workshop.delivered == [("stored", "STORED")])
    await asyncio.sleep(0.1)
    assert workshop.started == [], "15 of the 60 seconds have to pass first"
    subscription.replace({"steady": NOW})
    await workshop.until(lambda: ("steady", "STEADY") in workshop.delivered)
    for urgency in (0.42, 0.41, 0.4):  # put in order again and again, as a view that moves does
        subscription.replace({"soon": Priority(WorkClass.PREFETCH, urgency, 1)})
    await workshop.until(lambda: ("soon", "SOON") in workshop.delivered)
    assert workshop.started == ["steady", "soon"]
    assert (workshop.scheduler.counters.dropped, workshop.scheduler.counters.wasted_seconds) == (1, 0.0)


async def test_new_wishes_reorder_the_queue(workshop: Workshop) -> None:
    await blocked(workshop)
    subscription = workshop.subscribe()
    subscription.replace({"a": Priority(WorkClass.NEAR, 0.0, 1), "b": Priority(WorkClass.FAR, 0.0, 1)})
    await workshop.until_waiting(2)
    subscription.replace({"a": Priority(WorkClass.PREFETCH, 8.0, 1), "b": Priority(WorkClass.FAR, 0.0, 1)})
    workshop.gate.set()
    await workshop.until(lambda: len(workshop.delivered) == 2)
    assert workshop.started[1:] == ["b", "a"]


async def test_one_generation_serves_all_who_want_it(workshop: Workshop) -> None:
    await blocked(workshop)
    calls = [asyncio.create_task(workshop.scheduler.run("tile", NOW, "somebody")) for _ in range(8)]
    await workshop.until_waiting(1)
    workshop.gate.set()
    assert await asyncio.gather(*calls) == ["TILE"] * 8
    assert workshop.started.count("tile") == 1
    assert workshop.scheduler.counters.shared == 7
    assert workshop.scheduler.counters.generated == 2


async def test_the_most_urgent_of_several_wishes_counts(workshop: Workshop) -> None:
    await blocked(workshop)
    patient, hasty = workshop.subscribe(), workshop.subscribe()
    patient.replace({"a": Priority(WorkClass.FAR, 0.0, 1), "b": Priority(WorkClass.PREFETCH, 4.0, 1)})
    hasty.replace({"b": Priority(WorkClass.NEAR, 0.0, 1)})
    await workshop.until_waiting(2)
    workshop.gate.set()
    await workshop.until(lambda: len(workshop.delivered) == 3)
    assert workshop.started[1:] == ["b", "a"]


async def test_what_nobody_wants_any_more_is_never_started(workshop: Workshop) -> None:
    await blocked(workshop)
    subscription = workshop.subscribe()
    subscription.replace({"wanted": NOW, "given up": NOW})
    await workshop.until_waiting(2)
    subscription.replace({"wanted": NOW})
    workshop.gate.set()
    await workshop.until(lambda: bool(workshop.delivered))
    assert workshop.started == ["first", "wanted"]
    assert workshop.scheduler.counters.dropped == 1
    assert workshop.scheduler.counters.wasted_seconds == 0.0


async def test_running_work_that_nobody_wants_any_more_stops(workshop: Workshop) -> None:
    first = await blocked(workshop)
    first.cancel()
    await workshop.until(lambda: workshop.scheduler.counters.cancelled == 1)
    assert len(workshop.scheduler) == 0
    assert workshop.scheduler.counters.wasted_seconds == workshop.scheduler.counters.busy_seconds > 0.0


async def test_what_was_given_up_is_no_waste_once_it_is_used(workshop: Workshop) -> None:
    counters, subscription = workshop.scheduler.counters, workshop.subscribe()
    for word, times in (("tile", 2), ("other", 1)):
        for time in range(times):
            subscription.replace({word: NOW})
            await workshop.until_begun()
            subscription.replace({})
            await workshop.until(lambda: not len(workshop.scheduler))
            assert counters.cancelled == time + 1 + (2 if word == "other" else 0)
        if word == "tile":
            of_tile = counters.wasted_seconds
    assert counters.reclaimed_seconds == 0.0 < of_tile < counters.wasted_seconds
    workshop.gate.set()
    subscription.replace({"tile": NOW})
    await workshop.until(lambda: bool(workshop.delivered))
    assert counters.reclaimed_seconds == 0.0, "delivered is not sent"
    workshop.scheduler.used("tile")
    assert counters.reclaimed_seconds == pytest.approx(of_tile)
    workshop.scheduler.used("tile")
    assert counters.reclaimed_seconds == pytest.approx(of_tile), "once"


async def test_a_piece_that_finished_unwanted_is_reclaimed_when_it_is_found(workshop: Workshop) -> None:
    first = await blocked(workshop)
    workshop.finishes = True
    first.cancel()
    await asyncio.sleep(0.01)
    workshop.gate.set()
    await workshop.until(lambda: not len(workshop.scheduler))
    counters = workshop.scheduler.counters
    assert (counters.unwanted, counters.reclaimed_seconds) == (1, 0.0)
    assert counters.wasted_seconds == counters.busy_seconds > 0.0
    workshop.stored["first"] = "FIRST"
    assert await workshop.scheduler.run("first", NOW, "another") == "FIRST"
    assert counters.reclaimed_seconds == counters.wasted_seconds


async def test_what_is_delivered_and_used_by_nobody_is_waste_until_somebody_uses_it(workshop: Workshop) -> None:
    workshop.gate.set()
    for client in ("one", "other"):
        workshop.subscribe(client).replace({"tile": NOW, client: NOW})
    await workshop.until(lambda: len(workshop.delivered) == 4)
    scheduler, counters = workshop.scheduler, workshop.scheduler.counters
    assert counters.wasted_seconds == 0.0
    scheduler.unused("tile")
    scheduler.used("one")
    scheduler.unused("one")
    assert (counters.unsent, counters.reclaimed_seconds) == (1, 0.0) and 0.0 < counters.wasted_seconds < counters.busy_seconds
    scheduler.used("tile")
    scheduler.unused("tile")
    assert (counters.unsent, counters.reclaimed_seconds) == (1, counters.wasted_seconds)


def test_only_so_much_that_was_given_up_is_remembered() -> None:
    counters = SchedulerCounters()
    given_up: GivenUp[int] = GivenUp(counters)
    for key in range(MOST_GIVEN_UP + 1):
        given_up.add(key, 1.0)
    for key in (0, 1, MOST_GIVEN_UP, MOST_GIVEN_UP):
        given_up.reclaim(key)
    assert (counters.wasted_seconds, counters.reclaimed_seconds) == (MOST_GIVEN_UP + 1.0, 2.0)


async def test_work_wanted_again_while_it_stops_is_started_anew(workshop: Workshop) -> None:
    first, second = workshop.subscribe(), workshop.subscribe()
    first.replace({"tile": NOW})
    await workshop.until_begun()
    first.close()
    await asyncio.to_thread(workshop.begun.acquire, timeout=0.05)  # the worker sees that nobody wants the tile; the loop may not have yet
    second.replace({"tile": NOW})
    workshop.gate.set()
    await workshop.until(lambda: bool(workshop.delivered))
    assert workshop.delivered == [("tile", "TILE")]


async def test_what_is_stored_waits_for_no_generation(workshop: Workshop) -> None:
    await blocked(workshop)
    workshop.stored["tile"] = "stored tile"
    assert await asyncio.wait_for(workshop.scheduler.run("tile", NOW, "somebody"), 60) == "stored tile"
    assert workshop.scheduler.counters.found == 1


async def test_errors_reach_whoever_asked_and_the_worker_goes_on(workshop: Workshop) -> None:
    workshop.gate.set()
    with pytest.raises(DataLossError, match="damaged entry"):
        await workshop.scheduler.run("damaged", NOW, "somebody")
    with pytest.raises(InternalError, match="broken failed: defect"):
        await workshop.scheduler.run("broken", NOW, "somebody")
    assert await workshop.scheduler.run("sound", NOW, "somebody") == "SOUND"
    assert workshop.scheduler.counters.failed == 2


async def test_a_client_that_fills_the_queue_is_told_when_to_come_back_and_leaves_room_for_others() -> None:
    workshop = Workshop(capacity=8)
    greedy, modest = workshop.subscribe("greedy"), workshop.subscribe("modest")
    first = {f"piece {i}": NOW for i in range(4)}
    greedy.replace(first)
    with pytest.raises(ResourceExhaustedError, match="no room for 1 more") as caught:
        greedy.replace(first | {"too much": NOW})
    assert caught.value.retry_after is not None and caught.value.retry_after >= 1.0
    assert set(greedy.wanted) == set(first)
    assert (greedy.room, modest.room) == (0, 2)
    modest.replace({"a": NOW, "b": NOW})
    workshop.gate.set()
    await workshop.until(lambda: len(workshop.delivered) == 6)
    assert await workshop.scheduler.run("too much", NOW, "greedy") == "TOO MUCH"
    assert workshop.workers.room("greedy") == 4
    await workshop.close()


async def test_a_greedy_client_delays_another_by_one_piece(workshop: Workshop) -> None:
    workshop.subscribe("greedy").replace({f"piece {i}": Priority(WorkClass.NEAR, 0.0, i) for i in range(2000)})
    await workshop.until_begun()
    await workshop.until(lambda: len(workshop.workers) == 1999)
    modest = workshop.subscribe("modest")
    modest.replace({"a": Priority(WorkClass.NEAR, 8.0, 18), "b": Priority(WorkClass.NEAR, 9.0, 18), "c": Priority(WorkClass.NEAR, 9.0, 19)})
    await workshop.until(lambda: len(workshop.workers) == 2002)
    workshop.gate.set()
    await workshop.until(lambda: len(workshop.started) > 60)
    assert [workshop.started.index(word) <= 3 + 4 * i for i, word in enumerate("abc")] == [True] * 3


async def test_what_waits_for_several_worlds_is_one_queue(workshop: Workshop) -> None:
    other: Scheduler[str, str] = Scheduler({}.get, workshop.build, workshop.workers)
    await blocked(workshop)
    tasks = [
        asyncio.create_task(scheduler.run(word, Priority(work_class, 0.0, 0), "somebody"))
        for scheduler, word, work_class in (
            (workshop.scheduler, "far", WorkClass.FAR),
            (other, "prefetch elsewhere", WorkClass.PREFETCH),
            (other, "near elsewhere", WorkClass.NEAR),
        )
    ]
    await workshop.until(lambda: len(workshop.workers) == 3)
    workshop.gate.set()
    await asyncio.gather(*tasks)
    assert workshop.started[1:] == ["near elsewhere", "far", "prefetch elsewhere"]
    other.close()


async def test_closing_answers_all_who_wait() -> None:
    workshop = Workshop()
    first = await blocked(workshop)
    second = asyncio.create_task(workshop.scheduler.run("second", NOW, "somebody"))
    await workshop.until_waiting(1)
    await workshop.close()
    for task in (first, second):
        with pytest.raises(UnavailableError, match="shutting down"):
            await task
    with pytest.raises(UnavailableError, match="shutting down"):
        await workshop.scheduler.run("third", NOW, "somebody")


steps = st.lists(st.tuples(st.integers(0, 2), st.sets(st.sampled_from("abcdefgh"), max_size=8)), max_size=12)


@settings(max_examples=25, deadline=None)
@given(steps)
async def test_everyone_gets_what_they_last_wanted_and_nothing_stays_behind(steps: list[tuple[int, set[str]]]) -> None:
    workshop = Workshop()
    got: list[set[str]] = [set(), set(), set()]
    subscriptions = [workshop.scheduler.subscribe(lambda word, _, i=i: got[i].add(word), str(i % 2)) for i in range(3)]
    last: list[set[str]] = [set(), set(), set()]
    workshop.gate.set()
    for who, words in steps:
        subscriptions[who].replace({word: Priority(WorkClass.NEAR, 0.0, ord(word)) for word in words})
        last[who] = words
        await asyncio.sleep(0)
    await workshop.until(lambda: len(workshop.scheduler) == 0)
    assert all(wanted <= received for wanted, received in zip(last, got, strict=True))
    await workshop.close()
