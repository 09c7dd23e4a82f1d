"""A ball on streamed ground in MuJoCo: `python sdk/sims/mujoco_ball.py 127.0.0.1:50051`. Needs `pip install 'terraloom[sims]'`."""

import mujoco

from terraloom_sims.anchor import AnyAnchor
from terraloom_sims.course import MASS, RADIUS, Motion, run
from terraloom_sims.mujoco import MujocoGround


class MujocoBall:
    """Ground and a ball in MuJoCo."""

    steps_per_second = 500

    def __init__(self, anchor: AnyAnchor, level: int) -> None:
        self.anchor = anchor
        spec = mujoco.MjSpec()
        spec.option.timestep = 1.0 / self.steps_per_second
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        self._ground = MujocoGround(spec, anchor, level, slots=9)
        body = spec.worldbody.add_body(name="ball")
        body.add_freejoint()
        body.add_geom(name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[RADIUS, 0.0, 0.0], mass=MASS, condim=6)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._ground.bind(self._model, self._data)

    def apply(self, event: object) -> None:
        """Follow one event of a collision stream."""
        self._ground.apply(event)

    def place(self, motion: Motion, rolling_friction: float) -> None:
        """Put the ball somewhere, rolling as fast as it moves."""
        (east, north, _), data = motion.velocity, self._data
        self._model.geom("ball").friction[:] = (1.0, 0.005, rolling_friction)
        data.qpos[:] = (*motion.position, 1.0, 0.0, 0.0, 0.0)
        data.qvel[:] = (*motion.velocity, -north / RADIUS, east / RADIUS, 0.0)
        mujoco.mj_forward(self._model, data)

    def step(self) -> Motion:
        """One time step."""
        mujoco.mj_step(self._model, self._data)
        (x, y, z), (east, north, up) = self._data.qpos[:3].tolist(), self._data.qvel[:3].tolist()
        return Motion((x, y, z), (east, north, up))


if __name__ == "__main__":
    run(MujocoBall, "Drop a ball on streamed ground and roll it over the border of two tiles, in MuJoCo.")
