"""Patches: the pixels of a window on the unit sphere.

What is smooth over many pixels is evaluated on every fourth pixel corner, a node, and interpolated. Nodes belong to the level's grid and
not to the window, so that windows agree on the pixels they share.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.curves import Raster
from terraloom_engines.tiling import TILE_SIZE

STRIDE = 4
"""Pixels between two nodes."""


@dataclass(frozen=True)
class Patch:
    """Rows `top` to `top + height` and columns `left` to `left + width` of a level; columns wrap, rows lie inside the square."""

    level: int
    top: int
    left: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def parent(self) -> "Patch":
        """The pixels one level up that hold any of this patch."""
        top, left = self.top >> 1, self.left >> 1
        return Patch(self.level - 1, top, left, (self.top + self.height + 1 >> 1) - top, (self.left + self.width + 1 >> 1) - left)

    @property
    def children(self) -> "Patch":
        """The pixels one level down."""
        return Patch(self.level + 1, 2 * self.top, 2 * self.left, 2 * self.height, 2 * self.width)

    def grown(self, margin: int) -> "Patch":
        """The patch and `margin` pixels round it, as far as the square goes."""
        top, bottom = max(self.top - margin, 0), min(self.top + self.height + margin, TILE_SIZE << self.level)
        return Patch(self.level, top, self.left - margin, bottom - top, self.width + 2 * margin)

    def window(self, inner: "Patch") -> tuple[slice, slice]:
        """Where a patch inside this one lies in its rasters: rows and columns."""
        row, column = inner.top - self.top, inner.left - self.left
        return slice(row, row + inner.height), slice(column, column + inner.width)

    def strips(self, pixels: int) -> Iterator["Patch"]:
        """The patch in strips of about so many pixels."""
        rows = max(pixels // self.width, 8)
        for first in range(0, self.height, rows):
            yield Patch(self.level, self.top + first, self.left, min(rows, self.height - first), self.width)

    @property
    def pixel(self) -> float:
        """Radians of a pixel at the equator."""
        return 2 * math.pi / (TILE_SIZE << self.level)

    @cached_property
    def gsd(self) -> Raster:
        """Radians per pixel, float32 (height, 1)."""
        cosines = [_row(self.level, self.top + i + 0.5)[0] for i in range(self.height)]
        return (np.array(cosines) * self.pixel).astype(np.float32)[:, None]

    @cached_property
    def latitudes(self) -> NDArray[np.float64]:
        """Degrees, float64 (height, 1)."""
        sines = [_row(self.level, self.top + i + 0.5)[1] for i in range(self.height)]
        return np.array([math.degrees(math.asin(sine)) for sine in sines])[:, None]

    @cached_property
    def places(self) -> list[Raster]:
        """x, y, z of the pixels' centres on the unit sphere."""
        return _places(self.level, [self.top + i + 0.5 for i in range(self.height)], [self.left + i + 0.5 for i in range(self.width)])

    @cached_property
    def nodes(self) -> list[Raster]:
        """x, y, z of the nodes round the patch."""
        rows, columns = (range(first // STRIDE - 1, (first + count - 1) // STRIDE + 3) for first, count in self._spans)
        return _places(self.level, [float(STRIDE * i) for i in rows], [float(STRIDE * i) for i in columns])

    def interpolate(self, values: Raster) -> Raster:
        """A raster of the nodes at the pixels, by Catmull and Rom's cubic."""
        (top, height), (left, width) = self._spans
        down = _cubic(values, top - (top // STRIDE - 1) * STRIDE, height)
        across = _cubic(np.ascontiguousarray(down.T), left - (left // STRIDE - 1) * STRIDE, width)
        return np.ascontiguousarray(across.T)

    @property
    def _spans(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.top, self.height), (self.left, self.width)


class Scatter:
    """`count` places all over the sphere, each standing for the same area; has what sums of noise ask of a patch.

    Spiral points after Gonzalez, "Measurement of areas on a sphere using Fibonacci and latitude-longitude lattices" (2010). `gsd`: radians
    per pixel at the equator.
    """

    pixel = math.inf
    """Nothing is interpolated."""

    def __init__(self, count: int, gsd: float) -> None:
        heights = [1 - (2 * i + 1) / count for i in range(count)]
        angles = [i * math.pi * (3 - math.sqrt(5)) for i in range(count)]
        across = [math.sqrt(1 - height * height) for height in heights]
        x, y = ([radius * of(angle) for radius, angle in zip(across, angles, strict=True)] for of in (math.cos, math.sin))
        self.places = [np.array([axis], np.float32) for axis in (x, y, heights)]
        self.nodes, self.shape = self.places, self.places[0].shape
        self.gsd: Raster = np.maximum(np.array([across], np.float32), np.float32(0.1)) * np.float32(gsd)

    def interpolate(self, values: Raster) -> Raster:
        """The values: every place is its own node."""
        return values


Window = Patch | Scatter


@lru_cache(maxsize=1 << 15)
def _row(level: int, row: float) -> tuple[float, float]:
    """Cosine and sine of the latitude of a row, counted in pixels from the square's north rim."""
    northing = math.pi * (1 - 2 * row / (TILE_SIZE << level))
    return 1 / math.cosh(northing), math.tanh(northing)


@lru_cache(maxsize=1 << 15)
def _column(level: int, column: float) -> tuple[float, float]:
    """Cosine and sine of the longitude of a column; one pair for both sides of the antimeridian."""
    angle = 2 * math.pi * (column % (TILE_SIZE << level)) / (TILE_SIZE << level)
    return math.cos(angle), math.sin(angle)


def _places(level: int, rows: list[float], columns: list[float]) -> list[Raster]:
    north = np.array([_row(level, row) for row in rows])
    east = np.array([_column(level, column) for column in columns])
    x, y = (north[:, :1] * east[None, :, axis] for axis in (0, 1))
    return [axis.astype(np.float32) for axis in (x, y, np.broadcast_to(north[:, 1:], x.shape))]


def _cubic(values: Raster, start: int, count: int) -> Raster:
    """Rows `start` to `start + count`, in pixels from the first node, out of rows of nodes."""
    out = np.empty((count, values.shape[1]), np.float32)
    for phase in range(STRIDE):
        first = (phase - start) % STRIDE
        rows = len(range(first, count, STRIDE))
        node = (start + first) // STRIDE - 1
        t = (phase + 0.5) / STRIDE
        weights = ((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2
        total = np.float32(weights[0]) * values[node : node + rows]
        for k in range(1, 4):
            total = total + np.float32(weights[k]) * values[node + k : node + k + rows]
        out[first::STRIDE] = total
    return out
