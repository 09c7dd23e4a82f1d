"""The pages for people: the viewer at `/`, the map at `/map`, and what they are made of.

Both are built from sdk/web (`make viewer`, or the build of a wheel) into `viewer/` beside this file. Without them there is a plain page
that says so.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from terraloom_engines.http.replies import IMMUTABLE, REVALIDATED, is_fresh, takes_gzip

__all__ = ["PAGES", "VIEWER"]

VIEWER = Path(__file__).parent / "viewer"
"""Where the build leaves its files."""
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors *"
)
"""Content-Security-Policy of the pages: nothing comes from anywhere else."""
PACKED = (".html", ".js", ".css", ".json", ".svg")
UNBUILT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Terraloom</title></head>
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem">
<h1>Terraloom</h1><p>This server works, but its viewer has not been built. In a checkout of the repository, with Node 20.19 or later:</p>
<pre>make viewer</pre><p>Wheels of Terraloom contain it. The interface is described at <a href="./docs">/docs</a>.</p></body></html>
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One file as it leaves, plain and packed."""

    body: bytes
    packed: bytes | None
    media_type: str
    etag: str


async def viewer(request: Request) -> Response:
    """`/`: the viewer."""
    return _page(request, "index.html")


async def map_page(request: Request) -> Response:
    """`/map`: the map."""
    return _page(request, "map.html")


async def asset(request: Request) -> Response:
    """`/assets/{name}`: what the pages load; their names carry a hash of their content."""
    name = request.path_params["name"]
    document = _document(f"assets/{name}") if name in _assets() else None
    if document is None:
        raise HTTPException(404)
    return _reply(request, document, IMMUTABLE)


PAGES = (Route("/", viewer, methods=["GET"]), Route("/map", map_page, methods=["GET"]), Route("/assets/{name}", asset, methods=["GET"]))
"""Routes of the pages."""


def _page(request: Request, name: str) -> Response:
    if not (VIEWER / name).is_file():
        return Response(UNBUILT, media_type="text/html", headers={"Cache-Control": "no-store"})
    response = _reply(request, _document(name), REVALIDATED)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _reply(request: Request, document: Document, lifetime: str) -> Response:
    headers = {"ETag": document.etag, "Cache-Control": lifetime, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if is_fresh(request, document.etag):
        return Response(status_code=304, headers=headers)
    if document.packed and takes_gzip(request):
        return Response(document.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=document.media_type)
    return Response(document.body, headers=headers, media_type=document.media_type)


def _assets() -> set[str]:
    return {path.name for path in (VIEWER / "assets").iterdir()} if (VIEWER / "assets").is_dir() else set()


def _document(name: str) -> Document:
    return _read(name, (VIEWER / name).stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(name: str, _modified: int) -> Document:
    """A file of the build, read once until it is built anew."""
    path = VIEWER / name
    body = path.read_bytes()
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(body, 9, mtime=0) if path.suffix in PACKED else None
    return Document(body, packed, media_type, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
