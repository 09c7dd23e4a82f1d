"""Planes over the wire: streams that settle and cover, tiles that lie where they say, heights and regions in metres."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from terraloom import Camera, Client, CollisionOptions, ContentOptions, Radius, Region, StreamOptions, View, connect
from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom.frames import LocalFrame, PlanePoint
from terraloom.testing import run_server
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.tiling import TileId as Address
from terraloom_engines.tiling import WorldKind, plane_bounds

FAR = float(1 << 40)
HERE = (700_000.0, -300_000.0)
"""Well inside one tile of the base."""
OPTIONS = StreamOptions(Radius(2000.0, 6), content=ContentOptions(segments=32, texture_format="none"))


@pytest.fixture(scope="module")
def plane(server: str) -> Client:  # type: ignore[misc]
    """A client of a plane of the server that all tests share."""
    with connect(server, world="plane:7") as client:
        client.wait_ready()
        yield client


def address(tile: tuple[int, int, int]) -> Address:
    return Address(*tile, WorldKind.PLANE)


def test_a_server_of_earth_answers_for_planes_too(plane: Client, client: Client) -> None:
    described = plane.describe()
    world = described.world
    assert (world.id.name, world.id.seed, world.kind, world.title) == ("plane:7", 0, pb.WORLD_KIND_PLANE, "Plane 7")
    assert (world.min_level, world.base_level, world.max_level) == (2, 4, 18)
    assert described.selection.min_level == 2
    assert client.describe().world.kind == pb.WORLD_KIND_PLANET
    listed = [found.id.name for found in client.worlds()]
    assert listed[0] == "earth"
    assert "plane:7" in listed


@pytest.mark.parametrize("place", [HERE, (FAR + HERE[0], HERE[1] - FAR)])
def test_a_stream_over_a_plane_settles_and_covers_the_ground(plane: Client, place: tuple[float, float]) -> None:
    with plane.stream(View.on_plane(*place, 3000.0), OPTIONS) as stream:
        tiles = stream.settle(120.0)
        visible = {address(tile) for tile in stream.visible}
        assert stream.complete
    order = [address(tile.id) for tile in tiles]
    assert all(tile.z == 4 or tile.parent in order[:index] for index, tile in enumerate(order))
    assert any(bounds[0] <= place[0] < bounds[2] and bounds[1] < place[1] <= bounds[3] for bounds in map(plane_bounds, visible))
    area = sum(4.0 ** (6 - tile.z) for tile in visible)
    assert area == 16.0 * sum(tile.z == 4 for tile in order)
    assert max(tile.z for tile in visible) == 6


def test_a_moving_viewpoint_is_followed_over_a_plane(plane: Client) -> None:
    start = View.on_plane(*HERE, 3000.0, velocity=(200.0, 0.0, 0.0), camera=Camera(heading=90.0, pitch=-20.0))
    with plane.stream(start, OPTIONS) as stream:
        stream.settle(120.0)
        before = stream.visible
        stream.move(View.on_plane(HERE[0] + 600_000.0, HERE[1], 3000.0))
        stream.settle(120.0)
        assert stream.complete
        assert stream.visible != before


def test_tiles_lie_where_their_transforms_say(plane: Client) -> None:
    west, east = plane.get_tile(6, -1, 2), plane.get_tile(6, 0, 2)
    bounds = plane_bounds(address(east.id))
    frame = LocalFrame(PlanePoint(bounds[0], bounds[3], 0.0), "enu")
    rims = []
    for tile in (west, east):
        placed = frame.placed(tile.mesh().positions, tile.plane_from_tile)
        grid = placed[: 65 * 65].reshape(65, 65, 3)
        side = bounds[2] - bounds[0]
        assert np.ptp(grid[..., 0]) == pytest.approx(side, abs=0.1)
        assert np.ptp(grid[..., 1]) == pytest.approx(side, abs=0.1)
        assert (tile.min_height, tile.max_height) == pytest.approx((grid[..., 2].min(), grid[..., 2].max()), abs=0.01)
        rims.append(grid[:, 0] if tile is east else grid[:, -1])
    np.testing.assert_allclose(rims[0], rims[1], atol=0.02)
    assert east.geometric_error == 4 * 2.0 ** (17 - 6)
    with pytest.raises(InvalidArgumentError, match="take plane_from_tile"):
        _ = east.ecef_from_tile


def test_heights_of_places_are_those_of_grids_and_run_on_over_the_origin(plane: Client) -> None:
    grid = plane.get_height_grid(6, -1, -1)
    west, south, east, north = plane_bounds(address(grid.id))
    x, y = np.linspace(west, east, 9), np.linspace(south, north, 9)
    places = np.stack([x, y], axis=-1)
    sampled = plane.sample_heights(places, level=6)
    np.testing.assert_allclose(grid.sample(x, y), sampled, atol=1e-9)
    around = plane.sample_heights([(-0.5, 0.5), (0.0, 0.0), (0.5, -0.5)], level=6)
    assert np.ptp(around) < 1.0
    body = grid.heightfield()
    corner = body.world_from_field @ (0.0, 0.0, float(body.heights[0, 0]), 1.0)
    assert corner[:3] == pytest.approx((west, south, grid.sample(west, south)), abs=1e-3)
    with pytest.raises(InvalidArgumentError, match="is outside tile 6/-1/-1"):
        grid.sample(1.0, 1.0)


def test_a_barrier_waits_for_a_region_in_metres(plane: Client) -> None:
    side = 2.0**25 / 2**5
    answer = plane.barrier(Region(-0.5 * side, 0.1 * side, 0.5 * side, 0.2 * side, level=5))
    assert (answer.complete, answer.tiles) == (True, 2)
    again = plane.barrier(Region(-0.9 * side, 0.1 * side, 0.1 * side, 0.9 * side, level=5))
    assert again.world_hash == answer.world_hash != b""
    seen = plane.barrier(View.on_plane(*HERE, 3000.0), OPTIONS)
    assert seen.complete
    assert seen.tiles == 12


def test_bodies_get_the_ground_below_them_on_planes_too(plane: Client) -> None:
    with plane.collision_stream(View.on_plane(*HERE, 500.0), CollisionOptions(radius=1000.0, level=6)) as stream:
        grids = stream.settle(120.0)
    assert [grid.id for grid in grids] == [(6, 1, 0)]
    assert grids[0].on_plane
    assert grids[0].sample(*HERE) == pytest.approx(plane.sample_heights([HERE], level=6)[0])


def test_the_same_seed_is_the_same_ground_on_another_server(plane: Client) -> None:
    with run_server("--world", "plane:7", "--world", "earth", "--no-http") as address, connect(address) as other:
        assert [world.id.name for world in other.worlds()] == ["plane:7", "earth"]
        theirs, ours = other.get_tile(6, 0, 2), plane.get_tile(6, 0, 2)
        assert theirs == ours
        with connect(address, world="plane:7", seed=3) as details, connect(address, world="plane:8") as elsewhere:
            assert details.get_tile(4, 0, 0).glb == other.get_tile(4, 0, 0).glb
            assert details.get_tile(6, 0, 2).glb != theirs.glb
            assert elsewhere.get_tile(4, 0, 0).glb != other.get_tile(4, 0, 0).glb


def test_streams_of_several_worlds_settle_at_once(server: str) -> None:
    def settled(name: str, view: View) -> set[tuple[int, int, int]]:
        with connect(server, world=name) as client, client.stream(view, OPTIONS) as stream:
            stream.settle(120.0)
            return {tuple(tile) for tile in stream.visible}  # type: ignore[misc]

    names = {"plane:7": View.on_plane(*HERE, 3000.0), "plane:8": View.on_plane(*HERE, 3000.0), "earth": View(7.66, 45.98, 3000.0)}
    with ThreadPoolExecutor(3) as pool:
        plane, other, earth = pool.map(settled, names, names.values())  # type: ignore[arg-type]
    assert plane == other != earth
    assert len(plane) == 10


WRONG = {
    r"view\.plane is missing: the world is a plane": lambda plane: plane.stream(View(7.0, 46.0, 1000.0)).__enter__(),
    r"view\.plane\.x = nan": lambda plane: plane.stream(View.on_plane(float("nan"), 0.0, 0.0)).__enter__(),
    r"view\.plane\.y = 1e\+18 is out of range: allowed are -2\.88230376152e\+17 to": lambda plane: plane.barrier(
        View.on_plane(0.0, 1e18, 0.0)
    ),
    r"id\.z = 1 is out of range: allowed are 2 to 18": lambda plane: plane.get_tile(1, 0, 0),
    r"tile 2/68719476736/0 is out of range: x and y at level 2 go from -68719476736 to 68719476735": lambda plane: plane.get_tile(
        2, 1 << 36, 0
    ),
    r"east\[1\] = 1e\+18 is out of range": lambda plane: plane.sample_heights([(0.0, 0.0), (1e18, 0.0)]),
    r"level = 1 is out of range: allowed are 2 to 18": lambda plane: plane.sample_heights([(0.0, 0.0)], level=1),
    r"region\.east = -1 is out of range: allowed are 1 to": lambda plane: plane.barrier(Region(1.0, 0.0, -1.0, 1.0, level=5)),
    r"region \(its tiles\) = \d+ is out of range: allowed are 1 to 4096": lambda plane: plane.barrier(Region(0.0, 0.0, 1e7, 1e7, level=12)),
    r"selection\.max_level = 1 is out of range: allowed are 2 to 18": lambda plane: plane.stream(
        View.on_plane(0.0, 0.0, 0.0), StreamOptions(max_level=1)
    ).__enter__(),
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes_on_planes_are_told_in_one_line(plane: Client, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        WRONG[message](plane)
    assert "\n" not in str(caught.value)


def test_planet_clients_may_not_look_from_planes_and_planes_need_seeds(client: Client, server: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"view\.geodetic is missing: the world is a planet"):
        client.stream(View.on_plane(0.0, 0.0, 0.0)).__enter__()
    for name, kind in (("plane", InvalidArgumentError), ("plain:7", NotFoundError)):
        with connect(server, world=name) as other, pytest.raises(kind, match="plane:SEED"):
            other.describe()
