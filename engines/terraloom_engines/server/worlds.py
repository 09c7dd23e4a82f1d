"""Worlds: opened when first asked for, over shared networks, memory and threads.

All worlds of a server share one loaded and proven set of networks, one memory of fields, one memory of encoded tiles, one store, one
queue of work and one thread that generates, so the cores are never used twice and a crowd in one world is to another what clients are to
each other.

At most `MOST_WORLDS` are open. One more closes the world that was used longest ago among those that nobody uses and that were not
named when the server was started; its tiles stay in memory and store. Raises ResourceExhaustedError when there is none.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.networks import Refusal, open_networks
from terraloom_engines.runtimes.catalogue import AUTO
from terraloom_engines.scheduler import MOST_WANTS, Workers
from terraloom_engines.server.contents import Contents
from terraloom_engines.store import MemoryStore, open_store
from terraloom_engines.world import FieldMemory, World, check_seed, networks_bundle, open_base, world_name

MOST_WORLDS = 16
"""Worlds open at a time."""
GRACE_SECONDS = 2.0
"""A world that was asked for so recently counts as used."""
RETRY_SECONDS = 5.0
"""When a client that was turned away is asked to come back."""


class WorldName(NamedTuple):
    """A world's canonical name, and the seed of everything generated below its base."""

    name: str
    seed: int


class ServedWorld:
    """An open world and its contents."""

    def __init__(self, world: World, contents: Contents) -> None:
        self.world, self.contents = world, contents
        self.users = 0
        self.asked_at = 0.0

    def hold(self) -> None:
        """One more user, who keeps it open until `release`."""
        self.users += 1

    def release(self) -> None:
        """One user less."""
        self.users -= 1

    @contextmanager
    def in_use(self) -> Iterator[Self]:
        """Keeps it open for as long as the body runs."""
        self.hold()
        try:
            yield self
        finally:
            self.release()

    def idle(self, now: float) -> bool:
        """Whether it may be closed."""
        return not self.users and not len(self.contents.scheduler) and now >= self.asked_at + GRACE_SECONDS


class Worlds:
    """The worlds of a server; an async context manager that lives on the event loop's thread."""

    def __init__(self, names: Sequence[str], seed: int, *, threads: int, store: Path | None, cache_bytes: int, runtime: str = AUTO) -> None:
        """Opens the worlds named, the first of which is the default; takes a second or so. Raises what `open_world` does."""
        # The field cache of the worlds and the cache of encoded tiles lie over one directory; memory holds encoded tiles alone.
        self._store, self._persistent = open_store(store, memory_bytes=0), store is not None
        self._memory, self._fields = MemoryStore(cache_bytes), FieldMemory()
        wanted = [WorldName(world_name(name), check_seed(seed)) for name in names]
        self._bundle = networks_bundle()
        self._networks = open_networks(self._bundle, runtime, threads)
        self._named = {name: self._make(name) for name in wanted}
        self._default = wanted[0]
        self._open: dict[WorldName, ServedWorld] = {}
        self._openings: dict[WorldName, asyncio.Task[ServedWorld]] = {}

    async def __aenter__(self) -> Self:
        self._workers = Workers(MOST_WANTS)
        self._open = {name: self._serve(world) for name, world in self._named.items()}
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels what runs and waits for it; whoever still waits for a tile gets UnavailableError."""
        for opening in self._openings.values():
            opening.cancel()
        await asyncio.gather(*self._openings.values(), return_exceptions=True)
        for served in self._open.values():
            served.contents.scheduler.close()
        await self._workers.close()

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """The runtimes that were tried before the one that generates, and why they do not."""
        return self._networks.refused

    @property
    def cache_bytes(self) -> int:
        """Encoded tiles in memory."""
        return self._memory.size

    @property
    def default(self) -> ServedWorld:
        """The world of requests that name none."""
        return self._open[self._default]

    @property
    def opened(self) -> list[ServedWorld]:
        """The worlds that are open: the default, the others that the server was started with, the rest by when they were last used."""
        rest = [served for name, served in reversed(self._open.items()) if name not in self._named]
        return [*(self._open[name] for name in self._named), *rest]

    async def get(self, name: str = "", seed: int = 0) -> ServedWorld:
        """The world of that name and seed, opened if need be; with an empty name and seed 0 the default.

        Raises NotFoundError or InvalidArgumentError for a wrong name or seed, ResourceExhaustedError when too many are in use.
        """
        wanted = self._wanted(name, seed)
        served = self._open.get(wanted) or await self._open_once(wanted)
        served.asked_at = asyncio.get_running_loop().time()
        if self._open.pop(wanted, None):
            self._open[wanted] = served
        return served

    def _wanted(self, name: str, seed: int) -> WorldName:
        if not name and not seed:
            return self._default
        return WorldName(world_name(name) if name else self._default.name, check_seed(seed))

    async def _open_once(self, wanted: WorldName) -> ServedWorld:
        """Whoever asks for a world that is being opened waits for that; who stops waiting does not stop the opening."""
        opening = self._openings.get(wanted)
        if opening is None:
            self._make_room()
            opening = self._openings[wanted] = asyncio.create_task(self._open_off_the_loop(wanted))
            opening.add_done_callback(lambda task: self._opened(wanted, task))
        return await asyncio.shield(opening)

    async def _open_off_the_loop(self, wanted: WorldName) -> ServedWorld:
        world = await asyncio.to_thread(self._make, wanted)
        served = self._open[wanted] = self._serve(world)
        served.asked_at = asyncio.get_running_loop().time()
        return served

    def _opened(self, wanted: WorldName, task: "asyncio.Task[ServedWorld]") -> None:
        del self._openings[wanted]
        _ = task.cancelled() or task.exception()  # whoever waits hears of it; when nobody does any more, nobody needs to

    def _make(self, wanted: WorldName) -> World:
        store = self._store if self._persistent else None
        return World(wanted.name, wanted.seed, open_base(wanted.name, self._bundle), self._networks, self._fields, store)

    def _serve(self, world: World) -> ServedWorld:
        return ServedWorld(world, Contents(world, self._memory, self._store, self._workers))

    def _make_room(self) -> None:
        if len(self._open) + len(self._openings) < MOST_WORLDS:
            return
        now = asyncio.get_running_loop().time()
        idle = next((name for name, served in self._open.items() if name not in self._named and served.idle(now)), None)
        if idle is None:
            text = f"{MOST_WORLDS} worlds are in use, which is the limit: try again later"
            raise ResourceExhaustedError(text, retry_after=RETRY_SECONDS)
        served = self._open.pop(idle)
        served.world.forget()
        served.contents.scheduler.close()
