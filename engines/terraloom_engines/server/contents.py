"""Contents: what tiles hold, from memory, from the store, or generated once for all who want it."""

import asyncio
import threading
from collections.abc import Callable
from typing import NamedTuple

from terraloom.errors import DataLossError
from terraloom_engines import spans
from terraloom_engines.content import (
    ContentOptions,
    GridOptions,
    Options,
    TileContent,
    build_content,
    build_stand_in,
    content_hash,
    decode_content,
    encode_content,
)
from terraloom_engines.scheduler import Scheduler, Workers
from terraloom_engines.selection import HeightRange, Priority
from terraloom_engines.server.metrics import CONTENTS, ENCODING, GENERATION
from terraloom_engines.store import MemoryStore, Store
from terraloom_engines.tiling import TileId
from terraloom_engines.world import World

MOST_HEIGHTS = 1 << 17
"""Tiles of which the range of heights is remembered; about 25 MB."""
MOST_ASKED = 8192
"""Tiles asked for whose askers are remembered, for spans."""


class ContentKey(NamedTuple):
    """One content: a tile made in one way."""

    tile: TileId
    options: Options

    def __str__(self) -> str:
        return f"tile {self.tile}"


class Found(NamedTuple):
    """A content, and whether it was generated for the occasion."""

    content: TileContent
    generated: bool


class Contents:
    """All contents of one world. Looking in the store and generating happen in the scheduler's threads, the rest on the event loop's.

    `memory` keeps what was used last, `store` lies behind it, `workers` are the server's threads and queues. Create it on the thread of a
    running event loop.
    """

    def __init__(self, world: World, memory: MemoryStore, store: Store, workers: Workers) -> None:
        self.world = world
        self._memory = memory
        self._store = store
        self._heights: dict[str, dict[TileId, tuple[float, float]]] = {}
        self._lock = threading.Lock()
        self._asked: dict[ContentKey, spans.Asked] = {}
        self.scheduler: Scheduler[ContentKey, Found] = Scheduler(self._find, self._generate, workers)

    def content_hash(self, key: ContentKey) -> bytes:
        """Hash of a content, known before the content is made."""
        return content_hash(self.world.identity, key.tile, key.options)

    def heights(self, options: ContentOptions) -> HeightRange:
        """What is known of the heights of tiles made with `options`; grows as contents come in."""
        return self._heights.setdefault(options.surface, {}).get

    def cached(self, key: ContentKey) -> TileContent | None:
        """A content that is in memory. Never blocks. Whoever hands it out tells the scheduler that it was `used`."""
        content = self._read(key, self._memory)
        if content is not None:
            CONTENTS.labels("memory").inc()
        return content

    def _ask(self, key: ContentKey) -> None:
        """Notes who asks for what has to be made, for spans; the oldest that were never made are forgotten."""
        if spans.is_on():
            self._asked.setdefault(key, spans.asked_now())
            while len(self._asked) > MOST_ASKED:
                self._asked.pop(next(iter(self._asked)), None)

    async def get(self, key: ContentKey, priority: Priority, client: str) -> TileContent:
        """A content, generated if need be, in the turn of `client`.

        Raises ResourceExhaustedError when the queue has no room for more of that client's, and what generation raises.
        """
        content = self.cached(key)
        if content is not None:
            self.scheduler.used(key)
            return content
        self._ask(key)
        return (await self.scheduler.run(key, priority, client)).content

    async def stand_in(self, key: ContentKey) -> TileContent | None:
        """A content that looks like the one meant, made of what is at hand; None when that is nothing, or it is there itself. Not kept."""
        if not isinstance(key.options, ContentOptions | GridOptions):
            return None
        return await asyncio.to_thread(build_stand_in, self.world, key.tile, key.options)

    def _find(self, key: ContentKey) -> Found | None:
        content = self._read(key, self._store)
        if content is None:
            self._ask(key)
            return None
        CONTENTS.labels("store").inc()
        self._memory.put(self._key(key), encode_content(content))
        return Found(content, generated=False)

    def _generate(self, key: ContentKey, cancelled: Callable[[], bool]) -> Found:
        with spans.within(self._asked.pop(key, None)), spans.span("generate", tile=key.tile, world=self.world.name):
            return self._generate_now(key, cancelled)

    def _generate_now(self, key: ContentKey, cancelled: Callable[[], bool]) -> Found:
        with GENERATION.time():
            self.world.field(key.tile, cancelled, lambda tile: self.scheduler.knows(ContentKey(tile, key.options)))
        with ENCODING.labels(type(key.options).__name__.removesuffix("Options").lower()).time():
            content = build_content(self.world, key.tile, key.options, cancelled)
        CONTENTS.labels("generated").inc()
        data = encode_content(content)
        self._memory.put(self._key(key), data)
        self._store.put(self._key(key), data)
        self._remember(key, content)
        return Found(content, generated=True)

    def _read(self, key: ContentKey, store: Store) -> TileContent | None:
        data = store.get(self._key(key))
        if data is None:
            return None
        try:
            content = decode_content(data, key.tile, self.content_hash(key))
        except DataLossError:
            return None  # of another version: it is made again
        self._remember(key, content)
        return content

    def _remember(self, key: ContentKey, content: TileContent) -> None:
        if not isinstance(key.options, ContentOptions | GridOptions):
            return
        heights = self._heights.setdefault(key.options.surface, {})
        with self._lock:
            if key.tile not in heights:
                while len(heights) >= MOST_HEIGHTS:
                    del heights[next(iter(heights))]
                heights[key.tile] = content.min_height, content.max_height

    def _key(self, key: ContentKey) -> str:
        return f"{self.world.identity}/content/{self.content_hash(key).hex()}"
