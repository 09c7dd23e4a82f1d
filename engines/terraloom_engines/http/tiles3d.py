"""3D Tiles: tilesets made on request, and GLBs placed on the ellipsoid."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from terraloom.errors import NotFoundError, UnimplementedError
from terraloom_engines.content import BoundsOptions, content_hash
from terraloom_engines.http.face import Face, face_of
from terraloom_engines.http.parameters import SHAPING, content_options, tile_of
from terraloom_engines.http.replies import is_fresh, json_reply, reply, version_of
from terraloom_engines.server.worlds import ServedWorld
from terraloom_engines.tileset import Links, depth_of_rasters, georeferenced_glb, is_subtree_root, subtree_levels, tileset
from terraloom_engines.tiling import TileId, WorldKind
from terraloom_engines.world import World

__all__ = ["glb", "root_tileset", "subtree_tileset"]

GLB_TYPE = "model/gltf-binary"
_LAYOUT = "1"
"""Version of what this module makes of contents; another one gives other validators."""


async def root_tileset(request: Request) -> Response:
    """`/{world}/tileset.json`: the tileset to open."""
    face = face_of(request)
    return await _tileset(request, face, await face.world(request), TileId(0, 0, 0), "")


async def subtree_tileset(request: Request) -> Response:
    """`/{world}/subtrees/{z}/{x}/{y}.json`: a tileset within it."""
    face = face_of(request)
    served = await face.world(request)
    tile = tile_of(request, served.world)
    last = served.world.max_level
    if not is_subtree_root(tile, last):
        raise NotFoundError(f"no tileset starts at {tile}: they start at levels 0 and {', '.join(map(str, _root_levels(last)))}")
    return await _tileset(request, face, served, tile, "../../../")


async def glb(request: Request) -> Response:
    """`/{world}/tiles/{z}/{x}/{y}.glb`: the content of a tile."""
    face = face_of(request)
    served = await face.world(request)
    tile, options = tile_of(request, served.world), content_options(request.query_params)
    identity = served.world.identity
    etag = f'"{content_hash(identity, tile, options).hex()}-{_LAYOUT}"'
    if is_fresh(request, etag):
        return reply(request, None, GLB_TYPE, etag, identity)
    content = await face.obtain(request, served, tile, options)
    return reply(request, georeferenced_glb(content.glb, content.world_from_tile), GLB_TYPE, etag, identity)


def _root_levels(last: int) -> list[int]:
    return [z for z in range(1, last + 1) if is_subtree_root(TileId(z, 0, 0), last)]


async def _tileset(request: Request, face: Face, served: ServedWorld, root: TileId, base: str) -> Response:
    if served.world.kind is not WorldKind.PLANET:
        raise UnimplementedError(
            f"{served.world.name} is an unbounded plane, which a tileset cannot describe: ask for its tiles by address"
        )
    world, options = served.world, BoundsOptions(subtree_levels(root, served.world.max_level), depth_of_rasters(root))
    query = _query(world, request.query_params)

    async def make() -> dict[str, Any]:
        bounds = (await face.obtain(request, served, root, options)).bounds
        assert bounds is not None, "BoundsOptions make bounds"
        links = Links(lambda tile: f"{base}tiles/{tile}.glb?{query}", lambda tile: f"{base}subtrees/{tile}.json?{query}")
        extras = {"copyright": world.attribution, "world": world.name, "seed": world.seed, "identity": world.identity}
        return tileset(bounds, world.max_level, links, {"extras": extras})

    shape = hashlib.blake2b(query.encode(), digest_size=4).hexdigest()
    etag = f'"{content_hash(world.identity, root, options).hex()}-{_LAYOUT}-{shape}"'
    return await json_reply(request, face.documents, make, etag, world.identity)


def _query(world: World, given: Mapping[str, str]) -> str:
    """What the URLs inside a tileset carry: the seed, how GLBs are made, and the version."""
    content_options(given)  # what is wrong is said now, not by every tile
    kept = {name: given[name] for name in ("seed", *SHAPING) if name in given}
    return urlencode({**kept, "v": version_of(world.identity)})
