"""The OpenAPI 3.1 document, made of the table of routes, and a plain page that shows it: no scripts, nothing from elsewhere."""

import re
from functools import lru_cache
from html import escape
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from terraloom.errors import CODES
from terraloom_engines.http.routes import ENDPOINTS, Endpoint
from terraloom_engines.maps import FORMATS, SURFACES

__all__ = ["docs", "document", "openapi"]

PATHS: dict[str, dict[str, Any]] = {
    "world": {"schema": {"type": "string"}, "example": "earth", "description": "Name of a world; /worlds lists those that are open."},
    "z": {"schema": {"type": "integer", "minimum": 0}, "example": 4, "description": "Level; 0 is the whole world."},
    "x": {"schema": {"type": "integer"}, "example": 8, "description": "Column, eastward."},
    "y": {"schema": {"type": "integer"}, "example": 5, "description": "Row, southward (XYZ)."},
    "column": {"schema": {"type": "integer"}, "example": 0, "description": "Column of a root of a plane's tileset."},
    "row": {"schema": {"type": "integer"}, "example": 0, "description": "Row of that root."},
    "layer": {"schema": {"type": "string", "enum": list(FORMATS)}, "example": "imagery", "description": "What the picture shows."},
    "format": {"schema": {"type": "string", "enum": ["webp", "jpg", "png"]}, "example": "webp", "description": "Format of the picture."},
}
QUERIES: dict[str, dict[str, Any]] = {
    "seed": {"schema": {"type": "integer", "minimum": 0, "default": 0}, "description": "Seed of everything generated below the base."},
    "v": {
        "schema": {"type": "string"},
        "description": "Version, as tilesets give it; the answer may then be cached for ever.",
    },
    "segments": {"schema": {"type": "integer", "enum": [32, 64, 128], "default": 64}, "description": "Quads along a side of a tile."},
    "texture": {"schema": {"type": "string", "enum": ["jpeg", "webp", "none"], "default": "jpeg"}, "description": "Format of textures."},
    "quality": {"schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 90}, "description": "Quality of textures."},
    "unlit": {"schema": {"type": "string", "enum": ["0", "1"], "default": "0"}, "description": "1: KHR_materials_unlit."},
    "surface": {
        "schema": {"type": "string", "enum": list(SURFACES)},
        "description": "What a vehicle meets, or the sea floor too.",
    },
    "compression": {
        "schema": {"type": "string", "enum": ["none", "meshopt"], "default": "none"},
        "description": "meshopt: KHR_mesh_quantization inside EXT_meshopt_compression, a quarter of the bytes.",
    },
    "layer": PATHS["layer"],
    "format": PATHS["format"],
    "x": {"schema": {"type": "string"}, "description": "Planes: metres east; of heights, several with commas between them."},
    "y": {"schema": {"type": "string"}, "description": "Planes: metres north, as many as of x."},
    "lon": {"schema": {"type": "string"}, "description": "Degrees east; of heights, several with commas between them."},
    "lat": {"schema": {"type": "string"}, "description": "Degrees north, as many as of lon."},
    "level": {"schema": {"type": "integer", "minimum": 0}, "description": "Level of the tiles that are read; default: the finest."},
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `code` is the name of the gRPC status, `field` and `allowed` say what was wrong with an argument.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "field")},
        "code": {"type": "string", "enum": [codes.grpc for codes in CODES.values()]},
        "status": {"type": "integer"},
        "allowed": {"type": "array", "items": {"type": "string"}},
    },
}
_REFUSED = {"$ref": "#/components/responses/Problem"}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI document of this version."""
    problem = {"description": "What went wrong.", "content": {"application/problem+json": {"schema": PROBLEM}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Terraloom", "version": version("terraloom"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {endpoint.path: {"get": _operation(endpoint)} for endpoint in ENDPOINTS},
        "components": {"responses": {"Problem": problem}},
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    given = [{"name": name, "in": "path", "required": True, **PATHS[name]} for name in re.findall(r"{(\w+)}", endpoint.path)]
    asked = [{"name": name, "in": "query", **QUERIES[name]} for name in endpoint.queries]
    found = {"description": "As asked.", "content": {media_type: {} for media_type in endpoint.answers}}
    return {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "parameters": [*given, *asked],
        "responses": {"200": found, "default": _REFUSED},
    }


async def openapi(request: Request) -> Response:
    """`/openapi.json`: this interface as an OpenAPI document."""
    return JSONResponse(document(), headers={"Cache-Control": "no-cache"})


async def docs(request: Request) -> Response:
    """`/docs`: the same for people."""
    return HTMLResponse(_page(), headers={"Cache-Control": "no-cache"})


@lru_cache(maxsize=1)
def _page() -> str:
    info = document()["info"]
    parts = [_section(endpoint, document()["paths"][endpoint.path]["get"]) for endpoint in ENDPOINTS]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Terraloom over HTTP</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b2733; background: #fff }}
h2 {{ font: 600 1rem ui-monospace, monospace; margin: 2rem 0 .25rem }} p {{ margin: .25rem 0 }}
table {{ border-collapse: collapse; margin: .5rem 0 }} td {{ padding: .1rem 1rem .1rem 0; vertical-align: top }}
code {{ font-size: .9em }} a {{ color: #0b5cad }}
@media (prefers-color-scheme: dark) {{ body {{ color: #d7e0e8; background: #10161c }} a {{ color: #7cb8f5 }} }}
</style></head><body><h1>Terraloom over HTTP</h1>
<p>Version {escape(info["version"])}. The same as <a href="/openapi.json">OpenAPI</a>. Errors are
<code>application/problem+json</code>; GET and HEAD are allowed everywhere.</p>
{"".join(parts)}</body></html>
"""


def _section(endpoint: Endpoint, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['description'])} {_choices(item['schema'])}</td></tr>"
        for item in operation["parameters"]
    )
    example = f'<p>Try <a href="{escape(endpoint.example)}"><code>{escape(endpoint.example)}</code></a></p>' if endpoint.example else ""
    answers = f"<p>Answers {escape(', '.join(endpoint.answers))}.</p>"
    return f"<h2>GET {escape(endpoint.path)}</h2><p>{escape(operation['summary'])}.</p>{answers}<table>{rows}</table>{example}"


def _choices(schema: dict[str, Any]) -> str:
    one_of = f"One of {', '.join(map(str, schema['enum']))}." if "enum" in schema else ""
    default = f" Default {schema['default']}." if "default" in schema else ""
    return escape(one_of + default)
