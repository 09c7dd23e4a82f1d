"""Field: the integer rasters of one tile with a halo, as they pass through every stage and into the store."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.tiling import TILE_SIZE, TileId

ELEVATION_UNIT = 1 / 64
"""Metres per stored step of `elevation`: height of the ground, sea floor included, above mean sea level."""
COLOUR_UNIT = 1 / 64
"""8-bit steps per stored step of `red`, `green`, `blue`: colour of the land, continued below water."""
LOG_UNIT = 1 / 256
"""Octaves per stored step of `relief` and `texture`: log2 of the standard deviation inside a pixel (metres; 8-bit steps)."""
LAND_FULL = 255
"""Value of `land` where a pixel is land altogether; 0 is water altogether."""
DETAIL_UNIT = 1 / 8
"""Spreads of a pixel per step of a detail that a base knows inside it (`Base.details`)."""

CHANNELS = ("elevation", "relief", "land", "red", "green", "blue", "texture", "water")
"""`water` is the height of the water's surface where a pixel has water, in `ELEVATION_UNIT`s: 0 is the sea, others are lakes."""


@dataclass(frozen=True, slots=True)
class Field:
    """Integer rasters of one tile.

    `data` is int32, shape (channel, row, column), rows southward, columns eastward; channels in the order of `CHANNELS`;
    `halo` pixels of neighbours on every side, so that a side measures 256 + 2 halo. Units are this module's constants.
    """

    tile: TileId
    halo: int
    data: NDArray[np.int32]

    def __post_init__(self) -> None:
        side = TILE_SIZE + 2 * self.halo
        if self.data.shape != (len(CHANNELS), side, side) or self.data.dtype != np.int32:
            raise ValueError(f"field {self.tile}: want int32 {(len(CHANNELS), side, side)}, got {self.data.dtype} {self.data.shape}")

    def channel(self, name: str) -> NDArray[np.int32]:
        """One raster, shape (row, column), halo included."""
        return self.data[CHANNELS.index(name)]

    @property
    def imagery(self) -> NDArray[np.int32]:
        """Red, green, blue: shape (3, row, column), halo included."""
        first = CHANNELS.index("red")
        return self.data[first : first + 3]

    def crop(self, halo: int) -> "Field":
        """The same tile with a smaller halo (pixels)."""
        cut = self.halo - halo
        if cut < 0:
            raise ValueError(f"field {self.tile} has a halo of {self.halo} px, {halo} px were asked for")
        return Field(self.tile, halo, np.ascontiguousarray(self.data[:, cut : self.data.shape[1] - cut, cut : self.data.shape[2] - cut]))
