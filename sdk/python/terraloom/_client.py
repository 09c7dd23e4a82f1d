"""The client without asyncio: every call runs on the `AsyncClient` behind it, in one background event loop of the process."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from functools import cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from terraloom._async_client import AsyncClient
from terraloom._async_stream import AsyncTileStream, TileT
from terraloom._collision import AsyncCollisionStream, CollisionOptions
from terraloom._connection import Tls
from terraloom._counters import Counters
from terraloom._heights import HeightGrid, HeightTile
from terraloom._lockstep import AsyncLockstep, Step
from terraloom._options import ContentOptions, Region, StreamOptions, Surface
from terraloom._tile import Notice, Tile, TileId
from terraloom._view import AnyView
from terraloom.v1 import operations_pb2 as ops
from terraloom.v1 import terraloom_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The process's background loop: gRPC's asyncio works best with a single one."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="terraloom", daemon=True).start()
    return loop


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Result of `coroutine`, run in the background loop; an interrupt cancels it."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _call(function: Any, *args: Any) -> Any:
    """A plain function as a coroutine, so that it too runs in the loop's thread."""
    return function(*args)


class TileStream(Generic[TileT]):
    """`AsyncTileStream` for plain code: a context manager and an iterator over tiles; methods may be called from any thread."""

    def __init__(self, stream: AsyncTileStream[TileT]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        _run(self._stream.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session; what has arrived can still be taken."""
        _run(self._stream.close())

    @property
    def counters(self) -> Counters:
        """What has been received so far."""
        return self._stream.counters

    @property
    def session(self) -> pb.SessionOpened:
        """The server's answer with all defaults filled in."""
        return self._stream.session

    @property
    def visible(self) -> frozenset[TileId]:
        """The tiles to draw, as of the events taken."""
        return frozenset(self._stream.visible)

    @property
    def held(self) -> dict[TileId, bytes]:
        """Content hashes of the tiles taken and not freed: the `have` of a later stream."""
        return dict(self._stream.held)

    @property
    def complete(self) -> bool:
        """Whether `visible` is all that the newest view asks for."""
        return self._stream.complete

    def move(self, view: AnyView, viewpoint: str = "") -> None:
        """Make `view` the newest of a viewpoint; one that was not sent yet is replaced. A stream has up to 16 viewpoints, by name."""
        _run(_call(self._stream.move, view, viewpoint))

    def leave(self, viewpoint: str) -> None:
        """Do without a viewpoint: what only it needed is given up."""
        _run(_call(self._stream.leave, viewpoint))

    def forget(self, tiles: Iterable[TileId]) -> None:
        """Tell the server that the client dropped `tiles` on its own account."""
        _run(_call(self._stream.forget, tuple(tiles)))

    def __iter__(self) -> Iterator[TileT]:
        return _iterate(aiter(self._stream))

    def events(self) -> Iterator[TileT | Notice]:
        """Everything in order: tiles, changes of the visible set, tiles to free, tiles that failed."""
        return _iterate(self._stream.events())

    def settle(self, timeout: float | None = None) -> list[TileT]:
        """Take events until `complete`; returns the tiles among them. Raises `DeadlineExceededError` after `timeout` seconds."""
        return _run(self._stream.settle(timeout))

    def poll(self) -> list[TileT | Notice]:
        """Take what has arrived, without waiting: for loops that run at their own pace."""
        events: list[TileT | Notice] = _run(_call(self._stream.poll))
        return events


class Stream(TileStream[Tile]):
    """`AsyncStream` for plain code: glTF tiles; methods may be called from any thread."""


class CollisionStream(TileStream[HeightTile]):
    """`AsyncCollisionStream` for plain code: height grids; methods may be called from any thread."""

    def __init__(self, stream: AsyncCollisionStream) -> None:
        super().__init__(stream)
        self._collision = stream

    @property
    def ground(self) -> Mapping[TileId, HeightTile]:
        """The tiles that the client has: those taken, less those freed."""
        return dict(self._collision.ground)


class Lockstep(Generic[TileT]):
    """`AsyncLockstep` for plain code: a viewpoint that goes step by step; a context manager."""

    def __init__(self, lockstep: AsyncLockstep[TileT]) -> None:
        self._lockstep = lockstep

    def __enter__(self) -> Self:
        _run(self._lockstep.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        _run(self._lockstep.close())

    @property
    def first(self) -> Step[TileT]:
        """The step that was made when it was entered."""
        return self._lockstep.first

    @property
    def session(self) -> pb.SessionOpened:
        """The server's answer with all defaults filled in."""
        return self._lockstep.session

    @property
    def counters(self) -> Counters:
        """What has been received so far."""
        return self._lockstep.counters

    @property
    def visible(self) -> frozenset[TileId]:
        """The tiles to draw; of height grids, the ground."""
        return self._lockstep.visible

    @property
    def held(self) -> dict[TileId, bytes]:
        """Content hashes of the tiles that came and were not freed."""
        return self._lockstep.held

    @property
    def sim_time(self) -> float:
        """Simulated seconds of the last step."""
        return self._lockstep.sim_time

    def step(self, view: AnyView, sim_time: float) -> Step[TileT]:
        """Moves to `view` at a simulated time in seconds, waits until all that it needs is there, and tells what changed.

        Raises `InvalidArgumentError` for a time before that of the last step, and what ended the session.
        """
        return _run(self._lockstep.step(view, sim_time))


def _iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an async iterator, one hop to the loop each."""
    end = object()

    async def step() -> Any:
        return await anext(items, end)

    while (item := _run(step())) is not end:
        yield item


class Client:
    """`AsyncClient` for plain code; a context manager. Methods may be called from any thread."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all calls and the connection."""
        _run(self._client.close())

    @property
    def target(self) -> str:
        """The server's address."""
        return self._client.target

    def wait_ready(self, timeout: float = 30.0) -> pb.DescribeResponse:
        """Wait until the server answers for the world; returns its description. Raises `UnavailableError` after `timeout` seconds."""
        return _run(self._client.wait_ready(timeout))

    def describe(self, timeout: float | None = None) -> pb.DescribeResponse:
        """The world, and the server's defaults and limits."""
        return _run(self._client.describe(timeout))

    def worlds(self, timeout: float | None = None) -> list[pb.WorldInfo]:
        """All worlds of the server, its default first."""
        return _run(self._client.worlds(timeout))

    def server_stats(self, sessions: int = 64, timeout: float | None = None) -> ops.ServerStats:
        """The server's sessions (those opened last), queue, counters and latencies, for whoever runs it. See `AsyncClient.server_stats`."""
        return _run(self._client.server_stats(sessions, timeout))

    def get_tile(self, z: int, x: int, y: int, content: ContentOptions = ContentOptions(), timeout: float | None = None) -> Tile:
        """One tile, generated if need be; raises `InvalidArgumentError` for an address outside the world."""
        return _run(self._client.get_tile(z, x, y, content, timeout))

    def get_height_grid(self, z: int, x: int, y: int, surface: Surface = "ground_or_water", timeout: float | None = None) -> HeightGrid:
        """The heights of one tile for physics, generated if need be; raises `InvalidArgumentError` for an address outside the world."""
        return _run(self._client.get_height_grid(z, x, y, surface, timeout))

    def sample_heights(
        self,
        points: "ArrayLike",
        level: int | None = None,
        surface: Surface = "ground_or_water",
        timeout: float | None = None,
    ) -> "NDArray[np.float64]":
        """Heights in metres above mean sea level, shape (n,), of `points`, shape (n, 2).

        Points are (longitude, latitude) in degrees, or (x, y) in metres on a plane.

        See `AsyncClient.sample_heights`.
        """
        return _run(self._client.sample_heights(points, level, surface, timeout))

    def sample_heights_ecef(
        self,
        points: "ArrayLike",
        level: int | None = None,
        surface: Surface = "ground_or_water",
        timeout: float | None = None,
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Heights, shape (n,), and the ground itself, shape (n, 3), below or above earth-centred earth-fixed `points`, shape (n, 3).

        See `AsyncClient.sample_heights_ecef`.
        """
        return _run(self._client.sample_heights_ecef(points, level, surface, timeout))

    def barrier(
        self, where: Region | AnyView | str, options: StreamOptions = StreamOptions(), deadline: float = 0.0, timeout: float | None = None
    ) -> pb.BarrierResponse:
        """Wait until all tiles of a region, a view or a session (its id) are generated, or `deadline` seconds (0: never) are over.

        See `AsyncClient.barrier`.
        """
        return _run(self._client.barrier(where, options, deadline, timeout))

    def stream(self, view: AnyView | None = None, options: StreamOptions = StreamOptions()) -> Stream:
        """A stream of what viewpoints need, from `view` on; enter it to start. Only a `Region` needs no view."""
        return Stream(_run(_call(self._client.stream, view, options)))

    def collision_stream(self, view: AnyView, options: CollisionOptions = CollisionOptions()) -> CollisionStream:
        """A stream of the ground near a viewpoint, from `view` on, on a connection of its own; enter it to start."""
        return CollisionStream(_run(_call(self._client.collision_stream, view, options)))

    @overload
    def lockstep(self, view: AnyView, options: StreamOptions = ..., sim_time: float = 0.0) -> Lockstep[Tile]: ...
    @overload
    def lockstep(self, view: AnyView, options: CollisionOptions, sim_time: float = 0.0) -> Lockstep[HeightTile]: ...
    def lockstep(
        self, view: AnyView, options: StreamOptions | CollisionOptions = StreamOptions(), sim_time: float = 0.0
    ) -> Lockstep[Tile] | Lockstep[HeightTile]:
        """A viewpoint that goes step by step, from `view` on at `sim_time` seconds; enter it to make the first step.

        With `StreamOptions` a step brings tiles to see, with `CollisionOptions` the ground near the viewpoint, all of it before it is done.
        """
        return Lockstep(_run(_call(self._client.lockstep, view, options, sim_time)))


def connect(target: str, world: str = "", seed: int = 0, *, tls: Tls | None = None, token: str | None = None) -> Client:
    """A client of the server at `target` ("host:port") for one of its worlds ("": its default). The first call connects.

    `tls` None talks in clear. `token` None takes that of the environment (TERRALOOM_TOKEN), if there is one. See `AsyncClient`.
    """
    return Client(_run(_call(partial(AsyncClient, tls=tls, token=token), target, world, seed)))
