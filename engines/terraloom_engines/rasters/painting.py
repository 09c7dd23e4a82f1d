"""Colour for bare elevation: Earth's colours, refined by the imagery network over the raster's ground instead of Earth's invented one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.bundle.raster import LAYERS, RasterTiles
from terraloom_engines.cascade import Cascade, Stages
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import Geometry, LiftingStage, Waters
from terraloom_engines.networks import Networks
from terraloom_engines.rasters.blocks import quarters
from terraloom_engines.rasters.joining import FEATHER, fade
from terraloom_engines.rasters.layers import Earth, Joined
from terraloom_engines.rasters.placement import Placement
from terraloom_engines.rasters.warped import Report, on_disk
from terraloom_engines.stages import Array, Window
from terraloom_engines.tiling import TILE_SIZE, TileId
from terraloom_engines.world import FieldMemory, FieldStore

__all__ = ["paint"]

Steps = NDArray[np.int32]


class GivenGround(LiftingStage):
    """The geometry network, overruled where a raster knows the ground."""

    tiles: RasterTiles

    def finished(self, sample: Array, window: Window, elevation: Steps, relief: Steps, waters: Waters) -> Geometry:
        """Children of the window's inner pixels: the raster's where it has a part in them, drawn by the network elsewhere."""
        return self._given(window, super().finished(sample, window, elevation, relief, waters))

    def drained(self, window: Window, elevation: Steps, waters: Waters, drawn: Geometry) -> Geometry:
        """The raster's ground stays as it is."""
        return self._given(window, super().drained(window, elevation, waters, drawn))

    def _given(self, window: Window, drawn: Geometry) -> Geometry:
        """The raster's where it has a part in the children, else what was drawn."""
        inner = window.inner(self.spec.halo)
        size = TILE_SIZE << (window.level + 1)
        rows = np.clip(np.arange(2 * inner.row, 2 * (inner.row + inner.side)), 0, size - 1)
        columns = np.arange(2 * inner.column, 2 * (inner.column + inner.side)) % size
        mask, rasters = self.tiles.laid("ground", window.level + 1, rows, columns)
        given, (height, spread, land, _) = quarters(mask), (quarters(raster) for raster in rasters)
        return Geometry(np.where(given, height, drawn.elevation), np.where(given, spread, drawn.relief), np.where(given, land, drawn.land))


class GroundBase:
    """Earth's base with the raster's ground in it."""

    kind, title, attribution, identity = EarthBase.kind, EarthBase.title, EarthBase.attribution, "painting"
    finest_level = EarthBase.finest_level

    def __init__(self, earth: EarthBase, tiles: RasterTiles) -> None:
        self._earth, self._tiles = earth, tiles

    def field(self, tile: TileId, halo: int) -> Field:
        """Earth's field with the raster's ground in it."""
        field = self._earth.field(tile, halo)
        size, side = TILE_SIZE << tile.z, TILE_SIZE + 2 * halo
        rows = np.clip(np.arange(tile.y * TILE_SIZE - halo, tile.y * TILE_SIZE - halo + side), 0, size - 1)
        columns = np.arange(tile.x * TILE_SIZE - halo, tile.x * TILE_SIZE - halo + side) % size
        mask, rasters = self._tiles.laid("ground", tile.z, rows, columns)
        data = field.data.copy()
        for name, raster in zip(LAYERS["ground"], rasters, strict=True):
            channel = CHANNELS.index(name)
            data[channel] = np.where(mask, raster, data[channel])
        return Field(tile, halo, data)

    def child_land(self, level: int, column: int, row: int, side: int) -> Steps | None:
        """Earth's mask."""
        return self._earth.child_land(level, column, row, side)

    def details(self, level: int, column: int, row: int, side: int) -> Steps | None:
        """Earth's: the raster's ground takes their place where it is."""
        return self._earth.details(level, column, row, side)


def paint(
    ground: Joined, placement: Placement, archive: Path, base: EarthBase, earth: Earth, networks: Networks, seed: int, folder: Path,
    report: Report,
) -> Joined:  # fmt: skip
    """Colour for the pixels of `ground`, whose pyramid is in `archive`; it fades into Earth's as the ground does."""
    tiles = RasterTiles(archive)
    lifting = GivenGround(networks.graphs["geometry"], networks.specs["geometry"], seed)
    lifting.tiles = tiles
    imagery = ImageryStage(networks.graphs["imagery"], networks.specs["imagery"], seed)
    cascade = Cascade(GroundBase(base, tiles), Stages(lifting, imagery), FieldStore("painting", FieldMemory(), None))
    values = on_disk(folder / "painted.npy", np.float32, (3, *placement.shape))
    spread = on_disk(folder / "painted-spread.npy", np.int16, placement.shape)
    wanted = placement.tiles()
    for done, (tile, rows, columns) in enumerate(wanted):
        report("painting", done, len(wanted))
        mask = ground.mask[rows, columns]
        if not mask.any():
            continue
        field = cascade.field(tile).crop(0)
        colour, texture = field.imagery.astype(np.float32), field.channel("texture")
        top, left = (max(part.start - TILE_SIZE, 0) for part in (rows, columns))
        around = fade(np.asarray(ground.mask[top : rows.stop + TILE_SIZE, left : columns.stop + TILE_SIZE]), FEATHER)
        weight = around[rows.start - top :, columns.start - left :][:TILE_SIZE, :TILE_SIZE]
        if (weight < 1).any():
            outside = earth(tile).crop(0)
            colour = weight * colour + (1 - weight) * outside.imagery
            texture = np.rint(weight * texture + (1 - weight) * outside.channel("texture")).astype(np.int32)
        values[:, rows, columns], spread[rows, columns] = colour, texture
    return Joined("colour", values, spread, ground.mask)
