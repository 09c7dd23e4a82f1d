"""Scheduler: one queue of blocking work for all sessions, most urgent first, each piece done once however many want it.

Sessions live on the asyncio event loop and say what they want as a whole set, newest set wins (`Subscription.replace`).
What is wanted is first looked for where it may be stored; what is not found there queues for one worker thread, one
because a single generation already uses every core. So the loop never blocks and nothing stored waits for generation.
Work that nobody wants any more is dropped before it starts, and a running piece learns it through its `cancelled`
callable, which the cascade asks between levels. The same callable makes way: a piece for the eye goes back into the queue when one
comes that a body is about to touch, or one as urgent that is much coarser, and goes on later from the levels it has finished. All but
that callable runs on the loop's thread, so there are no locks.
"""

import asyncio
import heapq
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Self, TypeVar

from terraloom.errors import CancelledError, InternalError, ResourceExhaustedError, TerraloomError, UnavailableError
from terraloom_engines.selection import Priority, WorkClass

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

MUCH_COARSER = 4
"""Levels by which a tile is coarser that need not wait until a running one is done: it is what there is to see meanwhile."""
READERS = 2
"""Threads that look for stored pieces."""

_log = logging.getLogger(__name__)


class Pools(NamedTuple):
    """Threads of schedulers: `readers` look for stored pieces, the one `worker` generates, for one scheduler after the other."""

    readers: ThreadPoolExecutor
    worker: ThreadPoolExecutor

    @classmethod
    def start(cls) -> Self:
        """New threads, started when first needed."""
        return cls(ThreadPoolExecutor(READERS, thread_name_prefix="find"), ThreadPoolExecutor(1, thread_name_prefix="generate"))

    async def close(self) -> None:
        """Waits for what runs."""
        for pool in self:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


@dataclass(slots=True)
class SchedulerCounters:
    """What the scheduler did since it started. Seconds are wall-clock seconds of the worker."""

    found: int = 0
    """Pieces that were stored already."""
    generated: int = 0
    """Pieces generated and delivered to somebody."""
    shared: int = 0
    """Wants that joined a piece already queued or running for somebody else."""
    dropped: int = 0
    """Pieces given up before they were generated: they cost nothing."""
    cancelled: int = 0
    """Pieces stopped while running, between two levels of the cascade, since nobody wanted them any more."""
    preempted: int = 0
    """Times that a running piece made way for collision and went back into the queue."""
    unwanted: int = 0
    """Pieces that finished when nobody wanted them any more."""
    failed: int = 0
    """Pieces that ended in an error."""
    busy_seconds: float = 0.0
    """Time the worker spent on all pieces."""
    wasted_seconds: float = 0.0
    """Part of `busy_seconds` spent on pieces that nobody got."""


@dataclass(slots=True, eq=False)
class _Job(Generic[K, T]):
    key: K
    wanted_by: dict["Subscription[K, T]", Priority] = field(default_factory=dict)
    in_thread: bool = False
    """Being looked for or generated."""
    entry: int = -1
    """Sequence number of the job's valid heap entry; entries with another number are stale."""


class Subscription(Generic[K, T]):
    """One session's wishes. `deliver(key, result)` is called on the event loop, once for each key that got done or failed."""

    def __init__(self, scheduler: "Scheduler[K, T]", deliver: Callable[[K, T | TerraloomError], None]) -> None:
        self._scheduler = scheduler
        self.deliver = deliver
        self.wanted: dict[K, Priority] = {}

    def replace(self, wants: Mapping[K, Priority]) -> None:
        """Wants exactly `wants` from now on: new keys are queued, known ones re-ordered, missing ones given up.

        Raises ResourceExhaustedError, and queues none of the new keys, when the queue would exceed its capacity.
        """
        for key in [key for key in self.wanted if key not in wants]:
            del self.wanted[key]
            self._scheduler._give_up(key, self)
        self._scheduler._require_room(sum(1 for key in wants if not self._scheduler.knows(key)))
        for key, priority in wants.items():
            if self.wanted.get(key) != priority:
                self.wanted[key] = priority
                self._scheduler._want(key, self, priority)

    def close(self) -> None:
        """Gives up everything."""
        self.replace({})


