"""An F-16 at Mach 0.9, low, in JSBSim: `python sdk/sims/jsbsim_f16.py 127.0.0.1:50051`. Needs `pip install 'terraloom[bench]'`.

The aircraft knows the ground from the collision tiles that have come, and from nothing else: JSBSim's own terrain, and what the
autopilot keeps clear of. With `--csv` the flight becomes a path for `terraloom fly --path`.
"""

import argparse
import csv
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("JSBSIM_DEBUG", "0")  # no banner

import jsbsim

from terraloom import CollisionOptions, CollisionStream, View, connect
from terraloom_sims.jsbsim import FEET, JsbsimGround

AHEAD = 8.0
"""Seconds of flight for which the autopilot looks at the ground."""
CLEARANCE = 150.0
"""Metres above the highest ground ahead."""
EARTH_RADIUS = 6_371_000.0
GRAVITY = 9.81


class Pose(NamedTuple):
    """The aircraft at one moment: seconds, degrees, metres above mean sea level, metres per second, and metres above the ground."""

    seconds: float
    longitude: float
    latitude: float
    height: float
    heading: float
    pitch: float
    velocity: tuple[float, float, float]
    clearance: float

    def view(self) -> View:
        """What the collision stream is told."""
        return View(self.longitude, self.latitude, self.height, self.velocity)


class F16:
    """JSBSim's F-16 under an autopilot that holds Mach, course and a height above the ground ahead."""

    def __init__(self, longitude: float, latitude: float, height: float, heading: float, mach: float = 0.9) -> None:
        self.fdm = fdm = jsbsim.FGFDMExec(None)
        fdm.set_debug_level(0)
        fdm.load_model("f16")
        self.ground = JsbsimGround(fdm)
        self.course, self.mach = heading, mach
        self._throttle, self._stick = 0.8, 0.0
        for name, value in (
            ("long-gc-deg", longitude), ("lat-geod-deg", latitude), ("h-sl-ft", height / FEET), ("psi-true-deg", heading),
            ("mach", mach), ("gamma-deg", 0.0),
        ):  # fmt: skip
            fdm[f"ic/{name}"] = value
        fdm.run_ic()
        fdm["propulsion/set-running"] = -1

    def pose(self) -> Pose:
        """Where it is now."""
        fdm = self.fdm
        north, east, down = (fdm[f"velocities/v-{axis}-fps"] * FEET for axis in ("north", "east", "down"))
        height = fdm["position/h-sl-ft"] * FEET
        place = fdm["position/long-gc-deg"], fdm["position/lat-geod-deg"]
        clearance = height - fdm["position/terrain-elevation-asl-ft"] * FEET
        angles = fdm["attitude/psi-deg"], fdm["attitude/theta-deg"]
        return Pose(fdm.get_sim_time(), *place, height, *angles, (east, north, -down), clearance)

    def step(self) -> None:
        """One step of 1/120 s: ground, autopilot, dynamics."""
        self.ground.update()
        self._steer(self.pose())
        self.fdm.run()

    def _highest_ahead(self, pose: Pose) -> float:
        """The highest ground on the way, of what has come."""
        east, north, _ = pose.velocity
        found = []
        for i in range(17):
            seconds = AHEAD * i / 16
            latitude = pose.latitude + math.degrees(north * seconds / EARTH_RADIUS)
            longitude = pose.longitude + math.degrees(east * seconds / EARTH_RADIUS / math.cos(math.radians(pose.latitude)))
            height = self.ground.height(longitude, latitude)
            found += [] if height is None else [height]
        return max(found)

    def _steer(self, pose: Pose) -> None:
        """Cascaded loops: height to climb to load factor to stick, course to bank to roll, Mach to throttle."""
        fdm = self.fdm
        bank = math.radians(fdm["attitude/phi-deg"])
        turn = (self.course - pose.heading + 180.0) % 360.0 - 180.0
        wanted_bank = math.radians(min(max(2.0 * turn, -60.0), 60.0))
        fdm["fcs/aileron-cmd-norm"] = min(max(0.8 * (wanted_bank - bank) - 0.15 * fdm["velocities/p-rad_sec"], -1.0), 1.0)
        climb = min(max(0.25 * (self._highest_ahead(pose) + CLEARANCE - pose.height), -25.0), 60.0)
        load = math.cos(bank) ** -1 if abs(bank) < 1.2 else 2.7
        load += min(max(0.8 * (climb - pose.velocity[2]) / GRAVITY, -1.2), 3.0)
        error = load + fdm["accelerations/n-pilot-z-norm"]
        self._stick = min(max(self._stick - 0.10 * error / 120.0, -0.6), 0.4)
        fdm["fcs/elevator-cmd-norm"] = min(max(self._stick - 0.06 * error, -1.0), 1.0)
        self._throttle = min(max(self._throttle + 0.5 * (self.mach - fdm["velocities/mach"]) / 120.0, 0.2), 1.0)
        fdm["fcs/throttle-cmd-norm"] = min(max(self._throttle + 4.0 * (self.mach - fdm["velocities/mach"]), 0.1), 1.0)


