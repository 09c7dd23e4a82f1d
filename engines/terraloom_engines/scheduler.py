"""Scheduler: one queue of blocking work for all clients and all worlds, each piece done once however many want it.

Clients live on the asyncio event loop and say what they want as a whole set, newest set wins (`Subscription.replace`).
What is wanted is first looked for where it may be stored; what is not found there queues for one worker thread, one
because a single generation already uses every core. So the loop never blocks and nothing stored waits for generation. Both queues are
fair (`fairness.py`): the most urgent class first, within it the client that has had the least, in the order of its own priorities.

Work that nobody wants any more is dropped before it starts, and a running piece learns it through its `cancelled`
callable, which the cascade asks between levels. The same callable makes way: a piece for the eye goes back into the queue when one
comes that a body is about to touch, or one as urgent that is much coarser, and goes on later from the levels it has finished. All but
that callable runs on the loop's thread, so there are no locks.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from terraloom.errors import CancelledError, InternalError, ResourceExhaustedError, TerraloomError, UnavailableError
from terraloom_engines.fairness import FairQueue
from terraloom_engines.selection import Priority, WorkClass
from terraloom_engines.waste import GivenUp, SchedulerCounters

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

MUCH_COARSER = 4
"""Levels by which a tile is coarser that need not wait until a running one is done: it is what there is to see meanwhile."""
READERS = 2
"""Threads that look for stored pieces."""
MOST_WANTS = 32_768
"""Wishes of all clients at a time, which bounds the pieces under way: a thousand sessions want 24 each."""
SHORTEST_RETRY, LONGEST_RETRY = 1.0, 30.0
"""Seconds after which a client that was turned away is asked to come back."""

STEADY_SHARE = 0.25
"""How long a piece is wanted ahead before it is generated, over the time until it is needed: what a turning view sees ahead changes."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    key: Any
    scheduler: "Scheduler[Any, Any]"
    wanted_by: dict["Subscription[Any, Any]", Priority] = field(default_factory=dict)
    in_thread: bool = False
    """Being looked for or generated."""
    looked_up: bool = False
    since: float = field(default_factory=time.monotonic)
    """When somebody first wanted it."""
    postponed: bool = False
    """Whether it comes back to the queue by itself."""

    @property
    def priority(self) -> Priority:
        """That of whoever needs it most; somebody wants it."""
        return min(self.wanted_by.values())

    @property
    def unproved(self) -> float:
        """Seconds for which it must still be wanted before it is worth generating, 0 or less for all that is needed now."""
        ahead = self.priority.time_to_need if self.priority.work_class == WorkClass.PREFETCH else 0.0
        return self.since + STEADY_SHARE * ahead - time.monotonic()

    def by_client(self) -> dict[str, Priority]:
        """The priority of each client that wants it."""
        wants: dict[str, Priority] = {}
        for subscription, priority in self.wanted_by.items():
            wants[subscription.client] = min(priority, wants.get(subscription.client, priority))
        return wants


