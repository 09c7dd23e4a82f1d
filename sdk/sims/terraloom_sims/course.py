"""A ball on streamed ground: dropped until it lies still, then rolled over the border of two tiles. The same course for every simulator."""

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from terraloom import CollisionOptions, CollisionStream, HeightTile, TileId, connect
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_sims.anchor import PLANE_SIDE, SEGMENTS, Anchor, AnyAnchor, PlaneAnchor

RADIUS, MASS = 0.5, 10.0
"""Of the ball, in metres and kilograms."""
RESTING, ROLLING = 0.2, 0.0
"""Rolling friction in metres: of a ball that is to lie still, even on a slope, and of one that is to roll."""
BORDER = 0.6
"""Metres on either side of a border within which the ball feels it."""


class Motion(NamedTuple):
    """The ball at one moment: metres and metres per second, east, north, up."""

    position: tuple[float, float, float]
    velocity: tuple[float, float, float]


class Simulation(Protocol):
    """A simulator with ground and one ball."""

    anchor: AnyAnchor
    steps_per_second: int

    def apply(self, event: object) -> None:
        """Follow one event of a collision stream."""
        ...

    def place(self, motion: Motion, rolling_friction: float) -> None:
        """Put the ball somewhere, rolling as fast as it moves."""
        ...

    def step(self) -> Motion:
        """One time step."""
        ...


def roll(simulation: Simulation, start: Motion, seconds: float, rolling_friction: float = ROLLING) -> NDArray[np.float64]:
    """Positions and velocities of the ball at every step, shape (n, 6)."""
    simulation.place(start, rolling_friction)
    steps = round(seconds * simulation.steps_per_second)
    return np.array([[*motion.position, *motion.velocity] for motion in (simulation.step() for _ in range(steps))])


def motion_at(track: NDArray[np.float64], index: int) -> Motion:
    """One row of what `roll` returns."""
    x, y, z, east, north, up = track[index].tolist()
    return Motion((x, y, z), (east, north, up))


def kink(track: NDArray[np.float64], x: float, reach: float = BORDER) -> float:
    """Largest change of velocity in one step, in metres per second, while the ball is within `reach` metres of `x`."""
    changes = np.linalg.norm(np.diff(track[:, 3:], axis=0), axis=1)
    return float(changes[np.abs(track[1:, 0] - x) <= reach].max(initial=0.0))


class Surface:
    """The ground as the tiles have it: what `sample_heights` answers, in the axes of the simulation."""

    def __init__(self, anchor: AnyAnchor, tiles: dict[TileId, HeightTile]) -> None:
        self._anchor, self._tiles = anchor, tiles

    def height(self, x: float, y: float) -> float:
        """Z of the ground."""
        level = next(iter(self._tiles)).z
        columns, rows = (SEGMENTS * metres for metres in self._anchor.spacing(level))
        for tile in self._tiles.values():
            west, south = self._anchor.corner(tile.id)
            if west <= x <= west + columns and south <= y <= south + rows:
                return float(tile.sample(*self._anchor.place(x, y))) - self._anchor.height
        raise LookupError(f"there is no ground at {x:.1f}, {y:.1f}")

    def gap(self, position: tuple[float, float, float]) -> float:
        """Metres between the ball's foot and the ground, negative inside it."""
        x, y, z = position
        step = 0.05
        slope = [(self.height(x + a, y + b) - self.height(x - a, y - b)) / (2 * step) for a, b in ((step, 0.0), (0.0, step))]
        up = 1.0 / math.hypot(*slope, 1.0)
        return (z - self.height(x, y)) * up - RADIUS


def follow(stream: CollisionStream, simulation: Simulation, position: tuple[float, float, float]) -> None:
    """Tell the server where the ball is, and take the ground until all of it is there: lockstep."""
    stream.move(simulation.anchor.view(*position))
    for event in stream.events():
        simulation.apply(event)
        if stream.complete:
            break


def border_anchor(east: float, north: float, level: int, height: Callable[[float, float], float], *, plane: bool = False) -> AnyAnchor:
    """An anchor on the ground at the nearest border east of a place (degrees, or metres on a plane): X = 0 is the border of two tiles."""
    columns = 1 << level
    if plane:
        border = (math.floor(east / PLANE_SIDE * columns) + 1) / columns * PLANE_SIDE
        return PlaneAnchor(border, north, height(border, north))
    border = (math.floor((east + 180.0) / 360.0 * columns) + 1) / columns * 360.0 - 180.0
    return Anchor(border, north, height(border, north))


def run(make: Callable[[AnyAnchor, int], Simulation], description: str, arguments: list[str] | None = None) -> None:
    """The course on a running server; prints what it saw."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("address", nargs="?", default="127.0.0.1:50051", help="host:port of a Terraloom server")
    parser.add_argument("--place", nargs=2, type=float, default=(-97.4, 32.7), metavar=("EAST", "NORTH"), help="degrees; metres on a plane")
    parser.add_argument("--world", default="", help="name of the world; default: the server's")
    parser.add_argument("--level", type=int, default=16, help="level of the tiles")
    options = parser.parse_args(arguments)
    with connect(options.address, options.world) as client:
        plane = client.wait_ready().world.kind == pb.WORLD_KIND_PLANE

        def height(east: float, north: float) -> float:
            return float(client.sample_heights([(east, north)], options.level)[0])

        east, north = options.place
        anchor = border_anchor(east, north, options.level, height, plane=plane)
        collision = CollisionOptions(radius=40.0, level=options.level)
        with client.collision_stream(anchor.view(0.0, 0.0, 0.0), collision) as stream:
            simulation = make(anchor, options.level)
            follow(stream, simulation, (0.0, 0.0, 0.0))
            surface = Surface(anchor, dict(stream.ground))
            dropped = Motion((-12.0, 0.0, surface.height(-12.0, 0.0) + 3.0), (0.0, 0.0, 0.0))
            rest = motion_at(roll(simulation, dropped, 5.0, RESTING), -1)
            print(f"at rest {1000 * surface.gap(rest.position):.1f} mm above the sampled ground, at {math.hypot(*rest.velocity):.4f} m/s")
            start = Motion((-12.0, 0.0, surface.height(-12.0, 0.0) + RADIUS), (4.0, 0.0, 0.0))
            track = roll(simulation, start, 6.0)
            follow(stream, simulation, motion_at(track, -1).position)
            across, inside = kink(track, 0.0), max(kink(track, -6.0, 4.0), kink(track, 6.0, 4.0))
            print(f"rolled {track[-1, 0] - track[0, 0]:.0f} m; kinks of {across:.3f} m/s at the border, of {inside:.3f} m/s elsewhere")