def fly(aircraft: F16, stream: CollisionStream, seconds: float, turns: dict[float, float], lockstep: bool) -> Iterator[Pose]:
    """Poses at 20 per second. `turns` are courses by the second at which they are taken.

    In lockstep, simulated time waits until all ground within the stream's radius is there; else it is real time, and waits for nothing.
    """
    started = time.monotonic()
    for frame in range(round(20 * seconds)):
        for moment in [moment for moment in turns if frame >= 20 * moment]:
            aircraft.course = turns.pop(moment)
        stream.move(aircraft.pose().view())
        if lockstep:
            for event in stream.events():
                aircraft.ground.apply(event)
                if stream.complete:
                    break
        else:
            time.sleep(max(started + frame / 20 - time.monotonic(), 0.0))
            for event in stream.poll():
                aircraft.ground.apply(event)
        for _ in range(6):
            aircraft.step()
        yield aircraft.pose()


def write_csv(path: Path, poses: list[Pose]) -> None:
    """Four poses a second, as `terraloom fly --path` reads them."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("time", "longitude", "latitude", "height", "heading", "pitch"))
        for pose in poses[::5]:
            numbers = pose.seconds, pose.longitude, pose.latitude, pose.height, pose.heading, pose.pitch
            writer.writerow([f"{value:.{digits}f}" for value, digits in zip(numbers, (2, 7, 7, 1, 1, 1), strict=True)])


def main() -> None:
    """Fly, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", nargs="?", default="127.0.0.1:50051", help="host:port of a Terraloom server")
    parser.add_argument("--place", nargs=2, type=float, default=(-80.6, 37.9), metavar=("LONGITUDE", "LATITUDE"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--level", type=int, default=13, help="of the ground; samples of level 13 are 30 m apart")
    parser.add_argument("--real-time", action="store_true", help="fly by the clock instead of waiting for the ground")
    parser.add_argument("--csv", type=Path, help="leave the flight there")
    options = parser.parse_args()
    turns = {0.3 * options.seconds: 85.0, 0.65 * options.seconds: 15.0}
    longitude, latitude = options.place
    with connect(options.address) as client:
        client.wait_ready()
        around = CollisionOptions(radius=2600.0, level=options.level)
        with client.collision_stream(View(longitude, latitude, 2000.0), around) as stream:
            tiles = stream.settle(timeout=120.0)
            highest = max(float(tile.heights.max()) for tile in tiles)
            aircraft = F16(longitude, latitude, highest + CLEARANCE, heading=40.0)
            for tile in tiles:
                aircraft.ground.apply(tile)
            poses = list(fly(aircraft, stream, options.seconds, turns, lockstep=not options.real_time))
            received = stream.counters.tiles
    speeds = [math.hypot(*pose.velocity) for pose in poses]
    clear = sorted(pose.clearance for pose in poses)
    print(f"{len(poses) / 20:.0f} s at {min(speeds):.0f} to {max(speeds):.0f} m/s")
    print(f"{clear[0]:.0f} m above the ground at least, {clear[len(clear) // 2]:.0f} m half of the time")
    print(f"{received} tiles of ground came, and none was missing below the aircraft")
    if options.csv is not None:
        write_csv(options.csv, poses)


if __name__ == "__main__":
    main()
