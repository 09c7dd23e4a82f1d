"""Session: one viewpoint, what it needs and holds, and what is sent next. Knows nothing of connections.

The newest view wins: whenever the view, the selection or what is known of tiles changed, the tiles are selected anew, work
that is no longer needed is given up, and what is ready but no longer needed is not sent. A tile goes out when its parent
is held and the credit allows. All of it runs on the event loop's thread.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable

from terraloom.errors import FailedPreconditionError, TerraloomError, UnavailableError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.selection import Criteria, Priority, Selection, ViewState, WorkClass, select
from terraloom_engines.server import replies
from terraloom_engines.server.contents import ContentKey, Contents, Found
from terraloom_engines.server.coverage import drawn_tiles
from terraloom_engines.server.credit import Credit, CreditWindow
from terraloom_engines.server.requests import Opening
from terraloom_engines.tiling import TileId

WINDOW = 24
"""Tiles that a session asks for ahead of what it has sent."""
SELECT_SECONDS = 0.03
"""Least time between two selections, each of which takes some 4 ms of the event loop."""
HELD_TILES = 2048
"""Tiles that a client is asked to keep; the ones longest out of the selection go first."""
STATS_SECONDS = 1.0
TILE_MESSAGE_BYTES = 512
"""Upper bound of a tile message without its content."""


class Session:
    """Takes views and acknowledgements, gives events. `events` has one consumer at a time."""

    def __init__(self, name: str, contents: Contents, opening: Opening) -> None:
        self.name = name
        self.content = opening.content
        self.classes = opening.classes
        self.criteria = opening.criteria
        self.view: ViewState | None = None
        self.view_sequence = 0
        self.held = {tile: kept for tile, kept in opening.have.items() if kept == contents.content_hash(ContentKey(tile, opening.content))}
        self.window = CreditWindow(opening.credit)
        self._stats = pb.Stats()
        self._stats_due = time.monotonic() + STATS_SECONDS if opening.stats else None
        self.contents = contents
        self.world = contents.world
        self._heights = contents.heights(opening.content)
        self._busy_before = contents.scheduler.counters.busy_seconds
        self._subscription = contents.scheduler.subscribe(self._arrived)
        self._wake = asyncio.Event()
        self._error: TerraloomError | None = None
        self.attached = False
        """Whether somebody consumes its events."""
        self._stale = False
        self._selected_at = 0.0
        self._selection = Selection(())
        self._carried: dict[TileId, Priority] = {}
        self._asked: dict[TileId, int] = {}
        self._unknown: set[TileId] = set()
        self._missing: dict[TileId, Priority] = {}
        self._ready: dict[TileId, Found] = {}
        self._failed: set[TileId] = set()
        self._failures: deque[pb.ErrorDetail] = deque()
        self._drawn: set[TileId] = set()
        self._drawn_stale = False
        self._complete: tuple[bool, int] = (False, 0)

    # ------------------------------------------------------------------------------------------------ what comes up

    def look(self, sequence: int, view: ViewState) -> None:
        """A new view; one that is older than the newest is passed over."""
        if sequence >= self.view_sequence:
            self.view, self.view_sequence = view, sequence
            self._changed()

    def choose(self, criteria: Criteria) -> None:
        """Another selection in place of the session's; tiles that failed are tried again."""
        self.criteria = criteria
        self._failed.clear()
        self._changed()

    def carry(self, classes: frozenset[WorkClass]) -> None:
        """Other classes of work in place of the session's."""
        self.classes = classes
        self._changed()

    def acknowledge(self, deliveries: Iterable[int]) -> None:
        """Returns the credit of deliveries. Raises InvalidArgumentError for one that was never made."""
        self.window.acknowledge(deliveries)
        self._wake.set()

    def widen(self, credit: Credit) -> None:
        """Another window in place of the session's."""
        self.window.credit = credit
        self._wake.set()

    def forget(self, tiles: Iterable[TileId]) -> None:
        """The client dropped these tiles; they are sent again when next needed."""
        for tile in tiles:
            self.held.pop(tile, None)
        self._drawn.intersection_update(self.held)
        self._changed()

    def end(self, error: TerraloomError) -> None:
        """Ends `events` with `error`, once what is under way has been given up."""
        self._error = self._error or error
        self._subscription.close()
        self._wake.set()

    def _changed(self) -> None:
        self._stale = True
        self._wake.set()

    # ----------------------------------------------------------------------------------------------- what goes down

    async def events(self) -> AsyncGenerator[pb.ServerEvent, None]:
        """All that the client must hear, in order, as fast as it is consumed and the credit allows. Ends by raising."""
        if self.attached:
            raise FailedPreconditionError(f"session {self.name} has a subscriber already")
        self.attached = True
        try:
            while True:
                self._wake.clear()
                if self._error is not None:
                    raise self._error
                pause = self._update()
                event = self._next_event()
                if event is not None:
                    yield event
                else:
                    await self._sleep(pause)
        finally:
            self.attached = False

    async def _sleep(self, pause: float | None) -> None:
        """Until something changed, or `pause` seconds."""
        timer = asyncio.get_running_loop().call_later(pause, self._wake.set) if pause is not None else None
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    def _update(self) -> float | None:
        """Selects and asks for tiles as need be; seconds until there is something to do of its own accord."""
        pauses = []
        now = time.monotonic()
        if self._stale and self.view is not None:
            wait = self._selected_at + SELECT_SECONDS - now
            if wait <= 0.0:
                self._select(self.view)
                self._selected_at = now
            else:
                pauses.append(wait)
        wanted = len(self._subscription.wanted)
        if len(self._missing) > wanted and len(self._ready) + wanted <= WINDOW // 2:
            self._ask()
        if self._stats_due is not None:
            pauses.append(max(self._stats_due - now, 0.0))
        return min(pauses, default=None)

    def _next_event(self) -> pb.ServerEvent | None:
        if self._stats_due is not None and time.monotonic() >= self._stats_due:
            self._stats_due = time.monotonic() + STATS_SECONDS
            return pb.ServerEvent(stats=self.stats())
        if self._failures:
            return pb.ServerEvent(error=self._failures.popleft())
        return self._tile_event() or self._visible_event() or self._remove_event()

    # ---------------------------------------------------------------------------------------------------- selection

    def _select(self, view: ViewState) -> None:
        self._stale = False
        self._selection = select(view, self.criteria, self._heights)
        self._carried = {entry.tile: entry.priority for entry in self._selection.tiles if entry.priority.work_class in self.classes}
        self._asked = {tile: self._asked.get(tile, self.view_sequence) for tile in self._carried}
        self._unknown = {tile for tile in self._carried if self._heights(tile) is None}
        for tile in [tile for tile in self._ready if tile not in self._carried]:
            self._stats.tiles_wasted += self._ready.pop(tile).generated
        self._stats.tiles_cancelled += sum(1 for key in self._subscription.wanted if key.tile not in self._carried)
        lacking = [(priority, tile) for tile, priority in self._carried.items() if self._lacks(tile)]
        self._missing = {tile: priority for priority, tile in sorted(lacking)}
        for entry in reversed(self._selection.tiles):  # parents last: they count as used after their children
            if entry.tile in self.held:
                self.held[entry.tile] = self.held.pop(entry.tile)
        self._drawn_stale = True
        self._ask()

    def _lacks(self, tile: TileId) -> bool:
        """Whether a tile must be obtained: to be sent, or for its heights alone when the client holds it from an earlier session."""
        return tile not in self._failed and tile not in self._ready and (tile not in self.held or tile in self._unknown)

    def _ask(self) -> None:
        """Fills the window with the most urgent tiles: those in memory become ready, the others are asked for."""
        wants: dict[ContentKey, Priority] = {}
        for tile, priority in list(self._missing.items()):
            if len(self._ready) + len(wants) >= WINDOW:
                break
            key = ContentKey(tile, self.content)
            content = None if key in self._subscription.wanted else self.contents.cached(key)
            if content is None:
                wants[key] = priority
            else:
                self._accept(Found(content, generated=False))
        self._subscription.replace(wants)

    def _arrived(self, key: ContentKey, result: Found | TerraloomError) -> None:
        if isinstance(result, Found):
            self._stats.tiles_generated += result.generated
            self._accept(result)
        elif isinstance(result, UnavailableError):
            self.end(result)
        else:
            self._missing.pop(key.tile, None)
            self._failed.add(key.tile)
            self._failures.append(replies.error_detail(result, key.tile))
        self._wake.set()

    def _accept(self, found: Found) -> None:
        """A content is there: it is ready to be sent, unless the client holds it and only its heights were missing."""
        tile = found.content.tile
        self._missing.pop(tile, None)
        self._stale = self._stale or tile in self._unknown
        if tile not in self.held:
            self._ready[tile] = found

    # ------------------------------------------------------------------------------------------------------- events

    def _tile_event(self) -> pb.ServerEvent | None:
        """The most urgent tile that is ready, whose parent is held, if the credit allows it."""
        in_order = sorted(self._ready, key=self._carried.__getitem__)
        tile = next((tile for tile in in_order if self._may_follow(tile)), None)
        if tile is None or not self.window.allows(len(self._ready[tile].content.glb) + TILE_MESSAGE_BYTES):
            return None
        found = self._ready.pop(tile)
        message = replies.tile(found.content)
        message.priority = pb.Priority.ValueType(self._carried[tile].work_class)
        message.view_sequence = self._asked[tile]
        size = message.ByteSize()
        message.delivery = self.window.send(size)
        self.held[tile] = found.content.content_hash
        self._drawn_stale = True
        self._stats.tiles_sent += 1
        self._stats.bytes_sent += size
        self._stats.tiles_from_store += not found.generated
        return pb.ServerEvent(tile=message)

    def _may_follow(self, tile: TileId) -> bool:
        return tile.z == 0 or tile.parent in self.held or tile.parent not in self._carried

    def _visible_event(self) -> pb.ServerEvent | None:
        """The change of what to draw, once all that can be sent was sent; also when the newest view's set is complete unchanged."""
        if self._stale or not self._drawn_stale:
            return None
        self._drawn_stale = False
        drawn = drawn_tiles(self._selection.tiles, self.held.__contains__, self._drawn)
        visible = (entry.tile for entry in self._selection.tiles if entry.visible and entry.tile in self._carried)
        complete = all(tile in self.held and tile not in self._unknown for tile in visible)
        show, hide = drawn - self._drawn, self._drawn - drawn
        state = (complete, self.view_sequence if complete else 0)
        if not show and not hide and state == self._complete:
            return None
        self._drawn, self._complete = drawn, state
        message = pb.Visible(view_sequence=self.view_sequence, complete=complete)
        message.show.extend(replies.tile_ids(sorted(show)))
        message.hide.extend(replies.tile_ids(sorted(hide)))
        return pb.ServerEvent(visible=message)

    def _remove_event(self) -> pb.ServerEvent | None:
        """What to free when the client holds too much; never what is selected or drawn."""
        surplus = len(self.held) - HELD_TILES - len(self._selection.tiles)
        if surplus <= 0:
            return None
        selected = {entry.tile for entry in self._selection.tiles}
        unused = [tile for tile in self.held if tile not in selected and tile not in self._drawn]
        removed = unused[: surplus + HELD_TILES // 8]
        for tile in removed:
            del self.held[tile]
        return pb.ServerEvent(remove=pb.Remove(tiles=replies.tile_ids(removed)))

    def stats(self) -> pb.Stats:
        """Counters since the session was opened."""
        scheduler = self.contents.scheduler
        self._stats.tiles_queued = len(scheduler)
        self._stats.bytes_unacknowledged = self.window.bytes
        self._stats.generation_seconds = scheduler.counters.busy_seconds - self._busy_before
        return self._stats
