"""Heights and colours of a region as one raster, read out of the files of its tiles."""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.export.region import PixelBox, tiles_of
from terraloom_engines.export.tile_files import TileFiles
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind

__all__ = ["blocks", "colours", "heights"]

Heights = NDArray[np.float32]
Colours = NDArray[np.uint8]


def read_heights(files: TileFiles, tile: TileId) -> Heights:
    """Metres above mean sea level, shape (256, 256), of a tile that is kept as Terrarium."""
    red, green, blue = (np.asarray(Image.open(io.BytesIO(files.read(tile))), np.float32)[..., band] for band in range(3))
    return red * np.float32(256) + green + blue / np.float32(256) - np.float32(32_768)


def read_colours(files: TileFiles, tile: TileId) -> Colours:
    """sRGB, shape (256, 256, 3), of a tile that is kept as a picture."""
    return np.asarray(Image.open(io.BytesIO(files.read(tile))).convert("RGB"))


def blocks(kind: WorldKind, box: PixelBox) -> Iterator[tuple[TileId, tuple[slice, slice], tuple[slice, slice]]]:
    """The tiles of a box, each with where it lies in the box's raster and which part of it does: rows, columns."""
    wide = TILE_SIZE << box.level
    for tile in tiles_of(kind, box):
        left, top = tile.x * TILE_SIZE, tile.y * TILE_SIZE
        turns = range((box.left - left) // wide, (box.right - left) // wide + 1) if kind is WorldKind.PLANET else range(1)
        for turn in turns:
            here, there = _overlap(left + turn * wide, box.left, box.right), _overlap(top, box.top, box.bottom)
            if here and there:
                yield tile, (there[0], here[0]), (there[1], here[1])


def _overlap(start: int, low: int, high: int) -> tuple[slice, slice] | None:
    """Where 256 pixels from `start` meet `low` to `high`: the slice of that range, and the slice of the 256."""
    first, end = max(start, low), min(start + TILE_SIZE, high)
    return (slice(first - low, end - low), slice(first - start, end - start)) if first < end else None


def heights(files: TileFiles, box: PixelBox) -> Heights:
    """Metres above mean sea level, shape (rows, columns); rows beyond a planet's square repeat its rim."""
    raster = np.full((box.height, box.width), np.nan, np.float32)
    for tile, here, there in blocks(files.world.kind, box):
        raster[here] = read_heights(files, tile)[there]
    return _filled(raster)


def colours(files: TileFiles, box: PixelBox) -> Colours:
    """sRGB, shape (rows, columns, 3)."""
    raster = np.zeros((box.height, box.width, 3), np.uint8)
    for tile, here, there in blocks(files.world.kind, box):
        raster[here] = read_colours(files, tile)[there]
    return raster


def _filled(raster: Heights) -> Heights:
    known = np.flatnonzero(~np.isnan(raster[:, 0]))
    return raster[np.clip(np.arange(len(raster)), known[0], known[-1])]
