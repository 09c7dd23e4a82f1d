"""A Gymnasium environment over streamed ground: a rover that has to drive to a goal without tipping over.

The ground comes in lockstep, so an episode is a function of its seed, its actions and the world: two runs on two servers, one that had
everything and one that had nothing, see the same, bit for bit. The rover is a point on the ground with a heading and a speed; what it
climbs, it pays for.

    from terraloom import connect
    from terraloom_sims.environment import RoverEnv

    with connect("127.0.0.1:50051") as client:
        environment = RoverEnv(client)
        observation, _ = environment.reset(seed=7)
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from terraloom import Client, CollisionOptions, HeightTile, Lockstep, TileId, View
from terraloom_sims.anchor import Anchor

__all__ = ["RoverEnv", "RoverOptions"]

Array = NDArray[np.float64]
Observation = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class RoverOptions:
    """Where the rover drives and how: degrees, metres, seconds, radians.

    An episode starts within `spread` metres of the place and has its goal `goal` metres away, in a direction that the seed chooses. The
    patch seen is `patch` x `patch` heights, `spacing` metres apart. On slopes above `steepest` (rise over run) the rover tips over.
    """

    longitude: float = -97.4
    latitude: float = 32.7
    level: int = 14
    spread: float = 200.0
    goal: float = 300.0
    near: float = 15.0
    patch: int = 16
    spacing: float = 8.0
    fastest: float = 15.0
    steepest: float = 0.7
    step_seconds: float = 0.5
    most_steps: int = 200


class RoverEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Actions are two numbers from -1 to 1: how hard to accelerate (3 m/s2) and to turn (1 rad/s).

    Observations: `heights`, metres above the rover's own, rows from ahead to behind, columns from left to right, and `state`: goal ahead
    and to the left in metres, speed, slope ahead. The reward is the metres that the goal came nearer, less half of those climbed; 100 for
    reaching it, which ends the episode, and -100 for tipping over, which ends it too.
    """

    def __init__(self, client: Client, options: RoverOptions = RoverOptions()) -> None:
        self.options = options
        side = options.patch
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        heights, state = (gymnasium.spaces.Box(-most, most, shape, np.float32) for most, shape in ((1e4, (side, side)), (1e6, (4,))))
        self.observation_space = cast("gymnasium.Space[Observation]", gymnasium.spaces.Dict({"heights": heights, "state": state}))
        self._client, self._anchor = client, Anchor(options.longitude, options.latitude)
        self._lockstep: Lockstep[HeightTile] | None = None
        self._tiles: dict[TileId, HeightTile] = {}
        self._steps = 0
        self._place = self._goal = np.zeros(2)
        self._heading = self._speed = 0.0
        self.state_hash = b""
        """Of the ground after the last step; runs with equal hashes had equal ground."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """A new episode, in a lockstep session of its own."""
        super().reset(seed=seed)
        chosen, angle = self.options, self.np_random.uniform(-math.pi, math.pi)
        self._place = self.np_random.uniform(-chosen.spread, chosen.spread, 2)
        self._goal = self._place + chosen.goal * np.array([math.cos(angle), math.sin(angle)])
        self._heading, self._speed, self._steps = float(self.np_random.uniform(-math.pi, math.pi)), 0.0, 0
        self.close()
        self._tiles = {}
        reach = chosen.spacing * chosen.patch + chosen.fastest * chosen.step_seconds
        self._lockstep = self._client.lockstep(self._view(), CollisionOptions(radius=reach, level=chosen.level))
        self._lockstep.__enter__()
        self._apply(self._lockstep.first.tiles, (), self._lockstep.first.state_hash)
        return self._observation(), {"state_hash": self.state_hash.hex()}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Drives for `step_seconds` of simulated time."""
        assert self._lockstep is not None, "reset comes first"
        chosen, (throttle, turn) = self.options, np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        before, far = self._height(self._place), float(np.linalg.norm(self._goal - self._place))
        self._heading = math.remainder(self._heading + float(turn) * chosen.step_seconds, math.tau)
        self._speed = min(max(self._speed + 3.0 * float(throttle) * chosen.step_seconds, 0.0), chosen.fastest)
        self._place = self._place + self._speed * chosen.step_seconds * self._forward()
        self._steps += 1
        step = self._lockstep.step(self._view(), self._steps * chosen.step_seconds)
        self._apply(step.tiles, step.removed, step.state_hash)
        distance, climbed = float(np.linalg.norm(self._goal - self._place)), max(self._height(self._place) - before, 0.0)
        tipped, there = self._slope() > chosen.steepest, distance <= chosen.near
        reward = far - distance - 0.5 * climbed + 100.0 * there - 100.0 * tipped
        info = {"state_hash": self.state_hash.hex(), "distance": distance}
        return self._observation(), reward, bool(there or tipped), self._steps >= chosen.most_steps, info

    def close(self) -> None:
        """Ends the session; the client stays."""
        if self._lockstep is not None:
            self._lockstep.close()
            self._lockstep = None

    def _apply(self, tiles: tuple[HeightTile, ...], removed: tuple[TileId, ...], state_hash: bytes) -> None:
        self._tiles |= {tile.id: tile for tile in tiles}
        for tile in removed:
            self._tiles.pop(tile, None)
        self.state_hash = state_hash

    def _view(self) -> View:
        longitude, latitude = self._anchor.place(*self._place.tolist())
        east, north = (self._speed * self._forward()).tolist()
        return View(longitude, latitude, 0.0, velocity=(east, north, 0.0))

    def _forward(self) -> Array:
        return np.array([math.cos(self._heading), math.sin(self._heading)])

    def _heights(self, places: Array) -> Array:
        """Heights at places of the simulation, shape (n, 2), bilinear between the samples of the tiles."""
        level, (east, north) = self.options.level, self._anchor.spacing(self.options.level)
        found = np.full(len(places), np.nan)
        for tile in self._tiles.values():
            if tile.id.z != level:
                continue
            west, south = self._anchor.corner(tile.id)
            x, y = (places[:, 0] - west) / east, (places[:, 1] - south) / north
            inside = (x >= 0.0) & (x <= 128.0) & (y >= 0.0) & (y <= 128.0)
            column, row = (np.minimum(axis[inside].astype(np.int64), 127) for axis in (x, y))
            u, v, rows = x[inside] - column, y[inside] - row, tile.heights[::-1]
            lower = (1 - u) * rows[row, column] + u * rows[row, column + 1]
            upper = (1 - u) * rows[row + 1, column] + u * rows[row + 1, column + 1]
            found[inside] = (1 - v) * lower + v * upper
        return found

    def _height(self, place: Array) -> float:
        return float(self._heights(place[None])[0])

    def _slope(self) -> float:
        """Steepest rise over run under the rover."""
        step = self._anchor.spacing(self.options.level)[0]
        around = self._heights(self._place + step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]))
        return float(math.hypot(around[0] - around[1], around[2] - around[3]) / (2.0 * step))

    def _observation(self) -> Observation:
        chosen, forward = self.options, self._forward()
        left = np.array([-forward[1], forward[0]])
        offsets = (np.arange(chosen.patch) - (chosen.patch - 1) / 2) * chosen.spacing
        ahead, aside = np.meshgrid(-offsets, -offsets, indexing="ij")
        places = self._place + ahead.reshape(-1, 1) * forward + aside.reshape(-1, 1) * left
        own, goal = self._height(self._place), self._goal - self._place
        rise = self._height(self._place + chosen.spacing * forward) - own
        heights = (self._heights(places) - own).reshape(chosen.patch, chosen.patch)
        state = [goal @ forward, goal @ left, self._speed, rise / chosen.spacing]
        return {"heights": heights.astype(np.float32), "state": np.array(state, np.float32)}
