"""The same flight on a client that pulls: 3D Tiles over HTTP, as CesiumJS, cesium-native and 3DTilesRendererJS load them.

What is modelled, and where the models differ, to the advantage of this client:

- Tilesets are JSON; each names three levels and refers to the next. A tile's volume is known once its tileset has come.
- Twenty times a second the tree is walked from its root: a tile is refined while its screen-space error exceeds 16 lines and it is in
  the picture and before the horizon (distances and culling are those of `selection.py`, by the heights of the tileset's volumes).
- All tiles on the way down are asked for, parents before children, then by distance; those outside the picture that a parent needs
  before it can give way come last. (CesiumJS and 3DTilesRendererJS order by depth and then distance.)
- A tile gives way when all four children are loaded (REPLACE).
- 20 loads in flight (cesium-native has 20, CesiumJS 18 a server, 3DTilesRendererJS 25), one tile a request, over as many keep-alive
  connections (browsers have 6). A queued load that is no longer wanted is dropped; one in flight runs on. Free places are filled at once,
  not at the next frame.
- Nothing is evicted: the caches of 512 MiB hold a flight.
- Contents are the same bytes as the streams have: meshopt, JPEG.
"""

import asyncio
import contextlib
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from benchmarks.push import VIEWS_PER_SECOND, Clock, state, view_at
from benchmarks.shown import TARGET, Log
from benchmarks.traces import Trace
from terraloom_engines.ground import viewer_of
from terraloom_engines.mesh import geometric_error
from terraloom_engines.selection import Priority, SelectedTile, WorkClass
from terraloom_engines.server.coverage import drawn_tiles
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState
from terraloom_engines.world import open_world

IN_FLIGHT = 20
ENTRY = "/earth/tileset.json?compression=meshopt"
ROOT = TileId(0, 0, 0)
_ADDRESS = re.compile(r"/(tiles|subtrees)/(\d+)/(\d+)/(\d+)\.(?:glb|json)(?:\?|$)")
_HERE = Priority(WorkClass.NEAR, 0.0, 0)


@dataclass(slots=True)
class Node:
    """A tile as its tileset describes it."""

    heights: tuple[float, float]
    uri: str
    tileset: bool
    """Whether `uri` is a tileset that describes it further, not its content."""


class Tree:
    """What is known of the tileset."""

    def __init__(self) -> None:
        self.nodes = {ROOT: Node((-500.0, 9000.0), ENTRY, True)}

    def add(self, document: dict[str, Any], url: str) -> None:
        """A tileset that came from `url`."""
        waiting = [document["root"]]
        while waiting:
            entry = waiting.pop()
            waiting += entry.get("children", [])
            uri = urljoin(url, entry.get("content", {}).get("uri", ""))
            if match := _ADDRESS.search(uri):  # the ground beyond the rim of the map has other addresses
                low, high = entry["boundingVolume"]["region"][4:]
                self.nodes[TileId(*map(int, match.groups()[1:]))] = Node((low, high), uri, match.group(1) == "subtrees")


@dataclass(slots=True)
class Walk:
    """One walk through the tree: what to load, most urgent first, and the tiles that count for what is drawn."""

    loads: list[tuple[bool, int, float, TileId]] = field(default_factory=list)
    selected: list[SelectedTile] = field(default_factory=list)


def walk(tree: Tree, view: ViewState, max_level: int) -> Walk:
    """The tiles that a view asks for, as far as the tree is known."""
    found, viewer = Walk(), viewer_of(view)
    level = [ROOT]
    while level:
        finer: list[TileId] = []
        for tile in level:
            node = tree.nodes[tile]
            measure = viewer.measure(tile)
            distance, seen = viewer.distance(measure, node.heights), viewer.sees(tile, measure, node.heights)
            reach = geometric_error(tile) * view.lines_per_radian / TARGET
            children = tile.children
            refined = tile.z < max_level and distance < reach and seen and children[0] in tree.nodes
            found.loads.append((not seen, tile.z, distance, tile))
            found.selected.append(SelectedTile(tile, _HERE, refined))
            finer += children if refined else ()
        level = finer
    found.loads.sort()
    return found


