"""The guard: every request but those for health, pages and this interface's description belongs to a caller, or is refused with 401.

A token comes in the header `Authorization: Bearer`, nowhere else: in a URL it would stand in logs, histories and referrers (RFC 6750, 2.3).
What was answered to a token is for its holder alone, so caches that others share may not keep it.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terraloom.errors import TerraloomError, UnauthenticatedError
from terraloom_engines.http.problems import problem
from terraloom_engines.server.callers import CALLER, Caller, Callers

__all__ = ["Guarded"]

OPEN = ("/", "/map", "/healthz", "/docs", "/openapi.json")
"""What tells nothing of any world: who balances loads has no token, and a page must be there before one can be entered."""
OPEN_FOLDER = "/assets/"
OPERATORS = ("/metrics",)
TILE_TYPES = ("model/gltf-binary", "image/")


class Guarded:
    """Middleware that finds the caller of every request, keeps it within its rates and counts what it gets."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app, self._callers = app, callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._callers.are_known:
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path in OPEN or path.startswith(OPEN_FOLDER):
            await self._app(scope, receive, send)
            return
        try:
            caller = self._callers.authenticate(Headers(scope=scope).get("authorization"))
            if path in OPERATORS:
                caller.require_operator()
            else:
                caller.allowance.require()
        except TerraloomError as error:
            await self._refuse(scope, receive, send, error)
            return
        CALLER.set(caller)
        await self._app(scope, receive, _counting(scope, send, caller))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: TerraloomError) -> None:
        request = Request(scope)
        response = problem(request, error)
        if isinstance(error, UnauthenticatedError):
            self._callers.deny(error, request.client.host if request.client else "nowhere")
            response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)


def _counting(scope: Scope, send: Send, caller: Caller) -> Send:
    """Sends, counts for the caller, and keeps answers out of caches that others share."""
    tiles = 0

    async def sending(message: Message) -> None:
        nonlocal tiles
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            if "cache-control" in headers:
                headers["Cache-Control"] = headers["Cache-Control"].replace("public", "private")
            made = message["status"] == 200 and headers.get("content-type", "").startswith(TILE_TYPES)
            tiles = scope.get("state", {}).get("tiles", int(made))
        await send(message)
        if message["type"] == "http.response.body":
            caller.allowance.spend(tiles, len(message.get("body", b"")))
            tiles = 0

    return sending
