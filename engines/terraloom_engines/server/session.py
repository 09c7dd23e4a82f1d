"""Session: one client's viewpoints, what they need and holds, and what is sent next. Knows nothing of connections.

The newest view of each viewpoint wins: whenever the view, the selection or what is known of tiles changed, the tiles are planned anew, work
that is no longer needed is given up, and what is ready but no longer needed is not sent. A tile goes out when its plan lets it (for
pictures: when its parent is held) and the credit allows. All of it runs on the event loop's thread.

A session carries tiles for the eye, or height grids for collision. One for the eye may have a part for collision, which is a session
with events, credit and tiles of its own that follows the same views; deliveries are numbered over both.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace

from terraloom.errors import FailedPreconditionError, InvalidArgumentError, TerraloomError, UnavailableError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import GridOptions, TileContent
from terraloom_engines.selection import Criteria, Priority, WorkClass
from terraloom_engines.server import replies
from terraloom_engines.server.contents import ContentKey, Contents, Found
from terraloom_engines.server.credit import Credit, CreditWindow, Numbers
from terraloom_engines.server.margins import Margins
from terraloom_engines.server.plans import COLLISION, Plan, make_plan
from terraloom_engines.server.rates import Allowance
from terraloom_engines.server.ready import Ready
from terraloom_engines.server.requests import Opening
from terraloom_engines.server.retries import Retries
from terraloom_engines.server.standins import StandIns
from terraloom_engines.server.tally import Tally
from terraloom_engines.server.viewpoints import Viewpoints, Watching
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState

WINDOW = 24
"""Tiles that a session asks for ahead of what it has sent."""
SELECT_SECONDS, ROOM_SECONDS = 0.03, 0.5
"""Least time between two selections, each of which takes some 4 ms of the event loop; and between two tries at a queue that is full."""
TILE_MESSAGE_BYTES = 512
"""Upper bound of a tile message without its content."""


class Session(Watching):
    """Takes views and acknowledgements, gives events. `events` has one consumer at a time."""

    def __init__(self, name: str, contents: Contents, opening: Opening, allowance: Allowance, numbers: Numbers | None = None) -> None:
        self.name = name
        self.content, self.classes = opening.content, opening.classes
        self.options = GridOptions(opening.content.surface) if opening.classes == COLLISION else opening.content
        self.criteria = opening.criteria
        self.collision: Session | None = None
        """Its part for collision, once one was asked for."""
        self.viewpoints = Viewpoints()
        self.held = {tile: kept for tile, kept in opening.have.items() if kept == contents.content_hash(ContentKey(tile, self.options))}
        self.window = CreditWindow(opening.credit, numbers)
        self.client = opening.client
        self._allowance = allowance
        self._opening = replace(opening, have={})
        self.tally = Tally(contents.scheduler, opening.stats)
        self.contents = contents
        self.world = contents.world
        self._heights = contents.heights(opening.content)
        self._subscription = contents.scheduler.subscribe(
            self._arrived, f"session {name} {'collision' if opening.classes == COLLISION else 'pictures'}"
        )
        self._wake = asyncio.Event()
        self._error: TerraloomError | None = None
        self.consumed = False
        self._stale = self._moved = True  # something is to be wanted anew; and what is needed has changed as well, which takes a selection
        self._planned_at = 0.0
        self._plan: Plan | None = None
        self._asked: dict[TileId, int] = {}
        self._margins = Margins()
        self._missing: dict[TileId, Priority] = {}
        self._ready = Ready(contents, self.options)
        self._retries = Retries()
        seconds = opening.provisional_collision_seconds if opening.classes == COLLISION else opening.provisional_seconds
        self._stand_ins = StandIns(contents, self.options, seconds, lambda: self._wake.set())
        self._renewed: set[TileId] = set()
        """Tiles that took the place of stand-ins, or that the client dropped, since the last change of what is drawn."""
        self._failures: deque[pb.ErrorDetail] = deque()
        self._drawn: set[TileId] = set()
        self._drawn_stale = self._surplus_stale = False
        self._complete: tuple[bool, int] = (False, 0)

    @property
    def attached(self) -> bool:
        """Whether somebody consumes its events, or those of its part for collision."""
        return self.consumed or (self.collision is not None and self.collision.attached)

    # ------------------------------------------------------------------------------------------------ what comes up

    def look(self, sequence: int, view: ViewState, name: str = "") -> None:
        """A new view of the viewpoint of that name; one that is older than its newest is passed over. Raises InvalidArgumentError."""
        if self.viewpoints.look(name, sequence, view):
            self._changed()

    def leave(self, names: Iterable[str], sequence: int) -> None:
        """Viewpoints are no more. Raises InvalidArgumentError for a name that none has."""
        self.viewpoints.leave(names, sequence)
        self._changed()

    def choose(self, criteria: Criteria) -> None:
        """Another selection in place of the session's; tiles that failed are tried again at once."""
        self.criteria = criteria
        self._retries.clear()
        self._changed()
        if self.collision is not None:
            self.collision.choose(criteria)

    def carrying(self, classes: frozenset[WorkClass]) -> "Session":
        """The session whose events carry `classes` from now on: this one, or its part for collision, made when first asked for.

        Without classes it stays as it is. Raises InvalidArgumentError for pictures in a session opened for collision.
        """
        if classes == COLLISION and self.classes != COLLISION:
            return self._collision_part()
        if classes and self.classes == COLLISION != classes:
            text = f"session {self.name} was opened for COLLISION and carries nothing else: open another for pictures"
            raise InvalidArgumentError(text, field="priorities", allowed=("COLLISION",))
        if classes and classes != self.classes:
            self.classes = classes
            self._changed()
        return self

    def _collision_part(self) -> "Session":
        if self.collision is None:
            opening = replace(self._opening, criteria=self.criteria, classes=COLLISION, credit=Credit())
            self.collision = Session(self.name, self.contents, opening, self._allowance, self.window.numbers)
            self.collision.viewpoints = self.viewpoints
            self.collision._changed()
            if self._error is not None:
                self.collision.end(self._error)
        return self.collision

    def acknowledge(self, deliveries: Iterable[int]) -> None:
        """Returns the credit of deliveries. Raises InvalidArgumentError for one that was never made."""
        numbers = tuple(deliveries)
        self.window.acknowledge(numbers)
        self._wake.set()
        if self.collision is not None:
            self.collision.acknowledge(numbers)

    def widen(self, credit: Credit) -> None:
        """Another window in place of the session's."""
        self.window.credit = credit
        self._wake.set()

    def forget(self, tiles: Sequence[TileId]) -> None:
        """The client dropped these tiles; they are sent again when next needed."""
        for tile in tiles:
            self.held.pop(tile, None)
        self._stand_ins.drop(tiles)
        self._renewed.update(self._drawn.intersection(tiles))  # and told anew: hidden, or shown when they are there again
        self._changed(needs=False)
        if self.collision is not None:
            self.collision.forget(tiles)

    def end(self, error: TerraloomError) -> None:
        """Ends `events` with `error`, once what is under way has been given up."""
        self._error = self._error or error
        self._stand_ins.close()
        self.tally.counts.tiles_wasted += self._ready.keep(())
        self._subscription.close()
        self._wake.set()
        if self.collision is not None:
            self.collision.end(error)

    def _changed(self, needs: bool = True) -> None:
        self._stale, self._moved = True, self._moved or needs
        self._wake.set()
        if self.collision is not None:
            self.collision._changed(needs)

    # ----------------------------------------------------------------------------------------------- what goes down

    async def events(self) -> AsyncGenerator[pb.ServerEvent, None]:
        """All that the client must hear, in order, as fast as it is consumed and the credit allows. Ends by raising."""
        if self.consumed:
            raise FailedPreconditionError(f"session {self.name} has a subscriber already")
        self.consumed = True
        self._begin()
        try:
            while True:
                self._wake.clear()
                if self._error is not None:
                    raise self._error
                pause = self._update()
                if (event := self._next_event()) is not None:
                    yield event
                else:
                    await self._sleep(pause)
        finally:
            self.consumed = False

    def _begin(self) -> None:
        """A connection begins: nothing is drawn there yet, and what was not acknowledged over a former one may not have arrived."""
        lost = self.window.abandon()
        for tile in lost:
            self.held.pop(tile, None)
        self._stand_ins.drop(lost)
        self._drawn, self._complete = set(), (False, 0)
        self._changed()

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
        retry = self._retries.seconds_to_next(self._gave_up, now)
        if retry == 0.0:
            self._stale = True
        elif retry is not None:
            pauses.append(retry)
        if self._stale and self.knows_where:
            wait = self._planned_at + SELECT_SECONDS - now
            if wait <= 0.0:
                self._replan()
                self._planned_at = now
            else:
                pauses.append(wait)
        wanted = len(self._subscription.wanted)
        if len(self._missing) > wanted and len(self._ready) + wanted <= WINDOW // 2:
            self._ask()
            if len(self._missing) > len(self._subscription.wanted) < WINDOW - len(self._ready):
                pauses.append(ROOM_SECONDS)  # the server's queue had no room for more
        if (due := self._stand_ins.update()) is not None:
            pauses.append(due)
        if self._ready and (owed := self._owed()):
            pauses.append(owed)
        if (report := self.tally.pause()) is not None:
            pauses.append(report)
        return min(pauses, default=None)

    def _owed(self) -> float:
        """Seconds until its caller's rates let the next tile go; those for collision need not wait behind bulk."""
        return self._allowance.pause(urgent=self.classes == COLLISION)

    def _next_event(self) -> pb.ServerEvent | None:
        if (stats := self.tally.report(self.window)) is not None:
            return pb.ServerEvent(stats=stats)
        if self._failures:
            return pb.ServerEvent(error=self._failures.popleft())
        return self._tile_event() or self._visible_event() or self._remove_event()

    # ---------------------------------------------------------------------------------------------------- selection

    def _replan(self) -> None:
        if self._moved or self._plan is None:
            self._plan = make_plan(self.viewpoints.views, self.criteria, self.options, self._heights, self.classes)
        self._stale, self._moved, plan = False, False, self._plan
        self._asked = {tile: self._asked.get(tile, self.view_sequence) for tile in plan.tiles}
        self._margins.replan(plan.tiles)
        self.tally.counts.tiles_wasted += self._ready.keep(plan.tiles)
        self.tally.counts.tiles_cancelled += sum(1 for key in self._subscription.wanted if key.tile not in plan.tiles)
        now = time.monotonic()
        wanted = sorted((priority, tile) for tile, priority in plan.tiles.items() if tile in self._ready or self._lacks(tile, plan, now))
        self._ready.keep({tile for _, tile in wanted[:WINDOW]})  # the rest stays in memory, and leaves the window to what is more urgent
        self._missing = {tile: priority for priority, tile in wanted if tile not in self._ready}
        self._stand_ins.replan(tile for tile in plan.needed if tile not in self._ready and self._is_wanted(tile))
        for tile in plan.used():
            if tile in self.held:
                self.held[tile] = self.held.pop(tile)
        self._drawn_stale = self._surplus_stale = True
        self._ask()

    def _lacks(self, tile: TileId, plan: Plan, now: float) -> bool:
        """Whether a tile must be obtained: to be sent, or for its heights alone when the client holds it from an earlier session."""
        return not self._retries.waits(tile, now) and tile not in self._ready and (self._is_wanted(tile) or tile in plan.unknown)

    def _is_wanted(self, tile: TileId) -> bool:
        """Whether the client lacks a tile, or has what stands in for it."""
        return tile not in self.held or tile in self._stand_ins.sent

    def _gave_up(self, tile: TileId) -> bool:
        """Whether a tile that failed is needed, and not under way again."""
        return self._plan is not None and tile in self._plan.tiles and tile not in self._missing

    def _ask(self) -> None:
        """Fills the window with the most urgent tiles: those in memory become ready, the others are asked for, as far as there is room."""
        wants: dict[ContentKey, Priority] = {}
        room = self._subscription.room
        for tile, priority in list(self._missing.items()):
            if len(self._ready) + len(wants) >= WINDOW:
                break
            key = ContentKey(tile, self.options)
            known = key in self._subscription.wanted
            content = None if known else self.contents.cached(key)
            if content is None:
                room -= not known
                if known or room >= 0:
                    wants[key] = priority
            else:
                self._accept(Found(content, generated=False))
        self._subscription.replace(wants)

    def _arrived(self, key: ContentKey, result: Found | TerraloomError) -> None:
        if isinstance(result, Found):
            self.tally.counts.tiles_generated += result.generated
            self._accept(result)
        elif isinstance(result, UnavailableError):
            self.end(result)
        else:
            self._missing.pop(key.tile, None)
            if self._retries.failed(key.tile, time.monotonic()):
                self._failures.append(replies.error_detail(result, key.tile))
        self._wake.set()

    def _accept(self, found: Found) -> None:
        """A content is there: it is ready to be sent, unless the client holds it and only its heights were missing."""
        tile = found.content.tile
        self._missing.pop(tile, None)
        self._retries.succeeded(tile)
        if self._plan is not None and tile in self._plan.unknown:
            self._stale = self._moved = True
        self._stand_ins.final(tile)
        self._ready.put(found)
        if not self._is_wanted(tile):
            self._ready.send(tile)

    # ------------------------------------------------------------------------------------------------------- events

    def _tile_event(self) -> pb.ServerEvent | None:
        """The most urgent tile that is ready and may follow what is held, if the credit allows it; a stand-in only before its tile."""
        plan = self._plan
        contents = self._ready.contents | self._stand_ins.ready
        if plan is None or not contents or self._owed():
            return None
        in_order = sorted((tile for tile in contents if tile in plan.tiles), key=plan.tiles.__getitem__)
        tile = next((tile for tile in in_order if plan.may_follow(tile, self.held)), None)
        if tile is None:
            return None
        content, work_class = contents[tile], plan.tiles[tile].work_class
        if not self.window.allows(content.payload_bytes + TILE_MESSAGE_BYTES, work_class):
            return None
        message = replies.tile(content)
        message.priority = pb.Priority.ValueType(work_class)
        message.view_sequence = self._asked[tile]
        size = message.ByteSize()
        message.delivery = self.window.send(tile, size, work_class)
        self._note_sent(content, size)
        self._margins.sent(tile, work_class)
        return pb.ServerEvent(tile=message)

    def _note_sent(self, content: TileContent, size: int) -> None:
        tile = content.tile
        self.held[tile] = content.content_hash
        self._drawn_stale = True
        self.tally.note(content, size)
        self._allowance.spend(1, size)
        if content.refined_level is not None:
            del self._stand_ins.ready[tile]
            self._stand_ins.sent.add(tile)
            return
        self.tally.counts.tiles_from_store += not self._ready.send(tile).generated
        if tile in self._stand_ins.sent:
            self._stand_ins.sent.remove(tile)
            self._renewed.add(tile)

    def _visible_event(self) -> pb.ServerEvent | None:
        """The change of what to show, once all that can be sent was sent; also when the newest view's set is complete unchanged."""
        plan = self._plan
        if plan is None or self._stale or not self._drawn_stale:
            return None
        self._drawn_stale = False
        drawn = plan.shown(self.held, self._drawn)
        complete = all(not self._is_wanted(tile) and tile not in plan.unknown for tile in plan.needed)
        show, hide = drawn - self._drawn | drawn & self._renewed, self._drawn - drawn
        self._renewed.clear()
        state = (complete, self.view_sequence if complete else 0)
        if not show and not hide and state == self._complete:
            return None
        self._drawn, self._complete, self._surplus_stale = drawn, state, True
        message = pb.Visible(view_sequence=self.view_sequence, complete=complete)
        message.show.extend(replies.tile_ids(sorted(show)))
        message.hide.extend(replies.tile_ids(sorted(hide)))
        return pb.ServerEvent(visible=message)

    def _remove_event(self) -> pb.ServerEvent | None:
        """What to free: never what is selected or shown."""
        if self._plan is None or self._stale or not self._surplus_stale:
            return None
        self._surplus_stale = False
        removed = self._plan.surplus(self.held, self._drawn)
        for tile in removed:
            del self.held[tile]
        self._stand_ins.drop(removed)
        return pb.ServerEvent(remove=pb.Remove(tiles=replies.tile_ids(removed))) if removed else None

    @property
    def lacking(self) -> int:
        """Tiles that it wants, and neither sent nor has to send."""
        return len(self._missing)
