"""Whatever comes from outside: a value, or one typed error with one line. Never a crash, never a defect's traceback."""

import contextlib
import json
import struct
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages import messages_of
from terraloom import Camera, ContentOptions, Radius, StreamOptions, TileId, View, Waypoint
from terraloom._encoding import encoded
from terraloom._glb import read_glb
from terraloom._heights import height_grid_from_message
from terraloom.errors import DataLossError, InvalidArgumentError, NotFoundError, UnimplementedError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.cli.render import parse_size
from terraloom_engines.cli.tile import tile_at
from terraloom_engines.content import GridOptions, decode_content
from terraloom_engines.render.places import parse_place, parse_spot
from terraloom_engines.server.app import OPERATIONS, SERVICE
from terraloom_engines.store import MemoryStore, decode_entry, open_store
from terraloom_engines.tiling import TileId as EnginesTileId
from terraloom_engines.tiling import WorldKind

CALLS = {
    "OpenSession": pb.OpenSessionRequest,
    "UpdateView": pb.UpdateViewRequest,
    "GetTile": pb.GetTileRequest,
    "SampleHeights": pb.SampleHeightsRequest,
    "Describe": pb.DescribeRequest,
}
TYPED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",
    "UNIMPLEMENTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "UNAUTHENTICATED",
}
"""Statuses that the sender of nonsense may get; at the others the server would be at fault."""
PLACE_LIKE = st.text(alphabet="0123456789.,-+eEnaifNX/:x _\x00é", max_size=24) | st.text(max_size=24)
COARSE = pb.Selection(max_level=1)


@pytest.fixture(scope="module")
def stub(server: str) -> "TerraloomStub":
    """Generated calls to the shared server."""
    return TerraloomStub(grpc.insecure_channel(server))


def refusal(parse: Callable[[], object]) -> str:
    """What bad input is told, "" for good input; other errors get through."""
    try:
        parse()
    except (InvalidArgumentError, NotFoundError) as error:
        return str(error)
    return ""


