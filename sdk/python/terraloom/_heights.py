"""Heights: the grid that physics needs of a tile, the heightfield that engines make of it, and the places that heights are asked for."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from terraloom._encoding import encoded
from terraloom._options import Surface, surface_message
from terraloom._placed import Placed
from terraloom._tile import TileId, tile_id
from terraloom.errors import DataLossError, InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

TILE_PIXELS = 256
RIM = 1e-6
"""Pixels by which a place may lie outside a tile and still count as on its edge."""


@dataclass(frozen=True, slots=True, eq=False)
class Heightfield:
    """A height grid as physics engines take it: X east, Y north, Z up, metres, the origin at the south-western sample.

    `heights` is float32, contiguous, shape (rows, columns), rows northward, columns eastward: metres above `datum`, which is metres above
    mean sea level. The sample (row, column) lies at X = column * `spacing[0]`, Y = row * `spacing[1]`. `origin` is X and Y of the
    south-western sample from the middle of the tile. `world_from_field`, float64, shape (4, 4), takes the field to the world's
    coordinates: earth-centred earth-fixed, or x, y, z of a plane.
    """

    heights: "NDArray[np.float32]" = field(repr=False)
    datum: float
    spacing: tuple[float, float]
    origin: tuple[float, float]
    world_from_field: "NDArray[np.float64]" = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class HeightGrid(Placed):
    """Heights of a tile on a regular grid in its own frame (X east, Y up, Z south, metres), its edges on those of the tile.

    `heights` is float64, shape (rows, columns), rows southward, columns eastward: metres above mean sea level, taken as Y. The sample
    (row, column) lies at X = `origin[0]` + column * `spacing[0]`, Z = `origin[1]` + row * `spacing[1]`. `transform` are the 16 numbers,
    row by row, that `world_from_tile` shapes. Equal hashes hold equal grids.
    """

    id: TileId
    heights: "NDArray[np.float64]" = field(repr=False)
    origin: tuple[float, float]
    spacing: tuple[float, float]
    transform: tuple[float, ...] = field(repr=False)
    content_hash: bytes
    on_plane: bool = field(default=False, kw_only=True)
    """Whether the tile is of a plane world, not of a planet."""

    def sample(self, east: "ArrayLike", north: "ArrayLike") -> "NDArray[np.float64]":
        """Heights in metres above mean sea level of places of the tile, edges included; arguments are broadcast.

        Places are longitudes and latitudes in degrees, or x and y in metres on a plane. The heights are those of `sample_heights` at the
        tile's level: bilinear in columns and rows. Raises `InvalidArgumentError` for a place outside the tile.
        """
        import numpy as np

        last_row, last_column = (count - 1 for count in self.heights.shape)
        columns, rows = self._pixels(east, north)
        along, down = columns * (last_column / TILE_PIXELS), rows * (last_row / TILE_PIXELS)
        left, top = np.minimum(along.astype(np.int64), last_column - 1), np.minimum(down.astype(np.int64), last_row - 1)
        u, v = along - left, down - top
        upper = (1 - u) * self.heights[top, left] + u * self.heights[top, left + 1]
        lower = (1 - u) * self.heights[top + 1, left] + u * self.heights[top + 1, left + 1]
        found: NDArray[np.float64] = (1 - v) * upper + v * lower
        return found

    def _pixels(self, east: "ArrayLike", north: "ArrayLike") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Columns and rows of places in pixels from the tile's north-western corner, 0 to 256."""
        import numpy as np

        x, y = np.broadcast_arrays(np.asarray(east, np.float64), np.asarray(north, np.float64))
        columns, rows = self._plane_pixels(x, y) if self.on_plane else self._mercator_pixels(x, y)
        inside = (columns >= -RIM) & (columns <= TILE_PIXELS + RIM) & (rows >= -RIM) & (rows <= TILE_PIXELS + RIM)
        if not inside.all():
            first = int(np.argmin(inside))
            names = "x, y" if self.on_plane else "longitude, latitude"
            place = f"{x.flat[first]:.9g}, {y.flat[first]:.9g}"
            raise InvalidArgumentError(f"the place {place} ({names}) is outside tile {self.id}", field=names.partition(",")[0])
        return np.clip(columns, 0.0, TILE_PIXELS), np.clip(rows, 0.0, TILE_PIXELS)

    def _plane_pixels(self, x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        frame, (last_row, last_column) = self.world_from_tile, (count - 1 for count in self.heights.shape)
        columns = (x - frame[0, 3] - self.origin[0]) / (self.spacing[0] * last_column) * TILE_PIXELS
        rows = (frame[1, 3] - y - self.origin[1]) / (self.spacing[1] * last_row) * TILE_PIXELS
        return columns, rows

    def _mercator_pixels(self, lam: "NDArray[np.float64]", phi: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        import numpy as np

        world = TILE_PIXELS << self.id.z
        columns = ((lam + 180.0) / 360.0 % 1.0) * world - self.id.x * TILE_PIXELS
        columns = np.where(columns < -RIM, columns + world, np.where(columns > TILE_PIXELS + RIM, columns - world, columns))
        rows = (1.0 - np.arcsinh(np.tan(np.radians(np.clip(phi, -85.06, 85.06)))) / np.pi) / 2.0 * world - self.id.y * TILE_PIXELS
        return columns, rows

    def heightfield(self, datum: float = 0.0) -> Heightfield:
        """The grid as physics engines take it, heights in metres above `datum`, which is metres above mean sea level.

        float32 keeps half a millimetre up to 8 km; with a datum near the ground it keeps more.
        """
        import numpy as np

        rows = len(self.heights)
        south = self.origin[1] + (rows - 1) * self.spacing[1]
        tile_from_field = np.array([[1, 0, 0, self.origin[0]], [0, 0, 1, datum], [0, -1, 0, south], [0, 0, 0, 1]], dtype=np.float64)
        return Heightfield(
            heights=np.ascontiguousarray(self.heights[::-1] - datum, dtype=np.float32),
            datum=datum,
            spacing=self.spacing,
            origin=(self.origin[0], -south),
            world_from_field=self.world_from_tile @ tile_from_field,
        )


@dataclass(frozen=True, slots=True, eq=False)
class HeightTile(HeightGrid):
    """A height grid that a collision stream delivered; it never changes unless it is `provisional`. `delivery` numbers it within its
    connection.

    `view_sequence` is the first view that asked for it, `min_height` and `max_height` are metres above mean sea level.
    """

    min_height: float
    max_height: float
    delivery: int
    view_sequence: int
    provisional: bool = False


def height_grid_from_message(message: pb.Tile) -> HeightGrid:
    """A height grid from the wire; raises `DataLossError` when it does not hold the samples that it claims to."""
    return HeightGrid(
        id=tile_id(message.id),
        heights=_heights(message),
        origin=(message.height_grid.origin_x, message.height_grid.origin_z),
        spacing=(message.height_grid.spacing_x, message.height_grid.spacing_z),
        transform=tuple(message.plane_from_tile or message.ecef_from_tile),
        content_hash=message.content_hash,
        on_plane=bool(message.plane_from_tile),
    )


def height_tile_from_message(message: pb.Tile) -> HeightTile:
    """A tile of a collision stream from the wire; raises `DataLossError` when it does not hold the samples that it claims to."""
    grid = height_grid_from_message(message)
    return HeightTile(
        id=grid.id,
        heights=grid.heights,
        origin=grid.origin,
        spacing=grid.spacing,
        transform=grid.transform,
        content_hash=grid.content_hash,
        min_height=message.min_height,
        max_height=message.max_height,
        delivery=message.delivery,
        view_sequence=message.view_sequence,
        provisional=message.provisional,
        on_plane=grid.on_plane,
    )


def _heights(message: pb.Tile) -> "NDArray[np.float64]":
    """Metres above mean sea level, shape (rows, columns), read-only."""
    import numpy as np

    grid = message.height_grid
    if grid.rows < 2 or grid.columns < 2 or len(grid.heights) != 4 * grid.rows * grid.columns:
        raise DataLossError(f"height grid of {tile_id(message.id)}: {len(grid.heights)} bytes for {grid.rows} x {grid.columns} heights")
    values = np.frombuffer(grid.heights, "<i4").reshape(grid.rows, grid.columns)
    heights: NDArray[np.float64] = grid.offset + grid.scale * values.astype(np.float64)
    heights.flags.writeable = False
    return heights


def sampling_message(points: "ArrayLike", world: pb.WorldId, level: int | None, surface: Surface) -> pb.SampleHeightsRequest:
    """The request for heights of `points`, shape (n, 2); raises `InvalidArgumentError` for another shape, level or surface."""
    east, north = _table(points, "longitude and latitude, or x and y", 2).T.tolist()
    with encoded({"level": level}):
        return pb.SampleHeightsRequest(world=world, east=east, north=north, level=level, surface=surface_message(surface))


def ecef_points(points: "ArrayLike") -> "NDArray[np.float64]":
    """Earth-centred earth-fixed points, shape (n, 3); raises `InvalidArgumentError` for another shape and for what is not finite."""
    import numpy as np

    places = _table(points, "x, y and z", 3)
    if not np.isfinite(places).all():
        first = int(np.argmin(np.isfinite(places).all(axis=1)))
        raise InvalidArgumentError(f"points[{first}] = {places[first].tolist()} is not finite", field="points")
    return places


def _table(points: "ArrayLike", names: str, width: int) -> "NDArray[np.float64]":
    """`points` as float64, shape (n, width)."""
    import numpy as np

    try:
        table = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"points are no {_TUPLES[width]} of {names}: {error}", field="points") from error
    table = table if table.size else table.reshape(0, width)
    if table.ndim != 2 or table.shape[1] != width:
        raise InvalidArgumentError(f"points have shape {table.shape}: allowed is (n, {width}), {names}", field="points")
    return table


_TUPLES = {2: "pairs", 3: "triples"}
