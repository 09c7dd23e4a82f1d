"""The cascade: the quadtree is the recursion.

The field of a tile (its 256 pixels and a halo) is computed from its parent tile's field alone. With `h` parent pixels lost to the two
networks on each side and a halo of `2 h` pixels, the parent's halo always reaches far enough: the window that a child needs lies
inside the parent's field, whichever quadrant the child is. So a cold tile at depth n costs n steps and no neighbours, and two
neighbours agree on the pixels they share because every stage is a pure function of global pixel position.

Most of a tile's window is halo. So siblings that are wanted together are made together, in one window that is the parent's whole field:
four for 2.5 times the pixels of one.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import CancelledError
from terraloom_engines.bundle.base import Base
from terraloom_engines.conservation import interleave, split_children
from terraloom_engines.field import CHANNELS, Field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.spans import span
from terraloom_engines.stages import StageSpec, Window
from terraloom_engines.tiling import TILE_SIZE, TileId

Steps = NDArray[np.int32]
T = TypeVar("T")


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


class Step(Protocol):
    """One refine step, in windows of the one size that it is loaded for: a child, or all four."""

    @property
    def loss(self) -> int:
        """Parent pixels lost on each side."""
        ...

    def fields(self, parent: Field, children: Sequence[TileId], known: Steps | None) -> list[Field]:
        """The fields of the children, with a halo twice the loss; the parent's has as many pixels.

        `known` is what the base knows of what lies below their window: the land fraction (4, side, side), and where it has them details of
        the relief (`Base.details`) after it, (8, side, side).
        """
        ...


def step_window(parent: Field, children: Sequence[TileId], loss: int) -> Window:
    """The window of the parent's field, so many of its pixels lost, that one child needs, or all four."""
    child, across = children[0], 2 if len(children) > 1 else 1
    column, row = child.x * TILE_SIZE // 2 - parent.halo, child.y * TILE_SIZE // 2 - parent.halo
    return Window(parent.tile.z, column, row, across * TILE_SIZE // 2 + 4 * loss, parent.tile.kind)


def place_in_field(field: Field, window: Window) -> tuple[slice, slice]:
    """Rows and columns of a field's rasters that a window of its pixels takes."""
    top = window.row - field.tile.y * TILE_SIZE + field.halo
    left = window.column - field.tile.x * TILE_SIZE + field.halo
    return slice(top, top + window.side), slice(left, left + window.side)


def cut_fields(rasters: Steps, children: Sequence[TileId], halo: int) -> list[Field]:
    """The fields of one child, or of all four, out of the rasters (channel, row, column) below their window."""
    side, fields = TILE_SIZE + 2 * halo, []
    for tile in children:
        left, top = (tile.x - children[0].x) * TILE_SIZE, (tile.y - children[0].y) * TILE_SIZE
        fields.append(Field(tile, halo, np.ascontiguousarray(rasters[:, top : top + side, left : left + side])))
    return fields


class Stages(NamedTuple):
    """The two stages of a step, loaded for windows of one size."""

    lifting: LiftingStage
    imagery: ImageryStage
    aside: Executor | None = None
    """What the rules of one stage run on beside those of the other, which need not wait for them: numpy's loops let go of the
    interpreter. Without it they run one after the other."""

    @property
    def loss(self) -> int:
        """Parent pixels lost on each side to the two networks."""
        return self.lifting.spec.halo + self.imagery.spec.halo

    def fields(self, parent: Field, children: Sequence[TileId], known: Steps | None) -> list[Field]:
        """As every step does."""
        return cut_fields(self._rasters(parent, step_window(parent, children, self.loss), known), children, 2 * self.loss)

    def _rasters(self, parent: Field, window: Window, known: Steps | None) -> Steps:
        """Geometry first, then imagery that knows it, below a window, with the halo.

        While heights are finished, colour is told what it needs of the parents alone; while colours are, water cuts valleys. Networks have
        all cores to themselves.
        """
        lifting, colouring = self.lifting, self.imagery
        rows, columns = place_in_field(parent, window)
        elevation, relief, land, *bands, texture, water = data = np.ascontiguousarray(parent.data[:, rows, columns])
        waters, within = Waters.above(land, water, known), window.inner(lifting.spec.halo)
        outer = slice(lifting.spec.halo, window.side - lifting.spec.halo)
        heights, spreads = elevation[outer, outer], texture[outer, outer]
        colour = data[CHANNELS.index("red") :][: len(bands), outer, outer]
        sample = lifting.drawn(window, elevation, relief, waters, None)
        foretold = self._begun(lambda: colouring.foretold(within, colour, spreads, heights))
        geometry = lifting.finished(sample, window, elevation, relief, waters)
        told, coarse = foretold.result(), (heights, relief[outer, outer])
        sample = colouring.drawn(told, within, colour, spreads, land[outer, outer], coarse, geometry)
        drained = self._begun(lambda: lifting.drained(window, elevation, waters, geometry))
        colours = colouring.finished(sample, told, within, colour, spreads, (heights, geometry.elevation))
        ground, cut = drained.result(), colouring.spec.halo
        inner = slice(cut, within.side - cut)
        rasters = [raster[:, inner, inner] for raster in (ground.elevation, ground.relief, ground.land)]
        rasters += [colours.colour[:, band] for band in range(3)] + [colours.texture]
        rasters += [np.broadcast_to(water[self.loss : -self.loss, self.loss : -self.loss], colours.texture.shape)]
        made = np.empty((len(rasters), 2 * colours.texture.shape[-2], 2 * colours.texture.shape[-1]), np.int32)
        for raster, out in zip(rasters, made, strict=True):
            interleave(raster, out)
        return made

    def _begun(self, work: Callable[[], T]) -> "Future[T]":
        """Work that may run beside what follows."""
        if self.aside is not None:
            return self.aside.submit(work)
        done: Future[T] = Future()
        done.set_result(work())
        return done


def alone() -> Step | None:
    """There is no step for siblings: every tile is made alone."""
    return None


WORTH_JOINING = 3
"""Siblings wanted from which on all four are made together."""


def window_sides(lifting: StageSpec, imagery: StageSpec, across: int = 1) -> dict[str, int]:
    """Parent pixels along the side of each network's window, for `across` tiles along the side of what it makes: 1, or 2 for siblings."""
    side = across * TILE_SIZE // 2 + 4 * (lifting.halo + imagery.halo)
    return {"geometry": side, "imagery": side - 2 * lifting.halo}


def known_below(base: Base, window: Window) -> Steps | None:
    """What a base knows of the children of a window's pixels, as steps take it."""
    land = base.child_land(window.level + 1, 2 * window.column, 2 * window.row, 2 * window.side)
    if land is None:
        return None
    details = base.details(window.level, window.column, window.row, window.side)
    return split_children(land) if details is None else np.concatenate([split_children(land), details])


class Cascade:
    """Fields of any tile at or below the base, one refine step per level."""

    def __init__(self, base: Base, step: Step, cache: FieldCache, joined: Callable[[], Step | None] = alone) -> None:
        """`joined` gives the step for four siblings at once; it is asked when they are first wanted."""
        self._base, self._step, self._joined, self._cache = base, step, joined, cache
        self.halo = 2 * step.loss

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

    def _together(self, child: TileId, wanted: Callable[[TileId], bool]) -> Step | None:
        """The step to make a tile and its siblings with, where enough of them are wanted."""
        due = [tile for tile in child.parent.children if tile == child or (wanted(tile) and self._cache.get(tile) is None)]
        return self._joined() if len(due) >= WORTH_JOINING else None

    def _refine(self, parent: Field, child: TileId, joined: Step | None) -> list[Field]:
        """One step down, for a child, or for it and its siblings."""
        children = (child,) if joined is None else parent.tile.children
        step = self._step if joined is None else joined
        return step.fields(parent, children, known_below(self._base, step_window(parent, children, step.loss)))
