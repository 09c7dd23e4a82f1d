"""The HTTP server from start to drain, in the event loop of the gRPC server."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from terraloom.errors import TerraloomError, UnavailableError
from terraloom_engines.http import openapi
from terraloom_engines.http.face import Face
from terraloom_engines.http.guard import Guarded
from terraloom_engines.http.metrics import HttpMetrics, Measured
from terraloom_engines.http.pages import PAGES
from terraloom_engines.http.problems import problem, problem_of_defect, problem_of_http
from terraloom_engines.http.protocol import BoundedProtocol
from terraloom_engines.http.routes import ENDPOINTS
from terraloom_engines.server import Server
from terraloom_engines.server.callers import Callers

__all__ = ["HttpServer", "application"]

READABLE = ("ETag", "Content-Length", "Content-Encoding", "Retry-After", "WWW-Authenticate")
"""Headers that pages of other origins may read."""
MOST_CONNECTIONS = 4096
"""At a time; who comes too many gets 503."""
RENEWAL_SECONDS = 2.0
"""How often the files of the certificate are looked at."""


def application(face: Face, metrics: HttpMetrics, callers: Callers) -> Starlette:
    """The application that serves a face; any page may read it, with a token where those are asked for."""
    documents = [Route("/openapi.json", openapi.openapi), Route("/docs", openapi.docs)]
    cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "HEAD"], allow_headers=["*"], expose_headers=READABLE)
    app = Starlette(
        routes=[*PAGES, *documents, *(endpoint.route for endpoint in ENDPOINTS)],
        middleware=[Middleware(Measured, metrics), cors, Middleware(Guarded, callers)],
        exception_handlers={TerraloomError: problem, HTTPException: problem_of_http, Exception: problem_of_defect},
    )
    app.state.face, app.state.metrics = face, metrics
    return app


class HttpServer:
    """Serves the worlds of a gRPC server over HTTP; an async context manager that listens while it is entered."""

    def __init__(self, server: Server, port: int) -> None:
        """`server` is entered already; port 0 takes any free one of its host."""
        self._host, self._wanted = server.options.host, port
        self._netloc, self._certificates = server.options.netloc, server.certificates
        self._callers = server.callers
        self._drain = server.options.drain_seconds
        self._face = Face(server.worlds)
        self._metrics = HttpMetrics(server.state.registry, self._face.admission)
        self.port = 0
        """The port it listens on, once it does."""

    @property
    def url(self) -> str:
        """Where it serves, such as "http://127.0.0.1:8080"."""
        return f"{'https' if self._certificates else 'http'}://{self._netloc}:{self.port}"

    async def __aenter__(self) -> Self:
        """Starts listening. Raises UnavailableError when the port is taken."""
        self._socket = _listening(self._host, self._wanted)
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            application(self._face, self._metrics, self._callers),
            http=BoundedProtocol,
            limit_concurrency=MOST_CONNECTIONS,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(self._drain),
            ssl_context_factory=self._tls() if self._certificates else None,
        )
        self._server = _Uvicorn(config)
        self._renewal = asyncio.create_task(self._renew())
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening, lets requests in progress finish for a while, then cancels them."""
        self._renewal.cancel()
        self._server.should_exit = True
        await self._task

    def _tls(self) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
        assert self._certificates is not None
        context = self._certificates.ssl_context()
        return lambda _config, _default: context

    async def _renew(self) -> None:
        """Looks for a renewed certificate every so often."""
        while self._certificates is not None:
            await asyncio.sleep(RENEWAL_SECONDS)
            await asyncio.to_thread(self._certificates.refresh)


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process: it is one part of a server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket. Its protocol is named, since asyncio turns Nagle's delays off only for sockets that say they are TCP."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        advice = "choose another --http-port, or --no-http"
        raise UnavailableError(f"cannot listen on {host}:{port} for HTTP ({error.strerror}): {advice}") from error
    return listener
