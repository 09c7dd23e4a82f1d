"""The cascade: the quadtree is the recursion.

The field of a tile (its 256 pixels and a halo) is computed from its parent tile's field alone. With `h` parent pixels lost to the two
networks on each side and a halo of `2 h` pixels, the parent's halo always reaches far enough: the window that a child needs lies
inside the parent's field, whichever quadrant the child is. So a cold tile at depth n costs n steps and no neighbours, and two
neighbours agree on the pixels they share because every stage is a pure function of global pixel position.

Most of a tile's window is halo. So siblings that are wanted together are made together, in one window that is the parent's whole field:
four for 2.5 times the pixels of one.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import CancelledError
from terraloom_engines.bundle.base import Base
from terraloom_engines.conservation import interleave, split_children
from terraloom_engines.field import Field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.spans import span
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


def nobody(_: TileId) -> bool:
    """Nobody wants any other tile."""
    return False


class Stages(NamedTuple):
    """The two stages of a step, loaded for windows of one size."""

    lifting: LiftingStage
    imagery: ImageryStage


def alone() -> Stages | None:
    """There are no stages for siblings: every tile is made alone."""
    return None


WORTH_JOINING = 3
"""Siblings wanted from which on all four are made together."""


def window_sides(lifting: StageSpec, imagery: StageSpec, across: int = 1) -> dict[str, int]:
    """Parent pixels along the side of each network's window, for `across` tiles along the side of what it makes: 1, or 2 for siblings."""
    side = across * TILE_SIZE // 2 + 4 * (lifting.halo + imagery.halo)
    return {"geometry": side, "imagery": side - 2 * lifting.halo}


class Cascade:
    """Fields of any tile at or below the base, one refine step per level."""

    def __init__(self, base: Base, stages: Stages, cache: FieldCache, joined: Callable[[], Stages | None] = alone) -> None:
        """`joined` gives the stages for four siblings at once; it is asked when they are first wanted."""
        self._base, self._stages, self._joined, self._cache = base, stages, joined, cache
        self._loss = stages.lifting.spec.halo + stages.imagery.spec.halo
        self.halo = 2 * self._loss

    def field(self, tile: TileId, cancelled: Callable[[], bool] = never, wanted: Callable[[TileId], bool] = nobody) -> Field:
        """The field of a tile, with a halo of `self.halo` pixels; those of its siblings that are `wanted` too may be made along with it.

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
            with span("generate level", tile=child, level=child.z):
                made = self._refine(field, child, self._together(child, wanted))
            for each in made:
                self._cache.put(each)
            field = next(each for each in made if each.tile == child)
        return field

    def at_hand(self, tile: TileId) -> Field | None:
        """The field of the tile or of its nearest ancestor, if there is one that takes no making."""
        while (known := self._cache.get(tile)) is None and tile.z > self._base.finest_level:
            tile = tile.parent
        return known

    def _together(self, child: TileId, wanted: Callable[[TileId], bool]) -> Stages | None:
        """The stages to make a tile and its siblings with, where enough of them are wanted."""
        due = [tile for tile in child.parent.children if tile == child or (wanted(tile) and self._cache.get(tile) is None)]
        return self._joined() if len(due) >= WORTH_JOINING else None

    def _refine(self, parent: Field, child: TileId, joined: Stages | None) -> list[Field]:
        """One step down, in windows of the one size that there is for a child, or for it and its siblings."""
        if joined is None:
            corner = (child.x & 1) * TILE_SIZE // 2, (child.y & 1) * TILE_SIZE // 2
            return [Field(child, self.halo, self._rasters(parent, self._stages, 1, corner))]
        rasters, fields, side = self._rasters(parent, joined, 2, (0, 0)), [], TILE_SIZE + 2 * self.halo
        for tile in parent.tile.children:
            left, top = (tile.x & 1) * TILE_SIZE, (tile.y & 1) * TILE_SIZE
            fields.append(Field(tile, self.halo, np.ascontiguousarray(rasters[:, top : top + side, left : left + side])))
        return fields

    def _rasters(self, parent: Field, stages: Stages, across: int, corner: tuple[int, int]) -> NDArray[np.int32]:
        """Geometry first, then imagery that knows it, below the window at `corner` (left, top) of the parent's field, with the halo."""
        lifting, colouring = stages
        left, top = corner
        side = window_sides(lifting.spec, colouring.spec, across)["geometry"]
        column = parent.tile.x * TILE_SIZE - self.halo + left
        row = parent.tile.y * TILE_SIZE - self.halo + top
        window = Window(parent.tile.z, column, row, side, parent.tile.kind)
        elevation, relief, land, *bands, texture, water = np.ascontiguousarray(parent.data[:, top : top + side, left : left + side])
        geometry = lifting.refine(window, elevation, relief, Waters(land, water, self._mask(window)), None)
        outer = slice(lifting.spec.halo, side - lifting.spec.halo)
        colours = colouring.refine(
            window.inner(lifting.spec.halo), np.stack(bands)[:, outer, outer], texture[outer, outer], land[outer, outer],
            (elevation[outer, outer], relief[outer, outer]), geometry,
        )  # fmt: skip
        cut = colouring.spec.halo
        inner = slice(cut, geometry.elevation.shape[-1] - cut)
        rasters = [getattr(geometry, name)[:, inner, inner] for name in ("elevation", "relief", "land")]
        rasters += [colours.colour[:, band] for band in range(3)] + [colours.texture]
        rasters += [np.broadcast_to(water[self._loss : -self._loss, self._loss : -self._loss], colours.texture.shape)]
        return np.stack([interleave(raster) for raster in rasters])

    def _mask(self, window: Window) -> NDArray[np.int32] | None:
        """The children's land fraction (4, side, side), where the base has a mask for their level."""
        land = self._base.child_land(window.level + 1, 2 * window.column, 2 * window.row, 2 * window.side)
        if land is None:
            return None
        return split_children(land)
