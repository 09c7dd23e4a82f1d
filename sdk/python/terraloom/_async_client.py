"""The client, for asyncio; `terraloom.Client` is the same for everyone else."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, overload
from weakref import WeakSet

from terraloom._async_stream import AsyncStream
from terraloom._barrier import barrier_message
from terraloom._collision import AsyncCollisionStream, CollisionOptions
from terraloom._connection import Connection, Tls
from terraloom._encoding import encoded
from terraloom._heights import HeightGrid, HeightTile, ecef_points, height_grid_from_message, sampling_message
from terraloom._lockstep import AsyncLockstep
from terraloom._options import ContentOptions, Region, StreamOptions, Surface
from terraloom._status import MissingMethodError, translated_errors
from terraloom._tile import Tile, TileId, tile_from_message
from terraloom._versions import client_name, missing_method, require_protocol
from terraloom._view import AnyView
from terraloom.errors import DeadlineExceededError, ResourceExhaustedError, UnavailableError
from terraloom.v1 import operations_pb2 as ops
from terraloom.v1 import terraloom_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")

ATTEMPTS = 3
"""Of a call that a full server turns away."""


class AsyncClient:
    """A connection to the server at `target` ("host:port") and one of its worlds; an async context manager.

    `world` "" is the server's default. Connecting is lazy: the first call does it. All calls raise the errors of `terraloom.errors`;
    `timeout` is in seconds, None waits as long as it takes. `tls` None talks in clear. `token` None takes that of the environment
    (TERRALOOM_TOKEN), if there is one; in clear it goes to this machine alone. Raises `InvalidArgumentError` or `NotFoundError` otherwise.
    """

    def __init__(self, target: str, world: str = "", seed: int = 0, *, tls: Tls | None = None, token: str | None = None) -> None:
        self.target = target
        self._connection = Connection(target, tls, token)
        with encoded({"world": world, "seed": seed}):
            self._world = pb.WorldId(name=world, seed=seed)
        self._channel = self._connection.channel()
        self._stub, self._operations = self._connection.stub(self._channel), self._connection.operations(self._channel)
        self._streams: WeakSet[AsyncStream | AsyncCollisionStream] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls, streams and connections."""
        for stream in list(self._streams):
            await stream.close()
        await self._channel.close(grace=None)

    async def _answer(self, method: str, call: Callable[[float | None], Awaitable[T]], timeout: float | None) -> T:
        """The answer to a call within `timeout`, or its error; a method that the server lacks is told with what the server is.

        A server that is full says when to come back: the call is tried again then, `ATTEMPTS` times in all, unless time is up before.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        for attempt in range(ATTEMPTS):
            try:
                with translated_errors(self.target):
                    return await call(None if timeout is None else max(end - time.monotonic(), 0.0))
            except MissingMethodError:
                raise await missing_method(self._stub, self.target, method) from None
            except ResourceExhaustedError as error:
                if error.retry_after is None or attempt + 1 == ATTEMPTS or time.monotonic() + error.retry_after >= end:
                    raise
                await asyncio.sleep(error.retry_after * random.uniform(1.0, 1.5))
        raise AssertionError("every attempt returns or raises")

    async def wait_ready(self, timeout: float = 30.0) -> pb.DescribeResponse:
        """Wait until the server answers for the world; returns its description. Raises `UnavailableError` after `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            try:
                return await self._describe(end - time.monotonic())  # does not wait for the connection, whose fault it tells
            except (UnavailableError, DeadlineExceededError) as error:
                if time.monotonic() >= end:
                    raise UnavailableError(f"{self.target} is not ready after {timeout:g} s") from error
                await asyncio.sleep(0.05)

    async def describe(self, timeout: float | None = None) -> pb.DescribeResponse:
        """The world, and the server's defaults and limits. Raises `FailedPreconditionError` when the server speaks another protocol."""
        return await self._describe(timeout)

    async def _describe(self, timeout: float | None) -> pb.DescribeResponse:
        request = pb.DescribeRequest(world=self._world)
        answer = await self._answer("Describe", lambda rest: self._stub.Describe(request, timeout=rest), timeout)
        require_protocol(answer.protocol_version, self.target, answer.server_version)
        return answer

    async def worlds(self, timeout: float | None = None) -> list[pb.WorldInfo]:
        """All worlds of the server, its default first."""
        answer = await self._answer("ListWorlds", lambda rest: self._stub.ListWorlds(pb.ListWorldsRequest(), timeout=rest), timeout)
        return list(answer.worlds)

    async def server_stats(self, sessions: int = 64, timeout: float | None = None) -> ops.ServerStats:
        """The server's sessions (those opened last), queue, counters and latencies, for whoever runs it.

        Raises `PermissionDeniedError` where tokens are asked for and this one is not an operator's.
        """
        with encoded(sessions):
            request = ops.GetServerStatsRequest(max_sessions=sessions)
        return await self._answer("GetServerStats", lambda rest: self._operations.GetServerStats(request, timeout=rest), timeout)

    async def get_tile(self, z: int, x: int, y: int, content: ContentOptions = ContentOptions(), timeout: float | None = None) -> Tile:
        """One tile, generated if need be; raises `InvalidArgumentError` for an address outside the world."""
        tile = TileId(z, x, y)
        with encoded((tile, content)):
            request = pb.GetTileRequest(world=self._world, id=tile.message(), content=content.message())
        return tile_from_message(await self._answer("GetTile", lambda rest: self._stub.GetTile(request, timeout=rest), timeout))

    async def get_height_grid(
        self, z: int, x: int, y: int, surface: Surface = "ground_or_water", timeout: float | None = None
    ) -> HeightGrid:
        """The heights of one tile for physics, generated if need be; raises `InvalidArgumentError` for an address outside the world."""
        tile, content = TileId(z, x, y), ContentOptions(surface=surface)
        with encoded(tile):
            request = pb.GetTileRequest(world=self._world, id=tile.message(), content=content.message(), height_grid=True)
        return height_grid_from_message(await self._answer("GetTile", lambda rest: self._stub.GetTile(request, timeout=rest), timeout))

    async def sample_heights(
        self,
        points: "ArrayLike",
        level: int | None = None,
        surface: Surface = "ground_or_water",
        timeout: float | None = None,
    ) -> "NDArray[np.float64]":
        """Heights in metres above mean sea level, shape (n,), of `points`, shape (n, 2).

        Points are (longitude, latitude) in degrees, or (x, y) in metres on a plane.

        They are those of the world's tiles of `level` (None: its finest), generated if need be: at the samples of a tile's height grid
        they equal it, between them they are bilinear. Raises `InvalidArgumentError` for another shape, for what is not a place, and
        for more points than `describe().max_sample_points`.
        """
        import numpy as np

        request = sampling_message(points, self._world, level, surface)
        return np.array(
            (await self._answer("SampleHeights", lambda rest: self._stub.SampleHeights(request, timeout=rest), timeout)).height,
            dtype=np.float64,
        )

    async def sample_heights_ecef(
        self,
        points: "ArrayLike",
        level: int | None = None,
        surface: Surface = "ground_or_water",
        timeout: float | None = None,
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """The ground below or above earth-centred earth-fixed `points`, metres, shape (n, 3).

        Returns its heights in metres above mean sea level, shape (n,), and itself in earth-centred earth-fixed metres, shape (n, 3): the
        foot of each point on the ground along the ellipsoid's normal. The points are turned into places by `frames.geodetic_from_ecef`;
        for the rest see `sample_heights`.
        """
        from terraloom.frames import ecef_from_geodetic, geodetic_from_ecef

        places = geodetic_from_ecef(ecef_points(points))
        heights = await self.sample_heights(places[:, :2], level, surface, timeout)
        return heights, ecef_from_geodetic(places[:, 0], places[:, 1], heights)

    async def barrier(
        self, where: Region | AnyView | str, options: StreamOptions = StreamOptions(), deadline: float = 0.0, timeout: float | None = None
    ) -> pb.BarrierResponse:
        """Wait until all tiles of a region are generated, or all that `options` select from a view, or a session (its id) from its newest.

        After `deadline` seconds (0: never) the answer is what is ready then, with `complete` false. Of `options`, a region takes
        `content` alone and a session nothing: it has its own.
        """
        with encoded({"where": where, "options": options, "deadline": deadline}):
            request = barrier_message(where, options, self._world, deadline)
        return await self._answer("Barrier", lambda rest: self._stub.Barrier(request, timeout=rest), timeout)

    def stream(self, view: AnyView | None = None, options: StreamOptions = StreamOptions()) -> AsyncStream:
        """A stream of what viewpoints need, from `view` on, on a connection of its own; enter it to start. A `Region` needs no view."""
        return self._stream(view, options, lockstep=False)

    def collision_stream(self, view: AnyView, options: CollisionOptions = CollisionOptions()) -> AsyncCollisionStream:
        """A stream of the ground near a viewpoint, from `view` on, on a connection of its own; enter it to start."""
        return self._collision_stream(view, options, lockstep=False)

    @overload
    def lockstep(self, view: AnyView, options: StreamOptions = ..., sim_time: float = 0.0) -> AsyncLockstep[Tile]: ...
    @overload
    def lockstep(self, view: AnyView, options: CollisionOptions, sim_time: float = 0.0) -> AsyncLockstep[HeightTile]: ...
    def lockstep(
        self, view: AnyView, options: StreamOptions | CollisionOptions = StreamOptions(), sim_time: float = 0.0
    ) -> AsyncLockstep[Tile] | AsyncLockstep[HeightTile]:
        """A viewpoint that goes step by step, from `view` on at `sim_time` seconds; enter it to make the first step.

        With `StreamOptions` a step brings tiles to see, with `CollisionOptions` the ground near the viewpoint, all of it before it is done.
        """
        if isinstance(options, CollisionOptions):
            return AsyncLockstep(self._collision_stream(view, options, lockstep=True), sim_time)
        return AsyncLockstep(self._stream(view, options, lockstep=True), sim_time)

    def _stream(self, view: AnyView | None, options: StreamOptions, lockstep: bool) -> AsyncStream:
        stream = AsyncStream(self._connection, self._opening(options, lockstep), view, options.reconnect)
        self._streams.add(stream)
        return stream

    def _collision_stream(self, view: AnyView, options: CollisionOptions, lockstep: bool) -> AsyncCollisionStream:
        stream = AsyncCollisionStream(self._connection, self._opening(options, lockstep), view, options)
        self._streams.add(stream)
        return stream

    def _opening(self, options: StreamOptions | CollisionOptions, lockstep: bool) -> pb.OpenSessionRequest:
        with encoded(options):
            opening = options.message(self._world, client_name())
        opening.lockstep = lockstep
        return opening
