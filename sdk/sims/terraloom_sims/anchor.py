"""The simulation's origin in the world, and where tiles lie round it.

A heightfield is flat and square, a planet is neither. Here all tiles of a level lie on one flat regular grid, whose spacing is that of the
grid at the anchor: neighbours join exactly, sample on sample, and gravity points down everywhere. What that leaves out grows with the
distance from the anchor, so that a body that travels wants a new anchor every few kilometres (`docs/physics.md` has numbers). On a plane
nothing is left out.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom import HeightGrid, PlaneView, TileId, View
from terraloom.errors import InvalidArgumentError
from terraloom.frames import ECCENTRICITY_SQUARED, SEMI_MAJOR_AXIS

SEGMENTS = 128
"""Cells along a side of a height grid."""
STEEPEST_LATITUDE = 85.0
"""Degrees; where Web Mercator, and so the ground, ends."""
PLANE_SIDE = float(1 << 25)
"""Metres along a side of a plane's tile of level 0, if it had one."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in degrees, and metres above mean sea level, that is the origin of a simulation: X east, Y north, Z up, metres.

    Raises InvalidArgumentError for what is no place on the map.
    """

    longitude: float
    latitude: float
    height: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.longitude) and math.isfinite(self.height) and abs(self.latitude) <= STEEPEST_LATITUDE):
            allowed = f"a finite longitude and height, and a latitude within {STEEPEST_LATITUDE:g} degrees"
            raise InvalidArgumentError(f"{self} cannot be an anchor: it needs {allowed}", field="anchor")

    @property
    def extent(self) -> tuple[float, float]:
        """Metres that the whole map would have east and north at the scale of the anchor."""
        sine, cosine = math.sin(math.radians(self.latitude)), math.cos(math.radians(self.latitude))
        bulge = 1 - ECCENTRICITY_SQUARED * sine * sine
        prime_vertical = SEMI_MAJOR_AXIS / math.sqrt(bulge)
        meridional = prime_vertical * (1 - ECCENTRICITY_SQUARED) / bulge
        return math.tau * prime_vertical * cosine, math.tau * meridional * cosine

    def spacing(self, level: int) -> tuple[float, float]:
        """Metres between the samples of the grids of `level`, east and north."""
        east, north = self.extent
        return east / (SEGMENTS << level), north / (SEGMENTS << level)

    def corner(self, tile: TileId) -> tuple[float, float]:
        """X and Y of a tile's south-western sample."""
        return self._local(tile.x / (1 << tile.z), (tile.y + 1) / (1 << tile.z))

    def local(self, longitude: float, latitude: float) -> tuple[float, float]:
        """X and Y of a place in degrees."""
        return self._local(*_map_place(longitude, latitude))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Longitude and latitude in degrees of a point of the simulation."""
        (east, north), (right, down) = self.extent, _map_place(self.longitude, self.latitude)
        longitude = ((right + x / east) % 1.0) * 360.0 - 180.0
        return longitude, math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * (down - y / north)))))

    def heights(self, grid: HeightGrid) -> NDArray[np.float64]:
        """Z of a grid's samples, shape (129, 129), rows northward, columns eastward."""
        return grid.heights[::-1] - self.height

    def view(self, x: float, y: float, z: float) -> View:
        """The viewpoint at a point of the simulation."""
        return View(*self.place(x, y), self.height + z)

    def _local(self, right: float, down: float) -> tuple[float, float]:
        (east, north), (own_right, own_down) = self.extent, _map_place(self.longitude, self.latitude)
        return ((right - own_right + 0.5) % 1.0 - 0.5) * east, (own_down - down) * north


@dataclass(frozen=True, slots=True)
class PlaneAnchor:
    """A place of a plane world (`plane:SEED`) that is the origin of a simulation: metres east, north, and above the sea.

    Raises InvalidArgumentError for what is not finite.
    """

    x: float
    y: float
    height: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.height))):
            raise InvalidArgumentError(f"{self} cannot be an anchor: it needs finite metres", field="anchor")

    def spacing(self, level: int) -> tuple[float, float]:
        """Metres between the samples of the grids of `level`, east and north."""
        metres = PLANE_SIDE / (SEGMENTS << level)
        return metres, metres

    def corner(self, tile: TileId) -> tuple[float, float]:
        """X and Y of a tile's south-western sample."""
        side = PLANE_SIDE / (1 << tile.z)
        return tile.x * side - self.x, -(tile.y + 1) * side - self.y

    def local(self, x: float, y: float) -> tuple[float, float]:
        """X and Y in the simulation of a place in metres."""
        return x - self.x, y - self.y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The place in metres of a point of the simulation."""
        return self.x + x, self.y + y

    def heights(self, grid: HeightGrid) -> NDArray[np.float64]:
        """Z of a grid's samples, shape (129, 129), rows northward, columns eastward."""
        return grid.heights[::-1] - self.height

    def view(self, x: float, y: float, z: float) -> PlaneView:
        """The viewpoint at a point of the simulation."""
        return PlaneView(*self.place(x, y), self.height + z)


AnyAnchor = Anchor | PlaneAnchor
"""The origin of a simulation, whatever the world."""


def _map_place(longitude: float, latitude: float) -> tuple[float, float]:
    """A place on the Web Mercator square, 0 to 1 from its north-western corner."""
    return (longitude + 180.0) / 360.0, (1.0 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2.0


def tile_of(level: int, longitude: float, latitude: float) -> TileId:
    """The tile of a level that holds a place in degrees."""
    right, down = _map_place(longitude, latitude)
    columns = 1 << level
    return TileId(level, min(max(math.floor(right % 1.0 * columns), 0), columns - 1), min(max(math.floor(down * columns), 0), columns - 1))
