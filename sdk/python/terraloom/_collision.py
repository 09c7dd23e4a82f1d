"""Streams of the ground that a body may touch, on a connection of their own."""

from collections.abc import Collection
from dataclasses import dataclass, field

from terraloom._async_stream import AsyncTileStream
from terraloom._connection import Connection
from terraloom._heights import HeightTile, height_tile_from_message
from terraloom._options import ContentOptions, Credit, Reconnect, Surface
from terraloom._tile import Notice, Removed, TileId
from terraloom._view import AnyView
from terraloom.v1 import terraloom_pb2 as pb


@dataclass(frozen=True, slots=True)
class CollisionOptions:
    """Which ground a body needs: all within `radius` metres below the viewpoint, whatever its height, at one `level`.

    `level` None is the world's finest; `radius` is at most what takes 1,024 tiles. `have` are tiles that the client still holds from an
    earlier stream; they are not sent again. `reconnect` None ends the stream with its connection. With `provisional`, ground that is needed
    and not there after so many seconds comes as a stand-in made from coarser ground (`HeightTile.provisional`), and changes when the final
    one replaces it; with None a tile never changes.
    """

    radius: float = 200.0
    level: int | None = None
    surface: Surface = "ground_or_water"
    credit: Credit = Credit()
    have: Collection[HeightTile] = field(default=(), repr=False)
    reconnect: Reconnect | None = Reconnect()
    provisional: float | None = None

    def message(self, world: pb.WorldId, client: str) -> pb.OpenSessionRequest:
        """The request that opens a session with these options."""
        return pb.OpenSessionRequest(
            protocol_version=pb.PROTOCOL_VERSION_1,
            world=world,
            selection=pb.Selection(radius=pb.Radius(radius=self.radius, level=self.level or 0)),
            content=ContentOptions(surface=self.surface).message(),
            credit=self.credit.message(),
            have=[pb.HeldTile(id=tile.id.message(), content_hash=tile.content_hash) for tile in self.have],
            priorities=[pb.PRIORITY_COLLISION],
            client=client,
            provisional_collision_seconds=self.provisional or 0.0,
        )


class AsyncCollisionStream(AsyncTileStream[HeightTile]):
    """The ground near a moving viewpoint and ahead of it, as height grids of one level. See `AsyncTileStream` for all that it does.

    `ground` are the tiles that the client has: those taken, less those freed. A tile in it never changes, and neighbours share the heights
    of their edge, bit for bit. `complete` says that all ground within the radius of the newest view is among them.
    """

    _kind = HeightTile

    def __init__(self, server: Connection, opening: pb.OpenSessionRequest, view: AnyView, options: CollisionOptions) -> None:
        super().__init__(server, opening, view, options.reconnect)
        self.ground: dict[TileId, HeightTile] = {tile.id: tile for tile in options.have}

    def _decode(self, message: pb.Tile) -> HeightTile:
        return height_tile_from_message(message)

    def _take(self, connection: int, event: HeightTile | Notice) -> HeightTile | Notice:
        taken = super()._take(connection, event)
        if isinstance(taken, HeightTile):
            self.ground[taken.id] = taken
        elif isinstance(taken, Removed):
            for tile in taken.tiles:
                self.ground.pop(tile, None)
        return taken
