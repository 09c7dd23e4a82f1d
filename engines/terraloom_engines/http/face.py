"""What the endpoints share: the worlds, and one way to obtain what a tile holds."""

from contextlib import nullcontext
from dataclasses import dataclass, field

from starlette.requests import Request

from terraloom_engines.content import Options, TileContent
from terraloom_engines.http.parameters import whole_number
from terraloom_engines.http.waiting import Admission, unless_disconnected
from terraloom_engines.selection import Priority, WorkClass
from terraloom_engines.server.callers import CALLER
from terraloom_engines.server.contents import ContentKey
from terraloom_engines.server.worlds import ServedWorld, Worlds
from terraloom_engines.store import MemoryStore
from terraloom_engines.tiling import TileId

__all__ = ["Face", "client_of", "face_of", "waited_for"]

DOCUMENT_BYTES = 32 << 20
"""Memory for tilesets; one takes 2 kB packed and 20 kB else."""


@dataclass(frozen=True, slots=True)
class Face:
    """The worlds behind the endpoints."""

    worlds: Worlds
    admission: Admission = field(default_factory=Admission)
    documents: MemoryStore = field(default_factory=lambda: MemoryStore(DOCUMENT_BYTES))
    """Tilesets as they were sent last."""

    async def world(self, request: Request) -> ServedWorld:
        """The world that the path and `?seed=` name.

        Raises NotFoundError or InvalidArgumentError for a wrong one, ResourceExhaustedError when too many are in use.
        """
        seed = whole_number("seed", request.query_params.get("seed", "0"))
        return await self.worlds.get(request.path_params["world"], seed)

    async def obtain(self, request: Request, served: ServedWorld, tile: TileId, options: Options) -> TileContent:
        """What a tile holds: from memory at once, else as its turn comes, coarse tiles first, for as long as the client waits.

        Tiles of the base cost next to nothing and are always let in: there is something to see while others wait.
        Raises ResourceExhaustedError when too many wait, CancelledError when the client has gone, and what generation raises.
        """
        key = ContentKey(tile, options)
        content = served.contents.cached(key)
        if content is not None:
            served.contents.scheduler.used(key)
        else:
            admission = self.admission() if tile.z > served.world.base_level else nullcontext()
            with admission, served.in_use():
                content = await unless_disconnected(request, served.contents.get(key, waited_for(tile.z), client_of(request)))
        return content


def waited_for(level: int) -> Priority:
    """Of what a request waits for: like what a viewpoint sees, coarse before fine."""
    return Priority(WorkClass.NEAR, 0.0, level, level)


def client_of(request: Request) -> str:
    """Who a request counts for in the queue: its token, else its host, since browsers have several connections."""
    caller = CALLER.get(None)
    if caller is not None and caller.name:
        return caller.name
    return f"http {request.client.host}" if request.client is not None else "http"


def face_of(request: Request) -> Face:
    """The face that serves a request."""
    face: Face = request.app.state.face
    return face
