"""A server from start to drain."""

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import aio as health  # type: ignore[attr-defined]
from grpc_reflection.v1alpha import reflection

from terraloom.errors import UnauthenticatedError, UnavailableError
from terraloom.v1 import operations_pb2
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.operations_pb2_grpc import add_OperationsServicer_to_server
from terraloom.v1.terraloom_pb2_grpc import add_TerraloomServicer_to_server
from terraloom_engines.runtimes.catalogue import AUTO
from terraloom_engines.server.access import AccessInterceptor
from terraloom_engines.server.callers import Callers
from terraloom_engines.server.certificates import Certificates, TlsFiles
from terraloom_engines.server.checks import is_of_this_machine, require_cover
from terraloom_engines.server.contents import Contents
from terraloom_engines.server.operations import Operations
from terraloom_engines.server.servicer import MESSAGE_BYTES, Servicer
from terraloom_engines.server.sessions import Sessions
from terraloom_engines.server.state import State
from terraloom_engines.server.statuses import StatusInterceptor
from terraloom_engines.server.worlds import Worlds
from terraloom_engines.world import World

LEAST_PING_SECONDS = 5.0
"""How often clients may ask for a sign of life."""
PING_SECONDS, ANSWER_SECONDS = 30.0, 20.0
"""How often a connection is asked for a sign of life, and how long it may take: a client that vanished without a word loses its session."""
TOKENS_SECONDS = 0.4
"""How often the file of tokens is looked at."""
MOST_STREAMS = 512
"""Calls at a time on one connection; the next one waits."""
MOST_CONNECTIONS = 8192
"""At a time; a client has one for its calls and one for each of its streams."""
METADATA_BYTES = 16 << 10
IDLE_SECONDS, AGE_SECONDS = 600.0, 3600.0
"""When a connection without calls is closed, and when any is asked to be made anew: calls that run go on, later ones show certificates
again."""
HANDSHAKE_SECONDS = 20.0
SERVICE = pb.DESCRIPTOR.services_by_name["Terraloom"].full_name
OPERATIONS = operations_pb2.DESCRIPTOR.services_by_name["Operations"].full_name

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server serves, and where."""

    host: str = "127.0.0.1"
    port: int = 50051
    """0 takes any free port."""
    worlds: tuple[str, ...] = ("earth",)
    """The first is the default; more are opened when clients ask for them."""
    seed: int = 0
    """Of these worlds; clients name seeds of their own."""
    store: Path | None = None
    """Directory that keeps what was generated over restarts; None keeps it in memory alone."""
    cache_bytes: int = 256 << 20
    """Memory for encoded tiles."""
    threads: int = 2
    """Cores that generation may use."""
    runtime: str = AUTO
    """What runs the networks: NAME, NAME:PRECISION or the best that works here."""
    drain_seconds: float = 5.0
    """How long calls in progress may go on when the server is told to stop."""
    tls: TlsFiles | None = None
    """Certificate and key for gRPC and HTTP; None talks in clear."""
    insecure: bool = False
    """Whether it may talk in clear to other machines."""
    tokens: Path | None = None
    """Who may call, as in `tokens.py`; None lets everybody."""

    @property
    def netloc(self) -> str:
        """The host as it stands before the port in an address."""
        return f"[{self.host}]" if ":" in self.host else self.host


class Server:
    """A running server; an async context manager that listens while it is entered."""

    def __init__(self, options: ServerOptions) -> None:
        """Opens the worlds and the store, which takes a second or so.

        Raises NotFoundError or InvalidArgumentError for a wrong world or certificate, or to talk in clear to other machines unasked.
        """
        require_cover(options.host, options.tls is not None or options.insecure)
        self.options = options
        self.callers = Callers(options.tokens)
        self.certificates = Certificates(options.tls) if options.tls else None
        self.worlds = Worlds(
            options.worlds, options.seed, runtime=options.runtime, threads=options.threads, store=options.store,
            cache_bytes=options.cache_bytes,
        )  # fmt: skip
        self.port = 0
        """The port it listens on, once it does."""

    async def __aenter__(self) -> Self:
        """Starts listening. Raises UnavailableError when the port is taken."""
        await self.worlds.__aenter__()
        self.sessions = Sessions()
        self._health = health.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[StatusInterceptor(), AccessInterceptor(self.callers)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server behind it
                *_keepalive(),
                *_bounds(),
            ],
        )
        self.state = State(self.worlds, self.sessions, self.callers, self.certificates)
        add_TerraloomServicer_to_server(Servicer(self.worlds, self.sessions), self._server)
        add_OperationsServicer_to_server(Operations(self.state), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([SERVICE, OPERATIONS, HEALTH_SERVICE, reflection.SERVICE_NAME], self._server)
        address = f"{self.options.netloc}:{self.options.port}"
        try:
            self.port = self._listen(address)
        except RuntimeError as error:
            await self.worlds.__aexit__()
            raise UnavailableError(f"cannot listen on {address}: the port is taken, or the address is not of this machine") from error
        await self._server.start()
        cover = "mutual TLS" if self.options.tls and self.options.tls.client_ca else "TLS" if self.options.tls else "none"
        told = {
            "port": self.port,
            "worlds": ",".join(self.options.worlds),
            "cover": cover,
            "tokens": len(self.callers.all) if self.callers.are_known else "none",
        }
        _log.info("serving", extra={"host": self.options.host} | told)
        for refusal in self.worlds.refused:
            _log.info("runtime not used", extra={"runtime": refusal.runtime, "reason": refusal.reason})
        if self.callers.are_known and cover == "none" and not is_of_this_machine(self.options.host):
            _log.warning("tokens travel in clear: whoever listens on the way has them")
        self._watch = asyncio.create_task(self._follow_tokens())
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drains: tells health checks, ends streams with UNAVAILABLE, lets unary calls finish, stops generation."""
        _log.info("shutting down", extra={"sessions": len(self.sessions)})
        self._watch.cancel()
        await self._health.enter_graceful_shutdown()
        self.sessions.close_all(UnavailableError("the server is shutting down"))
        await self._server.stop(self.options.drain_seconds)
        await self.worlds.__aexit__()

    def _listen(self, address: str) -> int:
        if self.certificates is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self.certificates.server_credentials())

    async def _follow_tokens(self) -> None:
        """Takes up changes of the file of tokens; ends the sessions and calls of those that may call no longer."""
        while True:
            await asyncio.sleep(TOKENS_SECONDS)
            for caller in self.callers.refresh():
                why = UnauthenticatedError(f"the token {caller.name!r} was revoked, or has expired")
                sessions, calls = self.sessions.close_of(caller, why), caller.break_off(why)
                _log.info("may call no longer", extra={"token": caller.name, "sessions": sessions, "calls": calls})

    @property
    def world(self) -> World:
        """The default world."""
        return self.worlds.default.world

    @property
    def contents(self) -> Contents:
        """The contents of the default world."""
        return self.worlds.default.contents

    async def until_signalled(self) -> None:
        """Returns on SIGINT or SIGTERM."""
        signalled = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, signalled.set)
        await signalled.wait()


def _keepalive() -> list[tuple[str, int]]:
    """Channel options: the server asks, and lets clients ask, every so often."""
    milliseconds, patience = int(1000 * PING_SECONDS), int(1000 * ANSWER_SECONDS)
    return [
        ("grpc.keepalive_time_ms", milliseconds),
        ("grpc.keepalive_timeout_ms", patience),
        ("grpc.http2.ping_timeout_ms", patience),  # of gRPC's own pings, which take the place of those
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", int(1000 * LEAST_PING_SECONDS)),
    ]


def _bounds() -> list[tuple[str, int]]:
    """Channel options: what one connection may take."""
    return [
        ("grpc.max_allowed_incoming_connections", MOST_CONNECTIONS),
        ("grpc.max_concurrent_streams", MOST_STREAMS),
        ("grpc.max_metadata_size", METADATA_BYTES // 2),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.max_connection_idle_ms", int(1000 * IDLE_SECONDS)),
        ("grpc.max_connection_age_ms", int(1000 * AGE_SECONDS)),
        ("grpc.server_handshake_timeout_ms", int(1000 * HANDSHAKE_SECONDS)),
        ("grpc.http2.max_ping_strikes", 2),
    ]
