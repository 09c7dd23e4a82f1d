"""Viewpoint to rasters: microseconds per pixel, time to first tile (TTFT) and time to the next ones (TTST), cold and warm."""

import time
from typing import Any

import numpy as np

from benchmarks.machine import quantiles
from terraloom_engines.cascade import nobody
from terraloom_engines.self_test import probe
from terraloom_engines.tiling import TILE_SIZE, TileId, tile_from_lonlat
from terraloom_engines.world import World, open_world

PLACES = ((8.0, 46.5), (-112.1, 36.1), (100.5, 26.9), (30.0, -2.0), (-71.0, -33.0), (6.8, 61.0))


def timed(world: World, tile: TileId) -> float:
    """Seconds for one field."""
    start = time.perf_counter()
    world.field(tile)
    return time.perf_counter() - start


def first_tiles(level: int) -> dict[str, Any]:
    """TTFT on an opened world that has generated nothing, and again from memory."""
    cold, warm = [], []
    world = open_world("earth")
    for place in PLACES:
        world.forget()
        tile = tile_from_lonlat(level, *place)
        cold.append(timed(world, tile))
        warm.append(timed(world, tile))
    return {"cold_s": quantiles(cold), "warm_s": quantiles(warm)}


def strip(level: int = 15, count: int = 32) -> dict[str, Any]:
    """TTST over a strip of adjacent tiles: each shares ancestors with those before."""
    world = open_world("earth")
    start = tile_from_lonlat(level, *PLACES[0])
    timed(world, start)
    seconds = [timed(world, TileId(level, start.x + 1 + i, start.y)) for i in range(count)]
    return {"ttst_s": quantiles(seconds), "us_per_pixel": round(sum(seconds) / count / TILE_SIZE**2 * 1e6, 3)}


def area(level: int = 13, side: int = 8) -> dict[str, Any]:
    """A square of tiles with all ancestors below its common one, per pixel of the finest level."""
    world = open_world("earth")
    corner = tile_from_lonlat(level, *PLACES[0])
    x, y = corner.x // side * side, corner.y // side * side
    top = TileId(level, x, y).ancestor(level - side.bit_length() + 1)
    out: dict[str, Any] = {"tiles": side * side}
    for name, wanted in (("siblings_together", lambda tile: tile.z > top.z and tile.ancestor(top.z) == top), ("one_by_one", nobody)):
        world.forget()
        world.field(top.children[0].children[0], wanted=wanted)  # loads what makes siblings
        world.forget()
        world.field(top)
        start = time.perf_counter()
        for dy in range(side):
            for dx in range(side):
                world.field(TileId(level, x + dx, y + dy), wanted=wanted)
        out[f"us_per_pixel_{name}"] = round((time.perf_counter() - start) / (side * TILE_SIZE) ** 2 * 1e6, 3)
    return out


def profile(repeats: int = 12) -> dict[str, Any]:
    """Where a level's time goes: the two networks alone, and a whole step."""
    from terraloom_engines.bundle import Bundle, embedded_bundles
    from terraloom_engines.cascade import window_sides
    from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
    from terraloom_engines.stages import StageSpec

    bundle = Bundle.open(embedded_bundles()["earth"])
    out: dict[str, Any] = {}
    specs = {network: StageSpec.from_manifest(entry) for network, entry in bundle.manifest["stages"].items()}
    sides = window_sides(specs["geometry"], specs["imagery"])
    for network, spec in specs.items():
        graph, side = OnnxCpuRuntime(2).load(bundle.model(network)), sides[network]
        inputs = probe(network, spec, side) | {"gsd": np.full((1, 1, side, 1), 5, np.float32), "time": np.ones((1, 1, 1, 1), np.float32)}
        graph.run(inputs)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            graph.run(inputs)
            seconds.append(time.perf_counter() - start)
        out[f"{network}_network_ms"] = quantiles(seconds, 1e3)
    world, steps = open_world("earth"), []
    tile = tile_from_lonlat(4, *PLACES[1])
    timed(world, tile)
    for level in range(5, 5 + repeats):
        steps.append(timed(world, tile_from_lonlat(level, *PLACES[1])))
    out["whole_step_ms"] = quantiles(steps, 1e3)
    return out


def measure() -> dict[str, Any]:
    """All figures of this module."""
    return {
        "first_tile": {f"z{level}": first_tiles(level) for level in (9, 12, 15)},
        "strip_z15": strip(), "area_z13": area(), "profile": profile(),
    }  # fmt: skip
