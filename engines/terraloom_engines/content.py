"""Content: what a client gets for a tile."""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Literal, TypeAlias, get_args

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from terraloom.errors import CancelledError, DataLossError, InvalidArgumentError
from terraloom_engines.accessors import MeshCompression
from terraloom_engines.bounds import HeightBounds, decode_bounds, encode_bounds, height_bounds
from terraloom_engines.field import ELEVATION_UNIT
from terraloom_engines.geodesy import world_from_tile
from terraloom_engines.gltf import Material, encode_glb
from terraloom_engines.heights import GRID_SIDE, HeightGrid, build_height_grid
from terraloom_engines.maps import MapOptions, encode_map_tile
from terraloom_engines.mesh import SEGMENTS, TileMesh, build_mesh, geometric_error, surface_elevation
from terraloom_engines.polar import sector_mesh, sector_picture
from terraloom_engines.spans import span
from terraloom_engines.texture import GUTTER, TextureFormat, encode_picture, surface_colour
from terraloom_engines.tiling import TileId
from terraloom_engines.upsampled import upsampled
from terraloom_engines.world import World

__all__ = [
    "BoundsOptions",
    "CapOptions",
    "ContentOptions",
    "GridOptions",
    "Options",
    "Surface",
    "TileContent",
    "build_content",
    "build_stand_in",
    "content_hash",
    "decode_content",
    "encode_content",
]

_FORMAT = "content 2"
"""Version of all that turns a field into content; another one gives other hashes."""
_ENCODER = f"pillow {PIL.__version__} jpeg {features.version('jpg')} webp {features.version('webp')} meshopt {version('meshopt')}"
_HEADER = struct.Struct("<4sdd")
_GLB, _GRID, _BOUNDS, _PICTURE = b"TLC1", b"TLG1", b"TLB1", b"TLM1"

Surface = Literal["ground_or_water", "ground"]
"""What a vehicle meets, ground or water; or the ground, sea floor included."""


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """How content is made. `segments`: quads along a side, 32, 64 or 128. `texture_quality`: 1 to 100, which is lossless for WebP.

    `surface`: what a vehicle meets, ground or water, or the ground with the sea floor. `compression`: of the mesh, "none" or "meshopt"
    (KHR_mesh_quantization inside EXT_meshopt_compression). Raises InvalidArgumentError for other values.
    """

    segments: int = 64
    texture_format: TextureFormat | Literal["none"] = "jpeg"
    texture_quality: int = 90
    unlit: bool = False
    surface: Surface = "ground_or_water"
    compression: MeshCompression = "none"

    def __post_init__(self) -> None:
        _one_of("segments", self.segments, SEGMENTS)
        _one_of("texture_format", self.texture_format, ("jpeg", "webp", "none"))
        _one_of("surface", self.surface, get_args(Surface))
        _one_of("compression", self.compression, get_args(MeshCompression))
        if not 1 <= self.texture_quality <= 100:
            raise InvalidArgumentError(f"texture_quality={self.texture_quality} is out of range: allowed are 1 to 100")


