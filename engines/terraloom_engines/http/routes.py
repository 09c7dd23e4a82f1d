"""What there is to ask for: every path with its handler and what the OpenAPI document says of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from terraloom_engines.http import about, maps, metrics, planes, tiles3d
from terraloom_engines.http.parameters import SHAPING

__all__ = ["ENDPOINTS", "Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path, in OpenAPI's notation."""

    path: str
    handler: Callable[[Request], Awaitable[Response]]
    answers: tuple[str, ...]
    """Media types of its answers."""
    queries: tuple[str, ...] = ()
    """Names of its query parameters; `openapi.QUERIES` explains them."""
    example: str = ""
    """A path with query that answers on every server."""

    @property
    def summary(self) -> str:
        """First line of the handler's docstring without the path."""
        text = (self.handler.__doc__ or "").splitlines()[0].partition(": ")[2].rstrip(".")
        return text[:1].upper() + text[1:]

    @property
    def route(self) -> Route:
        """The route that serves it; HEAD is allowed where GET is."""
        return Route(self.path, self.handler, methods=["GET"])


_JSON, _GLB, _BINARY = ("application/json",), ("model/gltf-binary",), ("application/octet-stream",)
_PLACE = ("lon", "lat", "x", "y")

ENDPOINTS = (
    Endpoint("/worlds", about.worlds, _JSON, (), "/worlds"),
    Endpoint("/{world}/tileset.json", tiles3d.root_tileset, _JSON, ("seed", *_PLACE, *SHAPING), "/earth/tileset.json"),
    Endpoint("/{world}/subtrees/{z}/{x}/{y}.json", tiles3d.subtree_tileset, _JSON, ("seed", *SHAPING), "/earth/subtrees/4/8/5.json"),
    Endpoint("/{world}/tiles/{z}/{x}/{y}.glb", tiles3d.glb, _GLB, ("seed", *SHAPING, "v"), "/earth/tiles/4/8/5.glb"),
    Endpoint("/{world}/caps/{z}/{x}/{y}.glb", tiles3d.cap_glb, _GLB, ("seed", *SHAPING, "v"), "/earth/caps/1/0/0.glb"),
    Endpoint("/{world}/local/{column}/{row}/subtrees/{z}/{x}/{y}.subtree", planes.local_subtree, _BINARY, ("seed", "v")),
    Endpoint("/{world}/local/{column}/{row}/tiles/{z}/{x}/{y}.glb", planes.local_glb, _GLB, ("seed", *SHAPING, "v")),
    Endpoint("/{world}/tilejson.json", maps.tilejson, _JSON, ("seed", "layer", "format"), "/earth/tilejson.json?layer=imagery"),
    Endpoint("/{world}/heights", maps.heights, _JSON, ("seed", *_PLACE, "level", "surface"), "/earth/heights?lon=8&lat=46&level=4"),
    Endpoint(
        "/{world}/{layer}/{z}/{x}/{y}.{format}",
        maps.map_tile,
        ("image/webp", "image/jpeg", "image/png"),
        ("seed", "surface", "v"),
        "/earth/imagery/4/8/5.webp",
    ),
    Endpoint("/healthz", about.health, _JSON, (), "/healthz"),
    Endpoint("/metrics", metrics.metrics, ("text/plain", "application/openmetrics-text"), (), "/metrics"),
)