class Workers:
    """The threads of a server and the queues before them: readers look for stored pieces, the one worker generates.

    Lives on the thread of a running event loop. `capacity` bounds the wishes of all clients together.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lookups: FairQueue[_Job] = FairQueue()
        self._builds: FairQueue[_Job] = FairQueue()
        self._wants: Counter[str] = Counter()
        self._total = 0
        self._arrived = {id(queue): asyncio.Event() for queue in (self._lookups, self._builds)}
        self._running: _Job | None = None
        self._running_since = 0.0
        self._preempted = False
        """Whether the running piece is to make way."""
        self._mean_seconds = 0.2
        """Running mean of what a generated piece takes."""
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="find")
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="generate")
        loops = [*(self._take(self._lookups, self._look_up) for _ in range(READERS)), self._take(self._builds, self._generate)]
        self._tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]

    def __len__(self) -> int:
        """Pieces that wait to be generated."""
        return len(self._builds)

    async def close(self) -> None:
        """Waits for what runs. The schedulers are closed before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in (self._readers, self._worker):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    def room(self, client: str) -> int:
        """How many more pieces a client may want: as many as would be left for others (dynamic thresholds, Choudhury and Hahne 1998).

        So one client fills at most half of the queue, and there is always room for another.
        """
        return max((self._capacity - self._total - self._wants[client]) // 2, 0)

    @property
    def retry_after(self) -> float:
        """Seconds after which there may be room: a tenth of what waits is done by then."""
        return min(max(0.1 * len(self._builds) * self._mean_seconds, SHORTEST_RETRY), LONGEST_RETRY)

    def count(self, client: str, change: int) -> None:
        """Notes that a client wants more or fewer pieces."""
        self._total += change
        self._wants[client] += change
        if not self._wants[client]:
            del self._wants[client]

    def enqueue(self, job: _Job) -> None:
        """Queues a wanted piece that is in no thread, or re-orders it; one that is only wanted ahead waits until that has proved steady."""
        if job.looked_up and (left := job.unproved) > 0:
            self._builds.remove(job)
            if not job.postponed:
                job.postponed = True
                asyncio.get_running_loop().call_later(left, self._come_back, job)
            return
        queue = self._builds if job.looked_up else self._lookups
        queue.put(job, job.by_client())
        self._arrived[id(queue)].set()
        running = self._running
        if job.looked_up and running is not None and running.wanted_by and not self._preempted:
            self._preempted = self._makes_way(running, job)

    def _come_back(self, job: _Job) -> None:
        job.postponed = False
        if job.wanted_by and not job.in_thread:
            self.enqueue(job)

    def drop(self, job: _Job) -> None:
        """A piece no longer waits."""
        self._lookups.remove(job)
        self._builds.remove(job)

    def _makes_way(self, running: _Job, coming: _Job) -> bool:
        """Whether a running piece waits for one that comes: for collision, or for one as urgent that costs little beside it.

        The latter only while its client has had no more than that of the running one.
        """
        ran, comes = running.priority, coming.priority
        if WorkClass.COLLISION in (ran.work_class, comes.work_class):
            return self._builds.goes_before(comes.work_class, ran.work_class)
        if comes.work_class > ran.work_class or comes.level + MUCH_COARSER > ran.level:
            return False
        seconds = time.perf_counter() - self._running_since
        return any(self._builds.behind(client, seconds) for client in coming.by_client())

    async def _take(self, queue: FairQueue[_Job], do: Callable[[_Job], Coroutine[Any, Any, None]]) -> None:
        arrived = self._arrived[id(queue)]
        while True:
            job = queue.pop()
            if job is None:
                arrived.clear()
                await arrived.wait()
            else:
                job.in_thread = True
                await do(job)

    async def _look_up(self, job: _Job) -> None:
        clients, work_class, started = tuple(job.by_client()), job.priority.work_class, time.perf_counter()
        found = await self._call(self._readers, job, job.scheduler.find, job.key)
        self._lookups.charge(clients, work_class, time.perf_counter() - started)
        job.in_thread, job.looked_up = False, True
        job.scheduler.looked_up(job, found)

    async def _generate(self, job: _Job) -> None:
        clients, work_class = tuple(job.by_client()), job.priority.work_class
        self._running, self._running_since, self._preempted = job, time.perf_counter(), False
        result = await self._call(self._worker, job, job.scheduler.build, job.key, lambda: not job.wanted_by or self._preempted)
        seconds = time.perf_counter() - self._running_since
        self._running = None
        self._builds.charge(tuple(job.by_client()) or clients, work_class, seconds)
        self._mean_seconds += 0.05 * (seconds - self._mean_seconds)
        job.in_thread = False
        job.scheduler.built(job, result, seconds, preempted=self._preempted)

    async def _call(self, pool: ThreadPoolExecutor, job: _Job, function: Callable[..., R], *args: object) -> R | TerraloomError:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)
        except TerraloomError as error:
            return error
        except Exception as error:  # one broken piece must not stop the others: it becomes an error of the tree, and is logged
            _log.exception("%s failed", job.key)
            return InternalError(f"{job.key} failed: {error}")


class Subscription(Generic[K, T]):
    """Wishes of one client. `deliver(key, result)` is called on the event loop, once for each key that got done or failed."""

    def __init__(self, scheduler: "Scheduler[K, T]", deliver: Callable[[K, T | TerraloomError], None], client: str) -> None:
        self._scheduler = scheduler
        self.deliver = deliver
        self.client = client
        self.wanted: dict[K, Priority] = {}

    @property
    def room(self) -> int:
        """How many more keys it may want."""
        return self._scheduler.workers.room(self.client)

    def replace(self, wants: Mapping[K, Priority]) -> None:
        """Wants exactly `wants` from now on: new keys are queued, known ones re-ordered, missing ones given up.

        Raises ResourceExhaustedError, and queues none of the new keys, when there is no `room` for them.
        """
        for key in [key for key in self.wanted if key not in wants]:
            self.done(key)
            self._scheduler.give_up(key, self)
        new = sum(1 for key in wants if key not in self.wanted)
        if new:
            self._scheduler.require_room(new, self.client)
            self._scheduler.workers.count(self.client, new)
        for key, priority in wants.items():
            if self.wanted.get(key) != priority:
                self.wanted[key] = priority
                self._scheduler.want(key, self, priority)

    def done(self, key: K) -> None:
        """A key is no longer wanted."""
        if self.wanted.pop(key, None) is not None:
            self._scheduler.workers.count(self.client, -1)

    def close(self) -> None:
        """Gives up everything."""
        self.replace({})


