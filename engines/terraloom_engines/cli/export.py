"""`terraloom export`: a region as 3D Tiles, one GLB, GeoTIFF or a heightmap."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli.output import AsJson, RuntimeOption, print_json, writing

if TYPE_CHECKING:
    from rich.console import Console

    from terraloom_engines.export.formats import Job
    from terraloom_engines.export.region import Region
    from terraloom_engines.tiling import TileId, WorldKind


def region_of(kind: "WorldKind", where: str, metres: float) -> "Region":
    """The region that "WEST,SOUTH,EAST,NORTH" names, or the square round a place. Raises InvalidArgumentError or NotFoundError."""
    from terraloom_engines.export.region import Region
    from terraloom_engines.render.places import parse_place
    from terraloom_engines.tiling import WorldKind

    try:
        numbers = [float(part) for part in where.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 4:
        return Region(kind, *numbers)
    if kind is WorldKind.PLANE:
        if len(numbers) != 2:
            raise InvalidArgumentError(f"a place on a plane is X,Y in metres; got {where!r}")
        return Region.around(kind, numbers[0], numbers[1], metres)
    place = parse_place(where)
    return Region.around(kind, place.longitude, place.latitude, metres)


def _make(job: "Job", console: "Console", *, dry_run: bool) -> bool:
    """Makes the tiles that are missing, with a bar; false after a dry run."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from terraloom_engines.export.estimate import estimate

    def size(tile: "TileId") -> int:
        job.files.make(tile)
        return len(job.files.read(tile))

    missing = job.files.missing(job.tiles)
    if len(missing) < len(job.tiles):
        console.print(f"going on: {len(job.tiles) - len(missing):,} of {len(job.tiles):,} tiles are there")
    with console.status("making the first tile to see how long the rest will take"):
        expected = estimate(missing, job.files.world.base_level, size)
    console.print(f"{expected}")
    if dry_run:
        return False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("tiles", total=len(job.tiles), completed=len(job.tiles) - len(missing))
        for tile in missing:
            if not job.files.path(tile).exists():
                job.files.make(tile)
            progress.advance(task)
    return True


def command(
    where: Annotated[str, typer.Argument(help="a name, LONGITUDE,LATITUDE or WEST,SOUTH,EAST,NORTH (after `--` if the first is negative)")],
    output: Annotated[Path, typer.Argument(help="a folder (3D Tiles), or a file: .3tz, .glb, .tif, .png (heightmap)")],
    level: Annotated[int, typer.Option(min=0, help="finest level; a pixel is 157 km / 2^level at the equator")] = 12,
    size: Annotated[float, typer.Option(help="km along a side of the square round a place")] = 10.0,
    format: Annotated[str | None, typer.Option(help="3dtiles, 3tz, glb, geotiff or heightmap; default: by the suffix")] = None,
    layer: Annotated[str, typer.Option(help="of a GeoTIFF: elevation or imagery")] = "elevation",
    samples: Annotated[int, typer.Option(help="along a side of a heightmap; Unity takes 2^n + 1, Unreal 1009, 2017, 4033")] = 1025,
    segments: Annotated[int, typer.Option(help="quads along a side of a tile: 32, 64 or 128")] = 64,
    texture: Annotated[str, typer.Option(help="of meshes: jpeg, webp or none")] = "jpeg",
    compression: Annotated[str, typer.Option(help="of meshes in 3D Tiles: none or meshopt")] = "none",
    surface: Annotated[str, typer.Option(help="ground_or_water, what a vehicle meets; or ground, sea floor included")] = "ground_or_water",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say how much there is to do, and stop")] = False,
    world: Annotated[str, typer.Option(help="name of the world")] = "earth",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that keeps what is generated")] = None,
    runtime: RuntimeOption = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a region as 3D Tiles, GLB, GeoTIFF or heightmap; an export that was stopped goes on where it stopped."""
    from rich.console import Console

    from terraloom_engines.content import ContentOptions
    from terraloom_engines.export.formats import Order, format_of, job
    from terraloom_engines.store import open_store
    from terraloom_engines.world import open_world

    kind = format_of(output, format)
    if kind == "glb" and compression != "none":
        raise InvalidArgumentError("compression: tiles in one GLB are not compressed; leave it out, or choose 3dtiles")
    content = ContentOptions(segments, texture, surface=surface, compression=compression)  # type: ignore[arg-type]  # it checks the values
    opened = open_world(world, seed, store=open_store(store), runtime=runtime)
    region = region_of(opened.kind, where, 1000 * size)
    order = Order(opened, region, level, output, content, layer, samples, 1000 * size)  # type: ignore[arg-type]  # it checks the values
    console, work = Console(stderr=True), job(order, kind)
    with writing(output):
        work.files.begin()
        if _make(work, console, dry_run=dry_run):
            work.finish()
    facts = {"output": output, "format": kind, "tiles": len(work.tiles), "level": level, "done": not dry_run}
    if as_json:
        print_json(facts | {"region": [region.west, region.south, region.east, region.north]})
    elif not dry_run:
        print(f"{output}: {len(work.tiles):,} tiles down to level {level}, {region.metres_per_pixel(level):,.3g} m per pixel, as {kind}")
