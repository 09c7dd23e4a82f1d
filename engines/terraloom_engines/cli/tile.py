"""`terraloom tile`: one tile as a GLB file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli.output import AsJson, RuntimeOption, print_json

if TYPE_CHECKING:
    from terraloom_engines.tiling import TileId, WorldKind


def tile_at(where: str, level: int, kind: "WorldKind") -> "TileId":
    """The tile that "Z/X/Y" names, or the one of `level` that holds a place; raises InvalidArgumentError or NotFoundError."""
    from terraloom_engines.render.places import parse_spot
    from terraloom_engines.tiling import TileId, tile_from_place

    if "/" not in where:
        spot = parse_spot(where, kind)
        return tile_from_place(kind, level, spot.east, spot.north)
    try:
        z, x, y = map(int, where.split("/"))
    except ValueError:
        raise InvalidArgumentError(f"a tile is Z/X/Y, such as 12/2135/1457; got {where!r}") from None
    return TileId(z, x, y, kind)


def command(
    where: Annotated[
        str, typer.Argument(help="Z/X/Y, a name, LONGITUDE,LATITUDE or, on a plane, X,Y in metres (after `--` when it starts with a minus)")
    ],
    level: Annotated[int, typer.Option(min=0, help="level, when a place is given")] = 12,
    output: Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="default: tile-Z-X-Y.glb")] = None,
    segments: Annotated[int, typer.Option(help="quads along a side: 32, 64 or 128")] = 64,
    texture: Annotated[str, typer.Option(help="jpeg, webp or none")] = "jpeg",
    quality: Annotated[int, typer.Option(help="of the texture, 1 to 100, which is lossless for webp")] = 90,
    compression: Annotated[str, typer.Option(help="of the mesh: none, or meshopt (EXT_meshopt_compression)")] = "none",
    unlit: Annotated[bool, typer.Option(help="show the imagery without light (KHR_materials_unlit)")] = False,
    world: Annotated[str, typer.Option(help="name of the world")] = "earth",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that keeps what is generated")] = None,
    runtime: RuntimeOption = "auto",
    as_json: AsJson = False,
) -> None:
    """Write one tile as glTF binary, for any viewer, Blender or an engine."""
    from rich.console import Console

    from terraloom_engines.cascade import never
    from terraloom_engines.cli.output import writing
    from terraloom_engines.content import ContentOptions, build_content
    from terraloom_engines.store import open_store
    from terraloom_engines.tiling import WorldKind
    from terraloom_engines.world import open_world, world_kind

    tile = tile_at(where, level, world_kind(world))
    options = ContentOptions(segments, texture, quality, unlit, compression=compression)  # type: ignore[arg-type]  # it checks the values
    file = output or Path(f"tile-{tile.z}-{tile.x}-{tile.y}.glb")
    with Console(stderr=True).status(f"generating {tile}"):
        content = build_content(open_world(world, seed, store=open_store(store), runtime=runtime), tile, options, never)
    with writing(file):
        file.write_bytes(content.glb)
    if as_json:
        names = ("min_height", "max_height", "geometric_error")
        facts = {"file": file, "tile": [tile.z, tile.x, tile.y], "bytes": len(content.glb), "content_hash": content.content_hash.hex()}
        transform = {f"{'plane' if tile.kind is WorldKind.PLANE else 'ecef'}_from_tile": content.world_from_tile.tolist()}
        print_json(facts | {name: getattr(content, name) for name in names} | transform)
        return
    heights = f"{content.min_height:,.0f} to {content.max_height:,.0f} m"
    print(f"{file}: tile {tile}, {len(content.glb) / 1000:,.0f} kB, {heights} above mean sea level")
