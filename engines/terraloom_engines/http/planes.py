"""3D Tiles of planes: a tileset round a place, implicit below its four roots."""

import math
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.content import BoundsOptions
from terraloom_engines.geodesy import ecef_from_geodetic
from terraloom_engines.http.face import Face, face_of
from terraloom_engines.http.parameters import content_options, numbers, passed_on, whole_number
from terraloom_engines.http.replies import GLB_TYPE, asset_of, etag_of, is_fresh, json_reply, reply
from terraloom_engines.implicit import ROOT_LEVEL, SCHEMA, SUBTREE_LEVELS, address, implicit_root, root_from_tile, roots_round, subtree
from terraloom_engines.server.checks import in_range
from terraloom_engines.server.worlds import ServedWorld
from terraloom_engines.tileset import ALWAYS_REFINED, georeferenced_glb
from terraloom_engines.tiling import MAX_LEVEL, PLANE_REACH, TileId, WorldKind

__all__ = ["local_glb", "local_subtree", "plane_tileset"]

SUBTREE_TYPE = "application/octet-stream"
BOUNDS = BoundsOptions(SUBTREE_LEVELS)


async def plane_tileset(request: Request, face: Face, served: ServedWorld) -> Response:
    """A tileset whose origin is `?x=&y=`; with `?lon=&lat=` it touches the ellipsoid there, for clients that draw a globe."""
    world, given = served.world, request.query_params
    x, y = (in_range(name, _number(name, given.get(name, "0")), -PLANE_REACH / 2, PLANE_REACH / 2) for name in "xy")
    query = passed_on(world, given)

    async def make() -> dict[str, Any]:
        roots = []
        for tile in roots_round(x, y):
            bounds = (await face.obtain(request, served, tile, BOUNDS)).bounds
            assert bounds is not None, "BoundsOptions make bounds"
            base = f"local/{tile.x}/{tile.y}"
            content, subtrees = f"{base}/tiles/{{level}}/{{x}}/{{y}}.glb?{query}", f"{base}/subtrees/{{level}}/{{x}}/{{y}}.subtree?{query}"
            roots.append(implicit_root(bounds, x, y, content, subtrees))
        here = {"geometricError": ALWAYS_REFINED, "refine": "REPLACE", **_placement(request)}
        root = {"boundingVolume": _covering(roots), **here, "children": roots}
        return {"asset": {"version": "1.1", **asset_of(world)}, "schema": SCHEMA, "geometricError": ALWAYS_REFINED, "root": root}

    return await json_reply(request, face.documents, make, etag_of(world, x, y, _placement(request), query), world)


async def local_subtree(request: Request) -> Response:
    """`/{world}/local/{column}/{row}/subtrees/{z}/{x}/{y}.subtree`: what there is below a tile of an implicit tileset."""
    face, (served, root, tile) = face_of(request), await _addressed(request)
    if (tile.z - root.z) % SUBTREE_LEVELS:
        raise NotFoundError(f"no subtree starts at level {tile.z - root.z}: they start at multiples of {SUBTREE_LEVELS}")
    etag = etag_of(served.world, "subtree", tile, BOUNDS)
    if is_fresh(request, etag):
        return reply(request, None, SUBTREE_TYPE, etag, served.world)
    bounds = (await face.obtain(request, served, tile, BOUNDS)).bounds
    assert bounds is not None, "BoundsOptions make bounds"
    return reply(request, subtree(root, bounds), SUBTREE_TYPE, etag, served.world)


async def local_glb(request: Request) -> Response:
    """`/{world}/local/{column}/{row}/tiles/{z}/{x}/{y}.glb`: the content of a tile of an implicit tileset."""
    face, (served, root, tile) = face_of(request), await _addressed(request)
    options = content_options(request.query_params)
    etag = etag_of(served.world, "local", tile, options)
    if is_fresh(request, etag):
        return reply(request, None, GLB_TYPE, etag, served.world)
    content = await face.obtain(request, served, tile, options)
    return reply(request, georeferenced_glb(content.glb, root_from_tile(root, tile)), GLB_TYPE, etag, served.world)


async def _addressed(request: Request) -> tuple[ServedWorld, TileId, TileId]:
    """The world, the root and the tile that a path names."""
    served = await face_of(request).world(request)
    if served.world.kind is not WorldKind.PLANE:
        raise NotFoundError(f"{served.world.name} is a planet, whose tileset is not implicit: open its tileset.json")
    column, row, level, x, y = (whole_number(name, request.path_params[name]) for name in ("column", "row", "z", "x", "y"))
    if not 0 <= level <= MAX_LEVEL - ROOT_LEVEL or not (0 <= x < 1 << level and 0 <= y < 1 << level):
        raise NotFoundError(f"there is no tile {level}/{x}/{y} below a root: levels go from 0 to {MAX_LEVEL - ROOT_LEVEL}")
    try:
        root = TileId(ROOT_LEVEL, column, row, WorldKind.PLANE)
    except InvalidArgumentError as error:
        raise NotFoundError(str(error)) from None
    return served, root, address(root, level, x, y)


def _number(name: str, text: str) -> float:
    found = numbers(name, text)
    if len(found) != 1:
        raise InvalidArgumentError(f"{name} = {text[:40]!r} is not one number", field=name)
    return found[0]


def _placement(request: Request) -> dict[str, list[float]]:
    """The transform of the tileset's root: where on the ellipsoid its origin is, if anywhere."""
    given = {name: text for name, text in request.query_params.items() if name in ("lon", "lat")}
    if not given:
        return {}
    if len(given) == 1:
        raise InvalidArgumentError("lon and lat go together: one of them is missing", field="lat" if "lon" in given else "lon")
    longitude = in_range("lon", _number("lon", given["lon"]), -180.0, 180.0)
    latitude = in_range("lat", _number("lat", given["lat"]), -90.0, 90.0)
    lam, phi = math.radians(longitude), math.radians(latitude)
    matrix = np.eye(4)
    matrix[:3, 0] = (-math.sin(lam), math.cos(lam), 0.0)
    matrix[:3, 1] = (-math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi))
    matrix[:3, 2] = (math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi))
    matrix[:3, 3] = ecef_from_geodetic(longitude, latitude, 0.0)
    return {"transform": matrix.T.ravel().tolist()}


def _covering(roots: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The box round the roots in the frame of the tileset."""
    corners = []
    for root in roots:
        box, offset = np.array(root["boundingVolume"]["box"]), np.array(root["transform"][12:15])
        half = box[[3, 7, 11]]
        corners += [box[:3] + offset - half, box[:3] + offset + half]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return {"box": [*((low + high) / 2).tolist(), *np.diag((high - low) / 2).ravel().tolist()]}
