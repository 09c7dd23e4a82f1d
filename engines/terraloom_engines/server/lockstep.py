"""Lockstep: a session whose client makes the steps, for training and for tests that must repeat bit for bit.

A view is a step, with a simulated time. It is answered by the tiles that it takes, in order of priority and address, by one change of what
to draw, by what may be freed, and by a `StepComplete` with a hash of all that the client holds and draws then; between two steps nothing
comes. What is sent depends on the steps alone: it is planned once all heights that the plan hangs on are known and all its tiles are there,
whatever was in memory or store before and however long that took, and nothing is sent for later. A tile that fails ends the session, for to
go on without it would be to depend on luck.

Meanwhile, between the steps, the server makes what the view's motion will need. That changes when answers come and not what they are.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from terraloom._state import state_hash
from terraloom.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError, TerraloomError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import GridOptions, TileContent
from terraloom_engines.selection import Criteria, Priority, WorkClass
from terraloom_engines.server import replies
from terraloom_engines.server.abreast import for_each
from terraloom_engines.server.contents import ContentKey, Contents
from terraloom_engines.server.credit import Credit, CreditWindow
from terraloom_engines.server.plans import COLLISION, Plan, make_plan
from terraloom_engines.server.rates import Allowance
from terraloom_engines.server.requests import Opening
from terraloom_engines.server.tally import Tally
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState

AT_ONCE = 64
"""Tiles of one step that wait in the scheduler's queue at a time."""
KEPT = 256
"""Tiles of one step that are kept from when they were made until they are sent; the others are read again."""
AHEAD = 24
"""Tiles that are made between two steps for those to come."""

ROOM_SECONDS = 0.5
"""When a step asks again that the queue had no room for."""

T = TypeVar("T")


