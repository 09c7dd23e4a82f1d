"""Calls of the client against a real server."""

import io
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import trimesh
from pyproj import Transformer

from terraloom import AsyncClient, Client, ContentOptions, Radius, StreamOptions, Tile, TileId, View, connect
from terraloom.errors import DeadlineExceededError, InvalidArgumentError, NotFoundError, UnavailableError
from terraloom.testing import run_server
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.cascade import never
from terraloom_engines.content import ContentOptions as EnginesContentOptions
from terraloom_engines.content import build_content
from terraloom_engines.tiling import TileId as EnginesTileId
from terraloom_engines.tiling import lonlat_bounds
from terraloom_engines.world import open_world

ALPS = TileId(5, 16, 11)


def free_address() -> str:
    """An address where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def places_of(tile: Tile) -> np.ndarray:
    """Longitude, latitude and height of all the tile's vertices, by pyproj."""
    positions = np.column_stack([tile.mesh().positions, np.ones(len(tile.mesh().positions))])
    ecef = positions @ tile.ecef_from_tile.T
    return np.column_stack(Transformer.from_crs(4978, 4979, always_xy=True).transform(*ecef.T[:3]))


def test_a_server_describes_its_default_world(client: Client) -> None:
    description = client.describe()
    assert description.protocol_version == pb.PROTOCOL_VERSION_1
    assert description.world.id.name == "earth"
    assert description.world.kind == pb.WORLD_KIND_PLANET
    assert 0 < description.world.base_level < description.world.max_level
    assert description.world.identity
    assert client.worlds()[0] == description.world


def test_a_tile_arrives_with_the_mesh_that_trimesh_reads(client: Client) -> None:
    tile = client.get_tile(*ALPS)
    mesh = tile.mesh()
    (other,) = trimesh.load_scene(io.BytesIO(tile.glb), file_type="glb", process=False).geometry.values()
    np.testing.assert_array_equal(mesh.positions, other.vertices.astype(np.float32))
    np.testing.assert_array_equal(mesh.triangles, other.faces)
    assert tile.id == ALPS
    assert mesh.normals is not None
    assert mesh.normals.shape == mesh.positions.shape
    assert mesh.uv is not None
    assert 0.0 <= mesh.uv.min() < mesh.uv.max() <= 1.0
    assert mesh.texture_type == "image/jpeg"


def test_a_tile_lies_where_its_address_says(client: Client) -> None:
    tile = client.get_tile(*ALPS)
    longitudes, latitudes, heights = places_of(tile).T
    west, south, east, north = lonlat_bounds(EnginesTileId(*ALPS))
    assert (longitudes.min(), longitudes.max()) == pytest.approx((west, east), abs=1e-4)
    assert (latitudes.min(), latitudes.max()) == pytest.approx((south, north), abs=1e-4)
    assert heights.max() == pytest.approx(tile.max_height, abs=1.0)
    assert tile.min_height < tile.max_height < 5000.0


def test_content_follows_the_options(client: Client) -> None:
    coarse = client.get_tile(*ALPS, ContentOptions(segments=32, texture_format="none"))
    fine = client.get_tile(*ALPS, ContentOptions(segments=64, texture_format="none"))
    assert coarse.mesh().texture is None
    assert len(coarse.mesh().positions) < len(fine.mesh().positions)
    assert coarse.content_hash != fine.content_hash
    assert client.get_tile(*ALPS, ContentOptions(segments=64, texture_format="none")) == fine


def test_errors_of_the_server_arrive_typed_and_say_what_is_allowed(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="0 to 18") as caught:
        client.get_tile(19, 0, 0)
    assert (caught.value.field, caught.value.allowed) == ("id.z", ("0..18",))
    with pytest.raises(InvalidArgumentError, match="0 to"):
        client.get_tile(3, 8, 0)
    with pytest.raises(InvalidArgumentError, match="32"):
        client.get_tile(*ALPS, ContentOptions(segments=33))
    with connect(client.target, world="atlantis") as stranger, pytest.raises(NotFoundError, match="earth"):
        stranger.describe()


def test_values_that_cannot_be_sent_are_refused_by_name(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="texture_format = 'gif' is unknown: allowed are jpeg, webp, none"):
        client.get_tile(*ALPS, ContentOptions(texture_format="gif"))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"TileId\(z=-1.*cannot be sent"):
        client.get_tile(-1, 0, 0)
    with pytest.raises(InvalidArgumentError, match=r"level=-2.*cannot be sent"):
        client.stream(View(8.0, 46.0, 1000.0), StreamOptions(selection=Radius(1.0, -2)))
    with pytest.raises(InvalidArgumentError, match=r"lines=-1.*cannot be sent"):
        client.stream(View(8.0, 46.0, 1000.0, lines=-1))
    with pytest.raises(InvalidArgumentError, match=r"'seed': -1.*cannot be sent"):
        connect(client.target, seed=-1)


def test_a_call_past_its_deadline_says_so(client: Client) -> None:
    with pytest.raises(DeadlineExceededError):
        client.get_tile(12, 2134, 1456, timeout=0.001)


def test_where_nobody_listens_the_error_names_the_address() -> None:
    target = free_address()
    with connect(target) as client:
        with pytest.raises(UnavailableError, match=target):
            client.describe()
        with pytest.raises(UnavailableError, match="not ready after 0.2 s"):
            client.wait_ready(timeout=0.2)


def test_a_client_may_be_used_from_many_threads(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        tiles = list(pool.map(lambda _: client.get_tile(*ALPS), range(16)))
    assert len(set(tiles)) == 1


def test_eight_clients_at_once_get_the_tiles_that_one_world_makes_alone(server: str) -> None:
    """Asked in another order by each, and made with another number of threads: the same bytes."""
    tiles = [TileId(7, x, y) for x in (66, 67) for y in (44, 45)] + [TileId(7, 127, 70), TileId(7, 0, 70)]

    def ask(turn: int) -> dict[TileId, bytes]:
        with connect(server) as client:
            order = tiles[turn % len(tiles) :] + tiles[: turn % len(tiles)]
            return {tile: client.get_tile(*tile).glb for tile in order[:: -1 if turn % 2 else 1]}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    alone = open_world("earth", threads=1)
    expected = {tile: build_content(alone, EnginesTileId(*tile), EnginesContentOptions(), never).glb for tile in tiles}
    assert all(answer == expected for answer in answers)


async def test_the_asynchronous_client_answers_alike(server: str, client: Client) -> None:
    async with AsyncClient(server) as other:
        assert (await other.wait_ready()).world == client.describe().world
        assert await other.get_tile(*ALPS) == client.get_tile(*ALPS)
        with pytest.raises(NotFoundError):
            await AsyncClient(server, world="atlantis").describe()


def test_a_client_waits_for_a_server_that_starts_later() -> None:
    target = free_address()
    with connect(target) as client, ThreadPoolExecutor(1) as pool:
        ready = pool.submit(client.wait_ready, 120.0)
        with run_server(port=int(target.rpartition(":")[2])) as address:
            assert address == target
            assert ready.result().world.id.name == "earth"


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(UnavailableError, match="--no-such-option"), run_server("--no-such-option"):
        pass


def test_a_program_that_forgets_to_close_ends_without_noise(server: str) -> None:
    code = f"import terraloom; client = terraloom.connect({server!r}); client.describe()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (result.stdout, result.stderr) == ("", "")
