"""`terraloom view`: a perspective picture of any place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom.errors import InvalidArgumentError
from terraloom_engines.cli.output import AsJson, RuntimeOption, print_json, writing

if TYPE_CHECKING:
    from terraloom_engines.render.camera import Eye, Lens
    from terraloom_engines.render.received import TileSurface
    from terraloom_engines.render.scene import Scene

RANGES = {
    "height": (-500.0, 1_000_000.0),
    "pitch": (-90.0, 90.0),
    "fov": (5.0, 120.0),
    "sun-elevation": (1.0, 90.0),
    "visibility": (1.0, 300.0),
    "detail": (2.0, 64.0),
}
"""What options may be, in their units."""


def check(**values: float) -> None:
    """Raises InvalidArgumentError for the first value that is out of its range, not a number among them."""
    for name, value in values.items():
        option = name.replace("_", "-")
        low, high = RANGES[option]
        if not low <= value <= high:
            raise InvalidArgumentError(f"--{option} {value:g} is out of range: allowed are {low:g} to {high:g}", field=option)


def _surfaces(scene: "Scene", eye: "Eye", lens: "Lens") -> "list[TileSurface]":
    """The ground in the picture, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("generating tiles", total=None)
        return scene.look(eye, lens, lambda done, known: progress.update(task, completed=done, total=known))


def command(
    where: Annotated[
        str, typer.Argument(help="a name, LONGITUDE,LATITUDE or, on a plane, X,Y in metres (after `--` when it starts with a minus)")
    ],
    height: Annotated[float | None, typer.Option(help="metres above mean sea level; default: 500 above the ground")] = None,
    above_ground: Annotated[float | None, typer.Option(help="metres above the ground instead")] = None,
    heading: Annotated[float, typer.Option(help="degrees clockwise from north")] = 0.0,
    pitch: Annotated[float, typer.Option(help="degrees above the horizon; -90 looks straight down")] = -8.0,
    fov: Annotated[float, typer.Option(help="vertical field of view in degrees")] = 45.0,
    size: Annotated[str, typer.Option(help="pixels: a side, or WIDTHxHEIGHT")] = "1280x720",
    sun_azimuth: Annotated[float, typer.Option(help="degrees clockwise from north")] = 250.0,
    sun_elevation: Annotated[float, typer.Option(help="degrees above the horizon")] = 28.0,
    visibility: Annotated[float, typer.Option(help="kilometres that one sees through the haze at sea level")] = 90.0,
    detail: Annotated[float, typer.Option(help="error of the ground in pixels; half of it takes about three times as long")] = 8.0,
    output: Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="default: PLACE-view.png")] = None,
    world: Annotated[str, typer.Option(help="name of the world")] = "earth",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that keeps what is generated")] = None,
    runtime: RuntimeOption = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw what is seen from a place: ground, sea and sky under any sun."""
    import math

    from terraloom_engines.cli.render import parse_size
    from terraloom_engines.render.atmosphere import Air
    from terraloom_engines.render.camera import Eye, Lens
    from terraloom_engines.render.oblique import Weather, oblique_picture
    from terraloom_engines.render.places import parse_spot
    from terraloom_engines.render.scene import Scene, ground_height
    from terraloom_engines.shading import Sun
    from terraloom_engines.store import open_store
    from terraloom_engines.world import open_world, world_kind

    check(pitch=pitch, fov=fov, sun_elevation=sun_elevation, visibility=visibility, detail=detail)
    check(height=height or 0.0)
    if height is not None and above_ground is not None:
        raise InvalidArgumentError("--height and --above-ground are two ways to say one thing: give one of them")
    if not (math.isfinite(heading) and math.isfinite(sun_azimuth)):
        raise InvalidArgumentError("--heading and --sun-azimuth are finite numbers of degrees")
    spot, lens = parse_spot(where, world_kind(world)), Lens(*parse_size(size), fov)
    opened = open_world(world, seed, store=open_store(store), runtime=runtime)
    if height is None:
        height = ground_height(opened.field, spot.kind, spot.east, spot.north) + (500.0 if above_ground is None else above_ground)
        check(height=height)
    eye = Eye(spot.east, spot.north, height, heading % 360.0, pitch, spot.kind)
    file = output or Path(f"{spot.name}-view.png")
    surfaces = _surfaces(Scene(opened.field, detail), eye, lens)
    weather = Weather(Sun(sun_azimuth % 360.0, sun_elevation), Air(1000.0 * visibility))
    with writing(file):
        oblique_picture(surfaces, eye, lens, weather).save(file)
    if as_json:
        names = ("height", "heading", "pitch")
        print_json({"file": file, "tiles": len(surfaces), **spot.coordinates()} | {name: getattr(eye, name) for name in names})
    else:
        place = f"{spot}, {height:,.0f} m above mean sea level"
        print(f"{file}: from {place}, heading {eye.heading:g}, pitch {pitch:g} degrees, {len(surfaces)} tiles")
