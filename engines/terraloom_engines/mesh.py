"""Meshes: the grid of vertices that a tile's rasters become, on the WGS84 ellipsoid or on a plane.

A vertex sits on a pixel corner, every 256/segments pixels. Its height is the mean of the square of pixels centred on it, an exact
quotient of integers; its normal comes from central differences of those heights. Both read a ring of neighbours out of the halo, and
place and metres per pixel belong to a column or row of the level, not of a tile. So two tiles of a level
have the same place, height and normal, bit for bit, at every vertex of the edge between them.

Heights above mean sea level are taken as heights above the ellipsoid (no geoid). Planes are flat.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import InvalidArgumentError
from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, Field
from terraloom_engines.geodesy import ECCENTRICITY_SQUARED, Column, Row, column_of, ecef_from_tile, row_of
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, plane_bounds, tile_ground_sample_distance

__all__ = [
    "SEGMENTS",
    "TileMesh",
    "build_mesh",
    "corner_sums",
    "geometric_error",
    "mesh_halo",
    "planet_mesh",
    "rim",
    "surface_elevation",
    "triangles",
    "vertex_heights",
]

SEGMENTS = (32, 64, 128)
"""Quads along a side that a mesh may have."""
SKIRT_DEPTH = 8.0
"""Depth of the skirts in ground sample distances: twice the 4 that bound all refinement below a pixel, once for either side of an edge."""
GEOMETRIC_ERROR = 4.0
"""Geometric error of a tile in ground sample distances: the vertex spacing at 64 segments."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TileMesh:
    """One tile's vertices, in double precision, and in its own frame.

    Grids have `segments` + 1 rows southward and columns eastward. `east` (columns) and `north` (rows) are longitudes and latitudes in
    degrees, or x and y in metres on a plane, `heights` (rows, columns) metres above mean sea level, `normals` (rows, columns, 3) unit
    vectors east, north, up at the vertex itself.
    `positions` (n, 3) and `tile_normals` (n, 3) are float32 in the tile's frame (X east, Y up, Z south, metres; see `world_from_tile`):
    rows of the grid first, then the skirt: the rim clockwise from the north-west, lowered. `triangles(segments)` indexes both.
    """

    tile: TileId
    segments: int
    east: Array
    north: Array
    heights: Array
    normals: Array
    positions: NDArray[np.float32]
    tile_normals: NDArray[np.float32]

    @property
    def min_height(self) -> float:
        """Lowest vertex in metres above mean sea level, skirts left out."""
        return float(self.heights.min())

    @property
    def max_height(self) -> float:
        """Highest vertex in metres above mean sea level."""
        return float(self.heights.max())


def geometric_error(tile: TileId) -> float:
    """Geometric error of a tile in metres, as in 3D Tiles: 4 of the ground sample distances at its middle row."""
    return GEOMETRIC_ERROR * tile_ground_sample_distance(tile)


def mesh_halo(segments: int) -> int:
    """Pixels of halo that a mesh reads: the ring of vertices outside the tile, and half a square of pixels beyond it."""
    step = TILE_SIZE // segments
    return step + step // 2


def surface_elevation(field: Field, *, water: bool = True) -> NDArray[np.int32]:
    """The surface that is meant, in `ELEVATION_UNIT`s, shape (row, column), halo included.

    With `water`, what a vehicle meets: the ground where land prevails, the water's surface elsewhere; without, the ground with the floor of
    sea and lakes.
    """
    elevation = field.channel("elevation")
    return np.where(2 * field.channel("land") > LAND_FULL, elevation, field.channel("water")) if water else elevation


def corner_sums(surface: NDArray[np.int32], step: int) -> NDArray[np.int64]:
    """Sums over squares of `step` x `step` pixels, from the north-west of `surface` on.

    With half a step of halo the squares are centred on the corners of a tile's grid. `ELEVATION_UNIT` / step^2 makes metres of their
    sums: integers over a power of two, exact in double precision whatever the order.
    """
    count = surface.shape[0] // step
    rows = surface.reshape(count, step, count * step).sum(axis=1, dtype=np.int64)
    sums: NDArray[np.int64] = np.einsum("ijk->ij", rows.reshape(count, count, step))
    return sums


