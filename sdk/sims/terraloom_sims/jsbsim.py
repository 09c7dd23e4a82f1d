"""Ground in JSBSim: the height below the aircraft, read from the tiles that have come and from nothing else.

    fdm = jsbsim.FGFDMExec(None)
    ground = JsbsimGround(fdm)
    while flying:
        for event in stream.poll():  # of a collision stream
            ground.apply(event)
        ground.update()  # before each step
        fdm.run()

JSBSim knows the ground as one height, that of the point below the aircraft (https://github.com/JSBSim-Team/jsbsim/issues/1268), which it
lets others set at every step.
"""

import jsbsim

from terraloom import HeightTile, Removed, TileId
from terraloom.errors import FailedPreconditionError
from terraloom_sims.anchor import tile_of

FEET = 0.3048
"""Metres in a foot."""


class JsbsimGround:
    """The tiles of one level as JSBSim's terrain. `tiles` are those that have come and were not freed."""

    def __init__(self, fdm: jsbsim.FGFDMExec) -> None:
        self._fdm = fdm
        self.tiles: dict[TileId, HeightTile] = {}

    def apply(self, event: object) -> None:
        """Follow one event of a collision stream."""
        if isinstance(event, HeightTile):
            self.tiles[event.id] = event
        elif isinstance(event, Removed):
            for tile in event.tiles:
                self.tiles.pop(tile, None)

    def height(self, longitude: float, latitude: float) -> float | None:
        """Metres above mean sea level of the ground at a place in degrees; None where no tile has come."""
        for level in {tile.z for tile in self.tiles}:
            tile = self.tiles.get(tile_of(level, longitude, latitude))
            if tile is not None:
                return float(tile.sample(longitude, latitude))
        return None

    def update(self) -> float:
        """Tell JSBSim the ground below the aircraft; metres above mean sea level.

        Raises FailedPreconditionError where no tile has come: an aircraft must not fly over ground that is not there.
        """
        longitude, latitude = self._fdm["position/long-gc-deg"], self._fdm["position/lat-geod-deg"]
        height = self.height(longitude, latitude)
        if height is None:
            raise FailedPreconditionError(f"there is no ground at {longitude:.5f}, {latitude:.5f}: its tile has not come")
        self._fdm["position/terrain-elevation-asl-ft"] = height / FEET
        return height
