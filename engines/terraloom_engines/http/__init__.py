"""The HTTP face: 3D Tiles, map tiles and what tells of them, out of the same contents as the gRPC face, in the same process.

Read it in this order:

    problems    errors as problem+json
    guard       who calls, and within which limits
    waiting     wait for a tile while its client does, and not for too many at once
    replies     bytes with validators, cache lifetimes and compression
    parameters  paths and queries to values, checked
    face        what the endpoints share
    planes      3D Tiles of planes: implicit tilesets round a place
    tiles3d     3D Tiles of planets: tilesets and GLBs
    maps        slippy map tiles, TileJSON, heights
    about       worlds and health
    metrics     what Prometheus reads
    routes      every path, its handler and what is said of it
    openapi     the same for programs and for people
    pages       the viewer and the map, built from sdk/web
    protocol    heads of requests, bounded
    app         the server from start to drain
"""

from terraloom_engines.http.app import HttpServer

__all__ = ["HttpServer"]
