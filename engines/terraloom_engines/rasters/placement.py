"""The level and the tiles that rasters belong to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import InvalidArgumentError
from terraloom_engines.rasters.source import Source
from terraloom_engines.tiling import (
    MAX_LATITUDE,
    MAX_LEVEL,
    TILE_SIZE,
    TileId,
    ground_sample_distance,
    latitude_from_row,
    longitude_from_column,
    pixel_from_lonlat,
)

__all__ = ["COARSEST_LEVEL", "MOST_PIXELS", "Placement", "place"]

COARSEST_LEVEL = 7
"""Level of the coarsest rasters: the coast of a coarser one would be that of Earth's mask, not its own."""
MOST_PIXELS = 1 << 28
"""Pixels of the level that a world may have: 16384 x 16384."""


@dataclass(frozen=True)
class Placement:
    """A rectangle of tiles of `level`: the first column and row, and how many; columns may run on past the antimeridian."""

    level: int
    column: int
    row: int
    columns: int
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.rows * TILE_SIZE, self.columns * TILE_SIZE

    @property
    def parent(self) -> "Placement":
        """The tiles one level up that hold these."""
        column, row = self.column >> 1, self.row >> 1
        last_column, last_row = (self.column + self.columns - 1) >> 1, (self.row + self.rows - 1) >> 1
        return Placement(self.level - 1, column, row, last_column - column + 1, last_row - row + 1)

    def bounds(self, mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees of the pixels in a mask of this shape, at least one; over the antimeridian east is less."""
        around = TILE_SIZE << self.level
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        north, south = (latitude_from_row(self.level, self.row * TILE_SIZE + int(row)) for row in (rows[0], rows[-1] + 1))
        west, east = (self.column * TILE_SIZE + int(column) for column in (columns[0], columns[-1] + 1))
        if east - west >= around:
            return -180.0, south, 180.0, north
        return longitude_from_column(self.level, west % around), south, longitude_from_column(self.level, (east - 1) % around + 1), north

    def tiles(self) -> list[tuple[TileId, slice, slice]]:
        """Every tile with its rows and columns of pixels in the rectangle."""
        found = []
        for j in range(self.rows):
            for i in range(self.columns):
                tile = TileId(self.level, (self.column + i) % (1 << self.level), self.row + j)
                found.append((tile, slice(j * TILE_SIZE, (j + 1) * TILE_SIZE), slice(i * TILE_SIZE, (i + 1) * TILE_SIZE)))
        return found


def place(sources: Sequence[Source]) -> Placement:
    """Where rasters go: the level whose pixels are nearest in size to the first one's, in the tiles that any of them touches.

    Raises InvalidArgumentError for rasters that are too coarse, too large, or far from each other.
    """
    level = _level(sources[0])
    boxes = [_box(source, level) for source in sources]
    if len(boxes) == 2 and not _overlap(*boxes):
        first, second = sources
        raise InvalidArgumentError(
            f"{first.layer} and {second.layer} do not overlap: {_extent(first)} and {_extent(second)}", field=second.layer
        )
    west, north = min(box[0] for box in boxes), min(box[1] for box in boxes)
    east, south = max(box[2] for box in boxes), max(box[3] for box in boxes)
    placement = Placement(level, west, north, east - west + 1, south - north + 1)
    if placement.columns * placement.rows * TILE_SIZE**2 > MOST_PIXELS or placement.columns > 1 << level:
        height, width = placement.shape
        raise InvalidArgumentError(
            f"{sources[0].path} needs {width:,} x {height:,} pixels of level {level}, at most {MOST_PIXELS:,} are allowed:"
            " cut out a part or make it coarser, for example with gdalwarp -tr"
        )
    return placement


def _level(source: Source) -> int:
    at_zero = ground_sample_distance(0, source.latitude)
    level = min(max(round(math.log2(at_zero / source.resolution)), COARSEST_LEVEL), MAX_LEVEL)
    coarsest = 2 * ground_sample_distance(COARSEST_LEVEL, source.latitude)
    if source.resolution > coarsest:
        raise InvalidArgumentError(
            f"{source.layer} file {source.path} has pixels of {source.resolution:,.0f} m, which adds nothing to Earth:"
            f" at most {coarsest:,.0f} m are allowed there",
            field=source.layer,
        )
    return level


def _box(source: Source, level: int) -> tuple[int, int, int, int]:
    """First column and row and last column and row of tiles; columns run on past the antimeridian."""
    inside = np.abs(source.latitudes) < MAX_LATITUDE
    size, last = 1 << level, (1 << level) - 1
    columns = (source.longitudes[inside] + 180.0) / 360.0 * size
    latitudes = np.clip(source.latitudes, -MAX_LATITUDE, MAX_LATITUDE)
    rows = np.array([pixel_from_lonlat(level, 0.0, latitude)[1] / TILE_SIZE for latitude in latitudes])
    turns = math.floor(float(columns.min()) / size) * size
    west, east = math.floor(float(columns.min())) - turns, math.ceil(float(columns.max())) - 1 - turns
    north, south = math.floor(float(rows.min())), math.ceil(float(rows.max())) - 1
    return west, min(max(north, 0), last), max(east, west), min(max(south, north), last)


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    return first[0] <= second[2] and second[0] <= first[2] and first[1] <= second[3] and second[1] <= first[3]


def _extent(source: Source) -> str:
    west, east = float(source.longitudes.min()), float(source.longitudes.max())
    return f"{west:.2f} to {east:.2f} E, {float(source.latitudes.min()):.2f} to {float(source.latitudes.max()):.2f} N"
