"""A ball on streamed ground in PyBullet: `python sdk/sims/pybullet_ball.py 127.0.0.1:50051`. Needs `pip install 'terraloom[sims]'`."""

import pybullet

from terraloom_sims.anchor import AnyAnchor
from terraloom_sims.course import MASS, RADIUS, Motion, run
from terraloom_sims.pybullet import PybulletGround


class PybulletBall:
    """Ground and a ball in PyBullet."""

    steps_per_second = 240

    def __init__(self, anchor: AnyAnchor, level: int) -> None:
        self.anchor = anchor
        self._physics = physics = pybullet.connect(pybullet.DIRECT)
        pybullet.setGravity(0.0, 0.0, -9.81, physicsClientId=physics)
        pybullet.setTimeStep(1.0 / self.steps_per_second, physicsClientId=physics)
        self._ground = PybulletGround(physics, anchor, lateralFriction=1.0)
        shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=RADIUS, physicsClientId=physics)
        self._ball = pybullet.createMultiBody(MASS, shape, physicsClientId=physics)

    def apply(self, event: object) -> None:
        """Follow one event of a collision stream."""
        self._ground.apply(event)

    def place(self, motion: Motion, rolling_friction: float) -> None:
        """Put the ball somewhere, rolling as fast as it moves."""
        east, north, _ = motion.velocity
        pybullet.changeDynamics(
            self._ball,
            -1,
            lateralFriction=1.0,
            rollingFriction=rolling_friction,
            linearDamping=0.0,
            angularDamping=0.0,
            physicsClientId=self._physics,
        )
        pybullet.resetBasePositionAndOrientation(self._ball, motion.position, (0.0, 0.0, 0.0, 1.0), physicsClientId=self._physics)
        spin = (-north / RADIUS, east / RADIUS, 0.0)
        pybullet.resetBaseVelocity(self._ball, motion.velocity, spin, physicsClientId=self._physics)

    def step(self) -> Motion:
        """One time step."""
        pybullet.stepSimulation(physicsClientId=self._physics)
        position, _ = pybullet.getBasePositionAndOrientation(self._ball, physicsClientId=self._physics)
        velocity, _ = pybullet.getBaseVelocity(self._ball, physicsClientId=self._physics)
        return Motion(position, velocity)


if __name__ == "__main__":
    run(PybulletBall, "Drop a ball on streamed ground and roll it over the border of two tiles, in PyBullet.")
