"""The collision stream of the client against a real server: the ground round a viewpoint, and the heights of places on it."""

from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from terraloom import AsyncClient, Client, CollisionOptions, Credit, HeightGrid, HeightTile, Removed, TileId, View, VisibleChange
from terraloom._heights import height_tile_from_message
from terraloom.errors import DataLossError, InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.tiling import TileId as Address
from terraloom_engines.tiling import lonlat_bounds

LEVEL = 7
PLACE, ELSEWHERE = View(longitude=10.0, latitude=46.0, height=3000.0), View(longitude=24.0, latitude=46.0, height=3000.0)
AROUND = CollisionOptions(radius=100_000.0, level=LEVEL)
PATIENCE = 60.0
GEODETIC_FROM_ECEF = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)


@pytest.fixture
def ground(client: Client) -> dict[TileId, HeightTile]:
    """The tiles round the place."""
    with client.collision_stream(PLACE, AROUND) as stream:
        stream.settle(PATIENCE)
        return dict(stream.ground)


def connections(target: str) -> set[str]:
    """Local ends of the machine's TCP connections to a port, from Linux' own tables."""
    port = f":{int(target.rpartition(':')[2]):04X}"
    rows = (line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:])
    return {row[1] for row in rows if row[2].endswith(port) and row[3] == "01"}


def test_a_settled_stream_has_all_ground_within_the_radius(client: Client) -> None:
    with client.collision_stream(PLACE, AROUND) as stream:
        tiles = stream.settle(PATIENCE)
        assert stream.complete and stream.ground.keys() == stream.visible == stream.held.keys() == {tile.id for tile in tiles}
        assert stream.session.selection.radius == pb.Radius(radius=100_000.0, level=LEVEL)
        assert stream.counters.tiles == len(tiles) > 1
    for tile in tiles:
        alone = client.get_height_grid(*tile.id)
        assert np.array_equal(tile.heights, alone.heights) and tile.content_hash == alone.content_hash
        assert (tile.min_height, tile.max_height) == (tile.heights.min(), tile.heights.max())
        assert tile.delivery > 0 and tile.view_sequence == 1 and not tile.heights.flags.writeable


def test_it_has_a_connection_of_its_own(client: Client) -> None:
    before = connections(client.target)
    with client.collision_stream(PLACE, AROUND):
        assert connections(client.target) - before


def test_ground_that_is_left_behind_is_freed_and_what_is_kept_never_changes(client: Client) -> None:
    shown: set[TileId] = set()
    with client.collision_stream(PLACE, AROUND) as stream:
        first = {tile.id: tile.heights.copy() for tile in stream.settle(PATIENCE)}
        kept = stream.ground
        stream.move(ELSEWHERE)
        for event in stream.events():
            if isinstance(event, VisibleChange):
                shown = (shown - set(event.hide)) | set(event.show)
            if isinstance(event, Removed):
                assert set(event.tiles) == first.keys() and not shown & first.keys()
                break
        stream.settle(PATIENCE)
        assert not stream.ground.keys() & first.keys() and stream.ground.keys() == stream.visible
        assert all(np.array_equal(kept[tile].heights, heights) for tile, heights in first.items())
        stream.move(PLACE)
        assert {tile.id for tile in stream.settle(PATIENCE)} >= first.keys(), "what was freed comes again"


def test_what_the_client_has_is_part_of_the_ground_and_does_not_come_again(client: Client, ground: dict[TileId, HeightTile]) -> None:
    options = CollisionOptions(radius=AROUND.radius, level=LEVEL, have=tuple(ground.values()))
    with client.collision_stream(PLACE, options) as stream:
        assert stream.settle(PATIENCE) == []
        assert stream.ground == ground


def test_the_smallest_credit_delivers_everything(client: Client, ground: dict[TileId, HeightTile]) -> None:
    options = CollisionOptions(radius=AROUND.radius, level=LEVEL, credit=Credit(bytes=1, tiles=1))
    with client.collision_stream(PLACE, options) as stream:
        assert {tile.id for tile in stream.settle(PATIENCE)} == ground.keys()


def test_neighbours_share_the_heights_of_their_edge(ground: dict[TileId, HeightTile]) -> None:
    pairs = [(tile, ground.get(TileId(tile.id.z, tile.id.x + 1, tile.id.y))) for tile in ground.values()]
    edges = [(west.heights[:, -1], east.heights[:, 0]) for west, east in pairs if east is not None]
    assert edges and all(np.array_equal(*edge) for edge in edges)


async def test_the_asynchronous_stream_delivers_alike(server: str, ground: dict[TileId, HeightTile]) -> None:
    async with AsyncClient(server) as client, client.collision_stream(PLACE, AROUND) as stream:
        found = {}
        async for tile in stream:
            found[tile.id] = tile.content_hash
            if len(found) == len(ground):
                break
        barrier = await client.barrier(stream.session.session_id)
        assert barrier.complete and barrier.tiles == len(ground)
    assert found == {tile.id: tile.content_hash for tile in ground.values()}


