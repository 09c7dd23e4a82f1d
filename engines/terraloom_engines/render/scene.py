"""What a perspective picture needs of a world: the tiles that its eye sees, as fine as its pixels ask for."""

import math
from collections.abc import Callable

import numpy as np

from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, Field
from terraloom_engines.heights import build_height_grid, sample_heights
from terraloom_engines.mesh import surface_elevation
from terraloom_engines.render.camera import Eye, Lens
from terraloom_engines.render.received import TileSurface
from terraloom_engines.selection import Criteria, ScreenSpaceError, select
from terraloom_engines.texture import surface_colour
from terraloom_engines.tiling import MAX_LEVEL, TileId, WorldKind
from terraloom_engines.viewpoint import ViewState

__all__ = ["Scene", "ground_height"]


def surface_of(field: Field) -> TileSurface:
    """The surface of a field with a halo of a pixel or more: a vertex on every pixel corner, the mean of the four pixels round it."""
    metres = surface_elevation(field.crop(1)).astype(np.float32) * np.float32(ELEVATION_UNIT)
    heights = (metres[:-1, :-1] + metres[1:, :-1] + metres[:-1, 1:] + metres[1:, 1:]) / 4
    inner = field.crop(0)
    return TileSurface(field.tile, heights, surface_colour(inner), 2 * inner.channel("land") <= LAND_FULL)


def ground_height(field: Callable[[TileId], Field], kind: WorldKind, east: float, north: float, level: int = MAX_LEVEL) -> float:
    """Metres above mean sea level of the ground or the water at a place, to the nearest pixel of `level`."""
    heights = sample_heights(lambda tile: build_height_grid(field(tile)), kind, level, [east], [north])
    return float(heights[0])


class Scene:
    """Surfaces of the tiles that an eye sees through a lens, refined until no pixel of a tile is seen with more than `target_pixels`.

    The error is that of 3D Tiles: 4 ground sample distances.
    """

    def __init__(self, field: Callable[[TileId], Field], target_pixels: float = 8.0, max_level: int = MAX_LEVEL) -> None:
        self._field, self._criteria = field, Criteria(ScreenSpaceError(target_pixels), max_level=max_level)
        self.surfaces: dict[TileId, TileSurface] = {}

    def look(self, eye: Eye, lens: Lens, advance: Callable[[int, int], None] = lambda done, known: None) -> list[TileSurface]:
        """The surfaces; `advance` hears how many of the tiles that are known to be needed are there.

        Raises ResourceExhaustedError when the picture takes too many tiles.
        """
        heading, pitch = math.radians(eye.heading), math.radians(eye.pitch)
        view = ViewState(
            eye.east,
            eye.north,
            eye.height,
            forward=(math.sin(heading) * math.cos(pitch), math.cos(heading) * math.cos(pitch), math.sin(pitch)),
            vertical_field_of_view=lens.vertical_field_of_view,
            aspect_ratio=lens.width / lens.height,
            viewport_lines=lens.height,
            kind=eye.kind,
        )
        while True:
            needed = [entry.tile for entry in select(view, self._criteria, self._heights).tiles if entry.visible]
            missing = sorted((tile for tile in needed if tile not in self.surfaces), key=_along_a_curve)
            for tile in missing:
                self.surfaces[tile] = surface_of(self._field(tile))
                advance(len(self.surfaces), len(self.surfaces) + len(missing))
            if not missing:
                return [self.surfaces[tile] for tile in needed]

    def _heights(self, tile: TileId) -> tuple[float, float] | None:
        surface = self.surfaces.get(tile)
        return None if surface is None else (float(surface.heights.min()), float(surface.heights.max()))


def _along_a_curve(tile: TileId) -> tuple[int, int]:
    """Level, then Morton order, in which neighbours share their ancestors."""
    return tile.z, sum((tile.x >> bit & 1) << 2 * bit | (tile.y >> bit & 1) << 2 * bit + 1 for bit in range(64))
