"""Heights: the grid that physics needs of a tile, and the places that heights are asked for."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from terraloom._encoding import encoded
from terraloom._options import Surface, surface_message
from terraloom._tile import TileId, tile_id
from terraloom.errors import DataLossError, InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class HeightGrid:
    """Heights of a tile on a regular grid in its own frame (X east, Y up, Z south, metres), its edges on those of the tile.

    `heights` is float64, shape (rows, columns), rows southward, columns eastward: metres above mean sea level, taken as Y. The sample
    (row, column) lies at X = `origin[0]` + column * `spacing[0]`, Z = `origin[1]` + row * `spacing[1]`. `transform` are the 16 numbers,
    row by row, that `ecef_from_tile` shapes. Equal hashes hold equal grids.
    """

    id: TileId
    heights: "NDArray[np.float64]" = field(repr=False)
    origin: tuple[float, float]
    spacing: tuple[float, float]
    transform: tuple[float, ...] = field(repr=False)
    content_hash: bytes

    @property
    def ecef_from_tile(self) -> "NDArray[np.float64]":
        """Matrix from the tile's frame to earth-centred earth-fixed metres, shape (4, 4), for column vectors."""
        import numpy as np

        return np.array(self.transform, dtype=np.float64).reshape(4, 4)


def height_grid_from_message(message: pb.Tile) -> HeightGrid:
    """A height grid from the wire; raises `DataLossError` when it does not hold the samples that it claims to."""
    import numpy as np

    grid = message.height_grid
    if not grid.heights or len(grid.heights) != 4 * grid.rows * grid.columns:
        raise DataLossError(f"height grid of {tile_id(message.id)}: {len(grid.heights)} bytes for {grid.rows} x {grid.columns} heights")
    values = np.frombuffer(grid.heights, "<i4").reshape(grid.rows, grid.columns)
    return HeightGrid(
        id=tile_id(message.id),
        heights=grid.offset + grid.scale * values.astype(np.float64),
        origin=(grid.origin_x, grid.origin_z),
        spacing=(grid.spacing_x, grid.spacing_z),
        transform=tuple(message.ecef_from_tile),
        content_hash=message.content_hash,
    )


def sampling_message(points: "ArrayLike", world: pb.WorldId, level: int | None, surface: Surface) -> pb.SampleHeightsRequest:
    """The request for heights of `points`, shape (n, 2); raises `InvalidArgumentError` for another shape, level or surface."""
    import numpy as np

    try:
        places = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"points are no pairs of longitude and latitude: {error}", field="points") from error
    places = places if places.size else places.reshape(0, 2)
    if places.ndim != 2 or places.shape[1] != 2:
        raise InvalidArgumentError(f"points have shape {places.shape}: allowed is (n, 2), longitude and latitude", field="points")
    east, north = places.T.tolist()
    with encoded({"level": level}):
        return pb.SampleHeightsRequest(world=world, east=east, north=north, level=level, surface=surface_message(surface))
