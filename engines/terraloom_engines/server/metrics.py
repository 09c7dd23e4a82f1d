"""Metrics: what happens to tiles, counted and timed for Prometheus, all servers of the process together."""

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector

__all__ = ["CONTENTS", "ENCODING", "GENERATION", "MARGIN", "REGISTRY", "SEND"]

REGISTRY = CollectorRegistry()
GCCollector(REGISTRY)
ProcessCollector(registry=REGISTRY)

GENERATION = Histogram(
    "terraloom_generation_seconds",
    "From the start of a tile's generation to its rasters, ancestors included; next to nothing when the rasters are at hand.",
    buckets=(0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
    registry=REGISTRY,
)
ENCODING = Histogram(
    "terraloom_encoding_seconds",
    "From a tile's rasters to its bytes: mesh, texture and GLB, height grid, bounds or picture.",
    ["kind"],
    buckets=(0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024),
    registry=REGISTRY,
)
CONTENTS = Counter(
    "terraloom_contents_total", "Contents handed out, by where they came from: memory, store or generated.", ["source"], registry=REGISTRY
)
SEND = Histogram(
    "terraloom_send_seconds",
    "From a tile's turn in a stream until the transport had taken it.",
    ["class"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
MARGIN = Histogram(
    "terraloom_margin_seconds",
    "From the moment a tile was sent to that at which its viewpoint needed it; below 0 it was late.",
    ["class"],
    buckets=(-30, -10, -5, -2, -1, -0.5, -0.2, -0.1, -0.05, 0, 0.5, 1, 2, 4, 8),
    registry=REGISTRY,
)
