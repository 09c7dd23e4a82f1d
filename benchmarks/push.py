"""A trace flown in real time on the gRPC streams: one for the eye and one for collision, each on its own connection."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.shown import Log
from benchmarks.traces import Trace
from terraloom import CollisionOptions, HeightTile, Removed, StreamOptions, Tile, View, VisibleChange
from terraloom._async_client import AsyncClient
from terraloom._async_stream import AsyncTileStream
from terraloom._view import AnyView
from terraloom_engines.server.requests import view_state
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState
from terraloom_engines.world import World, open_world

VIEWS_PER_SECOND = 20


class Clock:
    """Seconds since the flight began."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() - self._start


def state(view: AnyView, world: World) -> ViewState:
    """A view as the server understands it."""
    return view_state(view.message(1), world)


def view_at(trace: Trace, seconds: float) -> View:
    """What the trace's pilot sees."""
    view = trace.path.view(seconds)
    assert isinstance(view, View)
    return view


async def fly(address: str, trace: Trace, seconds: float, before_leaving: Callable[[], object] = lambda: None) -> Log:
    """The log of the first `seconds` of a flight. The clock starts when the ground within the body's radius is there.

    `before_leaving` is called while the streams are still open: what a server has under way when a client leaves is nobody's fault.
    """
    log, world = Log(), open_world("earth")
    views = [view_at(trace, i / VIEWS_PER_SECOND) for i in range(int(seconds * VIEWS_PER_SECOND))]
    states = [state(view, world) for view in views]
    collision = CollisionOptions(trace.radius, trace.collision_level)
    client = AsyncClient(address)
    async with client:
        await client.wait_ready()
        async with client.collision_stream(replace(views[0], velocity=(0.0, 0.0, 0.0)), collision) as ground:
            log.ground += [(0.0, _engines(tile.id), True) for tile in await ground.settle(120.0)]
            async with client.stream(views[0], StreamOptions(max_level=trace.max_level)) as stream:
                clock = Clock()
                listeners = [asyncio.create_task(_listen(stream, log, clock)), asyncio.create_task(_listen(ground, log, clock))]
                for i, view in enumerate(views):
                    await asyncio.sleep(max(i / VIEWS_PER_SECOND - clock(), 0.0))
                    log.frames.append((clock(), states[i]))
                    stream.move(view)
                    ground.move(view)
                await asyncio.to_thread(before_leaving)
                for listener in listeners:
                    listener.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await listener
    return log


async def _listen(stream: AsyncTileStream, log: Log, clock: Clock) -> None:  # type: ignore[type-arg]
    """Logs what comes, which counts as applied at once."""
    drawn: set[TileId] = set()
    async for event in stream.events():
        now = clock()
        if isinstance(event, Tile):
            tile = _engines(event.id)
            log.arrivals.append((now, tile, len(event.glb)))
            log.heights[tile] = event.min_height, event.max_height
        elif isinstance(event, HeightTile):
            log.ground.append((now, _engines(event.id), True))
        elif isinstance(event, Removed) and stream._kind is HeightTile:
            log.ground += [(now, _engines(tile), False) for tile in event.tiles]
        elif isinstance(event, VisibleChange) and stream._kind is Tile:
            drawn = (drawn - {_engines(tile) for tile in event.hide}) | {_engines(tile) for tile in event.show}
            log.changes.append((now, frozenset(drawn)))


def _engines(tile: tuple[int, int, int]) -> TileId:
    return TileId(*tile)


async def prepare(address: str, trace: Trace, seconds: float, every: float = 1.0) -> Log:
    """All that the flight needs, waited for at views `every` so many seconds: warms a store, and tells all heights. No frames."""
    log = Log()
    async with AsyncClient(address) as client:
        await client.wait_ready()
        first, collision = view_at(trace, 0.0), CollisionOptions(trace.radius, trace.collision_level)
        async with (
            client.collision_stream(first, collision) as ground,
            client.stream(first, StreamOptions(max_level=trace.max_level)) as eye,
        ):
            clock, moment = Clock(), 0.0
            while moment < seconds:
                view = view_at(trace, moment)
                for stream in (ground, eye):
                    stream.move(view)
                for stream in (ground, eye):
                    for event in await stream.settle(1200.0):
                        if isinstance(event, Tile):
                            log.heights[_engines(event.id)] = event.min_height, event.max_height
                print(f"{trace.name}: {moment:.0f} s, {len(log.heights)} tiles, {clock():.0f} s taken", flush=True)
                moment += every
    return log