@dataclass(frozen=True, slots=True)
class CapOptions:
    """How the sector of a polar cap poleward of a tile is made: as contents of tiles are."""

    content: ContentOptions = field(default_factory=ContentOptions)


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What a height grid is of. Raises InvalidArgumentError for other values."""

    surface: Surface = "ground_or_water"

    def __post_init__(self) -> None:
        _one_of("surface", self.surface, get_args(Surface))


@dataclass(frozen=True, slots=True)
class BoundsOptions:
    """Height bounds of a tile and its descendants, `levels` levels in all, from the rasters `depth` levels below it."""

    levels: int = 3
    depth: int = 0


Options: TypeAlias = ContentOptions | CapOptions | GridOptions | BoundsOptions | MapOptions
"""What is made of a tile: its GLB, that of the polar cap beyond it, a height grid, bounds, or a picture for maps."""


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise InvalidArgumentError(f"{name}={value!r} is not allowed: choose one of {', '.join(map(str, allowed))}")


@dataclass(frozen=True, slots=True)
class TileContent:
    """One tile as it is sent: a GLB, or no GLB and a height grid, bounds of heights, or a picture for maps.

    Heights are metres above mean sea level, skirts left out; `geometric_error` is that of 3D Tiles. `world_from_tile` is float64,
    shape (4, 4), for column vectors on glTF axes (X east, Y up, Z south, metres).
    """

    tile: TileId
    glb: bytes = field(repr=False)
    world_from_tile: NDArray[np.float64] = field(repr=False)
    min_height: float
    max_height: float
    geometric_error: float
    content_hash: bytes
    height_grid: HeightGrid | None = field(default=None, repr=False)
    bounds: HeightBounds | None = field(default=None, repr=False)
    picture: bytes | None = field(default=None, repr=False)
    refined_level: int | None = None
    """Of a stand-in, the level of the ancestor that it was made from."""

    @property
    def payload_bytes(self) -> int:
        """Bytes of the GLB, or of the height grid as sent."""
        return len(self.glb) if self.height_grid is None else self.height_grid.values.nbytes


def content_hash(identity: str, tile: TileId, options: Options) -> bytes:
    """Hash (16 bytes) of all that determines the content of a tile; known before the content is made, which spares making what is held.

    Equal hashes hold equal bytes, since a tile is a function of the world's `identity`, its address, the options and the encoders.
    """
    text = "|".join([_FORMAT, _ENCODER, identity, str(tile), repr(options)])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def build_content(world: World, tile: TileId, options: Options, cancelled: Callable[[], bool]) -> TileContent:
    """Generates a tile's field and makes it content. Raises CancelledError when `cancelled()` turns true before its field is there.

    From then on only what needs further fields is given up: mesh and encoding cost little beside the field, and are kept.
    """
    raster = world.field(tile, cancelled)
    if isinstance(options, BoundsOptions | CapOptions) and cancelled():
        raise CancelledError(f"tile {tile} is no longer wanted")
    digest = content_hash(world.identity, tile, options)
    if isinstance(options, BoundsOptions):
        return _bounds_content(height_bounds(tile, options.levels, world.field, world.base_level, options.depth), digest)
    if isinstance(options, CapOptions):
        mesh = sector_mesh(tile, world.field, options.content.segments, water=options.content.surface == "ground_or_water")
        return _mesh_content(world, mesh, lambda: sector_picture(tile, world.field), options.content, digest)
    water = options.surface == "ground_or_water"
    if isinstance(options, MapOptions):
        surface = surface_elevation(raster.crop(0), water=water)
        heights = float(surface.min()) * ELEVATION_UNIT, float(surface.max()) * ELEVATION_UNIT
        return _picture_content(tile, encode_map_tile(raster, options), heights, digest)
    if isinstance(options, GridOptions):
        return _grid_content(build_height_grid(raster, water=water), digest)
    with span("mesh", segments=options.segments):
        mesh = build_mesh(raster, options.segments, water=water)
    return _mesh_content(world, mesh, lambda: surface_colour(raster.crop(GUTTER)), options, digest)


def stand_in_hash(identity: str, tile: TileId, options: Options, level: int) -> bytes:
    """Hash (16 bytes) of the content that stands in for a tile, made from its ancestor of `level`."""
    return hashlib.blake2b(content_hash(identity, tile, options) + f"from level {level}".encode(), digest_size=16).digest()


def build_stand_in(world: World, tile: TileId, options: ContentOptions | GridOptions) -> TileContent | None:
    """Content that looks like a tile as far as what is at hand tells; None when that is nothing, or the tile itself. Some milliseconds."""
    known = world.at_hand(tile)
    if known is None or known.tile == tile:
        return None
    raster, digest = upsampled(known, tile), stand_in_hash(world.identity, tile, options, known.tile.z)
    water = options.surface == "ground_or_water"
    if isinstance(options, GridOptions):
        return replace(_grid_content(build_height_grid(raster, water=water), digest), refined_level=known.tile.z)
    mesh = build_mesh(raster, options.segments, water=water)
    content = _mesh_content(world, mesh, lambda: surface_colour(raster.crop(GUTTER)), options, digest)
    return replace(content, refined_level=known.tile.z)


def _mesh_content(
    world: World, mesh: TileMesh, colours: Callable[[], NDArray[np.uint8]], options: ContentOptions, digest: bytes
) -> TileContent:
    """A mesh and the colours of its texture as a GLB."""
    shape, quality = options.texture_format, options.texture_quality
    with span("encode", texture=shape, compression=options.compression):
        texture = encode_picture(colours(), shape, quality) if shape != "none" else None
        glb = encode_glb(mesh, Material(texture, options.unlit), world.attribution, options.compression)
    return _glb_content(mesh.tile, glb, (mesh.min_height, mesh.max_height), digest)


def encode_content(content: TileContent) -> bytes:
    """`content` as bytes for a store, under a key made of its hash."""
    grid, bounds = content.height_grid, content.bounds
    magic, payload = (_GLB, content.glb) if grid is None else (_GRID, grid.values.astype("<i4").tobytes())
    if bounds is not None:
        magic, payload = _BOUNDS, encode_bounds(bounds)
    elif content.picture is not None:
        magic, payload = _PICTURE, content.picture
    return _HEADER.pack(magic, content.min_height, content.max_height) + payload


def decode_content(data: bytes, tile: TileId, digest: bytes) -> TileContent:
    """The content of `tile` with hash `digest` that `encode_content` was given; raises DataLossError for anything else."""
    magic, payload = data[:4], data[_HEADER.size :]
    if magic == _GRID and len(payload) == GRID_SIDE * GRID_SIDE * 4:
        return _grid_content(HeightGrid(tile, np.frombuffer(payload, "<i4").reshape(GRID_SIDE, GRID_SIDE)), digest)
    if magic == _BOUNDS:
        return _bounds_content(decode_bounds(payload, tile), digest)
    if magic in (_GLB, _PICTURE) and len(data) >= _HEADER.size:
        _, low, high = _HEADER.unpack_from(data)
        return (_glb_content if magic == _GLB else _picture_content)(tile, payload, (low, high), digest)
    raise DataLossError(f"stored content of {tile} has an unknown header {data[: _HEADER.size].hex()}")


def _glb_content(tile: TileId, glb: bytes, heights: tuple[float, float], digest: bytes) -> TileContent:
    return TileContent(tile, glb, world_from_tile(tile), *heights, geometric_error(tile), digest)


def _grid_content(grid: HeightGrid, digest: bytes) -> TileContent:
    tile, low, high = grid.tile, grid.min_height, grid.max_height
    return TileContent(tile, b"", world_from_tile(tile), low, high, geometric_error(tile), digest, grid)


def _bounds_content(bounds: HeightBounds, digest: bytes) -> TileContent:
    tile, (low, high) = bounds.tile, bounds.of(bounds.tile)
    return TileContent(tile, b"", world_from_tile(tile), low, high, geometric_error(tile), digest, bounds=bounds)


def _picture_content(tile: TileId, picture: bytes, heights: tuple[float, float], digest: bytes) -> TileContent:
    return TileContent(tile, b"", world_from_tile(tile), *heights, geometric_error(tile), digest, picture=picture)
