"""Slippy maps: XYZ tiles as pictures, TileJSON that tells map libraries of them, and the heights of places."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from terraloom.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from terraloom_engines.content import GridOptions
from terraloom_engines.http.face import client_of, face_of, waited_for
from terraloom_engines.http.parameters import numbers, tile_of, whole_number
from terraloom_engines.http.replies import etag_of, is_fresh, reply, version_of
from terraloom_engines.http.waiting import unless_disconnected
from terraloom_engines.maps import FORMATS, MapOptions
from terraloom_engines.server.checks import count_in_range, in_range
from terraloom_engines.server.requests import PLANE_LIMIT, Sampling
from terraloom_engines.server.sampling import sampled_heights
from terraloom_engines.tiling import MAX_LATITUDE, TILE_SIZE, WorldKind
from terraloom_engines.world import World

__all__ = ["heights", "map_tile", "tilejson"]

ENCODINGS = {"terrain-rgb": "mapbox", "terrarium": "terrarium"}
"""What MapLibre calls the encodings of heights."""
_AXES = {WorldKind.PLANET: ("lon", "lat"), WorldKind.PLANE: ("x", "y")}
MOST_PLACES = 256
"""Places of one request for heights."""


async def map_tile(request: Request) -> Response:
    """`/{world}/{layer}/{z}/{x}/{y}.{format}`: a tile as a picture."""
    face = face_of(request)
    served = await face.world(request)
    tile = tile_of(request, served.world)
    layer, picture_format = request.path_params["layer"], request.path_params["format"]
    if picture_format not in FORMATS.get(layer, ()):
        raise NotFoundError(f"there is no {layer} as {picture_format}: there are {_layers()}")
    options = MapOptions(layer, picture_format, request.query_params.get("surface", "ground_or_water"))  # type: ignore[arg-type]  # it checks
    etag = etag_of(served.world, tile, options)
    body = None if is_fresh(request, etag) else (await face.obtain(request, served, tile, options)).picture
    return reply(request, body, options.media_type, etag, served.world)


def _layers() -> str:
    return ", ".join(f"{layer} as {' or '.join(formats)}" for layer, formats in FORMATS.items())


async def tilejson(request: Request) -> Response:
    """`/{world}/tilejson.json?layer=`: TileJSON 3.0.0 of a layer."""
    world = (await face_of(request).world(request)).world
    if world.kind is not WorldKind.PLANET:
        raise UnimplementedError(f"{world.name} is an unbounded plane, which TileJSON cannot describe: ask for its tiles by address")
    layer = request.query_params.get("layer", "imagery")
    picture_format = request.query_params.get("format", FORMATS.get(layer, ("",))[0])  # type: ignore[call-overload]
    MapOptions(layer, picture_format)  # type: ignore[arg-type]  # it checks
    query = urlencode({**({"seed": world.seed} if world.seed else {}), "v": version_of(world)})
    encoding = {"encoding": ENCODINGS[layer]} if layer in ENCODINGS else {}
    document = {
        "tilejson": "3.0.0",
        "name": f"{world.title}: {layer}",
        "attribution": world.attribution,
        "scheme": "xyz",
        "tiles": [f"{request.base_url}{world.name}/{layer}/{{z}}/{{x}}/{{y}}.{picture_format}?{query}"],
        "tileSize": TILE_SIZE,
        "minzoom": 0,
        "maxzoom": world.max_level,
        "bounds": [-180, -MAX_LATITUDE, 180, MAX_LATITUDE],
        "center": [0, 20, 2],
        **encoding,
    }
    return JSONResponse(document, headers={"Cache-Control": "no-cache"})


async def heights(request: Request) -> Response:
    """`/{world}/heights?lon=&lat=`: heights above mean sea level, in metres; several places with commas; `?x=&y=` on planes."""
    face, query = face_of(request), request.query_params
    served = await face.world(request)
    world = served.world
    east, north = _places(world, query)
    level = whole_number("level", query["level"]) if "level" in query else world.max_level
    count_in_range("level", level, world.min_level, world.max_level)
    surface = GridOptions(query.get("surface", "ground_or_water"))  # type: ignore[arg-type]  # it checks
    sampling = Sampling(world.kind, east, north, level, surface)
    with face.admission(), served.in_use():
        heights = sampled_heights(served.contents, sampling, waited_for(level), client_of(request))
        found, request.state.tiles = await unless_disconnected(request, heights)
    names = (*_AXES[world.kind], "height")
    points = [dict(zip(names, point, strict=True)) for point in zip(east, north, found.tolist(), strict=True)]
    return JSONResponse({"level": level, "surface": surface.surface, "points": points}, headers={"Cache-Control": "no-cache"})


def _places(world: World, query: Mapping[str, str]) -> tuple[list[float], list[float]]:
    """Longitudes and latitudes in degrees, or x and y in metres on a plane."""
    east, north = _AXES[world.kind]
    places = {name: numbers(name, query[name]) for name in (east, north) if name in query}
    if len(places) != 2 or len(places[east]) != len(places[north]):
        text = f"{east} and {north} are needed, as many of the one as of the other"
        raise InvalidArgumentError(text, field=east if north in places else north)
    count_in_range(f"{east} (its places)", len(places[east]), 1, MOST_PLACES)
    limits = {north: 90.0} if world.kind is WorldKind.PLANET else {east: PLANE_LIMIT, north: PLANE_LIMIT}
    for name, limit in limits.items():
        for value in places[name]:
            in_range(name, value, -limit, limit)
    return places[east], places[north]
