"""`terraloom demo`: serve a world, fly over it through the stream, leave pictures and a table of latencies."""

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom_engines.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from terraloom import Client, PlaneView, Stream, View
    from terraloom.errors import TerraloomError
    from terraloom_engines.cli.flight import FlightPath, Moment
    from terraloom_engines.cli.fly import FlightReport
    from terraloom_engines.render.received import TileSurface
    from terraloom_engines.tiling import TileId, WorldKind

ROUTE = ((0.0, 7.895, 46.665, 3500.0), (25.0, 7.925, 46.63, 3900.0), (41.0, 7.945, 46.605, 4300.0), (57.0, 7.935, 46.57, 4700.0))
"""Seconds, longitude, latitude, metres: from Lake Brienz over the Bernese Alps."""
PLANE_ROUTE = ((0.0, 3000.0, 2000.0), (57.0, 7500.0, 8500.0))
"""Seconds, x, y in metres: near the origin of a plane, where tiles of all levels meet, but not across it."""
PLANE_CLEARANCE = 1200.0
"""Metres above the highest ground of that route."""
PITCH = -12.0
"""Degrees above the horizon that the camera looks."""
VIEWS_AT = (24.0, 40.0, 56.0)
"""Seconds into the flight at which the oblique views are taken."""
TARGET_PIXELS = 16.0
"""Screen-space error that is asked for, in lines of 1080."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the client held and drew at one moment of the flight."""

    view: "View | PlaneView"
    surfaces: "list[TileSurface]"
    drawn: "frozenset[TileId]"


@dataclass(slots=True)
class Album:
    """What the flight leaves for the pictures: all tiles received, the place at every moment, and the snapshots."""

    views_at: tuple[float, ...]
    """Seconds into the flight at which snapshots are taken."""
    received: "dict[TileId, TileSurface]" = field(default_factory=dict)
    track: "list[tuple[float, float]]" = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    failures: "list[TerraloomError]" = field(default_factory=list)

    def add(self, moment: "Moment", stream: "Stream", path: "FlightPath") -> None:
        """Take in what came since the moment before."""
        from terraloom import Failed, Tile
        from terraloom_engines.render.received import read_surface
        from terraloom_engines.tiling import TileId

        for event in moment.events:
            if isinstance(event, Tile):
                surface = read_surface(event)
                self.received[surface.tile] = surface
            elif isinstance(event, Failed):
                self.failures.append(event.error)
        view = path.view(moment.seconds)
        self.track.append(place_of(view))
        if len(self.snapshots) < len(self.views_at) and moment.seconds >= self.views_at[len(self.snapshots)]:
            held = [self.received[tile] for tile in (TileId(*tile, path.kind) for tile in stream.held) if tile in self.received]
            self.snapshots.append(Snapshot(view, held, frozenset(TileId(*tile, path.kind) for tile in stream.visible)))


def place_of(view: "View | PlaneView") -> tuple[float, float]:
    """Longitude and latitude in degrees, or x and y in metres."""
    from terraloom import PlaneView

    return (view.x, view.y) if isinstance(view, PlaneView) else (view.longitude, view.latitude)


def demo_path(client: "Client", kind: "WorldKind") -> "FlightPath":
    """The way that is flown; over a plane, as high as its ground asks for."""
    from terraloom_engines.cli.flight import Fix, FlightPath
    from terraloom_engines.tiling import WorldKind

    if kind is WorldKind.PLANET:
        return FlightPath(tuple(Fix(*fix) for fix in ROUTE), PITCH)
    ground = client.sample_heights([fix[1:] for fix in PLANE_ROUTE], level=9)
    fixes = tuple(Fix(*fix, float(ground.max()) + PLANE_CLEARANCE) for fix in PLANE_ROUTE)
    return FlightPath(fixes, PITCH, kind)


