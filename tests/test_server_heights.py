"""Heights, height grids and barriers through the client, against a real server."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from terraloom import AsyncClient, Client, ContentOptions, HeightGrid, Region, StreamOptions, TileId, View, connect
from terraloom._heights import height_grid_from_message
from terraloom.errors import DataLossError, InvalidArgumentError, NotFoundError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.tiling import TILE_SIZE, latitude_from_row, longitude_from_column

ALPS, DEAD_SEA, ATLANTIC = (7.66, 45.976), (35.5, 31.5), (-30.0, 30.0)
LAST = TileId(5, 31, 17)
"""The tile west of the antimeridian that has Fiji."""
NAN, INFINITY = math.nan, math.inf
REGION = Region(west=179.0, south=-18.0, east=-179.0, north=-17.0, level=5)


def places_of(tile: TileId, grid: HeightGrid) -> np.ndarray:
    """Longitude and latitude of a grid's samples, shape (rows, columns, 2)."""
    pixels = np.linspace(0, TILE_SIZE, len(grid.heights))
    longitudes = [longitude_from_column(tile.z, tile.x * TILE_SIZE + column) for column in pixels]
    latitudes = [latitude_from_row(tile.z, tile.y * TILE_SIZE + row) for row in pixels]
    return np.stack(np.meshgrid(longitudes, latitudes), axis=-1)


@pytest.mark.parametrize("surface", ["ground_or_water", "ground"])
@pytest.mark.parametrize("tile", [TileId(5, 16, 11), LAST], ids=["Alps", "antimeridian"])
def test_heights_are_those_of_the_height_grid_within_a_millimetre(client: Client, tile: TileId, surface: str) -> None:
    grid = client.get_height_grid(*tile, surface)  # type: ignore[arg-type]
    places = places_of(tile, grid)
    assert grid.heights.shape == (129, 129) and np.ptp(grid.heights) > 100.0
    for row in (0, 1, 64, 127, 128):
        heights = client.sample_heights(places[row], tile.z, surface)  # type: ignore[arg-type]
        assert np.abs(heights - grid.heights[row]).max() < 0.001


def test_the_height_grid_has_the_heights_of_the_finest_mesh(client: Client) -> None:
    tile = TileId(9, 266, 181)
    grid = client.get_height_grid(*tile)
    mesh = client.get_tile(*tile, ContentOptions(segments=128, texture_format="none"))
    assert (grid.heights.min(), grid.heights.max()) == (mesh.min_height, mesh.max_height)
    assert np.array_equal(grid.ecef_from_tile, mesh.ecef_from_tile)
    assert grid.content_hash not in (b"", mesh.content_hash)
    drawn = mesh.mesh().positions[: 129 * 129].reshape(129, 129, 3)
    x, z = (grid.origin[axis] + grid.spacing[axis] * np.arange(129) for axis in (0, 1))
    assert np.allclose(drawn[64, :, 0], x, rtol=2e-3) and np.allclose(drawn[:, 64, 2], z, rtol=2e-2, atol=1.0)


def test_grids_join_over_the_antimeridian_and_heights_run_on(client: Client) -> None:
    west, east = client.get_height_grid(*LAST), client.get_height_grid(LAST.z, 0, LAST.y)
    assert np.array_equal(west.heights[:, -1], east.heights[:, 0])
    longitudes = np.array([179.99999999, 180.0, -180.0, 540.0, -179.99999999])
    heights = client.sample_heights([(longitude, -16.55) for longitude in longitudes], LAST.z)
    assert heights[1] == heights[2] == heights[3]
    assert np.ptp(heights) < 0.001


def test_the_sea_is_at_0_its_floor_far_below_and_land_may_lie_below_the_sea(client: Client) -> None:
    sea, dead_sea, alps = client.sample_heights([ATLANTIC, DEAD_SEA, ALPS], level=7)
    assert sea == 0.0 and -600.0 < dead_sea < -250.0 and 1500.0 < alps < 4500.0
    floor, ground = client.sample_heights([ATLANTIC, ALPS], level=7, surface="ground")
    assert -7000.0 < floor < -2000.0 and ground == alps


def test_heights_of_a_thousand_places_are_repeatable_and_in_order(client: Client) -> None:
    places = np.random.default_rng(5).uniform((5.0, 44.0), (11.0, 47.0), (1000, 2))
    heights = client.sample_heights(places, level=6)
    assert heights.shape == (1000,) and heights.dtype == np.float64 and len(set(heights.tolist())) > 900
    assert np.array_equal(client.sample_heights(places[::-1], level=6)[::-1], heights)
    assert np.array_equal(client.sample_heights(places[17:18], level=6), heights[17:18])


