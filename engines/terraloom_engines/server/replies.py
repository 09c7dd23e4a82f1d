"""Values become messages of the wire."""

from collections.abc import Iterable

from terraloom.errors import InvalidArgumentError, TerraloomError, status_name
from terraloom.v1 import terraloom_pb2 as pb
from terraloom_engines.content import ContentOptions, Surface, TileContent
from terraloom_engines.heights import HEIGHT_UNIT, HeightGrid
from terraloom_engines.selection import Criteria, Radius, Region
from terraloom_engines.tiling import TileId, WorldKind
from terraloom_engines.world import World


def tile_id(tile: TileId) -> pb.TileId:
    """An address."""
    return pb.TileId(z=tile.z, x=tile.x, y=tile.y)


def tile_ids(tiles: Iterable[TileId]) -> list[pb.TileId]:
    """Addresses."""
    return [tile_id(tile) for tile in tiles]


def tile(content: TileContent) -> pb.Tile:
    """A tile's content; what belongs to a stream is left out."""
    message = pb.Tile(
        id=tile_id(content.tile),
        min_height=content.min_height,
        max_height=content.max_height,
        geometric_error=content.geometric_error,
        content_hash=content.content_hash,
        refined_level=content.tile.z if content.refined_level is None else content.refined_level,
        provisional=content.refined_level is not None,
    )
    transform = message.plane_from_tile if content.tile.kind is WorldKind.PLANE else message.ecef_from_tile
    transform.extend(content.world_from_tile.ravel().tolist())
    if content.height_grid is None:
        message.glb = content.glb
    else:
        message.height_grid.CopyFrom(height_grid(content.height_grid))
    return message


def height_grid(grid: HeightGrid) -> pb.HeightGrid:
    """Heights for physics."""
    rows, columns = grid.values.shape
    (origin_x, origin_z), (spacing_x, spacing_z) = grid.origin, grid.spacing
    return pb.HeightGrid(
        columns=columns,
        rows=rows,
        heights=grid.values.astype("<i4").tobytes(),
        scale=HEIGHT_UNIT,
        origin_x=origin_x,
        origin_z=origin_z,
        spacing_x=spacing_x,
        spacing_z=spacing_z,
    )


def world_info(world: World) -> pb.WorldInfo:
    """What clients may know of a world."""
    return pb.WorldInfo(
        id=pb.WorldId(name=world.name, seed=world.seed),
        kind=pb.WorldKind.ValueType(world.kind),
        title=world.title,
        attribution=world.attribution,
        base_level=world.base_level,
        max_level=world.max_level,
        min_level=world.min_level,
        identity=bytes.fromhex(world.identity),
    )


def selection(criteria: Criteria) -> pb.Selection:
    """What is asked for, defaults filled in."""
    message = pb.Selection(min_level=criteria.min_level, max_level=criteria.max_level)
    if isinstance(criteria.by, Radius):
        message.radius.radius, message.radius.level = criteria.by.radius, criteria.by.level
    elif isinstance(criteria.by, Region):
        by = criteria.by
        message.region.CopyFrom(pb.Rectangle(west=by.west, south=by.south, east=by.east, north=by.north))
    else:
        message.screen_space_error.target_pixels = criteria.by.target_pixels
    return message


def content_options(options: ContentOptions) -> pb.ContentOptions:
    """How content is made, defaults filled in."""
    return pb.ContentOptions(
        segments=options.segments,
        texture_format=pb.TextureFormat.Value(f"TEXTURE_FORMAT_{options.texture_format.upper()}"),
        texture_quality=options.texture_quality,
        compression=pb.MeshCompression.Value(f"MESH_COMPRESSION_{options.compression.upper()}"),
        unlit=options.unlit,
        surface=surface(options.surface),
    )


def surface(name: Surface) -> pb.Surface.ValueType:
    """Which surface heights belong to."""
    return pb.Surface.Value(f"SURFACE_{name.upper()}")


def error_detail(error: BaseException, tile: TileId | None = None) -> pb.ErrorDetail:
    """What went wrong, for programs. Defects that are not of the error tree keep their text to the server's log."""
    text = str(error) if isinstance(error, TerraloomError) else "internal error: see the server's log"
    detail = pb.ErrorDetail(status=status_name(error), message=text)
    if isinstance(error, InvalidArgumentError):
        detail.field = error.field
        detail.allowed.extend(error.allowed)
    if tile is not None:
        detail.tile.CopyFrom(tile_id(tile))
    return detail