class Scheduler(Generic[K, T]):
    """Calls `build(key, cancelled)` in one worker thread for the most urgent key that anybody wants and `find(key)` lacks.

    Both are called in threads; `find` answers None for what is not stored. `capacity` bounds the keys under way. Schedulers that share
    `pools` take turns with the worker, piece by piece; whoever started the pools closes them, after all their schedulers.
    Create and use it on the thread of a running event loop.
    """

    def __init__(
        self, find: Callable[[K], T | None], build: Callable[[K, Callable[[], bool]], T], *, capacity: int, pools: Pools | None = None
    ) -> None:
        self._find = find
        self._build = build
        self._capacity = capacity
        self._jobs: dict[K, _Job[K, T]] = {}
        self._heap: list[tuple[Priority, int, _Job[K, T]]] = []
        self._sequence = itertools.count()
        self._queued = asyncio.Event()
        self._closed = False
        self._running: _Job[K, T] | None = None
        self._preempted = False
        """Whether the running piece is to make way."""
        self.counters = SchedulerCounters()
        self._pools, self._owns_pools = pools or Pools.start(), pools is None
        self._tasks = {asyncio.get_running_loop().create_task(self._work())}

    def __len__(self) -> int:
        """Keys under way: being looked for, queued or being generated."""
        return len(self._jobs)

    def knows(self, key: K) -> bool:
        """Whether `key` is under way for anybody."""
        return key in self._jobs

    def by_class(self) -> Counter[WorkClass]:
        """Keys under way that somebody wants, by the class of whoever needs each most."""
        return Counter(min(job.wanted_by.values()).work_class for job in self._jobs.values() if job.wanted_by)

    def subscribe(self, deliver: Callable[[K, T | TerraloomError], None]) -> Subscription[K, T]:
        """A new, empty set of wishes."""
        return Subscription(self, deliver)

    async def run(self, key: K, priority: Priority) -> T:
        """Result of one key. Raises what `build` raises, or ResourceExhaustedError; cancelling the caller gives the key up."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def deliver(_: K, result: T | TerraloomError) -> None:
            if not done.done():
                done.set_exception(result) if isinstance(result, TerraloomError) else done.set_result(result)

        subscription = self.subscribe(deliver)
        subscription.replace({key: priority})
        try:
            return await done
        finally:
            subscription.close()

    async def close(self) -> None:
        """Drops what is queued, cancels what runs and, with pools of its own, waits for it; whoever still waits gets UnavailableError."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for job in list(self._jobs.values()):
            self._finish(job, UnavailableError("the server is shutting down"))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._owns_pools:
            await self._pools.close()

    def _require_room(self, new: int) -> None:
        if new and self._closed:
            raise UnavailableError("the server is shutting down")
        if new and len(self._jobs) + new > self._capacity:
            raise ResourceExhaustedError(f"the server's queue is full ({self._capacity} tiles): try again later")

    def _want(self, key: K, subscription: Subscription[K, T], priority: Priority) -> None:
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job(key)
            task = asyncio.get_running_loop().create_task(self._look_up(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            job.in_thread = True
        elif job.wanted_by and subscription not in job.wanted_by:
            self.counters.shared += 1
        job.wanted_by[subscription] = priority
        self._enqueue(job)

    def _give_up(self, key: K, subscription: Subscription[K, T]) -> None:
        job = self._jobs.get(key)
        if job is None or job.wanted_by.pop(subscription, None) is None:
            return
        if job.wanted_by:
            self._enqueue(job)
        elif not job.in_thread:
            self._drop(job)

    def _drop(self, job: _Job[K, T]) -> None:
        del self._jobs[job.key]
        job.entry = -1
        self.counters.dropped += 1

    def _enqueue(self, job: _Job[K, T]) -> None:
        """(Re)inserts a queued job at the priority of whoever needs it most; the former entry goes stale."""
        if job.in_thread:
            return
        if len(self._heap) > 4 * len(self._jobs) + 64:
            self._heap = [entry for entry in self._heap if entry[1] == entry[2].entry]
            heapq.heapify(self._heap)
        job.entry = next(self._sequence)
        priority = min(job.wanted_by.values())
        heapq.heappush(self._heap, (priority, job.entry, job))
        self._queued.set()
        running = self._running
        if running is not None and running.wanted_by:
            self._preempted |= _makes_way(min(running.wanted_by.values()), priority)

    def _pop(self) -> _Job[K, T] | None:
        while self._heap:
            _, entry, job = heapq.heappop(self._heap)
            if entry == job.entry:
                return job
        return None

    async def _look_up(self, job: _Job[K, T]) -> None:
        found = await self._call(self._pools.readers, job, self._find, job.key)
        job.in_thread = False
        if found is not None:
            self.counters.found += 1
            self._finish(job, found)
        elif job.wanted_by:
            self._enqueue(job)
        else:
            self._drop(job)

    async def _work(self) -> None:
        while True:
            job = self._pop()
            if job is None:
                self._queued.clear()
                await self._queued.wait()
            else:
                job.in_thread, job.entry = True, -1
                await self._generate(job)

    async def _generate(self, job: _Job[K, T]) -> None:
        started = time.perf_counter()
        self._running, self._preempted = job, False
        result = await self._call(self._pools.worker, job, self._build, job.key, lambda: not job.wanted_by or self._preempted)
        self._running = None
        self._count(job, result, time.perf_counter() - started)
        job.in_thread = False
        if isinstance(result, CancelledError) and job.wanted_by:
            self._enqueue(job)  # it made way, or is wanted again after it had seen that nobody did
        else:
            self._finish(job, result)

    async def _call(self, pool: ThreadPoolExecutor, job: _Job[K, T], function: Callable[..., R], *args: object) -> R | TerraloomError:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)
        except TerraloomError as error:
            return error
        except Exception as error:  # one broken piece must not stop the others: it becomes an error of the tree, and is logged
            _log.exception("%s failed", job.key)
            return InternalError(f"{job.key} failed: {error}")

    def _count(self, job: _Job[K, T], result: T | TerraloomError, seconds: float) -> None:
        counters = self.counters
        counters.busy_seconds += seconds
        if isinstance(result, CancelledError):
            if self._preempted and job.wanted_by:
                counters.preempted += 1
                return  # the levels it finished are kept
            counters.cancelled += 1
        elif isinstance(result, TerraloomError):
            counters.failed += 1
        elif job.wanted_by:
            counters.generated += 1
            return
        else:
            counters.unwanted += 1
        counters.wasted_seconds += seconds

    def _finish(self, job: _Job[K, T], result: T | TerraloomError) -> None:
        self._jobs.pop(job.key, None)
        job.entry = -1
        subscriptions, job.wanted_by = list(job.wanted_by), {}
        for subscription in subscriptions:
            subscription.wanted.pop(job.key, None)
            subscription.deliver(job.key, result)


def _makes_way(running: Priority, coming: Priority) -> bool:
    """Whether a running piece waits for one that comes: for collision, or for one that is as urgent and costs little beside it."""
    if WorkClass.COLLISION in (running.work_class, coming.work_class):
        return running.work_class > coming.work_class
    return coming.work_class <= running.work_class and coming.level + MUCH_COARSER <= running.level
