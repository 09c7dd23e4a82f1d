"""What the endpoints share: the worlds, and one way to obtain what a tile holds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.requests import Request

from terraloom_engines.content import Options, TileContent
from terraloom_engines.http.parameters import whole_number
from terraloom_engines.http.waiting import Admission, unless_disconnected
from terraloom_engines.selection import Priority, WorkClass
from terraloom_engines.server.contents import ContentKey, Contents
from terraloom_engines.tiling import TileId
from terraloom_engines.world import World

__all__ = ["Face", "Served", "face_of"]


class Served(NamedTuple):
    """A world that is open, and its contents."""

    world: World
    contents: Contents


@dataclass(frozen=True, slots=True)
class Face:
    """The worlds behind the endpoints."""

    open: Callable[[str, int], Awaitable[Served]]
    """Opens a world by name and seed. Raises NotFoundError, InvalidArgumentError or ResourceExhaustedError."""
    known: Callable[[], Sequence[World]]
    """Worlds to tell of, the default one first."""
    admission: Admission = field(default_factory=Admission)

    async def world(self, request: Request) -> Served:
        """The world that the path and `?seed=` name."""
        return await self.open(request.path_params["world"], whole_number("seed", request.query_params.get("seed", "0")))

    async def obtain(self, request: Request, served: Served, tile: TileId, options: Options) -> TileContent:
        """What a tile holds: from memory at once, else as its turn comes, coarse tiles first, for as long as the client waits.

        Raises ResourceExhaustedError when too many wait, CancelledError when the client has gone, and what generation raises.
        """
        key = ContentKey(tile, options)
        content = served.contents.cached(key)
        if content is None:
            with self.admission():
                content = await unless_disconnected(request, served.contents.get(key, Priority(WorkClass.NEAR, 0.0, tile.z)))
        return content


def face_of(request: Request) -> Face:
    """The face that serves a request."""
    face: Face = request.app.state.face
    return face
