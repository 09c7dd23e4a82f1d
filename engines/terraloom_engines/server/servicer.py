"""The calls of the wire contract. Each reads its request, asks the part that knows, and writes the reply."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc

from terraloom.errors import CancelledError, FailedPreconditionError, InternalError, InvalidArgumentError, TerraloomError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomServicer
from terraloom_engines.content import ContentOptions, GridOptions
from terraloom_engines.selection import Criteria, Priority, WorkClass
from terraloom_engines.server import replies, requests
from terraloom_engines.server.admission import LEAST_PLACES, Admission
from terraloom_engines.server.barrier import PLANNED_TILES, Barrier, region_tiles, within
from terraloom_engines.server.callers import CALLER
from terraloom_engines.server.checks import count_in_range, in_range
from terraloom_engines.server.contents import ContentKey
from terraloom_engines.server.credit import Credit
from terraloom_engines.server.rates import Allowance
from terraloom_engines.server.sampling import sampled_heights
from terraloom_engines.server.sessions import AnySession, Sessions
from terraloom_engines.server.worlds import ServedWorld, Worlds

LONGEST_CLIENT = 128
"""Characters of a client's name in the log."""
MESSAGE_BYTES = 4 << 20
"""Largest message that the server accepts: an opening with a full have-set."""
WAITED_FOR = Priority(WorkClass.NEAR, 0.0, 0)
"""Of a tile that a caller waits for: before all tiles of streams but the coarsest."""

