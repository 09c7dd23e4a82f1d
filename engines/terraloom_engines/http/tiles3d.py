"""3D Tiles: tilesets made on request, and GLBs placed on the ellipsoid."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from terraloom.errors import NotFoundError
from terraloom_engines.content import BoundsOptions, CapOptions
from terraloom_engines.http.face import Face, face_of
from terraloom_engines.http.parameters import content_options, passed_on, tile_of
from terraloom_engines.http.planes import plane_tileset
from terraloom_engines.http.replies import GLB_TYPE, asset_of, etag_of, is_fresh, json_reply, reply
from terraloom_engines.polar import is_on_rim
from terraloom_engines.server.worlds import ServedWorld
from terraloom_engines.tileset import Links, depth_of_rasters, georeferenced_glb, is_subtree_root, subtree_levels, tileset, with_caps
from terraloom_engines.tiling import TileId, WorldKind
from terraloom_engines.world import World

__all__ = ["cap_glb", "glb", "root_tileset", "subtree_tileset"]

CAP_LEVELS = 4
"""Levels of polar caps; a sector of the finest one is 3 km from vertex to vertex at the rim."""


async def root_tileset(request: Request) -> Response:
    """`/{world}/tileset.json`: the tileset to open."""
    face = face_of(request)
    served = await face.world(request)
    if served.world.kind is WorldKind.PLANE:
        return await plane_tileset(request, face, served)
    return await _tileset(request, face, served, TileId(0, 0, 0), "")


async def subtree_tileset(request: Request) -> Response:
    """`/{world}/subtrees/{z}/{x}/{y}.json`: a tileset within it."""
    face = face_of(request)
    served = await face.world(request)
    tile = tile_of(request, served.world)
    last = served.world.max_level
    if served.world.kind is WorldKind.PLANE:
        raise NotFoundError(f"{served.world.name} is a plane, whose tileset is implicit: open its tileset.json")
    if not is_subtree_root(tile, last):
        raise NotFoundError(f"no tileset starts at {tile}: they start at levels 0 and {', '.join(map(str, _root_levels(last)))}")
    return await _tileset(request, face, served, tile, "../../../")


async def glb(request: Request) -> Response:
    """`/{world}/tiles/{z}/{x}/{y}.glb`: the content of a tile."""
    face = face_of(request)
    served = await face.world(request)
    tile, options = tile_of(request, served.world), content_options(request.query_params)
    etag = etag_of(served.world, "tile", tile, options)
    if is_fresh(request, etag):
        return reply(request, None, GLB_TYPE, etag, served.world)
    content = await face.obtain(request, served, tile, options)
    return reply(request, georeferenced_glb(content.glb, content.world_from_tile), GLB_TYPE, etag, served.world)


async def cap_glb(request: Request) -> Response:
    """`/{world}/caps/{z}/{x}/{y}.glb`: the polar cap beyond a tile of the rim."""
    face = face_of(request)
    served = await face.world(request)
    tile, options = tile_of(request, served.world), CapOptions(content_options(request.query_params))
    last = _last_of_caps(served.world)
    if not is_on_rim(tile) or tile.z > last:
        raise NotFoundError(f"there is no polar cap at {tile}: levels go from 1 to {last}, rows are the first and the last")
    etag = etag_of(served.world, tile, options)
    if is_fresh(request, etag):
        return reply(request, None, GLB_TYPE, etag, served.world)
    content = await face.obtain(request, served, tile, options)
    return reply(request, georeferenced_glb(content.glb, content.world_from_tile), GLB_TYPE, etag, served.world)


def _last_of_caps(world: World) -> int:
    """Level of the finest sectors: they take the whole rim of their level, which only a base has at hand."""
    return min(CAP_LEVELS, world.base_level) if world.kind is WorldKind.PLANET else 0


def _root_levels(last: int) -> list[int]:
    return [z for z in range(1, last + 1) if is_subtree_root(TileId(z, 0, 0), last)]


async def _tileset(request: Request, face: Face, served: ServedWorld, root: TileId, base: str) -> Response:
    world, options = served.world, BoundsOptions(subtree_levels(root, served.world.max_level), depth_of_rasters(root))
    query = passed_on(world, request.query_params)

    async def make() -> dict[str, Any]:
        bounds = (await face.obtain(request, served, root, options)).bounds
        assert bounds is not None, "BoundsOptions make bounds"
        links = Links(
            content=lambda tile: f"{base}tiles/{tile}.glb?{query}",
            subtree=lambda tile: f"{base}subtrees/{tile}.json?{query}",
            cap=lambda tile: f"{base}caps/{tile}.glb?{query}",
        )
        made = tileset(bounds, world.max_level, links, asset_of(world))
        return made if root.z else with_caps(made, bounds, _last_of_caps(world), links)

    return await json_reply(request, face.documents, make, etag_of(world, "tileset", root, options, query), world)
