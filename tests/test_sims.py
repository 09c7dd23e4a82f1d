"""A ball on streamed ground in MuJoCo and PyBullet: it rests where heights say, never falls through, and feels no border of tiles."""

import importlib
import math
import re
import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from terraloom import Client, CollisionOptions, HeightTile, Removed, TileId, View, connect
from terraloom.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError
from terraloom_sims.anchor import Anchor, AnyAnchor, PlaneAnchor
from terraloom_sims.course import RADIUS, RESTING, Motion, Simulation, Surface, border_anchor, follow, kink, motion_at, roll

SCRIPTS = Path(__file__).parent.parent / "sdk/sims"
PAGE = Path(__file__).parent.parent / "docs/physics.md"
PLACE, LEVEL = (20.5, 47.0), 16
"""The Hungarian plain, where a ball rolls gently; samples are 4 m apart."""
BEYOND = 1.0
"""Metres past the border of two tiles that a ball gets at least, whichever way the land there slopes: two of its radii."""
PATIENCE = 60.0
LINES = [(0.0, (4.0, 0.0, 0.0)), (-11.3, (4.0, 1.0, 0.0)), (2.2, (8.0, -2.0, 0.0))]
"""Y of the start and velocity of the rolls."""


class Ground(NamedTuple):
    """Two tiles on either side of X = 0, as streamed."""

    anchor: Anchor
    west: HeightTile
    east: HeightTile
    surface: Surface

    def start(self, y: float, velocity: tuple[float, float, float], drop: float = 0.0) -> Motion:
        """12 m west of the border, `drop` metres above the ground."""
        return Motion((-12.0, y, self.surface.height(-12.0, y) + RADIUS + drop), velocity)

    @property
    def joined(self) -> HeightTile:
        """One field over the border: a tile half a tile east of the western one."""
        middle = TileId(self.west.id.z, self.west.id.x + 0.5, self.west.id.y)  # type: ignore[arg-type]
        return replace(self.west, id=middle, heights=np.concatenate([self.west.heights[:, 64:], self.east.heights[:, 1:65]], axis=1))


@pytest.fixture(scope="module")
def ground(server: str) -> Iterator[Ground]:
    """Streamed once for all."""
    with connect(server) as client:
        anchor = border_anchor(*PLACE, LEVEL, lambda *place: float(client.sample_heights([place], LEVEL)[0]))
        assert isinstance(anchor, Anchor)
        options = CollisionOptions(radius=40.0, level=LEVEL)
        with client.collision_stream(View(anchor.longitude, anchor.latitude, anchor.height), options) as stream:
            west, east = sorted(stream.settle(PATIENCE), key=lambda tile: tile.id)
        yield Ground(anchor, west, east, Surface(anchor, {west.id: west, east.id: east}))


@pytest.fixture(params=["mujoco", "pybullet"])
def simulator(request: pytest.FixtureRequest) -> Callable[[Anchor, int], Simulation]:
    """What makes a simulation of each kind that is installed."""
    pytest.importorskip(request.param, reason=f"{request.param} is not installed here; the extra is `sims`")
    module = importlib.import_module(f"{request.param}_ball")
    make: Callable[[Anchor, int], Simulation] = getattr(module, f"{request.param.capitalize()}Ball")
    return make


def on_tiles(make: Callable[[Anchor, int], Simulation], ground: Ground, *tiles: HeightTile) -> Simulation:
    """A simulation on some tiles."""
    simulation = make(ground.anchor, LEVEL)
    for tile in tiles or (ground.west, ground.east):
        simulation.apply(tile)
    return simulation


def test_a_ball_comes_to_rest_on_the_sampled_ground(simulator: Callable[[Anchor, int], Simulation], ground: Ground) -> None:
    track = roll(on_tiles(simulator, ground), ground.start(3.0, (0.0, 0.0, 0.0), drop=3.0), 4.0, RESTING)
    rest = motion_at(track, -1)
    assert math.hypot(*rest.velocity) < 0.01
    assert abs(ground.surface.gap(rest.position)) < 0.01


def test_a_ball_from_100_metres_does_not_fall_through(simulator: Callable[[Anchor, int], Simulation], ground: Ground) -> None:
    track = roll(on_tiles(simulator, ground), ground.start(3.0, (0.0, 0.0, 0.0), drop=100.0), 7.0, RESTING)
    gaps = [ground.surface.gap(motion_at(track, i).position) for i in range(0, len(track), 3)]
    assert min(gaps) > -RADIUS and abs(gaps[-1]) < 0.05, "its middle stays above the ground; MuJoCo's contacts give way at 44 m/s"