class Connection:
    """One keep-alive connection; one request at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> bytes:
        """The body of a GET, unpacked. Raises ConnectionError for any answer but 200."""
        if self._streams is not None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                return await self._ask(path, *self._streams)
            self.close()  # the server hung up on a connection that was idle for a while, as servers do
        name, port = self._host.split(":")
        self._streams = await asyncio.open_connection(name, int(port), limit=1 << 20)
        return await self._ask(path, *self._streams)

    async def _ask(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        body = await reader.readexactly(int(fields[b"content-length"]))
        if head.split(b" ", 2)[1] != b"200":
            raise ConnectionError(f"{path}: {head.splitlines()[0].decode()}")
        return gzip.decompress(body) if fields.get(b"content-encoding") == b"gzip" else body

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()


class Loader:
    """Loads what the newest walk wants, `IN_FLIGHT` at a time."""

    def __init__(self, host: str, log: Log, clock: Clock) -> None:
        self.tree, self.loaded = Tree(), set[TileId]()
        self.tilesets = 0
        self._log, self._clock = log, clock
        self._idle = [Connection(host) for _ in range(IN_FLIGHT)]
        self._connections = tuple(self._idle)
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._wanted: list[TileId] = []

    def want(self, tiles: list[TileId]) -> None:
        """What to load from now on, in this order."""
        self._wanted = tiles
        self._fill()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to load."""
        return not self._flying and all(tile in self.loaded and not self.tree.nodes[tile].tileset for tile in self._wanted)

    def _fill(self) -> None:
        for tile in self._wanted:
            if not self._idle:
                return
            node = self.tree.nodes[tile]
            if node.uri not in self._flying and (node.tileset or tile not in self.loaded):
                self._flying[node.uri] = asyncio.create_task(self._load(self._idle.pop(), tile, node))

    async def _load(self, connection: Connection, tile: TileId, node: Node) -> None:
        try:
            body = await connection.get(node.uri)
            if node.tileset:
                self.tilesets += 1
                self.tree.add(json.loads(body), node.uri)
            else:
                self.loaded.add(tile)
                self._log.arrivals.append((self._clock(), tile, len(body)))
        finally:
            self._idle.append(connection)
            del self._flying[node.uri]
        self._fill()

    async def close(self) -> None:
        """Gives up what is under way."""
        for task in list(self._flying.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                await task
        for connection in self._connections:
            connection.close()


async def fly(host: str, trace: Trace, seconds: float, before_leaving: Callable[[], object] = lambda: None) -> Log:
    """The log of the first `seconds` of a flight; `before_leaving` is called before loads that are under way are given up."""
    log, world = Log(), open_world("earth")
    states = [state(view_at(trace, i / VIEWS_PER_SECOND), world) for i in range(int(seconds * VIEWS_PER_SECOND))]
    clock = Clock()
    loader, drawn = Loader(host, log, clock), frozenset[TileId]()
    for i, view in enumerate(states):
        await asyncio.sleep(max(i / VIEWS_PER_SECOND - clock(), 0.0))
        log.frames.append((clock(), view))
        found = walk(loader.tree, view, trace.max_level)
        loader.want([tile for *_, tile in found.loads])
        now = frozenset(drawn_tiles(found.selected, loader.loaded.__contains__, drawn))
        if now != drawn:
            drawn = now
            log.changes.append((clock(), drawn))
    await asyncio.to_thread(before_leaving)
    await loader.close()
    return log


async def prepare(host: str, trace: Trace, seconds: float, every: float = 1.0) -> None:
    """Loads all that the flight needs, waited for at views `every` so many seconds: warms a store."""
    world, log, clock, moment = open_world("earth"), Log(), Clock(), 0.0
    loader = Loader(host, log, clock)
    while moment < seconds:
        view = state(view_at(trace, moment), world)
        while True:
            loader.want([tile for *_, tile in walk(loader.tree, view, trace.max_level).loads])
            if loader.settled:
                break
            await asyncio.sleep(0.05)
        print(f"{trace.name}: {moment:.0f} s, {len(loader.loaded)} tiles and {loader.tilesets} tilesets, {clock():.0f} s taken", flush=True)
        moment += every
    await loader.close()
