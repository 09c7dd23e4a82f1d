"""Polar caps: plain ground beyond the rim of Web Mercator at 85.05 degrees, where a planet's tiles end.

A cap is what the rim says of it: every height and colour is the harmonic continuation of those on the rim, the surface of a membrane
that is held there. In polar coordinates (longitude, and colatitude as the radius) it is the rim's Fourier series with its n-th term times
radius^n. So it meets the rim without a step, is smooth inside, and nowhere higher or lower than the rim.

A *sector* is the part of a cap poleward of one tile of the rim. It is a grid like a tile's: as many columns, whose first or last row is
the tile's own edge, vertex for vertex, and as many rows from there to the pole.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import InvalidArgumentError
from terraloom_engines.field import Field
from terraloom_engines.geodesy import Row, parallel, row_of
from terraloom_engines.mesh import TileMesh, planet_mesh, vertex_heights
from terraloom_engines.texture import GUTTER, surface_colour
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind

__all__ = ["is_on_rim", "sector_mesh", "sector_picture"]

Array = NDArray[np.float64]


def is_on_rim(tile: TileId) -> bool:
    """Whether a cap begins at one edge of `tile`. Level 0, whose only tile has both, counts as none."""
    return tile.kind is WorldKind.PLANET and tile.z > 0 and tile.y in (0, (1 << tile.z) - 1)


def sector_mesh(tile: TileId, field_of: Callable[[TileId], Field], segments: int = 64, *, water: bool = True) -> TileMesh:
    """Mesh of the sector poleward of a tile of the rim, in that tile's frame; fields need the halo of a mesh (`mesh_halo`).

    Raises InvalidArgumentError for a tile that is not on the rim.
    """
    north = _is_north(tile)
    ring = np.concatenate([vertex_heights(field_of(other), segments, water=water)[1 if north else -2, 1:-2] for other in _ring(tile)])
    columns = tile.x * segments + np.arange(-1, segments + 2)
    radii = np.arange(segments + 1) / segments
    inside = _continued(ring, radii if north else radii[::-1])[:, columns % len(ring)]
    # Normals want a row more at either end: slopes go on there as they are.
    heights = np.concatenate([2 * inside[:1] - inside[1:2], inside, 2 * inside[-1:] - inside[-2:-1]])
    return planet_mesh(tile, heights, [_row(tile, segments, north, radius) for radius in (radii if north else radii[::-1])])


def sector_picture(tile: TileId, field_of: Callable[[TileId], Field]) -> NDArray[np.uint8]:
    """Colour of that sector, sRGB, shape (260, 260, 3): longitude across, from north to south down, with a texture's gutter."""
    north = _is_north(tile)
    rims = [surface_colour(field_of(other).crop(0))[0 if north else -1] for other in _ring(tile)]
    radii = np.clip((np.arange(-GUTTER, TILE_SIZE + GUTTER) + 0.5) / TILE_SIZE, 0, 1)
    columns = (tile.x * TILE_SIZE + np.arange(-GUTTER, TILE_SIZE + GUTTER)) % (TILE_SIZE << tile.z)
    colours = [_continued(band, radii if north else radii[::-1])[:, columns] for band in np.concatenate(rims).T.astype(float)]
    return np.clip(np.rint(np.stack(colours, axis=-1)), 0, 255).astype(np.uint8)


def _is_north(tile: TileId) -> bool:
    if not is_on_rim(tile):
        raise InvalidArgumentError(f"there is no polar cap at tile {tile}: levels begin at 1, and rows are 0 and the last")
    return tile.y == 0


def _ring(tile: TileId) -> list[TileId]:
    """All tiles of the rim that `tile` is on, eastward from the antimeridian."""
    return [TileId(tile.z, x, tile.y) for x in range(1 << tile.z)]


def _row(tile: TileId, segments: int, north: bool, radius: float) -> Row:
    """The parallel of a sector at a radius, with the metres between its vertices."""
    rim = row_of(tile.z, 0 if north else TILE_SIZE << tile.z).latitude
    latitude = rim if radius == 1 else math.copysign(90 - (90 - abs(rim)) * radius, rim)
    pixels = TILE_SIZE // segments
    return parallel(latitude, math.tau / (TILE_SIZE << tile.z), math.radians(90 - abs(rim)) / segments / pixels)


def _continued(ring: Array, radii: Array) -> Array:
    """The harmonic function inside a circle that is `ring` at radius 1, shape (radius, angle)."""
    series = np.fft.rfft(ring)
    with np.errstate(under="ignore"):
        inside = np.fft.irfft(series * radii[:, None] ** np.arange(len(series)), len(ring))
    inside[radii == 1] = ring
    return np.clip(inside, ring.min(), ring.max())