def places_in(grid: HeightGrid, count: int = 4000) -> np.ndarray:
    """Longitudes and latitudes in a tile, shape (n, 2): anywhere, on its edges and at its corners."""
    west, south, east, north = lonlat_bounds(Address(*grid.id))
    inside = np.random.default_rng(7).uniform((west, south), (east, north), (count, 2))
    along = np.random.default_rng(8).uniform((west, south), (east, north), (400, 2))
    edges = [np.stack(np.broadcast_arrays(lon, lat), axis=-1) for lon, lat in ((west, along[:, 1]), (east, along[:, 1]))]
    edges += [np.stack(np.broadcast_arrays(lon, lat), axis=-1) for lon, lat in ((along[:, 0], south), (along[:, 0], north))]
    return np.concatenate([inside, *edges, [(west, south), (west, north), (east, south), (east, north)]])


@pytest.mark.parametrize("surface", ["ground_or_water", "ground"])
@pytest.mark.parametrize("address", [(5, 16, 11), (5, 31, 17), (9, 266, 181), (0, 0, 0)], ids=["Alps", "antimeridian", "Matterhorn", "all"])
def test_a_grid_sampled_here_is_what_the_server_samples_within_a_millimetre(client: Client, address: TileId, surface: str) -> None:
    grid = client.get_height_grid(*address, surface)  # type: ignore[arg-type]
    places = places_in(grid)
    heights = client.sample_heights(places, grid.id.z, surface)  # type: ignore[arg-type]
    assert np.abs(grid.sample(places[:, 0], places[:, 1]) - heights).max() < 0.001
    assert grid.sample(*places[0]) == pytest.approx(heights[0], abs=0.001)


def test_places_outside_a_tile_are_refused(ground: dict[TileId, HeightTile]) -> None:
    tile = next(iter(ground.values()))
    with pytest.raises(InvalidArgumentError, match=rf"the place 10, 10 \(longitude, latitude\) is outside tile {tile.id}"):
        tile.sample(PLACE.longitude, [PLACE.latitude, 10.0])


def test_a_heightfield_is_the_grid_in_the_axes_of_physics_engines(ground: dict[TileId, HeightTile]) -> None:
    tile = next(iter(ground.values()))
    field = tile.heightfield(datum=1000.0)
    assert field.heights.dtype == np.float32 and field.heights.flags.c_contiguous and field.spacing == tile.spacing
    assert np.abs(field.heights[::-1] + 1000.0 - tile.heights).max() < 0.001
    for row, column in ((0, 0), (0, 128), (128, 0), (50, 30)):
        x, y = column * field.spacing[0], row * field.spacing[1]
        in_field = field.world_from_field @ (x, y, float(field.heights[row, column]), 1.0)
        there = (tile.origin[0] + x, tile.heights[128 - row, column], tile.origin[1] + (128 - row) * tile.spacing[1], 1.0)
        assert np.abs(in_field - tile.ecef_from_tile @ there).max() < 0.001
        assert (field.origin[0] + x, field.origin[1] + y) == pytest.approx((there[0], -there[2]))


def test_the_ground_under_earth_centred_points_is_on_their_normal(client: Client) -> None:
    ecef_from_geodetic = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    rng = np.random.default_rng(9)
    places = rng.uniform((9.0, 45.0, -5000.0), (11.0, 47.0, 400_000.0), (300, 3))
    points = np.stack(ecef_from_geodetic.transform(*places.T), axis=-1)
    heights, ground = client.sample_heights_ecef(points, level=LEVEL)
    assert np.abs(heights - client.sample_heights(places[:, :2], level=LEVEL)).max() < 0.001
    longitudes, latitudes, up = GEODETIC_FROM_ECEF.transform(*ground.T)
    assert np.abs(longitudes - places[:, 0]).max() < 1e-9 and np.abs(latitudes - places[:, 1]).max() < 1e-9
    assert np.abs(up - heights).max() < 0.001
    assert client.sample_heights_ecef([])[1].shape == (0, 3)


@pytest.mark.parametrize(
    ("points", "text"),
    [([(1.0, 2.0)], r"points have shape \(1, 2\): allowed is \(n, 3\), x, y and z"), ([(1.0, 2.0, np.inf)], r"points\[0\] = .*not finite")],
)
def test_what_is_no_earth_centred_point_is_told(client: Client, points: object, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        client.sample_heights_ecef(points)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (CollisionOptions(radius=-1.0), "selection.radius.radius = -1 is out of range"),
        (CollisionOptions(level=19), "selection.radius.level = 19 is out of range: allowed are 0 to 18"),
        (CollisionOptions(surface="roof"), "surface = 'roof' is unknown"),  # type: ignore[arg-type]
        (CollisionOptions(level=-2), "cannot be sent"),
    ],
)
def test_wrong_options_are_told_in_one_line(client: Client, options: CollisionOptions, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text) as caught, client.collision_stream(PLACE, options):
        pass
    assert "\n" not in str(caught.value)


def test_a_tile_without_heights_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="0 bytes for 0 x 0 heights"):
        height_tile_from_message(pb.Tile(glb=b"glTF"))