def status_of(call: Callable[[], object]) -> tuple[str, str]:
    """Name of the status with which a call ends, and its text."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


@given(PLACE_LIKE, st.sampled_from(list(WorldKind)))
def test_any_text_is_a_place_a_tile_and_a_size_or_refused(text: str, kind: WorldKind) -> None:
    for parse in (parse_place, lambda text: parse_spot(text, kind), lambda text: tile_at(text, 12, kind), parse_size):
        assert "\n" not in refusal(lambda parse=parse: parse(text))  # type: ignore[misc]


@given(st.floats(), st.floats(), st.floats(), st.integers(-5, 1 << 40), st.floats(), st.floats())
def test_any_view_is_sent_or_refused(longitude: float, latitude: float, height: float, lines: int, heading: float, speed: float) -> None:
    camera, waypoint = Camera(heading, latitude, heading, height), Waypoint(longitude, latitude, height, speed)
    with contextlib.suppress(InvalidArgumentError):
        view = View(longitude, latitude, height, (speed, 0.0, speed), camera, lines, (waypoint,))
        with encoded(view):
            assert view.message(1).sequence == 1


@given(st.integers(-1, 200), st.text(max_size=5), st.integers(-1, 1 << 33), st.floats(), st.integers(-2, 1 << 33))
def test_any_options_are_sent_or_refused(segments: int, texture: str, quality: int, radius: float, level: int) -> None:
    with contextlib.suppress(InvalidArgumentError):
        content = ContentOptions(segments=segments, texture_format=texture, texture_quality=quality)  # type: ignore[arg-type]
        options = StreamOptions(selection=Radius(radius, level), content=content, have={TileId(level, 0, 0): b""})
        with encoded(options):
            options.message(pb.WorldId(), "fuzz")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(CALLS)), data=st.data())
def test_any_request_gets_an_answer_or_a_typed_error(stub: TerraloomStub, name: str, data: st.DataObject) -> None:
    request: Message = data.draw(messages_of(CALLS[name]))
    with contextlib.suppress(AttributeError):
        request.world.ClearField("seed")  # type: ignore[attr-defined]  # else every request opens a world of its own
    status, text = status_of(lambda: getattr(stub, name)(request, timeout=5.0))
    assert status in TYPED and "\n" not in text, text


METHODS = [f"/{SERVICE}/{method.name}" for method in pb.DESCRIPTOR.services_by_name["Terraloom"].methods]
METHODS += [
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    f"/{OPERATIONS}/GetServerStats",
]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), data=st.binary(min_size=1, max_size=40) | st.just(b"\x0a\x02\xff\xfe"))
def test_any_bytes_are_a_request_or_refused(server: str, method: str, data: bytes) -> None:
    """Left to gRPC, they end as UNKNOWN."""
    with grpc.insecure_channel(server) as channel:
        status, text = status_of(lambda: list(channel.stream_stream(method)(iter([data]), timeout=5.0)))
    assert status in TYPED and "\n" not in text, (status, text)
    assert len(text) < 400


client_messages = messages_of(pb.ClientMessage)
openings = st.builds(lambda have: pb.OpenSessionRequest(protocol_version=1, selection=COARSE, have=have), st.just([]))
places = st.builds(lambda lon, lat: pb.Geodetic(longitude_degrees=lon, latitude_degrees=lat), st.floats(-180, 180), st.floats(-85, 85))
sensible = st.one_of(
    st.builds(lambda n, at: pb.ClientMessage(view=pb.View(sequence=n, geodetic=at)), st.integers(0, 9), places),
    st.builds(lambda n: pb.ClientMessage(ack=pb.Ack(deliveries=n)), st.lists(st.integers(1, 3), max_size=3)),
    st.builds(lambda level: pb.ClientMessage(selection=pb.Selection(max_level=level)), st.integers(0, 1)),
    st.builds(lambda z: pb.ClientMessage(forget=pb.Forget(tiles=[pb.TileId(z=z)])), st.integers(0, 2)),
    st.builds(lambda n: pb.ClientMessage(credit=pb.Credit(tiles=n)), st.integers(0, 5)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opening=st.none() | openings, messages=st.lists(sensible | client_messages, max_size=6))
def test_any_order_of_messages_ends_typed_or_goes_on(
    stub: TerraloomStub, opening: pb.OpenSessionRequest | None, messages: list[pb.ClientMessage]
) -> None:
    sequence = [*([pb.ClientMessage(open=opening)] if opening is not None else []), *messages]
    status, text = status_of(lambda: list(stub.Stream(iter(sequence), timeout=20.0)))
    assert status in TYPED and "\n" not in text, text
    assert stub.Describe(pb.DescribeRequest(), timeout=20.0).protocol_version == 1


@given(st.text(max_size=30), st.binary(max_size=50))
def test_any_key_is_kept_or_missed(tmp_path_factory: pytest.TempPathFactory, key: str, value: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed" / "store"
    for store in (MemoryStore(), open_store(folder, memory_bytes=0)):
        store.put(key, value)
        assert store.get(key) in (value, None)
    outside = [path for path in folder.parent.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == [], "no key leads out of the store's directory"


@given(st.text(max_size=20), st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_nothing(key: str, entry: bytes) -> None:
    assert decode_entry(key, entry) is None


@given(st.binary(max_size=200), st.sampled_from([b"TLC1", b"TLG1", b""]))
def test_any_bytes_are_content_or_data_loss(data: bytes, magic: bytes) -> None:
    tile = EnginesTileId(3, 4, 2)
    with contextlib.suppress(DataLossError):
        content = decode_content(magic + data, tile, b"digest")
        assert content.tile == tile and GridOptions().surface == "ground_or_water"


@given(messages_of(pb.HeightGrid), st.binary(max_size=64), st.integers(0, 4), st.integers(0, 4))
def test_any_height_grid_is_read_or_data_loss(grid: pb.HeightGrid, heights: bytes, rows: int, columns: int) -> None:
    for message in (grid, pb.HeightGrid(rows=rows, columns=columns, heights=heights)):
        with contextlib.suppress(DataLossError), np.errstate(all="ignore"):
            read = height_grid_from_message(pb.Tile(height_grid=message))
            assert read.heights.shape == (message.rows, message.columns)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda parts: (
        st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["nodes", "mesh", "POSITION", "bufferView", "count"]), parts)
    ),
    max_leaves=12,
)
GLTF_KEYS = ("scene", "scenes", "nodes", "meshes", "accessors", "bufferViews", "buffers", "images", "extensionsRequired")


@given(st.dictionaries(st.sampled_from(GLTF_KEYS), JSON_LIKE) | JSON_LIKE, st.binary(max_size=64))
def test_any_document_is_a_mesh_or_refused(document: object, binary: bytes) -> None:
    text = json.dumps(document).encode()
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    with contextlib.suppress(DataLossError, UnimplementedError):
        read_glb(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)
