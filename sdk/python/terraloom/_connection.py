"""How a client reaches its server: over TLS or in clear, with a token or without."""

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom.v1.operations_pb2_grpc import OperationsStub
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub

if TYPE_CHECKING:
    from terraloom.v1.operations_pb2_grpc import OperationsAsyncStub  # exist for type checkers only
    from terraloom.v1.terraloom_pb2_grpc import TerraloomAsyncStub  # exists for type checkers only

LARGEST_MESSAGE = 64 << 20
"""Bytes; gRPC's own limit of 4 MiB is below a finely meshed tile with a lossless texture."""
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.use_local_subchannel_pool", 1),  # one connection per client, so that one client's bulk does not delay another's urgent tile
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long one attempt to connect may take, whatever the name says
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),  # a server that vanished without a word ends calls with UNAVAILABLE
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # gRPC measures bandwidth by pings, too: while one is under way it sends no other
    ("grpc.http2.max_pings_without_data", 0),  # also while there is nothing to tell it
)
TOKEN_VARIABLE = "TERRALOOM_TOKEN"


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS to the server. Files are PEM and are read once, when the client is made.

    `root_certificates` are the authorities that may vouch for the server, None: those that gRPC ships. `certificate` (with its chain) and
    `private_key` are what the client shows to a server that asks for them (mutual TLS). `server_name` is the name that must be in
    the server's certificate where it is not the host of the address.
    """

    root_certificates: str | Path | None = None
    certificate: str | Path | None = None
    private_key: str | Path | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC. Raises NotFoundError or InvalidArgumentError with the file that is absent, damaged or does not fit."""
        if (self.certificate is None) != (self.private_key is None):
            raise InvalidArgumentError("a client shows a certificate and its private key: give both, or neither", field="tls")
        roots, certificate, key = map(_content, (self.root_certificates, self.certificate, self.private_key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.root_certificates is not None:
            try:
                context.load_verify_locations(self.root_certificates)
            except ssl.SSLError as error:
                raise InvalidArgumentError(f"{self.root_certificates} holds no certificates in PEM", field="tls") from error
        if self.certificate is not None and self.private_key is not None:
            try:
                context.load_cert_chain(self.certificate, self.private_key, lambda: "")
            except ssl.SSLError as error:
                text = f"{self.certificate} and {self.private_key} are not a certificate and its key in PEM, without a password"
                raise InvalidArgumentError(text, field="tls") from error
        return grpc.ssl_channel_credentials(roots, key, certificate)


def _content(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {path}: {error.strerror}", field="tls") from error


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address, and how to talk to it."""

    target: str
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """A token of the environment stands in for one that is not given. Raises InvalidArgumentError for one that others could read."""
        token = self.token or os.environ.get(TOKEN_VARIABLE) or None
        object.__setattr__(self, "token", token)
        if token is None:
            return
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise InvalidArgumentError("the token has characters that no token has: it is one word of ASCII", field="token")
        if self.tls is None and not is_of_this_machine(self.target):
            text = f"a token is not sent to {self.target} in clear, where everybody on the way may read it: connect with tls"
            raise InvalidArgumentError(text, field="token")

    def channel(self) -> grpc.aio.Channel:
        """A new connection, opened when first used."""
        if self.tls is None:
            return grpc.aio.insecure_channel(self.target, options=CHANNEL_OPTIONS)
        options: list[tuple[str, Any]] = list(CHANNEL_OPTIONS)
        if self.tls.server_name:
            options += [("grpc.ssl_target_name_override", self.tls.server_name), ("grpc.default_authority", self.tls.server_name)]
        return grpc.aio.secure_channel(self.target, self.tls.credentials(), options=options)

    def stub(self, channel: grpc.aio.Channel) -> "TerraloomAsyncStub":
        """The calls of the contract over `channel`, each with the token."""
        return TerraloomStub(channel if self.token is None else _Authorised(channel, self.token))  # type: ignore[arg-type]

    def operations(self, channel: grpc.aio.Channel) -> "OperationsAsyncStub":
        """The calls for whoever runs the server."""
        return OperationsStub(channel if self.token is None else _Authorised(channel, self.token))  # type: ignore[arg-type]


class _Authorised:
    """A channel all of whose calls carry a token. gRPC's own call credentials refuse connections in clear, loopback's among them."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __getattr__(self, kind: str) -> Any:
        make = getattr(self._channel, kind)
        return lambda *what, **how: partial(make(*what, **how), metadata=self._metadata)


def is_of_this_machine(target: str) -> bool:
    """Whether what is sent to a gRPC target ("host:port", "ipv4:127.0.0.1:1", "unix:/path", ...) stays on this machine."""
    scheme, _, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    name = rest.rpartition("/")[2] if scheme in ("dns", "ipv4", "ipv6") else target
    host = name.rpartition(":")[0] if name.count(":") == 1 or name.startswith("[") else name
    host = host.strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
