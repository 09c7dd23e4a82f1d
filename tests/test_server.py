"""The server over real connections: calls, what it answers to wrong input, health, start and drain."""

import math
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from terraloom.testing import run_server
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub

NAN, INFINITY = math.nan, math.inf
TILE = pb.TileId(z=5, x=16, y=11)
GOOD_VIEW = pb.View(geodetic=pb.Geodetic(longitude_degrees=7.66, latitude_degrees=45.98, height=5000.0))
OPEN = pb.OpenSessionRequest(protocol_version=pb.PROTOCOL_VERSION_1)


@pytest.fixture(scope="module")
def channel(server: str) -> Iterator[grpc.Channel]:
    """A plain gRPC channel, as another language would open it."""
    with grpc.insecure_channel(server) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> TerraloomStub:
    """Generated calls, without the client library."""
    return TerraloomStub(channel)


def detail_of(error: grpc.RpcError) -> pb.ErrorDetail:
    """The ErrorDetail in a status, checked against the status itself."""
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    detail = pb.ErrorDetail()
    assert status.details[0].Unpack(detail)
    assert (detail.status, detail.message) == (error.code().name, error.details())
    assert status.code == error.code().value[0]
    assert "\n" not in detail.message
    return detail


def place(latitude: float = 46.0, height: float = 1000.0, longitude: float = 7.0) -> pb.Geodetic:
    """A position, good unless a test makes it bad."""
    return pb.Geodetic(longitude_degrees=longitude, latitude_degrees=latitude, height=height)


WRONG_VIEWS = {
    "view.geodetic is missing": pb.View(),
    "view.geodetic is missing: the world is a planet": pb.View(plane=pb.Vector3()),
    "view.geodetic.longitude_degrees = nan": pb.View(geodetic=place(longitude=NAN)),
    "view.geodetic.latitude_degrees = nan": pb.View(geodetic=place(latitude=NAN)),
    "view.geodetic.latitude_degrees = 90.5 is out of range: allowed are -90 to 90": pb.View(geodetic=place(latitude=90.5)),
    "view.geodetic.height = inf": pb.View(geodetic=place(height=INFINITY)),
    "view.velocity.y = nan": pb.View(geodetic=place(), velocity=pb.Vector3(y=NAN)),
    "view.vertical_field_of_view_degrees = 180": pb.View(geodetic=place(), vertical_field_of_view_degrees=180.0),
    "view.aspect_ratio = -1": pb.View(geodetic=place(), aspect_ratio=-1.0),
    "view.viewport_lines = 1000000": pb.View(geodetic=place(), viewport_lines=1_000_000),
    "view.quaternion (its norm) = 2": pb.View(geodetic=place(), quaternion=pb.Quaternion(w=2.0)),
    "view.heading_pitch_roll.pitch_degrees = 91": pb.View(geodetic=place(), heading_pitch_roll=pb.HeadingPitchRoll(pitch_degrees=91.0)),
    "view.waypoints[0].seconds_ahead = 0": pb.View(geodetic=place(), waypoints=[pb.Waypoint(geodetic=place())]),
    "view.waypoints[0].geodetic is missing": pb.View(geodetic=place(), waypoints=[pb.Waypoint(seconds_ahead=1.0)]),
}
WRONG_SELECTIONS = {
    "selection.max_level = 19 is out of range: allowed are 0 to 18": pb.Selection(max_level=19),
    "selection.min_level = 7 is out of range: allowed are 0 to 6": pb.Selection(min_level=7, max_level=6),
    "selection.radius.radius = -1": pb.Selection(radius=pb.Radius(radius=-1.0, level=5)),
    "selection.radius.radius = nan": pb.Selection(radius=pb.Radius(radius=NAN, level=5)),
    "selection.radius.level = 40": pb.Selection(radius=pb.Radius(radius=1.0, level=40)),
    "target_pixels = -3": pb.Selection(screen_space_error=pb.ScreenSpaceError(target_pixels=-3.0)),
}


def first_error(stub: TerraloomStub, *messages: pb.ClientMessage) -> grpc.RpcError:
    """The error with which a stream of these messages ends."""
    with pytest.raises(grpc.RpcError) as caught:
        for _ in stub.Stream(iter(messages)):
            pass
    return caught.value


