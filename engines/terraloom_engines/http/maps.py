"""Slippy maps: XYZ tiles as pictures, TileJSON that tells map libraries of them, and the heights of places."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from terraloom.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from terraloom_engines.content import GridOptions
from terraloom_engines.http.face import face_of, waited_for
from terraloom_engines.http.parameters import numbers, tile_of, whole_number
from terraloom_engines.http.replies import etag_of, is_fresh, reply, version_of
from terraloom_engines.http.waiting import unless_disconnected
from terraloom_engines.maps import FORMATS, MapOptions
from terraloom_engines.server.checks import count_in_range, in_range
from terraloom_engines.server.requests import Sampling
from terraloom_engines.server.sampling import sampled_heights
from terraloom_engines.tiling import MAX_LATITUDE, TILE_SIZE, WorldKind

__all__ = ["heights", "map_tile", "tilejson"]

ENCODINGS = {"terrain-rgb": "mapbox", "terrarium": "terrarium"}
"""What MapLibre calls the encodings of heights."""
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
    """`/{world}/heights?lon=&lat=`: heights above mean sea level, in metres; several places with commas between them."""
    face, query = face_of(request), request.query_params
    served = await face.world(request)
    places = {name: numbers(name, query[name]) for name in ("lon", "lat") if name in query}
    if len(places) != 2 or len(places["lon"]) != len(places["lat"]):
        raise InvalidArgumentError("lon and lat are needed, as many of the one as of the other", field="lon" if "lat" in places else "lat")
    count_in_range("lon (its places)", len(places["lon"]), 1, MOST_PLACES)
    for latitude in places["lat"]:
        in_range("lat", latitude, -90.0, 90.0)
    level = whole_number("level", query["level"]) if "level" in query else served.world.max_level
    count_in_range("level", level, 0, served.world.max_level)
    surface = GridOptions(query.get("surface", "ground_or_water"))  # type: ignore[arg-type]  # it checks
    sampling = Sampling(served.world.kind, places["lon"], places["lat"], level, surface)
    with face.admission(), served.in_use():
        found = await unless_disconnected(request, sampled_heights(served.contents, sampling, waited_for(level)))
    points = [
        {"lon": longitude, "lat": latitude, "height": height}
        for longitude, latitude, height in zip(places["lon"], places["lat"], found.tolist(), strict=True)
    ]
    return JSONResponse({"level": level, "surface": surface.surface, "points": points}, headers={"Cache-Control": "no-cache"})
