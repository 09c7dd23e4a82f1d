"""Rasters to GLB and back: bytes and milliseconds of processor time of tiles over the Alps, plain and compressed, in one run."""

import time
from typing import Any

import numpy as np

from benchmarks.machine import quantiles
from terraloom._glb import read_glb
from terraloom_engines.content import ContentOptions, build_content
from terraloom_engines.tiling import TileId, tile_from_lonlat
from terraloom_engines.world import open_world

LEVELS = range(9, 14)
PER_LEVEL = 12
CHOICES = {
    "plain": ContentOptions(),
    "meshopt": ContentOptions(compression="meshopt"),
    "meshopt_webp": ContentOptions(compression="meshopt", texture_format="webp"),
    "meshopt_webp_lossless": ContentOptions(compression="meshopt", texture_format="webp", texture_quality=100),
    "plain_without_texture": ContentOptions(texture_format="none"),
    "meshopt_without_texture": ContentOptions(compression="meshopt", texture_format="none"),
    "plain_32_segments": ContentOptions(segments=32),
    "meshopt_32_segments": ContentOptions(segments=32, compression="meshopt"),
    "plain_128_segments": ContentOptions(segments=128),
    "meshopt_128_segments": ContentOptions(segments=128, compression="meshopt"),
}


def measure() -> dict[str, Any]:
    """Sizes, time from a finished field to bytes and from bytes to arrays; `ratio` is that of plain to compressed bytes, tile by tile."""
    world = open_world("earth")
    found: dict[str, dict[str, list[float]]] = {name: {"bytes": [], "encode_cpu_ms": [], "read_cpu_ms": []} for name in CHOICES}
    for level in LEVELS:
        start = tile_from_lonlat(level, 7.6, 46.0)
        for i in range(PER_LEVEL):
            tile = TileId(level, start.x + i % 4, start.y + i // 4)
            world.field(tile)
            for name, options in CHOICES.items():
                begin = time.thread_time()
                glb = build_content(world, tile, options, lambda: False).glb
                encoded = time.thread_time()
                read_glb(glb)
                read = time.thread_time()
                for figure, value in (
                    ("bytes", len(glb)),
                    ("encode_cpu_ms", 1e3 * (encoded - begin)),
                    ("read_cpu_ms", 1e3 * (read - encoded)),
                ):
                    found[name][figure].append(value)
    ratios = {
        f"ratio{kind}": round(float(np.median(np.divide(found[f"plain{kind}"]["bytes"], found[f"meshopt{kind}"]["bytes"]))), 2)
        for kind in ("", "_without_texture", "_32_segments", "_128_segments")
    }
    return {name: {figure: quantiles(values) for figure, values in figures.items()} for name, figures in found.items()} | ratios
