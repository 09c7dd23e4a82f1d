"""Python client of Terraloom, a server that streams a generated Earth as glTF tiles around moving viewpoints.

    import terraloom

    with terraloom.connect("127.0.0.1:50051") as client:
        view = terraloom.View(longitude=7.66, latitude=45.98, height=5000.0, velocity=(120.0, 0.0, 0.0))
        with client.stream(view) as stream:
            for tile in stream:
                print(tile.id, tile.mesh().positions.shape, stream.counters.latency(0.95))

Names are loaded on first use: `import terraloom` takes milliseconds and loads neither gRPC nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terraloom._async_client import AsyncClient
    from terraloom._async_stream import AsyncStream
    from terraloom._client import Client, CollisionStream, Lockstep, Stream, connect
    from terraloom._collision import AsyncCollisionStream, CollisionOptions
    from terraloom._connection import Tls
    from terraloom._counters import Counters
    from terraloom._glb import Mesh
    from terraloom._heights import Heightfield, HeightGrid, HeightTile
    from terraloom._lockstep import AsyncLockstep, Step
    from terraloom._options import ClassCredit, ContentOptions, Credit, Radius, Reconnect, Region, ScreenSpaceError, StreamOptions
    from terraloom._tile import Disconnected, Event, Failed, Reconnected, Removed, Tile, TileId, VisibleChange
    from terraloom._view import Camera, PlaneView, PlaneWaypoint, View, Waypoint

_MODULE_OF = {
    "AsyncClient": "_async_client",
    "AsyncCollisionStream": "_collision",
    "AsyncLockstep": "_lockstep",
    "AsyncStream": "_async_stream",
    "Camera": "_view",
    "ClassCredit": "_options",
    "Client": "_client",
    "CollisionOptions": "_collision",
    "CollisionStream": "_client",
    "ContentOptions": "_options",
    "Counters": "_counters",
    "Credit": "_options",
    "Disconnected": "_tile",
    "Event": "_tile",
    "Failed": "_tile",
    "HeightGrid": "_heights",
    "HeightTile": "_heights",
    "Heightfield": "_heights",
    "Lockstep": "_client",
    "Mesh": "_glb",
    "PlaneView": "_view",
    "PlaneWaypoint": "_view",
    "Radius": "_options",
    "Reconnect": "_options",
    "Reconnected": "_tile",
    "Region": "_options",
    "Removed": "_tile",
    "ScreenSpaceError": "_options",
    "Step": "_lockstep",
    "Stream": "_client",
    "StreamOptions": "_options",
    "Tile": "_tile",
    "TileId": "_tile",
    "Tls": "_connection",
    "View": "_view",
    "VisibleChange": "_tile",
    "Waypoint": "_view",
    "connect": "_client",
}

__all__ = [
    "AsyncClient",
    "AsyncCollisionStream",
    "AsyncLockstep",
    "AsyncStream",
    "Camera",
    "ClassCredit",
    "Client",
    "CollisionOptions",
    "CollisionStream",
    "ContentOptions",
    "Counters",
    "Credit",
    "Disconnected",
    "Event",
    "Failed",
    "HeightGrid",
    "HeightTile",
    "Heightfield",
    "Lockstep",
    "Mesh",
    "PlaneView",
    "PlaneWaypoint",
    "Radius",
    "Reconnect",
    "Reconnected",
    "Region",
    "Removed",
    "ScreenSpaceError",
    "Step",
    "Stream",
    "StreamOptions",
    "Tile",
    "TileId",
    "Tls",
    "View",
    "VisibleChange",
    "Waypoint",
    "connect",
]


def __getattr__(name: str) -> Any:
    """Load the module behind a public name on its first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'terraloom' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"terraloom.{_MODULE_OF[name]}"), name)
    return value
