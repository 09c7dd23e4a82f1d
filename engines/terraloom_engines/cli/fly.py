"""`terraloom fly`: a flight over a running server, with a table of what arrived and how fast."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom_engines.cli.connection import Ca, Cert, Key, ServerName, TokenFile, UseTls, reached, tls_of
from terraloom_engines.cli.output import AsJson, print_json
from terraloom_engines.cli.path_csv import COLUMNS, OPTIONAL, PLANE_COLUMNS, read_path

if TYPE_CHECKING:
    from rich.table import Table

    from terraloom import Client, Counters, StreamOptions
    from terraloom_engines.cli.flight import FlightPath
    from terraloom_engines.tiling import WorldKind

ALPS = "6.60,45.83", "8.00,45.95"
"""From Mont Blanc towards Monte Rosa and the Bernese Alps."""
ACROSS = "2000,2000", "92000,62000"
"""On a plane: from near its origin north-eastward."""
SECONDS_TO_CONNECT = 5.0
COLUMNS_TOLD = f"{', '.join(COLUMNS)} (on a plane {', '.join(PLANE_COLUMNS)}) and, if wanted, {', '.join(OPTIONAL)}"


@dataclass(frozen=True, slots=True)
class FlightReport:
    """Figures of one flight: times in seconds, of tiles from the first view that asked for them to their arrival."""

    duration: float
    tiles: int
    bytes: int
    failed: int
    views_sent: int
    first_tile: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    tiles_per_second: float
    complete_share: float
    """Share of the views (0..1) for which everything they asked for was there when the next one was sent."""

    def table(self) -> "Table":
        """The figures for a person."""
        from rich.table import Table

        table = Table("what", "value", title="Flight")
        table.columns[1].justify = "right"
        table.add_row("flown", f"{self.duration:.1f} s, {self.views_sent} views")
        table.add_row("tiles", f"{self.tiles} ({self.tiles_per_second:.1f} per second), {self.failed} failed")
        table.add_row("received", f"{self.bytes / 1e6:.1f} MB")
        table.add_row("first view to first tile", _milliseconds(self.first_tile))
        for name, value in (("p50", self.latency_p50), ("p95", self.latency_p95), ("p99", self.latency_p99)):
            table.add_row(f"view to tile, {name}", _milliseconds(value))
        table.add_row("views with all their tiles in time", f"{100 * self.complete_share:.1f} %")
        return table


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{1000 * seconds:,.0f} ms"


def report(counters: "Counters", duration: float, completes: list[bool], failed: int) -> FlightReport:
    """Figures of a flight of `duration` seconds from its stream's counters; `completes` says of each view whether it was served in time."""
    return FlightReport(
        duration=duration,
        tiles=counters.tiles,
        bytes=counters.bytes,
        failed=failed,
        views_sent=counters.views_sent,
        first_tile=counters.first_tile,
        latency_p50=counters.latency(0.50),
        latency_p95=counters.latency(0.95),
        latency_p99=counters.latency(0.99),
        tiles_per_second=counters.tiles / duration if duration else math.nan,
        complete_share=sum(completes) / len(completes) if completes else math.nan,
    )


def fly_over(client: "Client", path: "FlightPath", options: "StreamOptions", rate: float, progress: bool) -> FlightReport:
    """Fly `path` and count; shows a progress bar on standard error if asked."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from terraloom import Failed
    from terraloom_engines.cli.flight import fly

    completes, failed, seconds = [], 0, 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[tiles]} tiles"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar, client.stream(path.view(0.0), options) as stream:
        task = bar.add_task("flying", total=path.duration, tiles=0)
        for moment in fly(stream, path, rate):
            completes.append(moment.complete)
            failed += sum(isinstance(event, Failed) for event in moment.events)
            seconds = moment.seconds
            bar.update(task, completed=seconds, tiles=stream.counters.tiles)
        return report(stream.counters, seconds, completes, failed)


def route(kind: "WorldKind", start: str | None, end: str | None, height: float, speed: float) -> "FlightPath":
    """The way from one place of a kind of world to another. Raises InvalidArgumentError or NotFoundError."""
    from terraloom_engines.cli.flight import straight
    from terraloom_engines.render.places import parse_spot
    from terraloom_engines.tiling import WorldKind

    usual = ACROSS if kind is WorldKind.PLANE else ALPS
    first, last = (parse_spot(given or default, kind) for given, default in zip((start, end), usual, strict=True))
    return straight((first.east, first.north), (last.east, last.north), height, speed, kind)


def command(
    target: Annotated[str, typer.Argument(help="address of the server")] = "127.0.0.1:50051",
    start: Annotated[str | None, typer.Option("--from", help="name of a place, LONGITUDE,LATITUDE or, on a plane, X,Y in metres")] = None,
    end: Annotated[str | None, typer.Option("--to", help="the same")] = None,
    height: Annotated[float, typer.Option(help="metres above mean sea level")] = 5500.0,
    speed: Annotated[float, typer.Option(help="metres per second")] = 120.0,
    path: Annotated[Path | None, typer.Option(dir_okay=False, help=f"CSV instead, with the columns {COLUMNS_TOLD}")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="stop after this time, before the end of the path")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="views per second")] = 20.0,
    target_pixels: Annotated[float, typer.Option(min=0.5, help="screen-space error that is refined to, in lines of 1080")] = 16.0,
    max_level: Annotated[int | None, typer.Option(min=0, help="finest level asked for")] = None,
    world: Annotated[str, typer.Option(help="name of the world; empty: the server's default")] = "",
    seed: Annotated[int, typer.Option(min=0, help="seed of all that is generated")] = 0,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Fly over a running server in real time and print how fast tiles came."""
    from rich.console import Console

    from terraloom import ScreenSpaceError, StreamOptions
    from terraloom_engines.tiling import WorldKind
    from terraloom_engines.world import world_kind

    def way(kind: "WorldKind") -> "FlightPath":
        found = route(kind, start, end, height, speed) if path is None else read_path(path, kind=kind)
        return found if seconds is None else found.until(seconds)

    course = way(world_kind(world) if world else WorldKind.PLANET)
    options = StreamOptions(selection=ScreenSpaceError(target_pixels), max_level=max_level)
    with reached(target, tls_of(tls, ca, cert, key, server_name), token_file, world, seed) as client:
        kind = WorldKind(client.wait_ready(SECONDS_TO_CONNECT).world.kind)
        course = course if kind is course.kind else way(kind)  # the server's default world may be a plane
        figures = fly_over(client, course, options, rate, progress=not as_json)
    if as_json:
        print_json(asdict(figures))
    else:
        Console().print(figures.table())
