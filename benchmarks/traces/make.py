"""Make the traces: `python -m benchmarks.traces.make ADDRESS`, on a server that generates Earth with seed 0.

The F-16 is flown by JSBSim (`sdk/sims/jsbsim_f16.py`, in lockstep with the collision tiles it reads its ground from); the others follow
speeds and turn rates. What is generated below changes with the bundle; the traces do not, they are data.
"""

import csv
import math
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terraloom import Client, connect
from terraloom_engines.cli.flight import EARTH_RADIUS

HERE = Path(__file__).parent
START = (-80.6, 37.9)
"""The Appalachians in West Virginia: ridges and valleys."""
RATE = 4
"""Poses a second."""


class Leg(NamedTuple):
    """Some seconds at a speed (metres per second) that is reached evenly, turning at a rate (degrees per second, clockwise)."""

    seconds: float
    speed: float
    turn: float = 0.0
    look: float = 0.0
    """Rate at which the camera turns beyond that."""


class Course(NamedTuple):
    """A flight that follows legs over the ground; the legs after a jump begin at another place."""

    legs: tuple[Leg, ...]
    above: float
    """Metres above the ground, of which the highest within `ahead` metres counts."""
    ahead: float
    level: int
    """Of the ground."""
    pitch: float = -20.0
    jump: tuple[Leg, ...] = ()
    heading: float = 60.0


COURSES = {
    "uav120": Course((Leg(12, 120), Leg(18, 120, 3.3), Leg(8, 120), Leg(14, 120, -3.3), Leg(8, 120)), 500.0, 1000.0, 9),
    "reversal": Course((Leg(12, 120), Leg(22.5, 120, 8.0), Leg(8, 120), Leg(22.5, 120, 8.0), Leg(10, 120)), 500.0, 1000.0, 9),
    "uav30": Course(
        (Leg(8, 30), Leg(6, 30, 15.0), Leg(6, 30), Leg(4, 0), Leg(8, 0, 0.0, 45.0), Leg(4, 0, 45.0), Leg(2, 30), Leg(7, 30)),
        120.0, 100.0, 11, -15.0, (Leg(15, 30),),
    ),
    "car": Course((Leg(12, 25), Leg(9, 25, 6.0), Leg(8, 25), Leg(9, 25, -8.0), Leg(7, 25)), 2.0, 0.0, 17, -3.0),
}  # fmt: skip


def track(legs: tuple[Leg, ...], start: tuple[float, float], heading: float, speed: float) -> NDArray[np.float64]:
    """Seconds, longitude, latitude, heading of flight and of sight, `RATE` times a second, shape (n, 5)."""
    rows, (longitude, latitude), look, clock = [], start, 0.0, 0.0
    for leg in legs:
        before, steps = speed, round(leg.seconds * RATE)
        for i in range(steps):
            rows.append((clock, longitude, latitude, heading, (heading + look) % 360.0))
            speed = before + (leg.speed - before) * (i + 1) / steps
            way = speed / RATE / EARTH_RADIUS
            longitude += math.degrees(way * math.sin(math.radians(heading)) / math.cos(math.radians(latitude)))
            latitude += math.degrees(way * math.cos(math.radians(heading)))
            heading, look, clock = (heading + leg.turn / RATE) % 360.0, look + leg.look / RATE, clock + 1.0 / RATE
    return np.array([*rows, (clock, longitude, latitude, heading, (heading + look) % 360.0)])


def heights(client: Client, places: NDArray[np.float64], course: Course) -> NDArray[np.float64]:
    """Metres above mean sea level, even over two seconds."""
    ground = client.sample_heights(places, course.level, timeout=600.0)
    if course.ahead:
        bearings = np.arange(8) * math.pi / 4
        reach = np.degrees(course.ahead / EARTH_RADIUS)
        around = [places + reach * np.array([math.sin(b) / math.cos(math.radians(START[1])), math.cos(b)]) for b in bearings]
        ground = np.max([ground, *(client.sample_heights(ring, course.level, timeout=600.0) for ring in around)], axis=0)
        width = 2 * RATE + 1
        padded = np.pad(ground, 2 * width, mode="edge")
        ground = np.convolve(padded, np.ones(width) / width, mode="same")[2 * width : -2 * width]
    return ground + course.above


def write(client: Client, name: str, course: Course) -> None:
    """One course as a file."""
    parts = [track(course.legs, START, course.heading, course.legs[0].speed)]
    if course.jump:
        after = track(course.jump, (START[0] + 0.2, START[1] + 0.1), course.heading, course.jump[0].speed)
        after[:, 0] += parts[0][-1, 0] + 0.001
        parts.append(after)
    with (HERE / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("time", "longitude", "latitude", "height", "heading", "pitch"))
        for rows in parts:
            for row, height in zip(rows, heights(client, rows[:, 1:3], course), strict=True):
                writer.writerow(
                    [f"{row[0]:.3f}", f"{row[1]:.7f}", f"{row[2]:.7f}", f"{height:.1f}", f"{row[4]:.1f}", f"{course.pitch:.1f}"]
                )


def main() -> None:
    """Make all of them."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    with connect(address) as client:
        client.wait_ready()
        for name, course in COURSES.items():
            write(client, name, course)
    script = HERE.parents[1] / "sdk/sims/jsbsim_f16.py"
    subprocess.run([sys.executable, script, address, "--seconds", "60", "--csv", HERE / "f16.csv"], check=True)


if __name__ == "__main__":
    main()
