"""What the server tells of itself: its worlds, and that it lives."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from terraloom_engines.http.face import face_of
from terraloom_engines.http.replies import version_of
from terraloom_engines.world import World

__all__ = ["health", "worlds"]


async def worlds(request: Request) -> Response:
    """`/worlds`: the worlds that are open, the default one first, and where their tilesets are."""
    return JSONResponse(
        {"worlds": [_world(served.world) for served in face_of(request).worlds.opened]}, headers={"Cache-Control": "no-cache"}
    )


async def health(request: Request) -> Response:
    """`/healthz`: 200 as long as the server serves."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


def _world(world: World) -> dict[str, object]:
    root, seed = "/" + quote(world.name, safe=":"), f"?seed={world.seed}" if world.seed else ""
    return {
        "name": world.name,
        "seed": world.seed,
        "kind": world.kind.name.lower(),
        "title": world.title,
        "attribution": world.attribution,
        "base_level": world.base_level,
        "max_level": world.max_level,
        "identity": world.identity,
        "version": version_of(world),
        "tileset": f"{root}/tileset.json{seed}",
        "tilejson": f"{root}/tilejson.json{seed}",
    }
