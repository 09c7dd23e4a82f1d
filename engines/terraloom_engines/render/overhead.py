"""A place from above, cut out of the rasters of as many tiles as it needs: neighbours join without a seam."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.field import ELEVATION_UNIT, Field
from terraloom_engines.mesh import surface_elevation
from terraloom_engines.shading import Sun, hillshade
from terraloom_engines.texture import surface_colour
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, pixel_from_place, row_ground_sample_distance

__all__ = ["Frame", "Mosaic", "Style", "mosaic", "picture"]

Style = Literal["colour", "hillshade", "both"]
HILLSHADE_GSD = 60.0
"""Metres per pixel up to which hillshade is true to scale; coarser rasters, whose slopes are gentler, are exaggerated."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a picture from above shows: `width` x `height` pixels of `level` round a place (degrees, or metres on a plane)."""

    east: float
    north: float
    level: int
    width: int = 768
    height: int = 768
    kind: WorldKind = WorldKind.PLANET

    @property
    def origin(self) -> tuple[int, int]:
        """Global pixel (column, row) of the top left; the column may lie beyond the antimeridian, the row beyond the square."""
        column, row = pixel_from_place(self.kind, self.level, self.east, self.north)
        return round(column) - self.width // 2, round(row) - self.height // 2

    def tiles(self, ring: int = 0) -> list[tuple[TileId, int, int]]:
        """The tiles under the picture and `ring` pixels round it, each with the global pixel (column, row) of its top left there.

        A tile that the picture passes twice, at coarse levels, comes twice.
        """
        left, top = self.origin
        begin, end = self.kind.rows(self.level)
        first, last = max((top - ring) // TILE_SIZE, begin), min((top + self.height + ring - 1) // TILE_SIZE, end - 1)
        columns = range((left - ring) // TILE_SIZE, (left + self.width + ring - 1) // TILE_SIZE + 1)
        around = end if self.kind is WorldKind.PLANET else 0
        places = [(x % around if around else x, x, y) for y in range(first, last + 1) for x in columns]
        return [(TileId(self.level, own, y, self.kind), x * TILE_SIZE, y * TILE_SIZE) for own, x, y in places]


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Rasters under a frame with a ring of one pixel: sRGB (rows, columns, 3), surface heights in metres (rows, columns)."""

    colour: NDArray[np.uint8]
    heights: NDArray[np.float32]
    metres: NDArray[np.float64]
    """Pixel size of each row without the ring, shape (rows, 1)."""


def mosaic(frame: Frame, field: Callable[[TileId], Field]) -> Mosaic:
    """The rasters under `frame`, out of the fields of its tiles; rows beyond the square repeat its rim."""
    (left, top), level = frame.origin, frame.level
    colour = np.zeros((frame.height + 2, frame.width + 2, 3), np.uint8)
    heights = np.zeros((frame.height + 2, frame.width + 2), np.float32)
    for tile, column, row in frame.tiles(ring=1):
        raster = field(tile).crop(0)
        here, there = _overlap(row - top + 1, frame.height + 2), _overlap(column - left + 1, frame.width + 2)
        colour[here[0], there[0]] = surface_colour(raster)[here[1], there[1]]
        heights[here[0], there[0]] = surface_elevation(raster)[here[1], there[1]] * ELEVATION_UNIT
    begin, end = (edge * TILE_SIZE for edge in frame.kind.rows(level))
    rows = np.clip(np.arange(top - 1, top + frame.height + 1), begin, end - 1) - (top - 1)
    metres = [row_ground_sample_distance(level, row, frame.kind) for row in range(top, top + frame.height)]
    return Mosaic(colour[rows], heights[rows], np.array(metres)[:, None])


def _overlap(start: int, size: int) -> tuple[slice, slice]:
    """Where a tile that starts at `start` meets a raster of `size`: the slice of the raster, and that of the tile."""
    low, high = max(start, 0), min(start + TILE_SIZE, size)
    return slice(low, high), slice(low - start, high - start)


def picture(rasters: Mosaic, style: Style) -> Image.Image:
    """Colour as it is, hillshade in grey, or both side by side."""
    colour = Image.fromarray(np.ascontiguousarray(rasters.colour[1:-1, 1:-1]))
    if style == "colour":
        return colour
    shade = _relief_shade(rasters)
    if style == "hillshade":
        return shade
    both = Image.new("RGB", (2 * colour.width, colour.height))
    both.paste(colour, (0, 0))
    both.paste(shade, (colour.width, 0))
    return both


def _relief_shade(rasters: Mosaic) -> Image.Image:
    """Hillshade in grey; flat ground is the same grey at all levels."""
    sun, metres = Sun(), float(rasters.metres.mean())
    exaggeration = max(1.0, metres / HILLSHADE_GSD) ** 0.4
    light = hillshade(rasters.heights, rasters.metres, sun, exaggeration)
    return Image.fromarray(np.clip(light * 255, 0, 255).astype(np.uint8)).convert("RGB")
