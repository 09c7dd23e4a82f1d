"""The levels above a raster's own: exact averages.

Pixels that a raster covers whole have integer values, and their four children add up to four times that, from the coarsest such pixel
down to the raster's level, where it costs at most a step of 1/64. Pixels that it covers in part are the means of their children, Earth's
among them, rounded to a step.
"""

import zipfile
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.archive import pack_array
from terraloom_engines.bundle.raster import LAYERS
from terraloom_engines.conservation import conserve, interleave
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.rasters.blocks import quarters
from terraloom_engines.rasters.layers import Earth
from terraloom_engines.rasters.placement import Placement
from terraloom_engines.rasters.warped import Report
from terraloom_engines.tiling import TILE_SIZE

__all__ = ["LevelRasters", "write_pyramid"]

Steps = NDArray[np.int32]
HALF = TILE_SIZE // 2
PACKING = 6
"""Zstandard's level: half the time of the package's own rasters for a tenth more bytes."""


@dataclass
class LevelRasters:
    """A layer at one level, in stored steps.

    `means` float32 (bands, H, W): what elevation or colour should be; `values` int32: what it is; `whole`: pixels that the raster covers
    altogether, `mask`: those that it has a part in; `spread` int16; `land` and `water` int32 (ground only).
    """

    layer: str
    placement: Placement
    means: NDArray[np.float32]
    spread: NDArray[np.int16]
    mask: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    values: Steps
    land: Steps | None = None
    water: Steps | None = None

    @property
    def parent(self) -> "LevelRasters":
        """Empty rasters of the level above."""
        placement = self.placement.parent
        shape, bands = placement.shape, len(self.means)
        integers = [np.zeros(shape, np.int32) if raster is not None else None for raster in (self.land, self.water)]
        masks = [np.zeros(shape, np.bool_) for _ in range(2)]
        means, spread, values = np.zeros((bands, *shape), np.float32), np.zeros(shape, np.int16), np.zeros((bands, *shape), np.int32)
        return LevelRasters(self.layer, placement, means, spread, masks[0], masks[1], values, *integers)


def write_pyramid(finest: LevelRasters, earth: Earth, archive: zipfile.ZipFile, report: Report) -> None:
    """Writes a layer's tiles of its level and of all above; `finest.values` is computed here."""
    _fill(finest, earth)
    levels = [finest]
    while levels[-1].placement.level:
        report(f"averaging {finest.layer}", len(levels) - 1, finest.placement.level)
        levels.append(_averaged(levels[-1], earth))
    for above, level in zip([None, *reversed(levels[1:])], reversed(levels), strict=True):
        _settle(level, above)
    for level, above in pairwise(levels):
        _sum_up(level, above)
    for level in levels:
        tiles = level.placement.tiles()
        for done, (tile, rows, columns) in enumerate(tiles):
            report(f"writing {finest.layer}", done, len(tiles))
            if level.mask[rows, columns].any():
                for name, raster in _channels(level, rows, columns).items():
                    archive.writestr(f"{tile}/{name}", pack_array(np.ascontiguousarray(raster), PACKING))


def _half(part: slice, first: int, first_above: int) -> slice:
    """Pixels of the level above that hold a tile's; `first` and `first_above` are the first tiles of both rasters."""
    start = (first * TILE_SIZE + part.start) // 2 - first_above * TILE_SIZE
    return slice(start, start + HALF)


def _above(level: LevelRasters, above: LevelRasters, rows: slice, columns: slice) -> tuple[slice, slice]:
    here, there = level.placement, above.placement
    return _half(rows, here.row, there.row), _half(columns, here.column, there.column)