@pytest.mark.parametrize(("y", "velocity"), LINES)
def test_a_ball_rolls_over_the_border_as_over_one_field(
    simulator: Callable[[Anchor, int], Simulation], ground: Ground, y: float, velocity: tuple[float, float, float]
) -> None:
    tiles = roll(on_tiles(simulator, ground), ground.start(y, velocity), 4.0)
    joined = roll(on_tiles(simulator, ground, ground.joined), ground.start(y, velocity), 4.0)
    everywhere = kink(joined, 0.0, 8.0)
    assert tiles[-1, 0] > BEYOND > -2.0 > tiles[0, 0]
    assert kink(tiles, 0.0) < 1.3 * everywhere, "no more than what the edges of triangles give"
    across = tiles[:, 0] < BEYOND
    assert np.abs(tiles - joined)[across, :3].max() < 0.02
    assert abs(np.linalg.norm(tiles[across][-1, 3:]) - np.linalg.norm(joined[across][-1, 3:])) < 0.05


def test_a_border_with_a_step_would_be_felt(simulator: Callable[[Anchor, int], Simulation], ground: Ground) -> None:
    raised = replace(ground.east, heights=ground.east.heights + 0.05)
    start = ground.start(*LINES[0])
    smooth, stepped = (roll(on_tiles(simulator, ground, ground.west, east), start, 4.0) for east in (ground.east, raised))
    assert kink(stepped, 0.0) > 3.0 * kink(smooth, 0.0)


def test_ground_that_was_freed_is_gone(simulator: Callable[[Anchor, int], Simulation], ground: Ground) -> None:
    simulation = on_tiles(simulator, ground)
    simulation.apply(Removed((ground.west.id, ground.east.id, TileId(3, 1, 1))))
    assert motion_at(roll(simulation, ground.start(3.0, (0.0, 0.0, 0.0)), 1.0), -1).position[2] < -3.0
    simulation.apply(ground.west)
    assert motion_at(roll(simulation, ground.start(3.0, (0.0, 0.0, 0.0)), 1.0, RESTING), -1).position[2] > -0.5


