"""One stream of one or several viewpoints: views up, tiles down, credit returned as the consumer takes what came."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from terraloom._arrivals import Arrivals
from terraloom._connection import Connection
from terraloom._counters import Counters
from terraloom._encoding import encoded
from terraloom._options import Reconnect
from terraloom._retry import Retry, is_worth_a_retry
from terraloom._status import CutOffError, MissingMethodError, error_from_detail, translated_errors
from terraloom._tile import (
    Disconnected,
    Failed,
    Notice,
    Reconnected,
    Removed,
    StepComplete,
    Tile,
    TileId,
    VisibleChange,
    tile_from_message,
    tile_id,
)
from terraloom._versions import missing_method, require_protocol
from terraloom._view import AnyView
from terraloom._viewpoints import Viewpoints
from terraloom.errors import DeadlineExceededError, FailedPreconditionError, TerraloomError, UnavailableError
from terraloom.v1 import terraloom_pb2 as pb

CUT_OFF_CALLS = 16
"""Calls that may be cut off before one of them is opened."""
VIEWS_REMEMBERED = 4096
"""Views whose time is kept to tell latencies; at 60 views a second a bit over a minute."""


class Delivered(Protocol):
    """What tiles of all kinds have in common."""

    @property
    def id(self) -> TileId:
        """Address."""
        ...

    @property
    def content_hash(self) -> bytes:
        """Equal hashes hold equal contents."""
        ...

    @property
    def delivery(self) -> int:
        """Number within its connection."""
        ...


TileT = TypeVar("TileT", bound=Delivered)


class AsyncTileStream(ABC, Generic[TileT]):
    """What streams of all kinds of tiles do: an async context manager and an async iterator over the tiles that viewpoints need.

    A tile counts as applied, and its credit returns to the server, when the consumer comes back for the next one; a consumer that
    stalls stops the server at the credit window. `session` is the server's answer with all defaults filled in, `counters` counts, and
    `visible`, `held` and `complete` follow the events taken. Ends by raising the server's error, or after `close`.

    It has a connection of its own, so that its bulk stands before nobody else's calls. When that is lost it goes on in a new session,
    unless told not to: it says what it has, so that nothing comes twice, and what was drawn stays until the new session has caught up.
    `Disconnected` and `Reconnected` tell of it.
    """

    _kind: type[TileT]
    """Of the tiles that this stream delivers."""

    def __init__(self, server: Connection, opening: pb.OpenSessionRequest, view: AnyView | None, reconnect: Reconnect | None) -> None:
        self.counters = Counters()
        self.session = pb.SessionOpened()
        self.visible: set[TileId] = set()
        self.held: dict[TileId, bytes] = {tile_id(held.id): held.content_hash for held in opening.have}
        self._server, self._target, self._opening = server, server.target, opening
        self._arrivals = Arrivals(self.held)
        self._started = time.perf_counter()
        self._sequence = 0
        self._complete_sequence = -1
        self._sent: dict[int, float] = {}
        self._viewpoints = Viewpoints()
        self._acks: list[int] = []
        self._taken: list[tuple[int, int]] = []
        """Connection and delivery of tiles that the consumer has."""
        self._forgotten: list[TileId] = []
        self._work = asyncio.Event()
        self._events: asyncio.Queue[tuple[int, TileT | Notice] | None] = asyncio.Queue()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = 0
        """Number of the connection in use; deliveries are numbered anew in each."""
        self._call_in_use: object = None
        self._open_since: float | None = None
        """When the connection in use was opened, by the monotonic clock; None before."""
        self._retry = Retry(reconnect) if reconnect is not None else None
        self._error: TerraloomError | None = None
        self._final: TerraloomError | None = None
        self._reader: asyncio.Task[None] | None = None
        if view is not None:
            self.move(view)

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        try:
            await self._opened
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session; what has arrived can still be taken."""
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()
            await asyncio.wait([self._reader])

    @property
    def complete(self) -> bool:
        """Whether `visible` is all that the newest views ask for."""
        return self._complete_sequence == self._sequence

    def move(self, view: AnyView, viewpoint: str = "") -> None:
        """Make `view` the newest of a viewpoint; one that was not sent yet is replaced. Never waits.

        A stream may have several viewpoints, such as the cameras of one vehicle, each with a name; their tiles come once for all of them.
        Raises InvalidArgumentError for a view without sense.
        """
        self._move(view, viewpoint, 0.0)

    def _move(self, view: AnyView, viewpoint: str, sim_time: float) -> None:
        with encoded(view):
            message = view.message(self._sequence + 1)
            message.viewpoint, message.sim_time = viewpoint, sim_time
        self._viewpoints.move(message)
        self._sequence += 1
        self._sent[self._sequence] = time.perf_counter()
        self._sent.pop(self._sequence - VIEWS_REMEMBERED, None)
        self.counters.views += 1
        self._work.set()

    def leave(self, viewpoint: str) -> None:
        """Do without a viewpoint: what only it needed is given up. Never waits. Raises InvalidArgumentError for one that there is not."""
        self._viewpoints.leave(viewpoint)
        self._sequence += 1
        self._work.set()

    def forget(self, tiles: Iterable[TileId]) -> None:
        """Tell the server that the client dropped `tiles` on its own account; they come again when next needed."""
        forgotten = [tile for tile in tiles if self.held.pop(tile, None) is not None]
        self._arrivals.drop(forgotten)
        self._forgotten += forgotten
        self._work.set()

    def __aiter__(self) -> AsyncIterator[TileT]:
        return self._tiles()

    async def _tiles(self) -> AsyncIterator[TileT]:
        async for event in self.events():
            if isinstance(event, self._kind):
                yield event

    async def events(self) -> AsyncIterator[TileT | Notice]:
        """Everything in order: tiles, changes of the visible set, tiles to free, tiles that failed, connections lost and found."""
        while (event := await self._next()) is not None:
            yield event

    async def settle(self, timeout: float | None = None) -> list[TileT]:
        """Take events until `complete`; returns the tiles among them. Raises `DeadlineExceededError` after `timeout` seconds."""
        tiles: list[TileT] = []
        try:
            async with asyncio.timeout(timeout):
                while not self.complete:
                    event = await self._next()
                    if event is None:
                        raise FailedPreconditionError("the stream was closed before its visible set was complete")
                    tiles += [event] if isinstance(event, self._kind) else []
        except TimeoutError:
            raise DeadlineExceededError(f"the visible set is not complete after {timeout:g} s; {len(tiles)} tiles came") from None
        return tiles

    def poll(self) -> list[TileT | Notice]:
        """Take what has arrived, without waiting: for loops that run at their own pace. Raises what ended the stream."""
        self._acknowledge()
        found: list[TileT | Notice] = []
        while not self._events.empty():
            item = self._events.get_nowait()
            if item is None:
                self._events.put_nowait(None)
                if self._error is not None and not found:
                    raise self._error
                break
            found.append(self._take(*item))
        return found

    async def _next(self) -> TileT | Notice | None:
        """The next event, None after `close`; raises what ended the stream."""
        self._acknowledge()
        item = await self._events.get()
        if item is not None:
            return self._take(*item)
        self._events.put_nowait(None)
        if self._error is not None:
            raise self._error
        return None

    def _take(self, connection: int, event: TileT | Notice) -> TileT | Notice:
        """Bring the consumer's view of the stream up to `event`."""
        if isinstance(event, self._kind):
            self.held[event.id] = event.content_hash
            self._taken.append((connection, event.delivery))
        elif isinstance(event, VisibleChange):
            self.visible.difference_update(event.hide)
            self.visible.update(event.show)
            self._complete_sequence = event.view_sequence if event.complete else -1
        elif isinstance(event, Removed):
            for tile in event.tiles:
                self.held.pop(tile, None)
        return event

    def _acknowledge(self) -> None:
        """The consumer is back: what it took before is applied."""
        if self._taken:
            self._acks += [delivery for connection, delivery in self._taken if connection == self._connection]
            self._taken = []
            self._work.set()

    async def _read(self) -> None:
        """Run calls until the stream ends, queueing what arrives; never raises, the consumer does."""
        try:
            error = await self._call_until_told()
            while self._retry is not None and self._opened.done() and is_worth_a_retry(error, self._open_since is not None):
                if self._open_since is not None:
                    self._retry.lost(time.monotonic() - self._open_since)
                    self._put(Disconnected(error))
                if not await self._retry.wait(error.retry_after):
                    error = UnavailableError(f"{error}; gave up {self._retry.seconds:.0f} s and {self._retry.attempts} attempts later")
                    break
                error = await self._call_until_told()
            self._error = error
        finally:
            self._events.put_nowait(None)
            if not self._opened.done():
                self._opened.set_exception(self._error or FailedPreconditionError("the stream was closed before it was opened"))

    async def _call_until_told(self) -> TerraloomError:
        """Run one call until it ends; one that was cut off before it was opened is tried again, for the server may have said why."""
        for _ in range(CUT_OFF_CALLS):
            error = await self._call()
            if self._open_since is not None or not isinstance(error, CutOffError):
                break
        return error

    async def _call(self) -> TerraloomError:
        """Run one call until it ends; returns why it did. `_open_since` stays None when it was never opened.

        It has a connection of its own, made for it: one that failed would wait as gRPC sees fit, and not as `Reconnect` says.
        """
        self._connection += 1
        self._final, self._open_since = None, None
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call_in_use = opened
        channel = self._server.channel()
        stub = self._server.stub(channel)
        call = stub.Stream(self._messages(opened))
        try:
            with translated_errors(self._target):
                async for message in call:
                    if message.WhichOneof("event") == "opened":
                        self._open(message.opened)
                        opened.set_result(None)
                    else:
                        self._receive(message)
            return UnavailableError(f"{self._target}: the server ended the stream")
        except MissingMethodError:
            return await missing_method(stub, self._target, "Stream")
        except TerraloomError as error:
            return self._final or error
        finally:
            call.cancel()
            opened.cancel()
            self._call_in_use = None
            self._work.set()
            await channel.close(grace=None)

    def _open(self, session: pb.SessionOpened) -> None:
        """A session was opened: the first, or one that goes on with what the former left."""
        require_protocol(session.protocol_version, self._target)
        former, self.session = self.session, session
        self._open_since = time.monotonic()
        if not self._opened.done():
            self._opened.set_result(None)
            return
        self.counters.reconnects += 1
        assert self._retry is not None
        changed = former.world.identity != session.world.identity
        for event in self._arrivals.reopened(Reconnected(changed, self._retry.attempts, self._retry.seconds)):
            self._put(event)

    @abstractmethod
    def _decode(self, message: pb.Tile) -> TileT:
        """A tile from the wire."""

    def _put(self, event: TileT | Notice) -> None:
        self._events.put_nowait((self._connection, event))

    def _receive(self, message: pb.ServerEvent) -> None:
        """Queue one event of the wire; kinds that this client does not know are passed over."""
        match message.WhichOneof("event"):
            case "tile":
                self._count(message)
                tile = self._decode(message.tile)
                self._arrivals.tile(tile.id, tile.content_hash)
                self._put(tile)
            case "visible":
                show, hide = (tuple(map(tile_id, tiles)) for tiles in (message.visible.show, message.visible.hide))
                change = self._arrivals.change(VisibleChange(show, hide, message.visible.view_sequence, message.visible.complete))
                if change is not None:
                    self._put(change)
            case "remove":
                removed = Removed(tuple(map(tile_id, message.remove.tiles)))
                self._arrivals.drop(removed.tiles)
                self._put(removed)
            case "step":
                self._put(StepComplete(message.step.view_sequence, message.step.sim_time, message.step.state_hash))
            case "error" if message.error.final:
                self._final = error_from_detail(message.error, self._target)
            case "error":
                detail = message.error
                tile_failed = tile_id(detail.tile) if detail.HasField("tile") else None
                self._put(Failed(tile_failed, error_from_detail(detail, self._target)))

    def _count(self, message: pb.ServerEvent) -> None:
        counters, now = self.counters, time.perf_counter()
        counters.tiles += 1
        counters.bytes += message.ByteSize()
        counters.provisional += message.tile.provisional
        counters.last_tile = now - self._started
        if counters.tiles == 1:
            counters.first_tile = counters.last_tile
        if message.tile.view_sequence in self._sent:
            counters.latencies.append(now - self._sent[message.tile.view_sequence])

    async def _messages(self, opened: asyncio.Future[None]) -> AsyncIterator[pb.ClientMessage]:
        """What goes up in one call: the opening, then the newest of everything whenever the transport is free.

        Nothing follows the opening before it is answered: grpcio puts a status of its own in place of the server's when it writes to a
        stream that the server has just ended (grpc/grpc#36066). For the same reason a stream's last event repeats its error.
        """
        yield pb.ClientMessage(open=self._opening_now())
        await asyncio.wait([opened])
        while self._call_in_use is opened:
            await self._work.wait()
            if self._call_in_use is not opened:
                return  # what waits is for the next call
            self._work.clear()
            for message in self._viewpoints.messages(self._sequence):
                self.counters.views_sent += message.HasField("view")
                yield message
            if self._acks:
                acks, self._acks = self._acks, []
                yield pb.ClientMessage(ack=pb.Ack(deliveries=acks))
            if self._forgotten:
                forgotten, self._forgotten = self._forgotten, []
                yield pb.ClientMessage(forget=pb.Forget(tiles=[tile.message() for tile in forgotten]))

    def _opening_now(self) -> pb.OpenSessionRequest:
        """The opening with the newest views and with all that has arrived; what was meant for a former session is void."""
        self._acks, self._forgotten = [], []
        self.counters.views_sent += len(self._viewpoints.newest)
        self._viewpoints.open(self._opening)
        del self._opening.have[:]
        self._opening.have.extend(pb.HeldTile(id=tile.message(), content_hash=digest) for tile, digest in self._arrivals.held.items())
        return self._opening


class AsyncStream(AsyncTileStream[Tile]):
    """The tiles that a moving viewpoint needs to see, as glTF. See `AsyncTileStream` for all that it does."""

    _kind = Tile

    def _decode(self, message: pb.Tile) -> Tile:
        return tile_from_message(message)
