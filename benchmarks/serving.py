"""Rasters to wire: mesh and GLB encoding, cached tiles over loopback, start of server and client."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.machine import quantiles
from terraloom import connect
from terraloom.testing import run_server
from terraloom_engines.content import ContentOptions, build_content
from terraloom_engines.tiling import TileId, tile_from_lonlat
from terraloom_engines.world import open_world


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
    return {"encoding": encoding(), "cached_tiles": cached_tiles(), "heights": heights(), "starts": starts()}