@pytest.mark.parametrize("name", ["mujoco", "pybullet"])
def test_the_examples_run(server: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed here; the extra is `sims`")
    script = SCRIPTS / f"{name}_ball.py"
    monkeypatch.setattr("sys.argv", [str(script), server, "--level", str(LEVEL), "--place", *map(str, PLACE)])
    runpy.run_path(str(script), run_name="__main__")
    rest, rolled = capsys.readouterr().out.splitlines()
    assert abs(float(rest.split()[2])) < 10.0 and "mm above the sampled ground" in rest
    assert 10.0 < float(rolled.split()[1]) < 40.0 and "at the border" in rolled


@pytest.mark.parametrize("title", ["Physics", "Lockstep", "Gymnasium", "MuJoCo", "PyBullet", "JSBSim"])
def test_the_quickstarts_of_the_page_run(server: str, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    if title not in ("Physics", "Lockstep"):
        pytest.importorskip(title.lower(), reason=f"{title.lower()} is not installed here; the extra is `sims`")
    section = re.split(rf"^#+ {title}$", PAGE.read_text(), flags=re.MULTILINE)[1]
    block = re.split(r"^```(?:python)?$", section, flags=re.MULTILINE)[1]
    exec(compile(block.replace("127.0.0.1:50051", server), str(PAGE), "exec"), {})
    assert capsys.readouterr().out


def test_an_anchor_lays_tiles_side_by_side_and_places_return(ground: Ground) -> None:
    anchor, (east, north) = ground.anchor, ground.anchor.spacing(LEVEL)
    assert anchor.corner(ground.east.id)[0] == pytest.approx(0.0, abs=1e-6)
    assert anchor.corner(ground.west.id)[0] == pytest.approx(-128 * east, abs=1e-6)
    above = anchor.corner(TileId(LEVEL, ground.west.id.x, ground.west.id.y - 1))[1]
    assert above == pytest.approx(anchor.corner(ground.west.id)[1] + 128 * north, abs=1e-6)
    assert (east, north) == pytest.approx(ground.west.spacing, rel=1e-4)
    assert anchor.local(*anchor.place(123.4, -56.7)) == pytest.approx((123.4, -56.7), abs=1e-6)
    assert np.array_equal(anchor.heights(ground.west)[:, -1], anchor.heights(ground.east)[:, 0])
    dateline = Anchor(180.0, -17.0)
    assert dateline.corner(TileId(5, 31, 17))[0] == pytest.approx(-dateline.extent[0] / 32) and dateline.corner(TileId(5, 0, 17))[0] == 0.0
    assert dateline.place(-10.0, 0.0)[0] > 179.9 and dateline.place(10.0, 0.0)[0] < -179.9


def folded(surface: Surface, anchor: AnyAnchor, level: int, x: float, y: float) -> float:
    """How far a cell that is folded along either diagonal, as to MuJoCo, lies from the same cell twisted, at most: metres.

    Its corner (0, 0) is that of tiles.
    """
    (east, north), (west, south) = anchor.spacing(level), anchor.corner(TileId(level, 1, -1))
    (column, u), (row, v) = divmod((x - west) / east, 1.0), divmod((y - south) / north, 1.0)
    corners = [[surface.height(west + (column + i) * east, south + (row + j) * north) for i in (1e-9, 1 - 1e-9)] for j in (1e-9, 1 - 1e-9)]
    twist = corners[0][0] + corners[1][1] - corners[0][1] - corners[1][0]
    return float(abs(twist) * max(min(u, v) * (1 - max(u, v)), min(u, 1 - v) * min(v, 1 - u)))


def test_a_ball_rolls_over_a_border_of_a_plane(server: str, simulator: Callable[[AnyAnchor, int], Simulation]) -> None:
    level = 10
    with connect(server, "plane:7") as client:
        anchor = border_anchor(20_000.0, 10_000.0, level, lambda *place: float(client.sample_heights([place], level)[0]), plane=True)
        with client.collision_stream(anchor.view(0.0, 0.0, 0.0), CollisionOptions(radius=40.0, level=level)) as stream:
            simulation = simulator(anchor, level)
            follow(stream, simulation, (0.0, 0.0, 0.0))
            surface = Surface(anchor, dict(stream.ground))
        assert surface.height(-9.0, 5.0) + anchor.height == pytest.approx(
            client.sample_heights([anchor.place(-9.0, 5.0)], level)[0], abs=1e-6
        )
    assert anchor.local(*anchor.place(123.4, -56.7)) == pytest.approx((123.4, -56.7), abs=1e-6)
    track = roll(simulation, Motion((-6.0, 5.0, surface.height(-6.0, 5.0) + RADIUS), (4.0, 0.0, 0.0)), 3.0)
    assert track[-1, 0] > 2.0
    position = motion_at(track, -1).position
    assert abs(surface.gap(position)) < 0.02 + folded(surface, anchor, level, *position[:2])
    assert kink(track, 0.0) < 0.2, "Bullet's triangles turn a ball so much inside a tile too"


def test_what_is_no_anchor_is_told() -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be an anchor: it needs a finite longitude and height, and a latitude within 85"):
        Anchor(0.0, 89.0)
    with pytest.raises(InvalidArgumentError, match="it needs finite metres"):
        PlaneAnchor(0.0, math.nan)


def test_mujoco_ground_says_what_it_cannot_hold(ground: Ground) -> None:
    mujoco = pytest.importorskip("mujoco", reason="mujoco is not installed here; the extra is `sims`")
    from terraloom_sims.mujoco import MujocoGround

    spec = mujoco.MjSpec()
    field = MujocoGround(spec, ground.anchor, LEVEL, slots=1, highest=50.0)
    with pytest.raises(FailedPreconditionError, match="bind the compiled model"):
        field.add(ground.west)
    model = spec.compile()
    field.bind(model, mujoco.MjData(model))
    with pytest.raises(InvalidArgumentError, match="is not of level 16"):
        field.add(replace(ground.west, id=TileId(15, 1, 1)))
    with pytest.raises(InvalidArgumentError, match="allowed are -1000 to 50"):
        field.add(replace(ground.west, heights=ground.west.heights + 100.0))
    field.add(ground.west)
    field.add(ground.west)
    with pytest.raises(ResourceExhaustedError, match="all 1 slots are taken"):
        field.add(ground.east)
    field.remove(ground.west.id)
    field.add(ground.east)


def test_an_f16_at_mach_0_9_knows_the_ground_from_what_came_and_from_nothing_else(client: Client) -> None:
    pytest.importorskip("jsbsim", reason="jsbsim is not installed here; the extra is `bench`")
    from jsbsim_f16 import F16, fly

    place, level = (-80.6, 37.9), 6
    aircraft = F16(*place, 1500.0, heading=40.0)
    with pytest.raises(FailedPreconditionError, match=r"no ground at -80\.60000, 37\.90000: its tile has not come"):
        aircraft.step()
    with client.collision_stream(View(*place, 1500.0), CollisionOptions(radius=3000.0, level=level)) as stream:
        for tile in stream.settle(PATIENCE):
            aircraft.ground.apply(tile)
        poses = list(fly(aircraft, stream, 6.0, {1.0: 60.0}, lockstep=True))
    ground = client.sample_heights([(pose.longitude, pose.latitude) for pose in poses], level)
    told = np.array([pose.height - pose.clearance for pose in poses])
    assert np.abs(told - ground).max() < 3.0, "the ground a step before, 3 m away"
    assert all(280.0 < math.hypot(*pose.velocity) < 320.0 for pose in poses)
    assert 42.0 < poses[-1].heading < 60.0 and min(pose.clearance for pose in poses) > 100.0
    aircraft.ground.apply(Removed(tuple(aircraft.ground.tiles)))
    with pytest.raises(FailedPreconditionError, match="no ground"):
        aircraft.step()
