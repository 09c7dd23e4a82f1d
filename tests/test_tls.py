"""TLS: good certificates carry every call, streams over a restart too; bad ones are told in one line, on both sides."""

import datetime
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trustme

from terraloom import AsyncClient, CollisionOptions, Radius, Reconnected, StreamOptions, Tls, View, connect
from terraloom.errors import InvalidArgumentError, NotFoundError, TerraloomError, UnauthenticatedError, UnavailableError
from terraloom.testing import ServerAddress, run_server
from terraloom_engines.cli import main

VIEW = View(7.66, 45.98, 3000.0)
COARSE = StreamOptions(selection=Radius(1000.0, 3))
COMMAND = [sys.executable, "-m", "terraloom_engines.cli"]
LONG_AGO = datetime.datetime(2020, 1, 1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key on disk."""

    certificate: Path
    key: Path

    def write(self, issued: trustme.LeafCert) -> "Pair":
        for path, blobs in ((self.certificate, issued.cert_chain_pems), (self.key, [issued.private_key_pem])):
            path.with_suffix(".new").write_bytes(b"".join(blob.bytes() for blob in blobs))
            path.with_suffix(".new").replace(path)
        return self


@dataclass(frozen=True)
class Authority:
    """An authority, its certificate on disk, and what it issues beside it."""

    ca: trustme.CA
    folder: Path

    @property
    def pem(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *hosts: str, until: datetime.datetime | None = None) -> Pair:
        since = LONG_AGO if until else None
        issued = self.ca.issue_cert(*(hosts or ("127.0.0.1",)), not_before=since, not_after=until)
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key").write(issued)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return made(tmp_path_factory.mktemp("stranger"))


def made(folder: Path) -> Authority:
    authority = Authority(trustme.CA(key_type=trustme.KeyType.ECDSA), folder)
    authority.ca.cert_pem.write_to_path(authority.pem)
    return authority


def serving(pair: Pair, *arguments: str, port: int = 0, http: bool = True) -> "contextmanager[ServerAddress]":  # type: ignore[valid-type]
    return run_server("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), *arguments, port=port, http=http)


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[ServerAddress]:
    """A server with a certificate for 127.0.0.1."""
    with serving(authority.issue("server")) as address:
        yield address


def told(call: Callable[[], object], kind: type[TerraloomError]) -> str:
    """What is said, in one line, by an error of this kind."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def described(address: str, tls: Tls | None) -> str:
    with connect(address, tls=tls) as client:
        return client.describe(timeout=20.0).server_version


def fetched(url: str, context: ssl.SSLContext) -> bytes:
    with urllib.request.urlopen(url, context=context, timeout=20.0) as answer:
        return bytes(answer.read())


async def test_calls_streams_and_collision_go_over_tls(secured: ServerAddress, authority: Authority) -> None:
    tls = Tls(authority.pem)
    with connect(secured, tls=tls) as client:
        assert client.wait_ready().protocol_version == 1
        assert client.get_tile(2, 2, 1).glb[:4] == b"glTF"
        with client.stream(VIEW, COARSE) as stream:
            assert stream.settle(60.0)
        with client.collision_stream(VIEW, CollisionOptions(radius=100.0, level=4)) as ground:
            assert ground.settle(60.0)
    async with AsyncClient(secured, tls=tls) as client:
        assert (await client.describe()).protocol_version == 1
    assert secured.http.startswith("https://")
    assert fetched(secured.http + "/healthz", ssl.create_default_context(cafile=str(authority.pem))) == b'{"status":"ok"}'


def test_a_server_that_cannot_be_trusted_is_told_in_one_line(secured: ServerAddress, authority: Authority, stranger: Authority) -> None:
    trusting = Tls(authority.pem)
    assert "not trusted: unable to get local issuer" in told(lambda: described(secured, Tls(stranger.pem)), UnauthenticatedError)
    assert "certificate is not for this host" in told(
        lambda: described(secured, Tls(authority.pem, server_name="terraloom.example")), UnauthenticatedError
    )
    assert "does the server want TLS" in told(lambda: described(secured, None), UnavailableError)
    with connect(secured, tls=Tls(stranger.pem)) as client:
        assert "not trusted" in told(lambda: client.wait_ready(1e6), UnauthenticatedError), "what does not mend itself is not waited for"
        with pytest.raises(UnauthenticatedError, match="not trusted"), client.stream(VIEW):
            pass
    expired = authority.issue("expired", until=LONG_AGO + datetime.timedelta(days=1))
    with bare_server(expired) as address:
        assert "certificate is not trusted: certificate has expired" in told(lambda: described(address, trusting), UnauthenticatedError)
    with bare_server(None) as address:
        assert "the server does not speak TLS" in told(lambda: described(address, trusting), UnauthenticatedError)


@contextmanager
def bare_server(pair: Pair | None) -> Iterator[str]:
    """A gRPC server with nothing on it; ours does not start with a certificate that has expired."""
    server = grpc.server(ThreadPoolExecutor(1))
    if pair is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_certificate_for_another_name_is_taken_when_the_client_says_so(tmp_path: Path, authority: Authority) -> None:
    pair = Pair(tmp_path / "a.crt", tmp_path / "a.key").write(authority.ca.issue_cert("terraloom.example"))
    with bare_server(pair) as address:
        said = told(lambda: described(address, Tls(authority.pem, server_name="terraloom.example")), TerraloomError)
    assert "does not know Describe" in said, "the connection stands; it is the service that is missing"


def test_a_renewed_certificate_is_taken_up_without_a_restart(tmp_path: Path, authority: Authority, stranger: Authority) -> None:
    """First by half, which cuts nobody off; then whole, by gRPC at the next handshake, by HTTP within seconds."""
    pair = Pair(tmp_path / "a.crt", tmp_path / "a.key").write(authority.ca.issue_cert("127.0.0.1"))
    other = Pair(tmp_path / "b.crt", tmp_path / "b.key").write(stranger.ca.issue_cert("127.0.0.1"))
    with serving(pair) as address, connect(address, tls=Tls(authority.pem)) as old, old.stream(VIEW, COARSE) as stream:
        pair.certificate.write_bytes(other.certificate.read_bytes())
        assert described(address, Tls(authority.pem))
        pair.key.write_bytes(other.key.read_bytes())
        assert described(address, Tls(stranger.pem))
        assert "not trusted" in told(lambda: described(address, Tls(authority.pem)), UnauthenticatedError)
        assert stream.settle(60.0), "who is connected stays so"
        context, end = ssl.create_default_context(cafile=str(stranger.pem)), time.monotonic() + 120.0
        while True:
            try:
                assert fetched(address.http + "/healthz", context)
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)


