"""Rasters to wire: mesh and GLB encoding, cached tiles over loopback, a flight, a stalled client, start of server and client."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.machine import quantiles
from terraloom import Credit, StreamOptions, Tile, View, connect
from terraloom.testing import run_server
from terraloom_engines.cli.demo import demo_path
from terraloom_engines.cli.flight import fly
from terraloom_engines.content import ContentOptions, build_content
from terraloom_engines.tiling import TileId, WorldKind, tile_from_lonlat
from terraloom_engines.world import open_world

ALPS = View(8.0, 46.5, 20_000.0)


def encoding(count: int = 40) -> dict[str, Any]:
    """Milliseconds from a finished field to GLB bytes, and their size."""
    world, start = open_world("earth"), tile_from_lonlat(11, 8.0, 46.5)
    seconds, sizes = [], []
    for i in range(count):
        tile = TileId(11, start.x + i % 4, start.y + i // 4 % 2)
        world.field(tile)
        begin = time.perf_counter()
        content = build_content(world, tile, ContentOptions(), lambda: False)
        seconds.append(time.perf_counter() - begin)
        sizes.append(len(content.glb))
    return {"ms": quantiles(seconds, 1e3), "bytes": quantiles(sizes)}


def cached_tiles(requests: int = 4000, clients: int = 16) -> dict[str, Any]:
    """GetTile of tiles that the server has: latency one at a time, throughput with several in flight."""
    corner = tile_from_lonlat(8, 8.0, 46.5)
    tiles = [(8, corner.x + i % 2, corner.y + i // 2) for i in range(4)]
    with run_server() as address, connect(address) as client:
        client.wait_ready()
        for tile in tiles:
            client.get_tile(*tile)
        seconds = []
        for i in range(1000):
            start = time.perf_counter()
            client.get_tile(*tiles[i % 4])
            seconds.append(time.perf_counter() - start)
        with ThreadPoolExecutor(clients) as pool:
            start = time.perf_counter()
            list(pool.map(lambda i: client.get_tile(*tiles[i % 4]), range(requests)))
            rate = requests / (time.perf_counter() - start)
    return {
        "latency_ms": quantiles(seconds, 1e3),
        "tiles_per_s": round(rate),
        "in_flight": clients,
        "note": "client and server share the cores",
    }


def heights(points: int = 1000, repeats: int = 200) -> dict[str, Any]:
    """Milliseconds for the heights of many places of which the server has all tiles, by how many tiles hold them."""
    found = {}
    with run_server() as address, connect(address) as client:
        client.wait_ready()
        for level, half in ((9, 0.1), (9, 1.0)):
            places = np.random.default_rng(0).uniform((7.5 - half, 46.0 - half), (7.5 + half, 46.0 + half), (points, 2))
            tiles = len({tile_from_lonlat(level, *place) for place in places.tolist()})
            client.sample_heights(places, level)
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                client.sample_heights(places, level)
                seconds.append(time.perf_counter() - start)
            found[f"in_{tiles}_tiles_ms"] = quantiles(seconds, 1e3)
    return {"points": points, **found}


def flight() -> dict[str, Any]:
    """Bytes of the tiles that a stream with default options brings along the flight of `terraloom demo`, over a cold server."""
    with run_server() as address, connect(address) as client:
        client.wait_ready()
        path = demo_path(client, WorldKind.PLANET)
        with client.stream(path.view(0.0)) as stream:
            sizes = [len(event.glb) for moment in fly(stream, path) for event in moment.events if isinstance(event, Tile)]
    return {"seconds": path.duration, "bytes": quantiles(sizes)}


def stalled(credits: tuple[int, ...] = (1, 200_000, 500_000)) -> dict[str, Any]:
    """Bytes that a server sends to a client that takes nothing, by the bytes of its credit; a promise: never more than a tile beyond."""
    found = {}
    with run_server() as address, connect(address) as client:
        client.wait_ready()
        client.barrier(ALPS, StreamOptions(max_level=5))
        for credit in credits:
            with client.stream(ALPS, StreamOptions(max_level=5, credit=Credit(bytes=credit, tiles=1000))) as stream:
                sent = -1
                while sent < stream.counters.bytes:
                    sent = stream.counters.bytes
                    time.sleep(2.0)
                largest = max(len(event.glb) for event in stream.poll() if isinstance(event, Tile))
            found[f"credit_{credit}"] = {"bytes": sent, "tiles": stream.counters.tiles, "ahead": sent - credit, "largest_tile": largest}
    return found


def imports(repeats: int = 7) -> dict[str, Any]:
    """Seconds of `import terraloom`, and what takes them: milliseconds of the slowest modules by `-X importtime`, from a warm disk."""
    totals, last = [], ""
    for _ in range(repeats):
        command = [sys.executable, "-X", "importtime", "-c", "import terraloom"]
        last = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        totals.append(int(re.findall(r"\| +(\d+) \| terraloom$", last, re.MULTILINE)[0]) / 1e6)
    lines = re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)$", last, re.MULTILINE)
    slowest = sorted(((int(own), name) for own, name in lines), reverse=True)[:5]
    return {"s": quantiles(totals), "slowest_ms": {name: own / 1e3 for own, name in slowest}}


def starts(repeats: int = 5) -> dict[str, Any]:
    """Seconds until a new server answers, and until `import terraloom` is done."""
    ready, imports = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        with run_server() as address, connect(address) as client:
            client.wait_ready()
            ready.append(time.perf_counter() - start)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare = time.perf_counter() - start
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import terraloom"], check=True)
        imports.append(time.perf_counter() - start - bare)
    return {"server_ready_s": quantiles(ready), "client_import_s": quantiles(imports)}


def measure() -> dict[str, Any]:
    """All figures of this module."""
    return {
        "encoding": encoding(),
        "cached_tiles": cached_tiles(),
        "heights": heights(),
        "flight": flight(),
        "stalled": stalled(),
        "starts": starts(),
        "imports": imports(),
    }
