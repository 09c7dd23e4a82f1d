"""Tokens: who has none gets nothing, who has one gets what it allows, and nobody reads one in a log."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from terraloom import Client, CollisionOptions, Radius, Region, ScreenSpaceError, StreamOptions, View, connect
from terraloom.errors import InvalidArgumentError, ResourceExhaustedError, TerraloomError, UnauthenticatedError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.server.tokens import digest_of, new_token
from web import ask

VIEW = View(7.66, 45.98, 3000.0)
COARSE = StreamOptions(selection=Radius(1000.0, 3))
COMMAND = [sys.executable, "-m", "terraloom_engines.cli"]


def entry(name: str, token: str, **more: str) -> str:
    return "\n".join([f"[{name}]", f'sha256 = "{digest_of(token).hex()}"', *(f"{key} = {value}" for key, value in more.items()), ""])


@dataclass
class Guarded:
    """A server that wants tokens, its log, and the tokens that it knows."""

    address: str
    http: str
    file: Path
    log: Path
    tokens: dict[str, str] = field(repr=False)

    def write(self, **more: dict[str, str]) -> None:
        self.file.write_text("".join(entry(name, token, **more.get(name, {})) for name, token in self.tokens.items()))

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels, as the operator olga sees it."""
        text = ask(f"{self.http}/metrics", Authorization=f"Bearer {self.tokens['olga']}").body.decode()
        return sum(sample.value for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == name)