def build_mesh(field: Field, segments: int = 64, *, water: bool = True) -> TileMesh:
    """Mesh of a field's surface; the field needs a halo of at least `mesh_halo(segments)` pixels.

    Raises InvalidArgumentError for a number of segments that is not in `SEGMENTS`.
    """
    tile, ring, step = field.tile, vertex_heights(field, segments, water=water), TILE_SIZE // segments
    if tile.kind is WorldKind.PLANE:
        return _plane_mesh(tile, ring)
    return planet_mesh(tile, ring, [row_of(tile.z, tile.y * TILE_SIZE + step * index) for index in range(segments + 1)])


def vertex_heights(field: Field, segments: int, *, water: bool = True) -> Array:
    """Heights in metres of the vertices of a mesh and of the ring of vertices round it, shape (rows, columns)."""
    if segments not in SEGMENTS:
        raise InvalidArgumentError(f"segments={segments} is not allowed: choose one of {', '.join(map(str, SEGMENTS))}")
    step = TILE_SIZE // segments
    sums = corner_sums(surface_elevation(field.crop(mesh_halo(segments)), water=water), step)
    return sums.astype(np.float64) * (ELEVATION_UNIT / (step * step))


def planet_mesh(tile: TileId, ring: Array, rows: list[Row]) -> TileMesh:
    """The mesh on the ellipsoid of the heights inside `ring`, on the meridians of a tile and on these parallels, in the tile's frame.

    `ring` has a vertex more than the mesh on every side.
    """
    segments = len(ring) - 3
    step = TILE_SIZE // segments
    columns = [column_of(tile.z, tile.x * TILE_SIZE + step * index) for index in range(segments + 1)]
    spacings = [np.array([step * getattr(row, name) for row in rows])[:, None] for name in ("east_metres", "north_metres")]
    heights, normals = ring[1:-1, 1:-1], _normals(ring, *spacings)
    ecef, up, ecef_normals = _ecef_vertices(columns, rows, heights, normals)
    edge, depth = rim(segments), SKIRT_DEPTH * tile_ground_sample_distance(tile)
    frame = ecef_from_tile(tile)
    return TileMesh(
        tile=tile,
        segments=segments,
        east=np.array([column.longitude for column in columns]),
        north=np.array([row.latitude for row in rows]),
        heights=heights,
        normals=normals,
        positions=_rotated(np.concatenate([ecef, ecef[edge] - depth * up[edge]]) - frame[:3, 3], frame),
        tile_normals=_rotated(np.concatenate([ecef_normals, ecef_normals[edge]]), frame),
    )


def _plane_mesh(tile: TileId, ring: Array) -> TileMesh:
    """The mesh on a plane of the heights inside `ring`."""
    segments = len(ring) - 3
    west, _, east, north = plane_bounds(tile)
    spacing = (east - west) / segments
    heights, normals = ring[1:-1, 1:-1], _normals(ring, np.array(spacing), np.array(spacing))
    along = spacing * np.arange(segments + 1.0)
    middle = (east - west) / 2
    grid = np.stack(np.broadcast_arrays(along - middle, heights, (along - middle)[:, None]), axis=-1).reshape(-1, 3)
    turned = np.stack([normals[..., 0], normals[..., 2], -normals[..., 1]], axis=-1).reshape(-1, 3)
    edge = rim(segments)
    skirt = grid[edge] - (0.0, SKIRT_DEPTH * tile_ground_sample_distance(tile), 0.0)
    return TileMesh(
        tile=tile,
        segments=segments,
        east=west + along,
        north=north - along,
        heights=heights,
        normals=normals,
        positions=np.concatenate([grid, skirt]).astype(np.float32),
        tile_normals=np.concatenate([turned, turned[edge]]).astype(np.float32),
    )


