"""`terraloom heights`: the height of any places."""

from pathlib import Path
from typing import Annotated

import typer

from terraloom_engines.cli.output import AsJson, RuntimeOption, print_json


def command(
    where: Annotated[
        list[str], typer.Argument(help="names, LONGITUDE,LATITUDE or, on a plane, X,Y in metres (after `--` when one starts with a minus)")
    ],
    level: Annotated[int | None, typer.Option(min=0, help="level of the tiles; default: the world's finest")] = None,
    surface: Annotated[str, typer.Option(help="ground_or_water, what a vehicle meets; or ground, sea floor included")] = "ground_or_water",
    as_json: AsJson = False,
    world: Annotated[str, typer.Option(help="name of the world")] = "earth",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that keeps what is generated")] = None,
    runtime: RuntimeOption = "auto",
) -> None:
    """Print heights above mean sea level, in metres: those of the tiles that a server sends."""
    from rich.console import Console

    from terraloom_engines.content import GridOptions
    from terraloom_engines.heights import HeightGrid, build_height_grid, sample_heights
    from terraloom_engines.render.places import parse_spot
    from terraloom_engines.store import open_store
    from terraloom_engines.tiling import TileId, WorldKind
    from terraloom_engines.world import open_world, world_kind

    kind = world_kind(world)
    spots = [parse_spot(text, kind) for text in where]
    water = GridOptions(surface).surface == "ground_or_water"  # type: ignore[arg-type]  # it checks the value
    opened = open_world(world, seed, store=open_store(store), runtime=runtime)
    finest = opened.max_level if level is None else level

    def grid(tile: TileId) -> HeightGrid:
        return build_height_grid(opened.field(tile), water=water)

    with Console(stderr=True).status(f"generating level {finest}"):
        heights = sample_heights(grid, kind, finest, [spot.east for spot in spots], [spot.north for spot in spots]).tolist()
    if as_json:
        points = [{**spot.coordinates(), "height": height} for spot, height in zip(spots, heights, strict=True)]
        print_json({"world": world, "seed": seed, "level": finest, "surface": surface, "points": points})
    else:
        digits = (11, 6) if kind is WorldKind.PLANET else (14, 2)
        for spot, height in zip(spots, heights, strict=True):
            print(f"{spot.east:{digits[0]}.{digits[1]}f} {spot.north:{digits[0] - 1}.{digits[1]}f} {height:10.2f} m")
