"""Bytes as they leave: with a validator, a lifetime in caches, and packed where it pays.

What a URL of a tile means is fixed by the version of its world. A URL that carries it (`?v=`) never changes its bytes and says so; the same
URL without it is asked for again, which costs 304 and no bytes.
"""

import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from terraloom_engines.content import ContentOptions, content_hash
from terraloom_engines.store import MemoryStore
from terraloom_engines.tiling import TileId, WorldKind
from terraloom_engines.world import World

__all__ = ["GLB_TYPE", "VERSION_DIGITS", "asset_of", "etag_of", "is_fresh", "json_reply", "reply", "takes_gzip", "version_of"]

GLB_TYPE = "model/gltf-binary"
LAYOUT = "3"
"""Version of what this face makes of contents; another one gives other validators."""
VERSION_DIGITS = 12
"""Hexadecimal digits of the version in the URLs of tiles."""
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "public, no-cache"


def version_of(world: World) -> str:
    """What the URLs of a world's tiles carry: it changes with the world's identity and with whatever turns its rasters into bytes."""
    return _version(world.identity, world.kind)


@lru_cache(maxsize=64)
def _version(identity: str, kind: WorldKind) -> str:
    made = content_hash(identity, TileId(kind.min_level, 0, 0, kind), ContentOptions())
    return hashlib.blake2b(LAYOUT.encode() + made, digest_size=VERSION_DIGITS // 2).hexdigest()


def etag_of(world: World, *made_of: object) -> str:
    """Validator of what is made of a world and of these values; it is known before anything is made."""
    text = "|".join([version_of(world), world.identity, *map(repr, made_of)])
    return f'"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"'


def asset_of(world: World) -> dict[str, Any]:
    """What a tileset says of where it comes from."""
    return {"extras": {"copyright": world.attribution, "world": world.name, "seed": world.seed, "identity": world.identity}}


def is_fresh(request: Request, etag: str) -> bool:
    """Whether the client holds these very bytes already."""
    held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    return "*" in held or etag in held


def takes_gzip(request: Request) -> bool:
    """Whether the client can unpack gzip: it says so, and not with a weight of 0 (RFC 9110, section 12.5.3)."""
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" or weight == ""
    return False


def reply(request: Request, body: bytes | None, media_type: str, etag: str, world: World) -> Response:
    """`body`, or 304 when the client holds it; None is a body that was not made because of that."""
    immutable = request.query_params.get("v") == version_of(world)
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE if immutable else REVALIDATED, "Accept-Ranges": "none"}
    if body is None or is_fresh(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


async def json_reply(
    request: Request, memory: MemoryStore, make: Callable[[], Awaitable[Mapping[str, Any]]], etag: str, world: World
) -> Response:
    """What `make` makes, as JSON, packed if the client can unpack it; `memory` keeps both, so that they are made once."""
    packed = takes_gzip(request)
    tag = f'{etag[:-1]}-gzip"' if packed else etag
    body = memory.get(tag)
    if body is None and not is_fresh(request, tag):
        body = json.dumps(await make(), separators=(",", ":")).encode()
        body = gzip.compress(body, 6, mtime=0) if packed else body
        memory.put(tag, body)
    response = reply(request, body, "application/json", tag, world)
    response.headers["Vary"] = "Accept-Encoding"
    if packed and response.status_code == 200:
        response.headers["Content-Encoding"] = "gzip"
    return response