def _averaged(level: LevelRasters, earth: Earth) -> LevelRasters:
    """The level above, but for its integers."""
    above = level.parent
    for _, rows, columns in level.placement.tiles():
        if not level.mask[rows, columns].any():
            continue
        there = _above(level, above, rows, columns)
        part = (slice(None), *there)
        children = quarters(level.means[:, rows, columns])
        above.means[part] = children.mean(axis=0, dtype=np.float64)
        above.mask[there] = quarters(level.mask[rows, columns]).any(axis=0)
        above.whole[there] = quarters(level.whole[rows, columns]).all(axis=0)
        unit = ELEVATION_UNIT if level.layer == "ground" else COLOUR_UNIT
        variance = np.exp2(quarters(level.spread[rows, columns]) * (2 * LOG_UNIT)).mean(axis=0)
        variance += (children.mean(axis=1) * unit).astype(np.float64).var(axis=0)
        above.spread[there] = np.rint(np.log2(variance) / (2 * LOG_UNIT))
        if level.land is not None and above.land is not None and level.water is not None and above.water is not None:
            land = quarters(level.land[rows, columns])
            share = np.clip(np.rint(land.mean(axis=0)), 1, LAND_FULL - 1)
            above.land[there] = np.where((land == land[0]).all(axis=0), land[0], share)
            water = quarters(level.water[rows, columns])
            above.water[there] = water.sum(axis=0) // np.maximum(np.count_nonzero(water, axis=0), 1)  # of lakes, as in Earth
    _fill(above, earth)
    return above


def _fill(level: LevelRasters, earth: Earth) -> None:
    """Puts Earth into the pixels that a raster has no part in, of the tiles in which it has some."""
    for tile, rows, columns in level.placement.tiles():
        mask = level.mask[rows, columns]
        if not mask.any() or mask.all():
            continue
        field = earth(tile).crop(0)
        names = LAYERS[level.layer]
        bands = names[:1] if level.layer == "ground" else names[:3]
        for band, name in enumerate(bands):
            level.means[band, rows, columns] = np.where(mask, level.means[band, rows, columns], field.channel(name))
        spread = field.channel("relief" if level.layer == "ground" else "texture")
        level.spread[rows, columns] = np.where(mask, level.spread[rows, columns], spread)
        for raster, name in ((level.land, "land"), (level.water, "water")):
            if raster is not None:
                raster[rows, columns] = np.where(mask, raster[rows, columns], field.channel(name))


def _settle(level: LevelRasters, above: LevelRasters | None) -> None:
    """Integers of all pixels; under whole pixels of the level above, which is settled, they add up to them."""
    for _, rows, columns in level.placement.tiles():
        if not level.mask[rows, columns].any():
            continue
        part = (slice(None), rows, columns)
        level.values[part] = np.rint(level.means[part])
        if above is None:
            continue
        there = _above(level, above, rows, columns)
        whole = above.whole[there]
        for band in range(len(level.means)):
            parents = above.values[(band, *there)]
            wanted = quarters(level.means[band, rows, columns])
            fitted = conserve(parents, (wanted - wanted.mean(axis=0)).astype(np.float32))
            loose = quarters(level.values[band, rows, columns])
            level.values[band, rows, columns] = interleave(np.where(whole, fitted, loose).astype(np.int32))


def _sum_up(level: LevelRasters, above: LevelRasters) -> None:
    """Pixels of the level above that the raster covers in part become the rounded means of their children."""
    for _, rows, columns in level.placement.tiles():
        if not level.mask[rows, columns].any():
            continue
        there = _above(level, above, rows, columns)
        loose = above.mask[there] & ~above.whole[there]
        for band in range(len(level.means)):
            mean = quarters(level.values[band, rows, columns]).sum(axis=0) / 4
            above.values[(band, *there)] = np.where(loose, np.rint(mean), above.values[(band, *there)])


def _channels(level: LevelRasters, rows: slice, columns: slice) -> dict[str, NDArray[np.generic]]:
    """The rasters of a tile by the names that the archive has for them."""
    names = LAYERS[level.layer]
    if level.land is not None and level.water is not None:
        rasters = [level.values[0], level.spread, level.land.astype(np.uint8), level.water]
    else:
        rasters = [*level.values, level.spread]
    found = {name: raster[rows, columns] for name, raster in zip(names, rasters, strict=True)}
    return {level.layer: level.mask[rows, columns], **found}