class LockstepSession:
    """Takes steps and acknowledgements, gives events. `events` has one consumer at a time."""

    collision = None
    """There is no part for collision: that is a lockstep session of its own."""

    def __init__(self, name: str, contents: Contents, opening: Opening, allowance: Allowance) -> None:
        self.name, self.contents, self.world = name, contents, contents.world
        self.content, self.classes, self.criteria = opening.content, opening.classes, opening.criteria
        self.options = GridOptions(opening.content.surface) if opening.classes == COLLISION else opening.content
        self.view: ViewState | None = None
        self.view_sequence = 0
        self.held = {tile: kept for tile, kept in opening.have.items() if kept == contents.content_hash(ContentKey(tile, self.options))}
        self.window = CreditWindow(opening.credit)
        self.client = opening.client
        self.tally = Tally(contents.scheduler)
        self.lacking = 0
        """Tiles of the step in hand that are not sent yet."""
        self._allowance = allowance
        self._removed = [tile for tile in opening.have if tile not in self.held]
        """What the client is told to free with the step in hand."""
        self._heights = contents.heights(opening.content)
        self._ahead = contents.scheduler.subscribe(lambda key, result: contents.scheduler.unused(key), f"session {name} ahead")
        self._drawn: set[TileId] = set()
        self._renewed: set[TileId] = set()
        """Drawn tiles that the client dropped since the last step."""
        self._due = False
        """Whether a step is to be answered."""
        self._changes: list[Callable[[], None]] = []
        """What was asked for since the last step began; takes effect with the next."""
        self._wake = asyncio.Event()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: TerraloomError | None = None
        self.consumed = False

    # ------------------------------------------------------------------------------------------------ what comes up

    @property
    def attached(self) -> bool:
        """Whether somebody consumes its events."""
        return self.consumed

    @property
    def views(self) -> list[ViewState]:
        """The view of the last step."""
        return [self.view] if self.view is not None else []

    @property
    def knows_where(self) -> bool:
        """Whether there was a step."""
        return self.view is not None

    def leave(self, names: Iterable[str], sequence: int) -> None:
        """Raises InvalidArgumentError: a session in lockstep has one viewpoint."""
        raise InvalidArgumentError(f"session {self.name} is in lockstep: it has one viewpoint, which stays", field="leave.viewpoints")

    def look(self, sequence: int, view: ViewState, name: str = "") -> None:
        """A step. Raises FailedPreconditionError before the former one is complete, InvalidArgumentError for one that goes back."""
        if name:
            text = f"view.viewpoint = {name!r} has no sense in lockstep: there is one viewpoint, without a name"
            raise InvalidArgumentError(text, field="view.viewpoint", allowed=("",))
        if self._due:
            raise FailedPreconditionError(f"step {sequence} came before step {self.view_sequence} was complete")
        if sequence <= self.view_sequence:
            text = f"view.sequence = {sequence} was there already: step {self.view_sequence} was the last"
            raise InvalidArgumentError(text, field="view.sequence")
        if self.view is not None and view.sim_time < self.view.sim_time:
            text = f"view.sim_time = {view.sim_time:.12g} lies before {self.view.sim_time:.12g}, the time of the step before"
            raise InvalidArgumentError(text, field="view.sim_time", allowed=(f">= {self.view.sim_time:.12g}",))
        if self.view is not None:
            self._removed = []
        self.view, self.view_sequence, self._due = view, sequence, True
        self._wake.set()

    def choose(self, criteria: Criteria) -> None:
        """Another selection from the next step on."""
        self._changes.append(lambda: setattr(self, "criteria", criteria))

    def carrying(self, classes: frozenset[WorkClass]) -> "LockstepSession":
        """Itself. Raises InvalidArgumentError for other classes than those that it was opened with."""
        if classes and classes != self.classes:
            text = f"session {self.name} is in lockstep and carries what it was opened with: open another for other priorities"
            raise InvalidArgumentError(text, field="priorities", allowed=tuple(sorted(kind.name for kind in self.classes)))
        return self

    def acknowledge(self, deliveries: Iterable[int]) -> None:
        """Returns the credit of deliveries. Raises InvalidArgumentError for one that was never made."""
        self.window.acknowledge(deliveries)
        self._wake.set()

    def widen(self, credit: Credit) -> None:
        """Another window in place of the session's."""
        self.window.credit = credit
        self._wake.set()

    def forget(self, tiles: Sequence[TileId]) -> None:
        """The client dropped these tiles; from the next step on they count as not held."""
        self._changes.append(lambda: self._drop(tiles))

    def _drop(self, tiles: Sequence[TileId]) -> None:
        for tile in tiles:
            self.held.pop(tile, None)
        self._renewed.update(self._drawn.intersection(tiles))

    def end(self, error: TerraloomError) -> None:
        """Ends `events` with `error`."""
        self._error = self._error or error
        self._ahead.close()
        if not self._ended.done():
            self._ended.set_result(None)

    # ----------------------------------------------------------------------------------------------- what goes down

    async def events(self) -> AsyncGenerator[pb.ServerEvent, None]:
        """The answers to the steps, each as fast as the credit allows. Ends by raising."""
        if self.consumed:
            raise FailedPreconditionError(f"session {self.name} has a subscriber already")
        self.consumed = True
        self._begin()
        try:
            while True:
                await self._until(lambda: self._due)
                async for event in self._answer():
                    yield event
        finally:
            self.consumed = False

    def _begin(self) -> None:
        """A connection begins: the newest step is answered on it, anew if it was on a former one; what was not acknowledged comes again."""
        for tile in self.window.abandon():
            self.held.pop(tile, None)
        self._drawn, self._due = set(), self.view is not None

    async def _answer(self) -> AsyncGenerator[pb.ServerEvent, None]:
        view = self.view
        assert view is not None, "a step that is due has a view"
        for change in self._changes:
            change()
        self._changes = []
        self._ahead.replace({})
        kept: dict[TileId, TileContent] = {}
        plan = await self._while_open(self._settled_plan(view, kept))
        missing = sorted((tile for tile in plan.needed if tile not in self.held), key=lambda tile: (plan.tiles[tile], tile))
        for sent, tile in enumerate(missing):
            self.lacking = len(missing) - sent
            content = kept.pop(tile, None)
            if content is None:
                content = await self._while_open(self._get(tile, plan.tiles[tile]))
            if owed := self._allowance.pause(urgent=self.classes == COLLISION):
                await self._while_open(asyncio.sleep(owed))
            yield await self._tile_event(content, plan.tiles[tile].work_class)
        self.lacking = 0
        for tile in plan.used():
            if tile in self.held:
                self.held[tile] = self.held.pop(tile)
        yield self._visible_event(plan)
        if removed := self._surplus(plan):
            yield pb.ServerEvent(remove=pb.Remove(tiles=replies.tile_ids(removed)))
        self._due = False
        digest = state_hash(((tile.z, tile.x, tile.y, kept, tile in self._drawn) for tile, kept in self.held.items()))
        done = pb.StepComplete(
            view_sequence=self.view_sequence, sim_time=view.sim_time, deliveries=self.window.numbers.last, state_hash=digest
        )
        yield pb.ServerEvent(step=done)
        if not self._due:
            self._look_ahead(plan)

    async def _settled_plan(self, view: ViewState, kept: dict[TileId, TileContent]) -> Plan:
        """The plan once nothing that it hangs on is unknown and all it needs is made; what is not held goes into `kept`."""
        made: set[TileId] = set()
        while True:
            plan = make_plan([view], self.criteria, self.options, self._heights, self.classes)
            missing = [tile for tile in sorted(plan.needed) if tile not in made and (tile not in self.held or tile in plan.unknown)]
            if not missing:
                return plan
            await self._make(missing, plan, kept)
            made.update(missing)

    async def _make(self, tiles: list[TileId], plan: Plan, kept: dict[TileId, TileContent]) -> None:
        async def make(tile: TileId) -> None:
            content = await self._get(tile, plan.tiles[tile])
            if tile not in self.held and len(kept) < KEPT:
                kept[tile] = content

        await for_each(tiles, AT_ONCE, make)

    async def _get(self, tile: TileId, priority: Priority) -> TileContent:
        """A content, however long the server's queue has no room for it: that changes when a step is answered, and nothing else."""
        while True:
            try:
                return await self.contents.get(ContentKey(tile, self.options), priority, f"session {self.name}")
            except ResourceExhaustedError:
                await asyncio.sleep(ROOM_SECONDS)

    async def _tile_event(self, content: TileContent, work_class: WorkClass) -> pb.ServerEvent:
        message = replies.tile(content)
        message.priority = pb.Priority.ValueType(work_class)
        message.view_sequence = self.view_sequence
        size = message.ByteSize()
        await self._until(lambda: self.window.allows(size, work_class))
        message.delivery = self.window.send(content.tile, size, work_class)
        self.held[content.tile] = content.content_hash
        self.tally.note(content, size)
        self._allowance.spend(1, size)
        return pb.ServerEvent(tile=message)

    def _visible_event(self, plan: Plan) -> pb.ServerEvent:
        """What to draw now, also when that is what was drawn before."""
        drawn = plan.shown(self.held, self._drawn)
        message = pb.Visible(view_sequence=self.view_sequence, complete=True)
        message.show.extend(replies.tile_ids(sorted(drawn - self._drawn | drawn & self._renewed)))
        message.hide.extend(replies.tile_ids(sorted(self._drawn - drawn)))
        self._drawn, self._renewed = drawn, set()
        return pb.ServerEvent(visible=message)

    def _surplus(self, plan: Plan) -> list[TileId]:
        """What the client may free: what it need not hold any longer, and what it had that belongs to another world."""
        removed = plan.surplus(self.held, self._drawn)
        for tile in removed:
            del self.held[tile]
        self._removed = removed + [tile for tile in self._removed if tile not in self.held]
        return self._removed

    def _look_ahead(self, plan: Plan) -> None:
        """Has made meanwhile what the motion will need, and nobody waits for."""
        wants: dict[ContentKey, Priority] = {}
        for priority, tile in sorted((priority, tile) for tile, priority in plan.tiles.items() if tile not in self.held):
            key = ContentKey(tile, self.options)
            if len(wants) < min(AHEAD, self._ahead.room) and self.contents.cached(key) is None:
                wants[key] = priority
        self._ahead.replace(wants)

    # -------------------------------------------------------------------------------------------------- waiting

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Waits for something that comes up; raises when the session ends."""
        while self._error is None and not holds():
            self._wake.clear()
            waiting: asyncio.Future[Any] = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait([waiting, self._ended], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        if self._error is not None:
            raise self._error

    async def _while_open(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is given up when the session ends."""
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, self._ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if self._error is not None:
            raise self._error
        result: T = task.result()
        return result
