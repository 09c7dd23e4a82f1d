"""Tiles in MuJoCo: a pool of heightfields, made before the model is compiled, that tiles come into and leave.

    spec = mujoco.MjSpec.from_file("robot.xml")
    ground = MujocoGround(spec, Anchor(7.66, 45.98, 3000.0), level=17)
    model = spec.compile()
    data = mujoco.MjData(model)
    ground.bind(model, data)
    for event in stream.poll():  # of a collision stream
        ground.apply(event)

All tiles have one scale for their heights, so that neighbours have equal heights on their edge to the last bit.
"""

import mujoco
import numpy as np

from terraloom import HeightGrid, HeightTile, Removed, TileId
from terraloom.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError
from terraloom_sims.anchor import SEGMENTS, AnyAnchor

SIDE = SEGMENTS + 1
BASE = 10.0
"""Metres of rock below the lowest height: a heightfield is a solid."""
PARKED = -1e5
"""Z of heightfields that hold no tile."""


class MujocoGround:
    """The tiles of one level as heightfields, each on a mocap body of its own. Z is metres above the anchor.

    `slots` are the most tiles at a time; `lowest` and `highest` metres above the anchor hold all of their heights, which are kept as 24-bit
    fractions of that range: 0.1 mm by default. `geom` are further attributes of the geoms, such as `friction`.
    """

    def __init__(
        self,
        spec: mujoco.MjSpec,
        anchor: AnyAnchor,
        level: int,
        slots: int = 32,
        lowest: float = -1000.0,
        highest: float = 1000.0,
        **geom: object,
    ) -> None:
        self.anchor, self.level, self.lowest, self.highest = anchor, level, lowest, highest
        self._size = [SEGMENTS / 2 * spacing for spacing in anchor.spacing(level)]
        self._free = [f"terraloom_{i}" for i in reversed(range(slots))]
        self._taken: dict[TileId, str] = {}
        self._model: mujoco.MjModel | None = None
        for name in self._free:
            flat = np.zeros(SIDE * SIDE, np.float32)
            spec.add_hfield(name=name, nrow=SIDE, ncol=SIDE, size=[*self._size, highest - lowest, BASE], userdata=flat)
            body = spec.worldbody.add_body(name=name, mocap=True, pos=[0.0, 0.0, PARKED])
            body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_HFIELD, hfieldname=name, **geom)

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Use the compiled model from now on."""
        self._model, self._data = model, data

    def apply(self, event: object) -> None:
        """Follow one event of a collision stream; those that are not of the ground are passed over."""
        if isinstance(event, HeightTile):
            self.add(event)
        elif isinstance(event, Removed):
            for tile in event.tiles:
                self.remove(tile)

    def add(self, grid: HeightGrid) -> None:
        """Put a tile in its place.

        Raises InvalidArgumentError for one of another level or out of range, ResourceExhaustedError when all slots are taken, and
        FailedPreconditionError before `bind`.
        """
        if self._model is None:
            raise FailedPreconditionError("bind the compiled model before tiles are added")
        if grid.id.z != self.level:
            raise InvalidArgumentError(f"tile {grid.id} is not of level {self.level}, for which this ground was made", field="level")
        heights = self.anchor.heights(grid)
        if heights.min() < self.lowest or heights.max() > self.highest:
            text = f"tile {grid.id} has heights from {heights.min():.0f} to {heights.max():.0f} m above the anchor"
            raise InvalidArgumentError(f"{text}: allowed are {self.lowest:.0f} to {self.highest:.0f}", field="lowest")
        if grid.id not in self._taken and not self._free:
            raise ResourceExhaustedError(f"all {len(self._taken)} slots are taken: make more, or ask for a smaller radius")
        if grid.id not in self._taken:
            self._taken[grid.id] = self._free.pop()
        name = self._taken[grid.id]
        hfield = self._model.hfield(name)
        hfield.data[:] = ((heights - self.lowest) / (self.highest - self.lowest)).astype(np.float32)
        x, y = self.anchor.corner(grid.id)
        self._move(name, [x + self._size[0], y + self._size[1], self.lowest])

    def remove(self, tile: TileId) -> None:
        """Take a tile away, if it is there."""
        if name := self._taken.pop(tile, ""):
            self._free.append(name)
            self._move(name, [0.0, 0.0, PARKED])

    def _move(self, name: str, position: list[float]) -> None:
        assert self._model is not None
        self._data.mocap_pos[self._model.body(name).mocapid[0]] = position