def test_no_places_have_no_heights_and_the_most_places_are_told(client: Client) -> None:
    assert client.sample_heights([], level=3).shape == (0,)
    most = client.describe().max_sample_points
    assert client.sample_heights(np.full((most, 2), 45.0), level=3).shape == (most,)
    with pytest.raises(InvalidArgumentError, match=f"has a length of {most + 1}, which is out of range: allowed are 0 to {most}$"):
        client.sample_heights(np.full((most + 1, 2), 45.0), level=3)


def test_places_all_over_the_world_are_refused_at_a_fine_level(client: Client) -> None:
    places = np.random.default_rng(6).uniform((-180.0, -80.0), (180.0, 80.0), (2000, 2))
    with pytest.raises(InvalidArgumentError, match=r"its tiles of level 18\) = 2000 is out of range: allowed are 0 to 1024$"):
        client.sample_heights(places)


WRONG: dict[str, Callable[[Client], object]] = {
    r"east\[1\] = nan is not a finite number": lambda client: client.sample_heights([ALPS, (NAN, 1.0)]),
    r"east\[0\] = inf is not a finite number": lambda client: client.sample_heights([(INFINITY, 1.0)]),
    r"north\[0\] = nan is out of range: allowed are -90 to 90": lambda client: client.sample_heights([(1.0, NAN)]),
    r"north\[2\] = 90.5 is out of range": lambda client: client.sample_heights([ALPS, ALPS, (1.0, 90.5)]),
    "level = 19 is out of range: allowed are 0 to 18": lambda client: client.sample_heights([ALPS], level=19),
    "'level': -1} cannot be sent": lambda client: client.sample_heights([ALPS], level=-1),
    r"points have shape \(3,\)": lambda client: client.sample_heights([1.0, 2.0, 3.0]),
    "points are no pairs": lambda client: client.sample_heights([("east", "north")]),
    "surface = 'roof' is unknown: allowed are ground_or_water, ground": lambda client: client.sample_heights([ALPS], surface="roof"),  # type: ignore[arg-type]
    "tile 3/8/0 is out of range": lambda client: client.get_height_grid(3, 8, 0),
    "region.north = 9 is out of range": lambda client: client.barrier(Region(west=0, south=10, east=1, north=9, level=5)),
    "deadline = -1 is out of range": lambda client: client.barrier(REGION, deadline=-1.0),
    "'deadline': 'soon'} cannot be sent": lambda client: client.barrier(REGION, deadline="soon"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes_are_told_in_one_line(client: Client, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        WRONG[message](client)
    assert "\n" not in str(caught.value)


def test_worlds_that_there_are_not_are_not_found(server: str) -> None:
    with connect(server, world="mars", seed=7) as stranger, pytest.raises(NotFoundError, match="earth"):
        stranger.sample_heights([(1000.0, 2000.0)])


def test_every_point_needs_both_coordinates(client: Client) -> None:
    import grpc

    from terraloom.v1.terraloom_pb2_grpc import TerraloomStub

    with grpc.insecure_channel(client.target) as channel, pytest.raises(grpc.RpcError) as caught:
        TerraloomStub(channel).SampleHeights(pb.SampleHeightsRequest(east=[1.0, 2.0], north=[3.0]))
    assert caught.value.details() == "north has 1 values and east 2: every point needs one of each"


def test_a_grid_of_the_wrong_size_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="8 bytes for 2 x 2 heights"):
        height_grid_from_message(pb.Tile(height_grid=pb.HeightGrid(columns=2, rows=2, heights=bytes(8))))


def test_a_barrier_waits_for_a_region_a_view_or_a_session(client: Client) -> None:
    region = client.barrier(REGION)
    assert region.complete and region.tiles == 2 and region.world_hash
    assert client.barrier(REGION, StreamOptions(content=ContentOptions(segments=32))).world_hash != region.world_hash
    view, options = View(longitude=7.66, latitude=45.98, height=400_000.0), StreamOptions(max_level=5)
    seen = client.barrier(view, options)
    assert seen.complete and seen.tiles > 5
    with client.stream(view, options) as stream:
        stream.settle(timeout=60.0)
        assert client.barrier(stream.session.session_id) == seen
    with pytest.raises(NotFoundError, match="is not open"):
        client.barrier("nobody")


async def test_the_asynchronous_client_answers_alike(server: str, client: Client) -> None:
    async with AsyncClient(server) as other:
        assert await other.sample_heights([ALPS], level=5) == client.sample_heights([ALPS], level=5)
        assert np.array_equal((await other.get_height_grid(*LAST)).heights, client.get_height_grid(*LAST).heights)
        assert await other.barrier(REGION) == client.barrier(REGION)
