"""`terraloom spawn`: a dry, even place to start from."""

from pathlib import Path
from typing import Annotated

import typer

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli.output import AsJson, RuntimeOption, print_json


def command(
    world: Annotated[str, typer.Argument(help="name of the world, such as earth, planet:7, plane:7 or raster:NAME")] = "earth",
    near: Annotated[str | None, typer.Option(help="a name, LONGITUDE,LATITUDE or, on a plane, X,Y in metres; default: by seed")] = None,
    slope_max: Annotated[float, typer.Option(help="steepest slope of the ground there, in degrees")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that keeps what is generated")] = None,
    runtime: RuntimeOption = "auto",
    as_json: AsJson = False,
) -> None:
    """Find a dry, even place: longitude, latitude and height in metres. The same each time; in a world of yours, in its raster."""
    from rich.console import Console

    from terraloom_engines.bundle.raster import RasterFolder, worlds_folder
    from terraloom_engines.render.places import Spot, parse_spot
    from terraloom_engines.spawn import find_spawn
    from terraloom_engines.store import open_store
    from terraloom_engines.world import open_world, world_kind, world_name

    if not 0 < slope_max <= 90:
        raise InvalidArgumentError(f"slope {slope_max:g} is out of range: allowed are more than 0 up to 90 degrees")
    kind, (scheme, _, argument) = world_kind(world), world_name(world).partition(":")
    spot = parse_spot(near, kind) if near is not None else None
    opened = open_world(world, seed, store=open_store(store), runtime=runtime)
    start = (spot.east, spot.north) if spot else None
    if start is None and scheme == "raster":
        start = RasterFolder.open(worlds_folder() / argument).middle
    with Console(stderr=True).status("looking for a place"):
        found = find_spawn(opened, start, slope_max)
    place = Spot("spawn", found.east, found.north, kind).coordinates()
    if as_json:
        print_json({"world": opened.name, "seed": seed, **place, "height": found.height, "slope": found.slope})
    else:
        print(f"{found.east:.6f} {found.north:.6f} {found.height:.2f}")
