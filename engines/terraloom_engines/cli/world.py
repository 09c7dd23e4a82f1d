"""`terraloom world`: worlds made of a user's own elevation or imagery: create, list, delete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom.errors import TerraloomError
from terraloom_engines.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from terraloom_engines.bundle.raster import RasterFolder
    from terraloom_engines.rasters.warped import Report

group = typer.Typer(help="Make worlds of your own elevation or imagery, joined to Earth.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="what comes after raster: in the world's name; small letters, digits, - and _")]


@group.command()
def create(
    name: Name,
    elevation: Annotated[Path | None, typer.Option(help="a raster with one band of heights, in any format and projection of GDAL")] = None,
    imagery: Annotated[Path | None, typer.Option(help="a raster with red, green and blue bytes, and perhaps a mask")] = None,
    title: Annotated[str, typer.Option(help="name for people; default: NAME")] = "",
    attribution: Annotated[str, typer.Option(help="sources and licences, to be shown with the world")] = "",
    vertical_scale: Annotated[float | None, typer.Option(help="metres per unit of the heights; default: as the file says, else 1")] = None,
    sea_level: Annotated[float, typer.Option(help="height of the sea in the file's own reference, in metres")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="seed of the Earth around, down to the raster's level")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    as_json: AsJson = False,
) -> None:
    """Join a raster to Earth as the world raster:NAME, at the level of its pixels; finer levels are generated. Needs rasterio."""
    from terraloom_engines.rasters.creation import Order
    from terraloom_engines.rasters.creation import create as make

    order = Order(name, elevation, imagery, title, attribution, vertical_scale, sea_level, seed)
    notes: list[str] = []
    with _progress() as report:
        folder = make(order, report, threads=threads, tell=notes.append)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        print_json(_facts(folder))
    else:
        print(_line(folder))


@group.command(name="list")
def list_worlds(as_json: AsJson = False) -> None:
    """List the worlds made on this machine, and say which are damaged."""
    from terraloom_engines.bundle.raster import RasterFolder, worlds_folder

    facts, lines = [], []
    for path in sorted(worlds_folder().glob("[!.]*/")):
        try:
            folder = RasterFolder.open(path)
            facts.append(_facts(folder))
            lines.append(_line(folder))
        except TerraloomError as error:
            facts.append({"world": f"raster:{path.name}", "folder": path, "error": str(error)})
            lines.append(f"raster:{path.name}: error: {error}")
    if as_json:
        print_json(facts)
        return
    for line in lines:
        print(line)
    if not lines:
        print(f"no worlds in {worlds_folder()}; make one with terraloom world create")


@group.command()
def delete(name: Name) -> None:
    """Delete a world and all its files."""
    from terraloom_engines.rasters.folders import delete as remove

    remove(name)
    print(f"deleted raster:{name}")


@contextmanager
def _progress() -> Iterator["Report"]:
    """A bar on standard error that follows what is reported."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None)
        yield lambda what, done, total: progress.update(bar, description=what, completed=done, total=total)


def _facts(folder: "RasterFolder") -> dict[str, object]:
    names = ("title", "attribution", "level", "layers", "bounds", "resolution", "vertical_scale", "sea_level", "seed")
    size = sum(file.stat().st_size for file in folder.path.iterdir())
    return {"world": f"raster:{folder.path.name}", "folder": folder.path, "bytes": size} | {n: folder.manifest[n] for n in names}


def _line(folder: "RasterFolder") -> str:
    facts = _facts(folder)
    west, south, east, north = folder.manifest["bounds"]
    layers, size = " and ".join(folder.manifest["layers"]), int(str(facts["bytes"])) / 1e6
    where = f"{west:.2f} to {east:.2f} E, {south:.2f} to {north:.2f} N"
    return f"{facts['world']}: {facts['title']}, {layers} down to level {facts['level']}, {where}, {size:,.1f} MB"
