"""Stand-ins: tiles made from coarser ground, for a client that would rather have those at a deadline than wait for the final ones.

A stand-in has the address of its tile and a hash of its own. It is in no memory and no store, counts for no barrier and never makes a view
complete; what it shows of heights selects nothing. The final tile comes as soon as it is made and takes its place in one change.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from terraloom_engines.content import Options, TileContent
from terraloom_engines.server.contents import ContentKey, Contents
from terraloom_engines.tiling import TileId

__all__ = ["StandIns"]

AGAIN_SECONDS = 0.1
"""When it is tried again, if nothing coarser was at hand."""
AT_ONCE = 2
"""Stand-ins that one session has made at a time."""


class StandIns:
    """The stand-ins of one session. `seconds` 0 makes none; `wake` is called when one is ready."""

    def __init__(self, contents: Contents, options: Options, seconds: float, wake: Callable[[], None]) -> None:
        self._contents, self._options, self._seconds, self._wake = contents, options, seconds, wake
        self._since: dict[TileId, float] = {}
        """When each tile that lacks was needed first; of one that was tried in vain, when it is tried again less `seconds`."""
        self._making: dict[TileId, asyncio.Task[None]] = {}
        self.ready: dict[TileId, TileContent] = {}
        """Made and not sent."""
        self.sent: set[TileId] = set()
        """What the client holds in place of final tiles."""

    def replan(self, lacking: Iterable[TileId]) -> None:
        """Tiles that are needed now, and neither held nor ready."""
        if self._seconds:
            now = time.monotonic()
            self._since = {tile: self._since.get(tile, now) for tile in lacking}
            self.ready = {tile: stand_in for tile, stand_in in self.ready.items() if tile in self._since}

    def update(self) -> float | None:
        """Begins those that are due; seconds until the next one is."""
        due = None
        for tile, since in self._since.items():
            if tile in self._making or tile in self.ready or tile in self.sent:
                continue
            wait = since + self._seconds - time.monotonic()
            if wait <= 0.0 and len(self._making) < AT_ONCE:
                self._making[tile] = asyncio.create_task(self._make(tile))
            elif wait > 0.0:
                due = wait if due is None else min(due, wait)
        return due

    async def _make(self, tile: TileId) -> None:
        try:
            made = await self._contents.stand_in(ContentKey(tile, self._options))
        finally:
            del self._making[tile]
        if tile not in self._since:
            return
        if made is None:
            self._since[tile] = time.monotonic() + AGAIN_SECONDS - self._seconds
        else:
            self.ready[tile] = made
        self._wake()

    def final(self, tile: TileId) -> None:
        """The final tile is there: there is nothing to stand in for."""
        self._since.pop(tile, None)
        self.ready.pop(tile, None)

    def drop(self, tiles: Iterable[TileId]) -> None:
        """The client holds these no longer."""
        self.sent.difference_update(tiles)

    def close(self) -> None:
        """Makes no more."""
        self._since, self.ready = {}, {}
        for task in self._making.values():
            task.cancel()
