"""Bytes as they leave: with a validator, a lifetime in caches, and packed where it pays.

What a URL of a tile means is fixed by the world's identity. A URL that carries it (`?v=`) never changes its bytes and says so; the same
URL without it is asked for again, which costs 304 and no bytes.
"""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["VERSION_DIGITS", "is_fresh", "json_reply", "reply", "version_of"]

VERSION_DIGITS = 12
"""Hexadecimal digits of a world's identity in the URLs of its tiles."""
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "public, no-cache"
PACKED = ("application/json", "application/octet-stream", "application/schema+json")
"""Media types that gzip makes much smaller; pictures, and GLBs that are mostly picture, it does not."""


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
    if media_type in PACKED:
        headers["Vary"] = "Accept-Encoding"
        if "gzip" in request.headers.get("accept-encoding", "") and len(body) > 1000:
            body, headers["Content-Encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    return Response(body, headers=headers, media_type=media_type)


def json_reply(request: Request, document: Mapping[str, Any], etag: str, identity: str) -> Response:
    """`document` as JSON."""
    return reply(request, json.dumps(document, separators=(",", ":")).encode(), "application/json", etag, identity)
