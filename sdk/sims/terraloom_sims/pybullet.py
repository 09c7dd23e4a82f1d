"""Tiles in PyBullet: each a heightfield of its own, made when it comes and freed when it goes.

physics = pybullet.connect(pybullet.DIRECT)
ground = PybulletGround(physics, Anchor(7.66, 45.98, 3000.0))
for event in stream.poll():  # of a collision stream
    ground.apply(event)
"""

import pybullet

from terraloom import HeightGrid, HeightTile, Removed, TileId
from terraloom_sims.anchor import SEGMENTS, AnyAnchor

SIDE = SEGMENTS + 1


class PybulletGround:
    """Tiles as heightfields in the physics client `physics`. Z is metres above the anchor.

    `dynamics` are passed to `pybullet.changeDynamics` for every tile, such as `lateralFriction`.
    """

    def __init__(self, physics: int, anchor: AnyAnchor, **dynamics: float) -> None:
        self.anchor = anchor
        self.bodies: dict[TileId, int] = {}
        """PyBullet's body of each tile."""
        self._physics = physics
        self._dynamics = dynamics

    def apply(self, event: object) -> None:
        """Follow one event of a collision stream; those that are not of the ground are passed over."""
        if isinstance(event, HeightTile):
            self.add(event)
        elif isinstance(event, Removed):
            for tile in event.tiles:
                self.remove(tile)

    def add(self, grid: HeightGrid) -> None:
        """Put a tile in its place."""
        self.remove(grid.id)
        heights, (east, north) = self.anchor.heights(grid), self.anchor.spacing(grid.id.z)
        x, y = self.anchor.corner(grid.id)
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_HEIGHTFIELD,
            meshScale=[east, north, 1.0],
            heightfieldData=heights.ravel().tolist(),
            numHeightfieldRows=SIDE,
            numHeightfieldColumns=SIDE,
            physicsClientId=self._physics,
        )
        # Bullet puts the origin of a heightfield into the middle of its bounding box.
        middle = [x + SEGMENTS / 2 * east, y + SEGMENTS / 2 * north, float(heights.min() + heights.max()) / 2]
        body = pybullet.createMultiBody(0.0, shape, basePosition=middle, physicsClientId=self._physics)
        pybullet.changeDynamics(body, -1, physicsClientId=self._physics, **self._dynamics)
        self.bodies[grid.id] = body

    def remove(self, tile: TileId) -> None:
        """Free a tile, if it is there."""
        body = self.bodies.pop(tile, None)
        if body is not None:
            pybullet.removeBody(body, physicsClientId=self._physics)
