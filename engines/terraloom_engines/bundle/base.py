"""What a world stands on: the coarsest rasters, stored or computed, from which the cascade starts."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import Field
from terraloom_engines.tiling import TileId, WorldKind


class Base(Protocol):
    """The coarsest rasters of a world. Every method is thread-safe and a pure function of the base's identity and its arguments.

    Levels 0 to `finest_level` come from `field`; below, the cascade refines. For elevation and the three colours, four children of a
    pixel average to it exactly from level 1 on. All of it honours the rules of `field.py`: pure land lies above 0, pure water below,
    and `relief` and `texture` say how much is left inside a pixel.
    """

    @property
    def kind(self) -> WorldKind:
        """How tiles are addressed: on a planet or on a plane."""
        ...

    @property
    def title(self) -> str:
        """Name for people."""
        ...

    @property
    def attribution(self) -> str:
        """One sentence with sources and licences, to be shown with what the base shows."""
        ...

    @property
    def identity(self) -> str:
        """Text that differs between bases whose rasters differ: part of the identity of the world and of all its tiles."""
        ...

    @property
    def finest_level(self) -> int:
        """The level from which the cascade starts."""
        ...

    def field(self, tile: TileId, halo: int) -> Field:
        """Rasters of a tile of `finest_level` or coarser, with a halo of `halo` pixels."""
        ...

    def child_land(self, level: int, column: int, row: int, side: int) -> NDArray[np.int32] | None:
        """Land fraction 0..255, (side, side), of global pixels of `level` from (column, row); None where only elevation knows the coast."""
        ...

    def details(self, level: int, column: int, row: int, side: int) -> NDArray[np.int32] | None:
        """What is known of the relief inside global pixels of `level` from (column, row), (4, side, side); None where nothing is.

        West-east, north-south and diagonal details of the four children, in `DETAIL_UNIT` of the pixel's spread, and the share 0..255 that
        they are known to. Where they are, `child_land` is.
        """
        ...