@lru_cache(maxsize=len(SEGMENTS))
def triangles(segments: int) -> NDArray[np.uint16]:
    """Indices of grid and skirt, shape (2 segments^2 + 8 segments, 3), counter-clockwise seen from outside; read-only."""
    side = segments + 1
    corner = (np.arange(segments)[:, None] * side + np.arange(segments)).ravel()
    north_west, north_east, south_west, south_east = corner, corner + 1, corner + side, corner + side + 1
    grid = np.stack([north_west, south_west, north_east, north_east, south_west, south_east], axis=-1)
    top = rim(segments)
    bottom = side * side + np.arange(len(top))
    next_top, next_bottom = np.roll(top, -1), np.roll(bottom, -1)
    skirt = np.stack([top, next_top, bottom, bottom, next_top, next_bottom], axis=-1)
    indices = np.concatenate([grid.reshape(-1, 3), skirt.reshape(-1, 3)]).astype(np.uint16)
    indices.flags.writeable = False
    return indices


@lru_cache(maxsize=len(SEGMENTS))
def rim(segments: int) -> NDArray[np.int64]:
    """Indices of the grid's rim, clockwise seen from above, from the north-west corner: 4 segments of them."""
    index = np.arange((segments + 1) ** 2).reshape(segments + 1, segments + 1)
    return np.concatenate([index[0, :-1], index[:-1, -1], index[-1, :0:-1], index[:0:-1, 0]])


def _normals(ring: Array, east: Array, north: Array) -> Array:
    """Unit normals (east, north, up) of the grid inside `ring`, by central differences over metres from vertex to vertex."""
    slope_east = (ring[1:-1, 2:] - ring[1:-1, :-2]) / (2 * east)
    slope_north = (ring[:-2, 1:-1] - ring[2:, 1:-1]) / (2 * north)
    up: Array = 1 / np.sqrt(1 + slope_east * slope_east + slope_north * slope_north)
    return np.stack([-slope_east * up, -slope_north * up, up], axis=-1)


def _ecef_vertices(columns: list[Column], rows: list[Row], heights: Array, normals: Array) -> tuple[Array, Array, Array]:
    """Positions, ellipsoid normals and surface normals of the grid, earth-centred earth-fixed, each of shape (rows x columns, 3)."""
    cos_lon, sin_lon = (np.array([getattr(column, name) for column in columns]) for name in ("cosine", "sine"))
    cos_lat, sin_lat = (np.array([getattr(row, name) for row in rows])[:, None] for name in ("cosine", "sine"))
    prime_vertical = np.array([row.prime_vertical for row in rows])[:, None]
    across = (prime_vertical + heights) * cos_lat
    along = (prime_vertical * (1 - ECCENTRICITY_SQUARED) + heights) * sin_lat
    position = np.stack([across * cos_lon, across * sin_lon, along], axis=-1)
    up = np.stack(np.broadcast_arrays(cos_lat * cos_lon, cos_lat * sin_lon, sin_lat), axis=-1)
    east, north = normals[..., 0], normals[..., 1]
    level_part = [-sin_lon * east - sin_lat * cos_lon * north, cos_lon * east - sin_lat * sin_lon * north, cos_lat * north]
    normal = normals[..., 2:] * up + np.stack(level_part, axis=-1)
    return position.reshape(-1, 3), up.reshape(-1, 3), normal.reshape(-1, 3)


def _rotated(vectors: Array, ecef_from_frame: Array) -> NDArray[np.float32]:
    """Vectors (n, 3) turned into the frame; written out, since a BLAS may round by the number of rows and of threads."""
    x, y, z = np.ascontiguousarray(vectors.T)
    turned = np.empty((len(vectors), 3), np.float32)
    for axis in range(3):
        turned[:, axis] = x * ecef_from_frame[0, axis] + y * ecef_from_frame[1, axis] + z * ecef_from_frame[2, axis]
    return turned