def test_mutual_tls_takes_known_clients_only_and_streams_survive_a_restart(authority: Authority, stranger: Authority) -> None:
    server, own, foreign = authority.issue("mutual"), authority.issue("client", "me@example.org"), stranger.issue("client")
    known = Tls(authority.pem, own.certificate, own.key)
    expired = authority.issue("expired-client", "me@example.org", until=LONG_AGO + datetime.timedelta(days=1))
    with serving(server, "--client-ca", str(authority.pem)) as address:
        wrong = [Tls(authority.pem, pair.certificate, pair.key) for pair in (foreign, expired)]
        for tls in (Tls(authority.pem), *wrong):
            assert "a certificate of the client's" in told(lambda tls=tls: described(address, tls), UnavailableError)  # type: ignore[misc]
        context = ssl.create_default_context(cafile=str(authority.pem))
        with pytest.raises(OSError, match="(?i)certificate required|reset|EOF|closed"):
            fetched(address.http + "/healthz", context)
        context.load_cert_chain(own.certificate, own.key)
        assert fetched(address.http + "/healthz", context)
        client = connect(address, tls=known)
        stream = client.stream(VIEW, COARSE)
        stream.__enter__()
        assert stream.settle(60.0)
    with client, stream, serving(server, "--client-ca", str(authority.pem), port=int(address.rpartition(":")[2]), http=False):
        assert next(event for event in stream.events() if isinstance(event, Reconnected)).attempts >= 1


def test_commands_take_tls_from_options_and_the_environment(secured: ServerAddress, authority: Authority) -> None:
    def info(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "info", secured, "--json", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment)

    for done in (info("--ca", str(authority.pem)), info(TERRALOOM_CA=str(authority.pem))):
        assert (done.returncode, done.stderr) == (0, "")
    refused = info("--tls")
    assert refused.returncode == 4 and "not trusted" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--host", "0.0.0.0"],
            "other machines reach '0.0.0.0', and nothing would be encrypted: give --tls-cert and --tls-key, or --insecure",
        ),
        (["--host", "::"], "other machines reach '::'"),
        (["--tls-cert", "{server}.crt"], "TLS needs --tls-cert and --tls-key"),
        (["--client-ca", "{folder}/ca.pem"], "TLS needs --tls-cert and --tls-key"),
        (["--tls-cert", "{folder}/none.crt", "--tls-key", "{server}.key"], "there is no file {folder}/none.crt"),
        (["--tls-cert", "{server}.crt", "--tls-key", "{other}.key"], "{other}.key is not the key of the certificate {server}.crt"),
        (["--tls-cert", "{expired}.crt", "--tls-key", "{expired}.key"], "{expired}.crt cannot be used: certificate has expired"),
        (["--tls-cert", "{server}.key", "--tls-key", "{server}.key"], "are not a certificate and its key in PEM"),
        (
            ["--tls-cert", "{server}.crt", "--tls-key", "{server}.key", "--client-ca", "{server}.key"],
            "holds no certificates of authorities",
        ),
    ],
)
def test_a_server_without_cover_or_with_a_bad_certificate_does_not_start(
    arguments: list[str],
    complaint: str,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, until in (("server", None), ("other", None), ("expired", LONG_AGO + datetime.timedelta(days=1))):
        if not (authority.folder / f"{name}.crt").exists():
            authority.issue(name, until=until)
    places = {name: str(authority.folder / name) for name in ("server", "other", "expired")} | {"folder": str(authority.folder)}
    monkeypatch.setattr(sys, "argv", ["terraloom", "serve", "--port", "0", *(text.format(**places) for text in arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert complaint.format(**places) in said.err


def test_files_of_the_client_that_do_not_work_are_named(authority: Authority, stranger: Authority) -> None:
    one, two = authority.issue("one"), authority.issue("two")
    assert "there is no file /nowhere.pem" in told(lambda: connect("127.0.0.1:1", tls=Tls("/nowhere.pem")), NotFoundError)
    assert "holds no certificates" in told(lambda: connect("127.0.0.1:1", tls=Tls(one.key)), InvalidArgumentError)
    assert "give both" in told(lambda: connect("127.0.0.1:1", tls=Tls(None, one.certificate)), InvalidArgumentError)
    assert f"{two.key} are not" in told(lambda: connect("127.0.0.1:1", tls=Tls(None, one.certificate, two.key)), InvalidArgumentError)