_log = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Servicer(TerraloomServicer):
    """Serves the worlds that requests name."""

    def __init__(self, worlds: Worlds, sessions: Sessions) -> None:
        self._worlds = worlds
        self._sessions = sessions
        self._admission = Admission()

    @contextmanager
    def _in_hand(self, context: Context, places: int = LEAST_PLACES) -> Iterator[None]:
        """While a call waits for tiles. Raises ResourceExhaustedError for one too many."""
        with self._admission(_client(context), places), CALLER.get().calling():
            yield

    async def _served(self, world: pb.WorldId) -> ServedWorld:
        return await self._worlds.get(world.name, world.seed)

    async def Stream(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.ClientMessage], context: Context
    ) -> AsyncIterator[pb.ServerEvent]:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("message") != "open":
            raise FailedPreconditionError("the first message of a stream must be `open`")
        session = await self._open(first.open)
        reader = asyncio.create_task(self._read(session, request_iterator))
        try:
            yield pb.ServerEvent(opened=self._opened(session))
            async with aclosing(self._sessions.events(session)) as events:
                async for event in events:
                    yield event
        except _FinishedError:
            return
        except TerraloomError as error:
            detail = replies.error_detail(error)
            detail.final = True
            yield pb.ServerEvent(error=detail)
            raise
        finally:
            reader.cancel()
            self._sessions.close(session, CancelledError("the stream has ended"))

    async def _read(self, session: AnySession, messages: AsyncIterator[pb.ClientMessage]) -> None:
        """Applies what comes up; the stream ends with the first message that is wrong, and when the client sends no more."""
        try:
            async for message in messages:
                self._apply(session, message)
            session.end(_FinishedError("the client has finished"))
        except TerraloomError as error:
            session.end(error)
        except Exception as error:  # a defect of ours must end the stream, not leave it deaf
            _log.exception("reading session %s failed", session.name)
            session.end(InternalError(f"reading session {session.name} failed: see the server's log ({type(error).__name__})"))

    def _apply(self, session: AnySession, message: pb.ClientMessage) -> None:
        match message.WhichOneof("message"):
            case "view":
                session.look(message.view.sequence, requests.view_state(message.view, session.world), message.view.viewpoint)
            case "leave":
                session.leave(message.leave.viewpoints, message.leave.sequence)
            case "ack":
                session.acknowledge(message.ack.deliveries)
            case "selection":
                session.choose(requests.selection(message.selection, session.world, session.classes))
            case "forget":
                session.forget([requests.tile_id(tile, session.world) for tile in message.forget.tiles])
            case "credit":
                session.widen(Credit.from_message(message.credit))
            case "open":
                raise FailedPreconditionError("a stream is opened once: `open` came again")
            case None:
                raise InvalidArgumentError("a message of the client is empty, or of a kind that this server does not know")

    async def _open(self, request: pb.OpenSessionRequest) -> AnySession:
        requests.check_version(request)
        served = await self._served(request.world)
        opening = requests.opening(request, served.world)
        first = [request.view] if request.HasField("view") else []
        views = [(view, requests.view_state(view, served.world)) for view in (*first, *request.views)]
        session = self._sessions.open(served, opening, CALLER.get())
        for message, view in views:
            session.look(message.sequence, view, message.viewpoint)
        told = {"client": opening.client[:LONGEST_CLIENT], "world": session.world.name, "caller": CALLER.get().name}
        _log.info("session opened", extra={"session": session.name} | told)
        return session

    def _opened(self, session: AnySession) -> pb.SessionOpened:
        return pb.SessionOpened(
            protocol_version=pb.PROTOCOL_VERSION_1,
            session_id=session.name,
            world=replies.world_info(session.world),
            selection=replies.selection(session.criteria),
            content=replies.content_options(session.content),
            credit=session.window.credit.message(),
        )

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.SessionOpened:  # noqa: N802
        return self._opened(await self._open(request))

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.ServerEvent]:  # noqa: N802
        session = self._sessions.of(CALLER.get(), request.session_id).carrying(requests.classes(request.priorities))
        self._sessions.require_free(session)
        if request.HasField("credit"):
            session.widen(Credit.from_message(request.credit))
        await context.send_initial_metadata(())  # the client learns that it is subscribed before the first event
        async with aclosing(self._sessions.events(session)) as events:
            async for event in events:
                yield event

    async def UpdateView(self, request: pb.UpdateViewRequest, context: Context) -> pb.UpdateViewResponse:  # noqa: N802
        session = self._sessions.of(CALLER.get(), request.session_id)
        for name in ("credit", "selection", "forget", "ack", "leave", "view"):
            if request.HasField(name):
                self._apply(session, pb.ClientMessage(**{name: getattr(request, name)}))
        return pb.UpdateViewResponse(view_sequence=session.view_sequence)

    async def GetTile(self, request: pb.GetTileRequest, context: Context) -> pb.Tile:  # noqa: N802
        allowance = _required()
        with (await self._served(request.world)).in_use() as served:
            tile, options = requests.tile_id(request.id, served.world), requests.content_options(request.content)
            key = ContentKey(tile, GridOptions(options.surface) if request.height_grid else options)
            with self._in_hand(context):
                answer = replies.tile(await served.contents.get(key, WAITED_FOR, _client(context)))
        allowance.spend(1, answer.ByteSize())
        return answer

    async def SampleHeights(self, request: pb.SampleHeightsRequest, context: Context) -> pb.SampleHeightsResponse:  # noqa: N802
        allowance = _required()
        with (await self._served(request.world)).in_use() as served:
            sampling = requests.sampling(request, served.world)
            with self._in_hand(context, len(sampling.east)):
                heights, tiles = await sampled_heights(served.contents, sampling, WAITED_FOR, _client(context))
        allowance.spend(tiles, heights.nbytes)
        surface, identity = replies.surface(sampling.options.surface), bytes.fromhex(served.world.identity)
        return pb.SampleHeightsResponse(height=heights.tolist(), surface=surface, world_identity=identity)

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:  # noqa: N802
        world = (await self._served(request.world)).world
        return pb.DescribeResponse(
            protocol_version=pb.PROTOCOL_VERSION_1,
            server_version=version("terraloom"),
            world=replies.world_info(world),
            runtime=world.runtime_identity,
            content=replies.content_options(ContentOptions()),
            credit=Credit().message(),
            selection=replies.selection(Criteria(min_level=world.min_level, max_level=world.max_level)),
            max_message_bytes=MESSAGE_BYTES,
            max_sample_points=requests.MOST_POINTS,
        )

    async def ListWorlds(self, request: pb.ListWorldsRequest, context: Context) -> pb.ListWorldsResponse:  # noqa: N802
        return pb.ListWorldsResponse(worlds=[replies.world_info(served.world) for served in self._worlds.opened])

    async def Barrier(self, request: pb.BarrierRequest, context: Context) -> pb.BarrierResponse:  # noqa: N802
        allowance = _required()
        answer = await self._barrier(request, context)
        allowance.spend(answer.tiles, 0)
        return answer

    async def _barrier(self, request: pb.BarrierRequest, context: Context) -> pb.BarrierResponse:
        client = _client(context)
        deadline = in_range("deadline", request.deadline, 0.0, 86_400.0)
        if request.WhichOneof("where") == "session_id":
            session = self._sessions.of(CALLER.get(), request.session_id)
            requests.check_world(request.world, session.world)
            barrier = Barrier(session.contents, client)
            with self._in_hand(context, PLANNED_TILES):
                return await within(deadline, barrier, barrier.session(session))
        with (await self._served(request.world)).in_use() as served:
            barrier, options = Barrier(served.contents, client), requests.content_options(request.content)
            match request.WhichOneof("where"):
                case "region":
                    level = count_in_range("level", request.level, served.world.min_level, served.world.max_level)
                    tiles = region_tiles(request.region, level, served.world.kind)
                    with self._in_hand(context, len(tiles)):
                        return await within(deadline, barrier, barrier.region(tiles, options))
                case "view":
                    view, criteria = requests.view_state(request.view, served.world), requests.criteria(request.selection, served.world)
                    with self._in_hand(context, PLANNED_TILES):
                        return await within(deadline, barrier, barrier.view(view, criteria, options))
        raise InvalidArgumentError("barrier names no region, view or session_id", field="region")


def _client(context: Context) -> str:
    """In whose turn what the call needs is made: its token's, where there are tokens, else its connection's."""
    return CALLER.get().name or context.peer()


def _required() -> Allowance:
    """What the caller may have; raises ResourceExhaustedError when that is used up for now."""
    allowance = CALLER.get().allowance
    allowance.require()
    return allowance


class _FinishedError(CancelledError):
    """The client half-closed its stream: the server ends it without an error."""
