"""Where a tile lies: the transform from its own frame to its world."""

from typing import TYPE_CHECKING

from terraloom.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Placed:
    """What tiles of planets and of planes have in common. `transform` are 16 numbers, row by row."""

    __slots__ = ()

    transform: tuple[float, ...]
    on_plane: bool

    @property
    def world_from_tile(self) -> "NDArray[np.float64]":
        """Matrix from the tile's frame (X east, Y up, Z south, metres) to its world, shape (4, 4), for column vectors.

        The world's coordinates are earth-centred earth-fixed on a planet, x east, y north, z up on a plane.
        """
        import numpy as np

        return np.array(self.transform, dtype=np.float64).reshape(4, 4)

    @property
    def ecef_from_tile(self) -> "NDArray[np.float64]":
        """`world_from_tile` of a tile of a planet. Raises `InvalidArgumentError` on a plane."""
        if self.on_plane:
            raise InvalidArgumentError("the tile lies on a plane, which has no earth-centred coordinates: take plane_from_tile")
        return self.world_from_tile

    @property
    def plane_from_tile(self) -> "NDArray[np.float64]":
        """`world_from_tile` of a tile of a plane. Raises `InvalidArgumentError` on a planet."""
        if not self.on_plane:
            raise InvalidArgumentError("the tile lies on a planet: take ecef_from_tile")
        return self.world_from_tile
