"""What a client may choose: how tiles are selected, how their content is made, how much may be under way."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from terraloom._tile import TileId
from terraloom.errors import InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb

TextureFormat = Literal["jpeg", "webp", "none"]
MeshCompression = Literal["none", "meshopt"]
"""Plain arrays; or KHR_mesh_quantization inside EXT_meshopt_compression."""
Surface = Literal["ground_or_water", "ground"]
"""What a vehicle meets, ground or water; or the ground everywhere, sea floor included."""


def surface_message(surface: Surface) -> pb.Surface.ValueType:
    """A surface on the wire; raises `InvalidArgumentError` for an unknown one."""
    _require_known("surface", surface, get_args(Surface))
    return pb.Surface.Value(f"SURFACE_{surface.upper()}")


def _require_known(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        name = field.rpartition(".")[2]
        raise InvalidArgumentError(f"{name} = {value!r} is unknown: allowed are {', '.join(allowed)}", field=field, allowed=allowed)


@dataclass(frozen=True, slots=True)
class ScreenSpaceError:
    """Refine while a tile's geometric error, seen from the viewpoint, exceeds `target_pixels` lines (3D Tiles, Cesium)."""

    target_pixels: float = 16.0


@dataclass(frozen=True, slots=True)
class Radius:
    """Refine the tiles within `radius` metres on the ground below the viewpoint to `level`; needs no camera."""

    radius: float
    level: int


@dataclass(frozen=True, slots=True)
class Region:
    """The tiles of `level` that touch a rectangle: in degrees, where west > east crosses the antimeridian, or in metres on a plane."""

    west: float
    south: float
    east: float
    north: float
    level: int

    def message(self) -> pb.Rectangle:
        """The rectangle on the wire."""
        return pb.Rectangle(west=self.west, south=self.south, east=self.east, north=self.north)


@dataclass(frozen=True, slots=True)
class ClassCredit:
    """How much of a window tiles of one class and of all less urgent ones may take together; 0 leaves it to the server."""

    bytes: int = 0
    tiles: int = 0


WorkClass = Literal["near", "far", "prefetch"]
"""What tiles for the eye are for, most urgent first: visible and coarse by far, visible, needed soon."""


@dataclass(frozen=True, slots=True)
class Credit:
    """How much may be under way unacknowledged.

    With `bytes` 0 the server measures the connection and chooses: as much as it takes to keep the connection busy, and no more, for what is
    under way stands before an urgent tile; at most `most_bytes`. 0 of the others takes the server's default. A class of tiles
    leaves part of the window to those that are more urgent, unless `classes` says how much it may take.
    """

    bytes: int = 0
    tiles: int = 0
    most_bytes: int = 0
    classes: Mapping[WorkClass, ClassCredit] = field(default_factory=lambda: MappingProxyType({}))

    def message(self) -> pb.Credit:
        """The window on the wire; raises `InvalidArgumentError` for an unknown class."""
        message = pb.Credit(bytes=self.bytes, tiles=self.tiles, most_bytes=self.most_bytes)
        for name, part in self.classes.items():
            _require_known("credit.classes", name, get_args(WorkClass))
            message.classes.add(priority=pb.Priority.Value(f"PRIORITY_{name.upper()}"), bytes=part.bytes, tiles=part.tiles)
        return message


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How a stream tries to go on when its connection is lost; all in seconds.

    The first attempt comes after `first_pause`, each further one after twice the pause before, up to `longest_pause`. After `patience`
    the stream ends with the error that cut it off.
    """

    first_pause: float = 0.05
    longest_pause: float = 1.0
    patience: float = 120.0

    def __post_init__(self) -> None:
        if not (0.0 < self.first_pause <= self.longest_pause < math.inf and self.patience >= 0.0):
            allowed = "pauses are above 0, the longest not below the first, and patience is 0 or more"
            raise InvalidArgumentError(f"{self!r} is no way to try again: {allowed}", field="reconnect")


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """How content is made: quads per tile side (32, 64 or 128), texture, material, surface, compression of the mesh.

    `texture_quality` is 1..100, which is lossless for WebP, or 0, the server's default. `compression` "meshopt" makes a tile of 64 segments
    about a quarter as large; `Tile.mesh()` reads it, many other readers of glTF do not. So a single tile has none and streams have it.
    """

    segments: int = 64
    texture_format: TextureFormat = "jpeg"
    texture_quality: int = 0
    unlit: bool = False
    surface: Surface = "ground_or_water"
    compression: MeshCompression = "none"

    def message(self) -> pb.ContentOptions:
        """The options on the wire; raises `InvalidArgumentError` for an unknown texture format, surface or compression."""
        _require_known("content.texture_format", self.texture_format, get_args(TextureFormat))
        _require_known("content.compression", self.compression, get_args(MeshCompression))
        texture_format = pb.TextureFormat.Value(f"TEXTURE_FORMAT_{self.texture_format.upper()}")
        return pb.ContentOptions(
            segments=self.segments,
            texture_format=texture_format,
            texture_quality=self.texture_quality,
            unlit=self.unlit,
            surface=surface_message(self.surface),
            compression=pb.MeshCompression.Value(f"MESH_COMPRESSION_{self.compression.upper()}"),
        )


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Choices of one stream; the defaults are those of a visual client.

    `min_level` and `max_level` (None: the world's finest) bound the levels sent; a `Region` goes down to its own level. `have` maps tiles
    that the client still holds to their content hashes; they are not sent again. `reconnect` None ends the stream with its connection. A
    tile that is needed and not there after `provisional` seconds comes as a stand-in made from coarser ground (`Tile.provisional`), which
    its final content replaces; None waits.
    """

    selection: ScreenSpaceError | Radius | Region = ScreenSpaceError()
    min_level: int = 0
    max_level: int | None = None
    content: ContentOptions = ContentOptions(compression="meshopt")
    credit: Credit = Credit()
    have: Mapping[TileId, bytes] = field(default_factory=lambda: MappingProxyType({}))
    reconnect: Reconnect | None = Reconnect()
    provisional: float | None = None

    def selection_message(self) -> pb.Selection:
        """The selection on the wire."""
        message = pb.Selection(min_level=self.min_level, max_level=self.max_level)
        if isinstance(self.selection, Radius):
            message.radius.radius = self.selection.radius
            message.radius.level = self.selection.level
        elif isinstance(self.selection, Region):
            message.region.CopyFrom(self.selection.message())
            message.max_level = self.selection.level
        else:
            message.screen_space_error.target_pixels = self.selection.target_pixels
        return message

    def message(self, world: pb.WorldId, client: str) -> pb.OpenSessionRequest:
        """The request that opens a session with these options."""
        return pb.OpenSessionRequest(
            protocol_version=pb.PROTOCOL_VERSION_1,
            world=world,
            selection=self.selection_message(),
            content=self.content.message(),
            credit=self.credit.message(),
            have=[pb.HeldTile(id=tile.message(), content_hash=content_hash) for tile, content_hash in self.have.items()],
            client=client,
            provisional_seconds=self.provisional or 0.0,
        )
