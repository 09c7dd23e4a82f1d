"""The cascade: the quadtree is the recursion.

The field of a tile (its 256 pixels and a halo) is computed from its parent tile's field alone. With `h` parent pixels lost to the two
networks on each side and a halo of `2 h` pixels, the parent's halo always reaches far enough: the window that a child needs lies
inside the parent's field, whichever quadrant the child is. So a cold tile at depth n costs n steps and no neighbours, and two
neighbours agree on the pixels they share because every stage is a pure function of global pixel position.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import CancelledError
from terraloom_engines.bundle.base import Base
from terraloom_engines.conservation import interleave, split_children
from terraloom_engines.field import Field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.stages import StageSpec, Window
from terraloom_engines.tiling import TILE_SIZE, TileId


class FieldCache(Protocol):
    """Keeps finished fields."""

    def get(self, tile: TileId) -> Field | None:
        """The field, if it is kept and sound."""
        ...

    def put(self, field: Field) -> None:
        """Keep a field, for as long as there is room."""
        ...


def never() -> bool:
    """A cancellation that does not happen."""
    return False


def window_sides(lifting: StageSpec, imagery: StageSpec) -> dict[str, int]:
    """Parent pixels along the side of each network's window: the one size that it is ever run with."""
    side = TILE_SIZE // 2 + 4 * (lifting.halo + imagery.halo)
    return {"geometry": side, "imagery": side - 2 * lifting.halo}


class Cascade:
    """Fields of any tile at or below the base, one refine step per level."""

    def __init__(self, base: Base, lifting: LiftingStage, imagery: ImageryStage, cache: FieldCache) -> None:
        self._base, self._lifting, self._imagery, self._cache = base, lifting, imagery, cache
        loss = lifting.spec.halo + imagery.spec.halo
        self._side = window_sides(lifting.spec, imagery.spec)["geometry"]
        self._loss, self.halo = loss, 2 * loss

    def field(self, tile: TileId, cancelled: Callable[[], bool] = never) -> Field:
        """The field of a tile, with a halo of `self.halo` pixels.

        Raises CancelledError when `cancelled()` turns true between two levels.
        """
        missing: list[TileId] = []
        known = self._cache.get(tile)
        while known is None and tile.z > self._base.finest_level:
            missing.append(tile)
            tile = tile.parent
            known = self._cache.get(tile)
        field = known if known is not None else self._base.field(tile, self.halo)
        if known is None:
            self._cache.put(field)
        for child in reversed(missing):
            if cancelled():
                raise CancelledError(f"generation of tile {missing[0]} was cancelled at level {field.tile.z}")
            field = self._refine(field, child)
            self._cache.put(field)
        return field

    def _refine(self, parent: Field, child: TileId) -> Field:
        """One step down: geometry first, then imagery that knows it, over the child's pixels and halo."""
        left, top = (child.x & 1) * TILE_SIZE // 2, (child.y & 1) * TILE_SIZE // 2
        side = self._side
        column = parent.tile.x * TILE_SIZE - self.halo + left
        row = parent.tile.y * TILE_SIZE - self.halo + top
        window = Window(parent.tile.z, column, row, side, parent.tile.kind)
        elevation, relief, land, *bands, texture, water = np.ascontiguousarray(parent.data[:, top : top + side, left : left + side])
        geometry = self._lifting.refine(window, elevation, relief, Waters(land, water, self._mask(window)), None)
        outer = slice(self._lifting.spec.halo, side - self._lifting.spec.halo)
        colours = self._imagery.refine(
            window.inner(self._lifting.spec.halo), np.stack(bands)[:, outer, outer], texture[outer, outer], land[outer, outer],
            (elevation[outer, outer], relief[outer, outer]), geometry,
        )  # fmt: skip
        cut = self._imagery.spec.halo
        inner = slice(cut, geometry.elevation.shape[-1] - cut)
        rasters = [getattr(geometry, name)[:, inner, inner] for name in ("elevation", "relief", "land")]
        rasters += [colours.colour[:, band] for band in range(3)] + [colours.texture]
        rasters += [np.broadcast_to(water[self._loss : -self._loss, self._loss : -self._loss], colours.texture.shape)]
        return Field(child, self.halo, np.stack([interleave(raster) for raster in rasters]))

    def _mask(self, window: Window) -> NDArray[np.int32] | None:
        """The children's land fraction (4, side, side), where the base has a mask for their level."""
        land = self._base.child_land(window.level + 1, 2 * window.column, 2 * window.row, 2 * window.side)
        if land is None:
            return None
        return split_children(land)