def fly_for(album: Album, client: "Client", path: "FlightPath", advance: "Callable[[float, int], None]") -> "FlightReport":
    """Fly `path` in real time and fill `album`; `advance` hears the seconds flown and the tiles received.

    Raises the first tile's error when no tile came at all.
    """
    from terraloom import ContentOptions, ScreenSpaceError, StreamOptions
    from terraloom_engines.cli.flight import fly
    from terraloom_engines.cli.fly import report
    from terraloom_engines.render.received import SEGMENTS

    options = StreamOptions(selection=ScreenSpaceError(TARGET_PIXELS), content=ContentOptions(segments=SEGMENTS))
    completes, seconds = [], 0.0
    with client.stream(path.view(0.0), options) as stream:
        for moment in fly(stream, path):
            album.add(moment, stream, path)
            completes.append(moment.complete)
            seconds = moment.seconds
            advance(seconds, stream.counters.tiles)
            if album.failures and not album.received:
                raise album.failures[0]
        return report(stream.counters, seconds, completes, len(album.failures))


def chart(album: Album) -> "Image.Image":
    """The path over the ground received, with the tiles drawn at the snapshots; where those overlap, the finest."""
    from terraloom_engines.render.chart import Chart, draw_chart

    drawn = frozenset().union(*(snapshot.drawn for snapshot in album.snapshots))
    covered = {tile.ancestor(level) for tile in drawn for level in range(tile.kind.min_level, tile.z)}
    marks = [place_of(snapshot.view) for snapshot in album.snapshots]
    kinds = {tile.kind for tile in album.received}
    return draw_chart(Chart(drawn - covered, album.track, marks, kind=kinds.pop()), album.received.values())


def view_picture(snapshot: Snapshot) -> "Image.Image":
    """The oblique view of a snapshot."""
    from terraloom import Camera, PlaneView
    from terraloom_engines.render.camera import Eye
    from terraloom_engines.render.oblique import oblique_picture
    from terraloom_engines.tiling import WorldKind

    view, camera = snapshot.view, snapshot.view.camera or Camera()
    kind, height = (WorldKind.PLANE, view.z) if isinstance(view, PlaneView) else (WorldKind.PLANET, view.height)
    return oblique_picture(snapshot.surfaces, Eye(*place_of(view), height, camera.heading, camera.pitch, kind))


def command(
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="directory for the pictures")] = Path("out/demo"),
    world: Annotated[str, typer.Option(help="name of the world")] = "earth",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    as_json: AsJson = False,
) -> None:
    """Serve a world, fly over the Alps (or the origin of a plane) for a minute, draw what came and how fast."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from terraloom import connect
    from terraloom.testing import run_server
    from terraloom_engines.cli.output import writing
    from terraloom_engines.world import world_kind

    console, album, kind = Console(stderr=as_json), Album(VIEWS_AT), world_kind(world)
    with writing(output / "path.png"):
        pass  # a folder that cannot be made is told before the flight, not after
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        flying = bar.add_task(f"flying over {world}", total=None, state="")
        drawing = bar.add_task("drawing pictures", total=1 + len(VIEWS_AT), state="")
        with run_server("--world", world, "--seed", str(seed)) as address, connect(address) as client:
            client.wait_ready()
            path = demo_path(client, kind)
            bar.update(flying, total=path.duration)
            figures = fly_for(album, client, path, lambda seconds, tiles: bar.update(flying, completed=seconds, state=f"{tiles} tiles"))
        pictures = {"path.png": partial(chart, album)}
        pictures |= {f"view-{number}.png": partial(view_picture, shot) for number, shot in enumerate(album.snapshots, start=1)}
        for name, draw in pictures.items():
            bar.update(drawing, state=name)
            with writing(output / name) as file:
                draw().save(file)
            bar.advance(drawing)
    if as_json:
        print_json({"figures": asdict(figures), "pictures": [output / name for name in pictures]})
        return
    console.print(figures.table())
    if album.failures:
        console.print(f"{len(album.failures)} tiles failed; the first: {album.failures[0]}")
    console.print(f"pictures in {output}: {', '.join(pictures)}")