@pytest.mark.parametrize("message", WRONG_VIEWS)
def test_a_wrong_view_ends_the_stream_with_one_clear_line(stub: TerraloomStub, message: str) -> None:
    error = first_error(stub, pb.ClientMessage(open=OPEN), pb.ClientMessage(view=WRONG_VIEWS[message]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert detail_of(error).message.startswith(message)
    assert detail_of(error).field.startswith("view.")


@pytest.mark.parametrize("message", WRONG_SELECTIONS)
def test_a_wrong_selection_is_refused_at_the_opening(stub: TerraloomStub, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.OpenSession(pb.OpenSessionRequest(protocol_version=1, selection=WRONG_SELECTIONS[message]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in detail_of(caught.value).message
    assert detail_of(caught.value).allowed


def test_a_selection_that_takes_too_many_tiles_is_refused(stub: TerraloomStub) -> None:
    endless = pb.OpenSessionRequest(protocol_version=1, selection=pb.Selection(radius=pb.Radius(radius=1e6, level=18), min_level=17))
    error = first_error(stub, pb.ClientMessage(open=endless), pb.ClientMessage(view=GOOD_VIEW))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more than 8192 tiles" in detail_of(error).message


@pytest.mark.parametrize(
    ("messages", "status", "text"),
    [
        ([], "FAILED_PRECONDITION", "first message of a stream must be `open`"),
        ([pb.ClientMessage(view=GOOD_VIEW)], "FAILED_PRECONDITION", "first message of a stream must be `open`"),
        ([pb.ClientMessage(open=pb.OpenSessionRequest())], "FAILED_PRECONDITION", "protocol_version = 0 is not spoken"),
        ([pb.ClientMessage(open=OPEN), pb.ClientMessage(open=OPEN)], "FAILED_PRECONDITION", "opened once"),
        ([pb.ClientMessage(open=OPEN), pb.ClientMessage()], "INVALID_ARGUMENT", "empty"),
        ([pb.ClientMessage(open=OPEN), pb.ClientMessage(ack=pb.Ack(deliveries=[7]))], "INVALID_ARGUMENT", "7, but 0 tiles were sent"),
        ([pb.ClientMessage(open=OPEN), pb.ClientMessage(credit=pb.Credit(tiles=9999))], "INVALID_ARGUMENT", "credit.tiles = 9999"),
        ([pb.ClientMessage(open=OPEN), pb.ClientMessage(forget=pb.Forget(tiles=[pb.TileId(z=60)]))], "INVALID_ARGUMENT", "id.z = 60"),
    ],
)
def test_a_stream_out_of_order_is_ended_with_the_right_status(
    stub: TerraloomStub, messages: list[pb.ClientMessage], status: str, text: str
) -> None:
    error = first_error(stub, *messages)
    assert error.code().name == status
    assert text in detail_of(error).message


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (pb.GetTileRequest(id=pb.TileId(z=19)), "INVALID_ARGUMENT", "id.z = 19 is out of range: allowed are 0 to 18"),
        (pb.GetTileRequest(id=pb.TileId(z=3, x=8)), "INVALID_ARGUMENT", "tile 3/8/0 is out of range"),
        (pb.GetTileRequest(id=pb.TileId(z=3, x=-1)), "INVALID_ARGUMENT", "tile 3/-1/0 is out of range"),
        (pb.GetTileRequest(id=TILE, content=pb.ContentOptions(segments=65)), "INVALID_ARGUMENT", "choose one of 32, 64, 128"),
        (pb.GetTileRequest(id=TILE, content=pb.ContentOptions(texture_quality=101)), "INVALID_ARGUMENT", "allowed are 1 to 100"),
        (pb.GetTileRequest(id=TILE, content=pb.ContentOptions(compression=9)), "INVALID_ARGUMENT", "choose one of none, meshopt"),
        (pb.GetTileRequest(id=pb.TileId(z=19), height_grid=True), "INVALID_ARGUMENT", "id.z = 19 is out of range: allowed are 0 to 18"),
        (pb.GetTileRequest(id=TILE, content=pb.ContentOptions(surface=9)), "INVALID_ARGUMENT", "allowed are ground_or_water, ground"),
        (pb.GetTileRequest(id=TILE, world=pb.WorldId(name="mars")), "NOT_FOUND", "unknown world 'mars': allowed are earth"),
        (pb.GetTileRequest(id=TILE, world=pb.WorldId(seed=1 << 32)), "INVALID_ARGUMENT", "allowed are 0 to 4294967295"),
    ],
)
def test_a_wrong_tile_request_gets_the_right_status_and_one_line(
    stub: TerraloomStub, request_: pb.GetTileRequest, status: str, text: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetTile(request_)
    assert caught.value.code().name == status
    assert text in detail_of(caught.value).message


def test_collision_goes_on_a_connection_of_its_own(stub: TerraloomStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.OpenSession(pb.OpenSessionRequest(protocol_version=1, priorities=[pb.PRIORITY_COLLISION, pb.PRIORITY_NEAR]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert detail_of(caught.value).field == "priorities"
    assert detail_of(caught.value).allowed == ["COLLISION", "FAR, NEAR, PREFETCH"]


def test_two_spellings_of_the_default_world_are_one(stub: TerraloomStub) -> None:
    named, unnamed = (stub.Describe(pb.DescribeRequest(world=world)) for world in (pb.WorldId(name="earth"), pb.WorldId()))
    assert named == unnamed


def test_health_and_reflection_answer(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "terraloom.v1.Terraloom"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
    assert "terraloom.v1.Terraloom" in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_a_barrier_over_a_region_returns_when_all_its_tiles_are_there(stub: TerraloomStub) -> None:
    request = pb.BarrierRequest(region=pb.Rectangle(west=179.0, south=-18.0, east=-179.0, north=-17.0), level=5)
    first, again = stub.Barrier(request), stub.Barrier(request)
    assert first.complete
    assert first.tiles == 2
    assert first.world_hash == again.world_hash != b""
    assert stub.Barrier(pb.BarrierRequest(region=request.region, level=4)).world_hash != first.world_hash


def test_a_barrier_past_its_deadline_says_what_is_ready(stub: TerraloomStub) -> None:
    region = pb.Rectangle(west=-80.0, south=-20.0, east=-70.0, north=-10.0)
    answer = stub.Barrier(pb.BarrierRequest(region=region, level=9, deadline=0.2))
    assert not answer.complete
    assert answer.world_hash == b""


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (pb.BarrierRequest(), "names no region"),
        (pb.BarrierRequest(region=pb.Rectangle(west=0, south=10, east=1, north=9), level=5), "region.north = 9 is out of range"),
        (pb.BarrierRequest(region=pb.Rectangle(west=-180, south=-80, east=180, north=80), level=9), "allowed are 1 to 4096"),
        (pb.BarrierRequest(region=pb.Rectangle(west=NAN, south=0, east=1, north=1), level=5), "region.west = nan"),
        (pb.BarrierRequest(view=pb.View(geodetic=place(latitude=NAN))), "latitude_degrees = nan"),
    ],
)
def test_a_wrong_barrier_is_refused(stub: TerraloomStub, request_: pb.BarrierRequest, text: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Barrier(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert text in detail_of(caught.value).message


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`terraloom serve`, expected to end by itself."""
    command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--no-http", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_taken_port_is_one_clear_line_and_exit_code_3() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        result = serve("--port", str(holder.getsockname()[1]))
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr.startswith("error: cannot listen on 127.0.0.1:")
    assert result.stderr.count("\n") == 1


def test_an_unknown_world_is_one_clear_line_and_exit_code_2() -> None:
    result = serve("--world", "mars")
    assert result.returncode == 2
    assert result.stderr.startswith("error: unknown world 'mars': allowed are earth")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_ends_streams_with_unavailable_and_exits_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--port", "0", "--no-http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with grpc.insecure_channel(address) as channel:
            session = TerraloomStub(channel).OpenSession(OPEN)
            events = TerraloomStub(channel).Subscribe(pb.SubscribeRequest(session_id=session.session_id), wait_for_ready=True)
            events.initial_metadata()
            process.send_signal(number)
            with pytest.raises(grpc.RpcError) as caught:
                next(events)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert detail_of(caught.value).message == "the server is shutting down"
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert {line.split()[1] for line in said.splitlines()} == {"INFO"}, "it says what happens, and nothing is wrong"


def test_what_was_generated_outlives_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = str(tmp_path_factory.mktemp("store"))
    tiles = []
    for _ in range(2):
        with run_server("--store", directory) as address, grpc.insecure_channel(address) as channel:
            tiles.append(TerraloomStub(channel).GetTile(pb.GetTileRequest(id=TILE)))
    assert tiles[0] == tiles[1]
