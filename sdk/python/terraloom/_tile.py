"""What a stream delivers: tiles, changes of the set of tiles to draw, and tiles that may be freed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from terraloom._placed import Placed
from terraloom.errors import TerraloomError
from terraloom.v1 import terraloom_pb2 as pb

if TYPE_CHECKING:
    from terraloom._glb import Mesh


class TileId(NamedTuple):
    """Address of a tile: level `z`, column `x` eastward, row `y` southward (XYZ slippy-map scheme, 256 px tiles).

    In plane worlds x and y count from the origin and have signs.
    """

    z: int
    x: int
    y: int

    def __str__(self) -> str:
        return f"{self.z}/{self.x}/{self.y}"

    def message(self) -> pb.TileId:
        """The address on the wire."""
        return pb.TileId(z=self.z, x=self.x, y=self.y)


def tile_id(message: pb.TileId) -> TileId:
    """The address from the wire."""
    return TileId(message.z, message.x, message.y)


@dataclass(frozen=True, slots=True)
class Tile(Placed):
    """One tile as received; heights and errors in metres, heights above mean sea level.

    `glb` is glTF 2.0 binary in the tile's own frame (X east, Y up, Z south), in streams compressed unless asked otherwise (see
    `ContentOptions`); `transform` are the 16 numbers, row by row, that `world_from_tile` shapes. `geometric_error` is that of 3D Tiles.
    `refined_level` is below `id.z` only in provisional tiles.
    """

    id: TileId
    glb: bytes = field(repr=False)
    transform: tuple[float, ...] = field(repr=False)
    min_height: float
    max_height: float
    geometric_error: float
    content_hash: bytes
    refined_level: int
    provisional: bool
    delivery: int
    view_sequence: int
    on_plane: bool = False
    """Whether the tile is of a plane world, not of a planet."""

    def mesh(self) -> "Mesh":
        """The GLB as arrays; raises `DataLossError` when it is not valid glTF."""
        from terraloom._glb import read_glb

        return read_glb(self.glb)


def tile_from_message(message: pb.Tile) -> Tile:
    """A tile from the wire."""
    return Tile(
        id=tile_id(message.id),
        glb=message.glb,
        transform=tuple(message.plane_from_tile or message.ecef_from_tile),
        min_height=message.min_height,
        max_height=message.max_height,
        geometric_error=message.geometric_error,
        content_hash=message.content_hash,
        refined_level=message.refined_level,
        provisional=message.provisional,
        delivery=message.delivery,
        view_sequence=message.view_sequence,
        on_plane=bool(message.plane_from_tile),
    )


@dataclass(frozen=True, slots=True)
class VisibleChange:
    """One atomic change of the set of tiles to draw: what is hidden is covered by what is shown. A tile that is drawn already and shown
    again takes the place of its provisional content.

    `complete` says that the set now is all that the view numbered `view_sequence` asks for.
    """

    show: tuple[TileId, ...]
    hide: tuple[TileId, ...]
    view_sequence: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """Tiles that the server counts as no longer held: the client may free them."""

    tiles: tuple[TileId, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A tile that the server could not make, and why; the stream goes on."""

    tile: TileId | None
    error: TerraloomError


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost, and why. The stream tries to open it again; what was drawn and held stays."""

    error: TerraloomError


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The stream goes on in a new session, `seconds` after the connection was lost and after so many `attempts`.

    With `world_changed` the server generates another world now: what was drawn was hidden and what was held was removed, in the two events
    before this one.
    """

    world_changed: bool
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StepComplete:
    """The step numbered `view_sequence` of a lockstep session is complete; `state_hash` is over all that is held and drawn now."""

    view_sequence: int
    sim_time: float
    state_hash: bytes


Notice = VisibleChange | Removed | Failed | Disconnected | Reconnected | StepComplete
"""What streams tell of besides tiles."""
Event = Tile | Notice
"""What `AsyncStream.events` yields."""