@contextmanager
def serving(folder: Path, *names: str, **more: dict[str, str]) -> Iterator[Guarded]:
    guarded = Guarded("", "", folder / "tokens.toml", folder / "log", {name: new_token() for name in names})
    guarded.write(**more)
    command = [*COMMAND, "serve", "--port", "0", "--http-port", "0", "--tokens", str(guarded.file)]
    with guarded.log.open("w") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            assert process.stdout is not None
            guarded.address = process.stdout.readline().split()[-1]
            guarded.http = process.stdout.readline().split()[-1]
            yield guarded
        finally:
            process.terminate()
            process.wait(120.0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server for alice, who may do all, bob, who may have one session, carol and heidi, who may have 2 tiles or 150 kB a second."""
    limits = {"alice": {"operator": "true"}, "bob": {"sessions": "1"}, "carol": {"tiles_per_second": "2"}}
    limits["heidi"] = {"bytes_per_second": "150_000"}
    with serving(tmp_path_factory.mktemp("guarded"), "alice", "bob", "carol", "dave", "heidi", **limits) as server:
        yield server


def soon(holds: Callable[[], bool]) -> None:
    """Waits until `holds()`; fails after a minute."""
    end = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < end, "it did not come true within a minute"
        time.sleep(0.05)


def allowed(client: Client) -> bool:
    """Whether the server knows the token of a client."""
    try:
        return client.describe().protocol_version == 1
    except UnauthenticatedError:
        return False


def refused(call: Callable[[], object], kind: type[TerraloomError] = UnauthenticatedError) -> str:
    """What is said, in one line and without any token, by an error of this kind."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value) and "tl_" not in str(caught.value)
    return str(caught.value)


def test_without_a_token_that_the_server_knows_nothing_is_answered(guarded: Guarded) -> None:
    for token, complaint in (
        (None, "a token is needed"),
        (new_token(), "not known here"),
        (guarded.tokens["alice"][:-1] + "_", "not known"),
        ("x" * 600, "must be"),
    ):
        with connect(guarded.address, token=token) as client:
            assert complaint in refused(client.describe) and complaint in refused(lambda client=client: client.get_tile(0, 0, 0))  # type: ignore[misc]
            assert complaint in refused(lambda client=client: client.stream(VIEW, COARSE).__enter__())  # type: ignore[misc]
            assert complaint in refused(lambda client=client: client.collision_stream(VIEW).__enter__())  # type: ignore[misc]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = ask(guarded.http + "/earth/tiles/0/0/0.glb", **headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer") and complaint in answer.json["detail"]
    with grpc.insecure_channel(guarded.address) as channel:
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status == 1
        reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as caught:
            list(reflect(iter([b""])))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert ask(guarded.http + "/healthz").status == ask(guarded.http + "/").status == ask(guarded.http + "/docs").status == 200
    assert ask(guarded.http + "/worlds?access_token=" + guarded.tokens["alice"]).status == 401, "a token in a URL is none"


def test_a_token_opens_calls_streams_and_http(guarded: Guarded) -> None:
    with connect(guarded.address, token=guarded.tokens["dave"]) as client:
        assert client.wait_ready().protocol_version == 1
        with client.stream(VIEW, COARSE) as stream, client.collision_stream(VIEW, CollisionOptions(100.0, 4)) as ground:
            assert stream.settle(60.0) and ground.settle(60.0)
    answer = ask(guarded.http + "/earth/tiles/0/0/0.glb", Authorization=f"bearer {guarded.tokens['dave']}")
    assert answer.status == 200 and "private" in answer.headers["cache-control"] and "public" not in answer.headers["cache-control"]
    preflight = ask(
        guarded.http + "/worlds",
        "OPTIONS",
        Origin="https://x.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization",
    )
    assert preflight.status == 200 and "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert ask(guarded.http + "/metrics", Authorization=f"Bearer {guarded.tokens['dave']}").status == 403
    assert ask(guarded.http + "/metrics", Authorization=f"Bearer {guarded.tokens['alice']}").status == 200


def test_a_session_belongs_to_the_token_that_opened_it(guarded: Guarded) -> None:
    with grpc.insecure_channel(guarded.address) as channel:
        stub = TerraloomStub(channel)
        mine, theirs = ((("authorization", f"Bearer {guarded.tokens[name]}"),) for name in ("alice", "dave"))
        opening = pb.OpenSessionRequest(protocol_version=1, selection=pb.Selection(max_level=1))
        name = stub.OpenSession(opening, metadata=mine).session_id
        for call in (
            lambda: stub.UpdateView(pb.UpdateViewRequest(session_id=name), metadata=theirs),
            lambda: list(stub.Subscribe(pb.SubscribeRequest(session_id=name), metadata=theirs)),
            lambda: stub.Barrier(pb.BarrierRequest(session_id=name), metadata=theirs),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert stub.UpdateView(pb.UpdateViewRequest(session_id=name), metadata=mine).view_sequence == 0


def opens(client: Client) -> bool:
    """Whether the server opens one more session."""
    try:
        with client.stream(VIEW, COARSE) as stream:
            return bool(stream.session.session_id)
    except ResourceExhaustedError:
        return False


def test_sessions_of_a_token_are_counted_and_given_back(guarded: Guarded) -> None:
    with connect(guarded.address, token=guarded.tokens["bob"]) as client:
        with client.stream(VIEW, COARSE):
            assert "has 1 sessions open" in refused(
                lambda: client.stream(VIEW, StreamOptions(reconnect=None)).__enter__(), ResourceExhaustedError
            )
        soon(lambda: opens(client))  # the server hears of the end a moment later


def test_rates_delay_streams_and_turn_calls_away_with_the_time_to_come_back(guarded: Guarded) -> None:
    with connect(guarded.address, token=guarded.tokens["carol"]) as client:
        began = time.monotonic()
        with client.stream(VIEW, COARSE) as stream:
            tiles = stream.settle(60.0)
        assert len(tiles) >= 4 and time.monotonic() - began >= (len(tiles) - 3) / 2.0, "2 at once, then 2 a second"
        with grpc.insecure_channel(guarded.address) as channel:
            stub, metadata = TerraloomStub(channel), (("authorization", f"Bearer {guarded.tokens['carol']}"),)
            with pytest.raises(grpc.RpcError) as caught:
                [stub.GetTile(pb.GetTileRequest(id=pb.TileId(z=1)), metadata=metadata) for _ in range(99)]
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "a second are used up: try again in" in caught.value.details()
        bearer = f"Bearer {guarded.tokens['carol']}"
        answers = (ask(guarded.http + "/earth/tiles/1/0/0.glb", Authorization=bearer) for _ in range(99))
        answer = next(answer for answer in answers if answer.status != 200)
        assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
        time.sleep(error_free_in(answer.json["detail"]))
        assert client.get_tile(1, 0, 0).glb


def test_bytes_a_second_delay_streams_and_turn_requests_away(guarded: Guarded) -> None:
    with connect(guarded.address, token=guarded.tokens["heidi"]) as client:
        began = time.monotonic()
        with client.stream(VIEW, StreamOptions(selection=Radius(1000.0, 2))) as stream:
            tiles = stream.settle(60.0)
            largest = max(len(tile.glb) for tile in tiles) + 1000
            assert time.monotonic() - began >= (stream.counters.bytes - 150_000 - largest) / 150_000 > 0.3
    answers = [ask(guarded.http + "/earth/tiles/1/0/0.glb", Authorization=f"Bearer {guarded.tokens['heidi']}") for _ in range(4)]
    assert 429 in {answer.status for answer in answers}


def error_free_in(detail: str) -> float:
    """Seconds that an error asks to wait, and a little more."""
    return float(detail.rpartition(" in ")[2].removesuffix(" s")) + 0.2


def test_a_token_that_is_revoked_ends_its_sessions_and_calls_at_once_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    operator = {"olga": {"operator": "true"}}
    with serving(tmp_path, "erin", "frank", "olga", **operator) as server, ThreadPoolExecutor(1) as pool:
        secret = server.tokens["erin"]
        with (
            connect(server.address, token=secret) as erin,
            connect(server.address, token=server.tokens["frank"]) as frank,
            erin.stream(VIEW, COARSE) as stream,
            frank.stream(VIEW, COARSE) as other,
        ):
            assert stream.settle(60.0) and other.settle(60.0)
            server.file.write_text(server.file.read_text() + "[erin")
            soon(lambda: "cannot be used" in server.log.read_text())
            assert erin.describe().protocol_version == 1
            waiting = pool.submit(erin.barrier, Region(-170.0, -10.0, -100.0, 60.0, level=8))
            soon(lambda: server.metric("terraloom_queue_tiles") > 0.0)
            del server.tokens["erin"]
            server.write(**operator)
            assert "the token 'erin' was revoked" in refused(lambda: list(stream.events()))
            assert "the token 'erin' was revoked" in refused(waiting.result)
            assert "not known here, or it was revoked" in refused(erin.describe)
            assert frank.describe() and other.session.session_id
            server.tokens["grace"] = new_token()
            server.write(frank={"sessions": "1"}, **operator)
            with connect(server.address, token=server.tokens["grace"]) as grace:
                soon(lambda: allowed(grace))
            second = frank.stream(VIEW, StreamOptions(reconnect=None))
            assert "its limit" in refused(second.__enter__, ResourceExhaustedError)
        ask(f"{server.http}/earth/heights?lon=x&token={secret}", Authorization=f"Bearer {secret}")
    said = server.log.read_text()
    for event in (
        "cannot be used",
        "refused a call",
        "may call no longer token=erin sessions=1 calls=1",
        "session opened",
        "session closed",
    ):
        assert event in said, said
    for token in (secret, *server.tokens.values()):
        assert token not in said and digest_of(token).hex() not in said, "no log shows a token or its hash"


def test_clients_send_no_token_in_clear_to_other_machines_and_show_none(monkeypatch: pytest.MonkeyPatch, guarded: Guarded) -> None:
    token = new_token()
    for target in ("terrain.example:50051", "192.0.2.1:1", "dns:///terrain.example:1", "[2001:db8::1]:1"):
        assert "in clear" in refused(lambda target=target: connect(target, token=token), InvalidArgumentError)  # type: ignore[misc]
    for target in ("127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///localhost:1", "ipv4:127.0.0.1:1", "unix:/tmp/socket"):
        client = connect(target, token=token)
        assert token not in repr(client._client._connection)
        client.close()
    assert "one word" in refused(lambda: connect("127.0.0.1:1", token="a b\n"), InvalidArgumentError)
    monkeypatch.setenv("TERRALOOM_TOKEN", guarded.tokens["alice"])
    with connect(guarded.address) as client:
        assert client.describe().protocol_version == 1


def test_commands_take_a_token_from_a_file_or_the_environment(guarded: Guarded, tmp_path: Path) -> None:
    held = tmp_path / "token"
    held.write_text(guarded.tokens["alice"] + "\n")
    command = [*COMMAND, "info", guarded.address, "--json"]
    for arguments, environment in ((["--token-file", str(held)], {}), ([], {"TERRALOOM_TOKEN": guarded.tokens["alice"]})):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment)
        assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4 and done.stderr.startswith("error: a token is needed") and done.stderr.count("\n") == 1


def test_a_stream_over_its_rate_still_shows_what_it_sent(guarded: Guarded) -> None:
    """Waiting for the rate does not hold back what is to be shown."""
    options = StreamOptions(selection=ScreenSpaceError(64.0), max_level=4)
    with connect(guarded.address, token=guarded.tokens["carol"]) as client, client.stream(VIEW, options) as stream:
        next(stream.events())
        deadline = time.monotonic() + 60.0
        while not stream.visible:
            assert time.monotonic() < deadline
            stream.poll()
            time.sleep(0.02)
