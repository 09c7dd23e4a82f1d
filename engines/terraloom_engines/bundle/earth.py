"""The embedded base `earth`: levels 0 to 4 of Web Mercator, read tile by tile, and the real coast down to level 7."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.archive import RasterArchive
from terraloom_engines.bundle.coast import COAST_LEVEL, CoastMask
from terraloom_engines.field import CHANNELS, LOG_UNIT, Field
from terraloom_engines.tiling import TILE_SIZE, TileId

LOG_CODE_STEP, LOG_CODE_ZERO = 8, 32
"""Relief and texture are stored as bytes of 1/8 octave; 32 is 1 metre (one 8-bit step)."""
STORED_LEVELS = (0, 1, 2, 4)
"""Level 3 is a mean of level 4, taken when it is asked for."""
_RED = CHANNELS.index("red")
_SPREADS = (CHANNELS.index("relief"), CHANNELS.index("texture"))


class EarthBase:
    """Stored rasters of the coarsest levels: ETOPO5 elevation, Blue Marble colour, GLOBE coast, predicted relief."""

    finest_level = 4

    def __init__(self, folder: Path) -> None:
        self._rasters = RasterArchive(folder / "base.zip")
        self._coast = CoastMask(RasterArchive(folder / "coast.zip", capacity=24))

    def field(self, tile: TileId, halo: int) -> Field:
        """Stored rasters of a tile of level 0 to 4; columns wrap at the antimeridian, rows repeat beyond the square."""
        side = TILE_SIZE + 2 * halo
        top, left = tile.y * TILE_SIZE - halo, tile.x * TILE_SIZE - halo
        return Field(tile, halo, self._region(tile.z, left, top, side))

    def child_land(self, level: int, column: int, row: int, side: int) -> NDArray[np.int32] | None:
        """Land fraction of global pixels where the mask is fine enough."""
        return self._coast.land(level, column, row, side, side) if level <= COAST_LEVEL else None

    def _region(self, level: int, left: int, top: int, side: int) -> NDArray[np.int32]:
        """All channels of the pixels from (top, left)."""
        if level not in STORED_LEVELS:
            return _halved(self._region(level + 1, 2 * left, 2 * top, 2 * side))
        data = np.zeros((len(CHANNELS), side, side), np.int32)
        rows = np.clip(np.arange(top, top + side), 0, (TILE_SIZE << level) - 1)
        columns = np.arange(left, left + side) % (TILE_SIZE << level)
        for y in np.unique(rows // TILE_SIZE):
            down = np.flatnonzero(rows // TILE_SIZE == y)
            for x in np.unique(columns // TILE_SIZE):
                across = np.flatnonzero(columns // TILE_SIZE == x)
                part = self._tile(level, int(x), int(y))
                data[:, down[:, None], across[None, :]] = part[:, rows[down][:, None] % TILE_SIZE, columns[across][None, :] % TILE_SIZE]
        return data

    def _tile(self, level: int, x: int, y: int) -> NDArray[np.int32]:
        """The channels of one stored 256 px tile."""
        out = np.zeros((len(CHANNELS), TILE_SIZE, TILE_SIZE), np.int32)
        prefix = f"{level}/{x}/{y}/"
        out[CHANNELS.index("land")] = self._rasters.read(prefix + "land")
        scale = 64 if level == self.finest_level else 1
        out[CHANNELS.index("elevation")] = self._rasters.read(prefix + "elevation").astype(np.int32) * scale
        for channel in _SPREADS:
            code = self._rasters.read(prefix + CHANNELS[channel]).astype(np.int32)
            out[channel] = np.kron((code - LOG_CODE_ZERO) * (256 // LOG_CODE_STEP), np.ones((2, 2), np.int32))
        if level == self.finest_level:
            out[_RED : _RED + 3] = self._rasters.read(prefix + "colour.webp").astype(np.int32).transpose(2, 0, 1) * 64
        else:
            for offset, name in enumerate(("red", "green", "blue")):
                out[_RED + offset] = self._rasters.read(prefix + name)
        return out


def _halved(data: NDArray[np.int32]) -> NDArray[np.int32]:
    """Parents of a region: exact means of elevation and colour (their steps divide by 4 here), spreads by the law of total variance."""
    blocks = data.reshape(len(data), data.shape[1] // 2, 2, data.shape[2] // 2, 2)
    out = (blocks.sum(axis=(2, 4)) // 4).astype(np.int32)
    means = {_SPREADS[0]: blocks[0] / 64.0, _SPREADS[1]: blocks[_RED : _RED + 3].mean(axis=0) / 64.0}
    for channel, mean in means.items():
        inside = np.exp2(blocks[channel] * (2 * LOG_UNIT)).mean(axis=(1, 3))
        out[channel] = np.rint(np.log2(inside + mean.var(axis=(1, 3))) / (2 * LOG_UNIT))
    return out
