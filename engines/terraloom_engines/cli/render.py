"""`terraloom render`: a picture of any place and level from above."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli.output import AsJson, RuntimeOption, print_json

if TYPE_CHECKING:
    from terraloom_engines.field import Field
    from terraloom_engines.render.overhead import Frame, Mosaic
    from terraloom_engines.tiling import TileId
    from terraloom_engines.world import World

MAX_SIDE = 8192
"""Most pixels along a side of a picture."""


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from "1024" or "1280x720"; raises InvalidArgumentError."""
    try:
        width, height = (int(part) for part in (text.split("x") if "x" in text else (text, text)))
    except ValueError:
        raise InvalidArgumentError(f"a size is pixels, such as 768 or 1280x720; got {text!r}") from None
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InvalidArgumentError(f"size {text} is out of range: allowed are 1 to {MAX_SIDE} pixels a side")
    return width, height


def _mosaic(world: "World", frame: "Frame") -> "Mosaic":
    """The rasters under `frame`, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    from terraloom_engines.render.overhead import mosaic

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("generating tiles", total=len(frame.tiles(ring=1)))

        def field(tile: "TileId") -> "Field":
            raster = world.field(tile)
            progress.advance(task)
            return raster

        return mosaic(frame, field)


def command(
    where: Annotated[
        str, typer.Argument(help="a name, LONGITUDE,LATITUDE or, on a plane, X,Y in metres (after `--` when it starts with a minus)")
    ],
    level: Annotated[int, typer.Option(min=0, help="level; a pixel is 157 km / 2^level at the equator, 131 km / 2^level on planes")] = 11,
    size: Annotated[str, typer.Option(help="pixels: a side, or WIDTHxHEIGHT")] = "768",
    style: Annotated[str, typer.Option(help="colour, hillshade, or both side by side")] = "both",
    output: Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="default: PLACE-LEVEL.png")] = None,
    world: Annotated[str, typer.Option(help="name of the world")] = "earth",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that keeps what is generated")] = None,
    runtime: RuntimeOption = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw a place from above: imagery, relief under a north-western sun, or both."""
    from terraloom_engines.cli.output import writing
    from terraloom_engines.render.overhead import Frame, picture
    from terraloom_engines.render.places import parse_spot
    from terraloom_engines.store import open_store
    from terraloom_engines.world import open_world, world_kind

    if style not in ("colour", "hillshade", "both"):
        raise InvalidArgumentError(f"style={style!r} is not allowed: choose one of colour, hillshade, both")
    spot = parse_spot(where, world_kind(world))
    frame = Frame(spot.east, spot.north, level, *parse_size(size), spot.kind)
    opened = open_world(world, seed, store=open_store(store), runtime=runtime)
    file = output or Path(f"{spot.name}-{level}.png")
    rasters = _mosaic(opened, frame)
    with writing(file):
        picture(rasters, style).save(file)  # type: ignore[arg-type]  # checked above
    low, high, metres = float(rasters.heights.min()), float(rasters.heights.max()), float(rasters.metres.mean())
    if as_json:
        facts = {"file": file, **spot.coordinates(), "level": level}
        print_json(facts | {"metres_per_pixel": metres, "min_height": low, "max_height": high})
    else:
        print(f"{file}: {spot}, {metres:,.3g} m per pixel, heights {low:,.0f} to {high:,.0f} m")
