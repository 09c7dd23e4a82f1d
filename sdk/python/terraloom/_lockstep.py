"""Lockstep: simulated time goes on when the ground is there, and every run gets the same."""

import math
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self

from terraloom._async_stream import AsyncTileStream, TileT
from terraloom._counters import Counters
from terraloom._state import state_hash
from terraloom._tile import Reconnected, Removed, StepComplete, TileId
from terraloom._view import AnyView
from terraloom.errors import DataLossError, FailedPreconditionError, InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb


@dataclass(frozen=True, slots=True)
class Step(Generic[TileT]):
    """What changed with a step: the `tiles` that came, in order, what to `show` and `hide` now, and what was `removed` and may be freed.

    `state_hash` is over all that the client holds and draws after it: runs with equal hashes saw equal ground.
    """

    sim_time: float
    tiles: tuple[TileT, ...]
    show: tuple[TileId, ...]
    hide: tuple[TileId, ...]
    removed: tuple[TileId, ...]
    state_hash: bytes


class AsyncLockstep(Generic[TileT]):
    """A viewpoint that goes step by step; an async context manager. Entering it makes the first step, kept in `first`.

    What a step brings depends on the steps so far and on the world alone: not on time, on what the server had generated before, or on other
    clients. `visible` are the tiles to draw, `held` those that the client has, by content hash, as of the last step; `session` is the
    server's answer with all defaults filled in, `counters` counts. A step whose connection is lost goes on over a new one.
    """

    def __init__(self, stream: AsyncTileStream[TileT], sim_time: float) -> None:
        self.first: Step[TileT]
        self._stream = stream
        self._sim_time = stream._viewpoints.newest[""].sim_time = sim_time

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        try:
            self.first = await self._taken()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session."""
        await self._stream.close()

    @property
    def session(self) -> pb.SessionOpened:
        """The server's answer with all defaults filled in."""
        return self._stream.session

    @property
    def counters(self) -> Counters:
        """What has been received so far."""
        return self._stream.counters

    @property
    def visible(self) -> frozenset[TileId]:
        """The tiles to draw; of height grids, the ground."""
        return frozenset(self._stream.visible)

    @property
    def held(self) -> dict[TileId, bytes]:
        """Content hashes of the tiles that came and were not freed."""
        return dict(self._stream.held)

    @property
    def sim_time(self) -> float:
        """Simulated seconds of the last step."""
        return self._sim_time

    async def step(self, view: AnyView, sim_time: float) -> Step[TileT]:
        """Moves to `view` at a simulated time in seconds, waits until all that it needs is there, and tells what changed.

        Raises `InvalidArgumentError` for a time before that of the last step, and what ended the session.
        """
        if not (math.isfinite(sim_time) and sim_time >= self._sim_time):
            text = f"sim_time = {sim_time:.12g} is no time at or after {self._sim_time:.12g}, that of the last step"
            raise InvalidArgumentError(text, field="sim_time", allowed=(f">= {self._sim_time:.12g}",))
        self._stream._move(view, "", sim_time)
        self._sim_time = sim_time
        return await self._taken()

    async def _taken(self) -> Step[TileT]:
        """Takes events to the end of the newest step."""
        stream = self._stream
        before = frozenset(stream.visible)
        tiles: list[TileT] = []
        removed: list[TileId] = []
        async for event in stream.events():
            if isinstance(event, stream._kind):
                tiles.append(event)
            elif isinstance(event, Removed):
                removed += event.tiles
            elif isinstance(event, Reconnected) and event.world_changed:
                raise FailedPreconditionError("the server generates another world now: what the run saw so far cannot be repeated")
            elif isinstance(event, StepComplete) and event.view_sequence == stream._sequence:
                self._require_equal(event.state_hash)
                show, hide = tuple(sorted(stream.visible - before)), tuple(sorted(before - stream.visible))
                return Step(event.sim_time, tuple(tiles), show, hide, tuple(removed), event.state_hash)
        raise FailedPreconditionError("the session was closed before the step was complete")

    def _require_equal(self, theirs: bytes) -> None:
        """Raises DataLossError unless this client holds and draws what the server says it does."""
        drawn = self._stream.visible
        if state_hash((*tile, content, tile in drawn) for tile, content in self._stream.held.items()) != theirs:
            raise DataLossError("what the client holds is not what the server says it does: the run cannot be repeated from here")
