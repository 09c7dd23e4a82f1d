"""Bytes as they leave: with a validator, a lifetime in caches, and packed where it pays.

What a URL of a tile means is fixed by the world's identity. A URL that carries it (`?v=`) never changes its bytes and says so; the same
URL without it is asked for again, which costs 304 and no bytes.
"""

import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from terraloom_engines.store import MemoryStore

__all__ = ["VERSION_DIGITS", "is_fresh", "json_reply", "reply", "version_of"]

VERSION_DIGITS = 12
"""Hexadecimal digits of a world's identity in the URLs of its tiles."""
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "public, no-cache"


def version_of(identity: str) -> str:
    """What the URLs of a world's tiles carry."""
    return identity[:VERSION_DIGITS]


def is_fresh(request: Request, etag: str) -> bool:
    """Whether the client holds these very bytes already."""
    held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    return "*" in held or etag in held


def reply(request: Request, body: bytes | None, media_type: str, etag: str, identity: str) -> Response:
    """`body`, or 304 when the client holds it; None is a body that was not made because of that."""
    immutable = request.query_params.get("v") == version_of(identity)
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE if immutable else REVALIDATED, "Accept-Ranges": "none"}
    if body is None or is_fresh(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


async def json_reply(
    request: Request, memory: MemoryStore, make: Callable[[], Awaitable[Mapping[str, Any]]], etag: str, identity: str
) -> Response:
    """What `make` makes, as JSON, packed if the client can unpack it; `memory` keeps both, so that they are made once."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'{etag[:-1]}-gzip"' if packed else etag
    body = memory.get(tag)
    if body is None and not is_fresh(request, tag):
        body = json.dumps(await make(), separators=(",", ":")).encode()
        body = gzip.compress(body, 6, mtime=0) if packed else body
        memory.put(tag, body)
    response = reply(request, body, "application/json", tag, identity)
    response.headers["Vary"] = "Accept-Encoding"
    if packed and response.status_code == 200:
        response.headers["Content-Encoding"] = "gzip"
    return response