class Scheduler(Generic[K, T]):
    """Calls `build(key, cancelled)` for keys that anybody wants and `find(key)` lacks, each once, in threads of `workers`.

    `find` answers None for what is not stored. Schedulers that share `workers` share their queues; whoever started those closes them,
    after all their schedulers. Create and use it on the thread of a running event loop.
    """

    def __init__(self, find: Callable[[K], T | None], build: Callable[[K, Callable[[], bool]], T], workers: Workers) -> None:
        self.find, self.build, self.workers = find, build, workers
        self.counters = SchedulerCounters()
        self._given_up: GivenUp[K] = GivenUp(self.counters)
        self._jobs: dict[K, _Job] = {}
        self._closed = False

    def __len__(self) -> int:
        """Keys under way: being looked for, queued or being generated."""
        return len(self._jobs)

    def knows(self, key: K) -> bool:
        """Whether `key` is under way for anybody. May be asked in any thread."""
        return key in self._jobs

    def used(self, key: K) -> None:
        """A piece serves its end, such as being sent: if it had been given up, it was no waste. Cheap."""
        self._given_up.reclaim(key)

    def unused(self, key: K) -> None:
        """A piece that was delivered is given up before it served its end, unless it did so elsewhere: what it cost was wasted so far."""
        self.counters.unsent += self._given_up.give_up(key)

    def by_class(self) -> Counter[WorkClass]:
        """Keys under way that somebody wants, by the class of whoever needs each most."""
        return Counter(job.priority.work_class for job in self._jobs.values() if job.wanted_by)

    def subscribe(self, deliver: Callable[[K, T | TerraloomError], None], client: str) -> Subscription[K, T]:
        """A new, empty set of wishes, which `client` answers for."""
        return Subscription(self, deliver, client)

    async def run(self, key: K, priority: Priority, client: str) -> T:
        """Result of one key. Raises what `build` raises, or ResourceExhaustedError; cancelling the caller gives the key up."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def deliver(_: K, result: T | TerraloomError) -> None:
            if not done.done():
                done.set_exception(result) if isinstance(result, TerraloomError) else done.set_result(result)

        subscription = self.subscribe(deliver, client)
        subscription.replace({key: priority})
        try:
            result = await done
        finally:
            subscription.close()
        self.used(key)
        return result

    def close(self) -> None:
        """Drops what is queued and cancels what runs; whoever still waits gets UnavailableError."""
        self._closed = True
        for job in list(self._jobs.values()):
            self._finish(job, UnavailableError("the server is shutting down"))

    def require_room(self, new: int, client: str) -> None:
        """Raises ResourceExhaustedError, which says when to come back, unless `client` may want so many more keys."""
        if self._closed:
            raise UnavailableError("the server is shutting down")
        if new > self.workers.room(client):
            text = f"the server's queue has no room for {new} more of your tiles: try again later"
            raise ResourceExhaustedError(text, retry_after=self.workers.retry_after)

    def want(self, key: K, subscription: Subscription[K, T], priority: Priority) -> None:
        """A subscription wants a key, or wants it with another priority."""
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = _Job(key, self)
        elif job.wanted_by and subscription not in job.wanted_by:
            self.counters.shared += 1
        job.wanted_by[subscription] = priority
        if not job.in_thread:
            self.workers.enqueue(job)

    def give_up(self, key: K, subscription: Subscription[K, T]) -> None:
        """A subscription does not want a key any more."""
        job = self._jobs.get(key)
        if job is None or job.wanted_by.pop(subscription, None) is None or job.in_thread:
            return
        if job.wanted_by:
            self.workers.enqueue(job)
        else:
            self._drop(job)

    def looked_up(self, job: _Job, found: T | TerraloomError | None) -> None:
        """A key was looked for."""
        if found is not None:
            self.counters.found += 1
            self._finish(job, found)
        elif job.wanted_by:
            self.workers.enqueue(job)
        else:
            self._drop(job)

    def built(self, job: _Job, result: T | TerraloomError, seconds: float, *, preempted: bool) -> None:
        """A piece ended in the worker, or made way there."""
        self._count(job, result, seconds, preempted=preempted)
        if isinstance(result, CancelledError) and job.wanted_by:
            self.workers.enqueue(job)  # it made way, or is wanted again after it had seen that nobody did
        else:
            self._finish(job, result)

    def _drop(self, job: _Job) -> None:
        self._forget(job)
        self.counters.dropped += 1

    def _forget(self, job: _Job) -> None:
        self.workers.drop(job)
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]

    def _count(self, job: _Job, result: T | TerraloomError, seconds: float, *, preempted: bool) -> None:
        counters = self.counters
        counters.busy_seconds += seconds
        if isinstance(result, CancelledError):
            if preempted and job.wanted_by:
                counters.preempted += 1
                return  # the levels it finished are kept
            counters.cancelled += 1
        elif isinstance(result, TerraloomError):
            counters.failed += 1
            counters.wasted_seconds += seconds
            return
        elif job.wanted_by:
            counters.generated += 1
            self._given_up.made(job.key, seconds)
            return
        else:
            counters.unwanted += 1
        self._given_up.add(job.key, seconds)

    def _finish(self, job: _Job, result: T | TerraloomError) -> None:
        self._forget(job)
        subscriptions, job.wanted_by = list(job.wanted_by), {}
        for subscription in subscriptions:
            subscription.done(job.key)
            subscription.deliver(job.key, result)
