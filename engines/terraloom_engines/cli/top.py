"""`terraloom top`: a running server, live."""

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terraloom_engines.cli.connection import Ca, Cert, Key, ServerName, TokenFile, UseTls, reached, tls_of
from terraloom_engines.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import RenderableType

    from terraloom import Client
    from terraloom.v1 import operations_pb2 as ops
    from terraloom_engines.cli.figures import Figures

SECONDS_TO_ANSWER = 10.0
CLASSES = ("COLLISION", "NEAR", "FAR", "PREFETCH")
LATENCIES_TOLD = {
    "generation": "generate",
    "encoding": "mesh and encode",
    "sending": "send",
    "margin": "before it was needed",
}


def picture(target: str, now: "ops.ServerStats", told: "Figures", sessions: int) -> "RenderableType":
    """A server at one moment, at most 80 columns wide; the figures are those since the look before."""
    from rich.console import Group

    return Group(_heading(target, now, told), _latencies(told), _sessions(now, sessions))


def facts(message: "Message") -> dict[str, Any]:
    """A message as a dictionary with numbers as numbers, which protobuf's own JSON makes texts of."""

    def plain(value: Any) -> Any:
        return facts(value) if hasattr(value, "DESCRIPTOR") else value

    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[field.name] = dict(value)
        else:
            found[field.name] = [plain(part) for part in value] if field.is_repeated else plain(value)
    return found


def _heading(target: str, now: "ops.ServerStats", told: "Figures") -> "RenderableType":
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True, overflow="ellipsis")
    queue = ", ".join(f"{now.tiles_queued[name]} {name.lower()}" for name in CLASSES if now.tiles_queued[name]) or "empty"
    sources = ", ".join(f"{name} {share:.0%}" for name, share in told.sources.items() if not math.isnan(share)) or "-"
    waste = "-" if math.isnan(told.wasted_share) else f"{told.wasted_share:.1%}"
    table.add_row(f"[b]{target}[/]", f"terraloom {now.server_version}", f"up {_duration(now.uptime)}", f"{now.sessions_open} sessions")
    rows = (
        ("sent", f"{told.tiles_per_second:,.1f} tiles/s  {told.bytes_per_second / 1e6:,.2f} MB/s"),
        ("generated", f"{told.generated_per_second:,.1f} tiles/s, busy {told.busy_share:.0%} of the time, wasted {waste} of that"),
        ("queue", queue),
        ("from", sources),
        ("memory", f"{now.cache_bytes / 2**20:,.0f} MiB of tiles; {now.bytes_unacknowledged / 2**20:,.1f} MiB under way to clients"),
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_row(table)
    figures = Table.grid(padding=(0, 2))
    for name, text in rows:
        figures.add_row(f"[dim]{name}[/]", text)
    grid.add_row(figures)
    return grid


def _latencies(told: "Figures") -> "RenderableType":
    from rich.table import Table

    table = Table("", "p50", "p95", "p99", "a second", box=None, padding=(0, 2), header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, text in LATENCIES_TOLD.items():
        latency = told.latencies[name]
        table.add_row(text, *map(_seconds, (latency.p50, latency.p95, latency.p99)), f"{latency.per_second:,.1f}")
    return table


def _sessions(now: "ops.ServerStats", most: int) -> "RenderableType":
    from rich.markup import escape
    from rich.table import Table

    from terraloom_engines.server.checks import visible

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name, width in (("sess.", 6), ("who", 14), ("world", 9)):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=width)
    for name, width in (("for", 7), ("tiles", 6), ("MB", 6), ("held", 5), ("wants", 5), ("kB way", 6), ("waste", 5)):
        table.add_column(name, no_wrap=True, justify="right", min_width=width)
    for one in now.sessions[:most]:
        world = one.world.name + (f"/{one.world.seed}" if one.world.seed else "")
        who = visible(one.caller or one.client)
        figures = (f"{one.bytes_sent / 1e6:.1f}", f"{one.tiles_held}", f"{one.tiles_wanted}", f"{one.bytes_unacknowledged / 1e3:.0f}")
        mark = "[yellow]c[/] " if one.collision else "" if one.attached else "[dim]?[/] "
        table.add_row(
            one.session_id[:6],
            mark + escape(who),
            escape(visible(world)),
            _duration(one.seconds),
            f"{one.tiles_sent}",
            *figures,
            f"{one.tiles_wasted}",
        )
    return table


def _seconds(value: float) -> str:
    """Seconds in the unit that fits."""
    if math.isnan(value):
        return "-"
    return f"{value:,.2f} s" if abs(value) >= 1.0 else f"{1000 * value:,.1f} ms"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s" if minutes else f"{rest} s"


def command(
    target: Annotated[str, typer.Argument(help="address of the server")] = "127.0.0.1:50051",
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="seconds between two looks")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="look once, with figures since the server's start")] = False,
    sessions: Annotated[int, typer.Option(min=0, max=1000, help="sessions listed, those opened last first")] = 12,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Watch a running server: sessions, queue, rates, latencies, cache, credit, waste. Ctrl-C ends it."""
    from dataclasses import asdict

    from rich.console import Console

    from terraloom_engines.cli.figures import figures

    with reached(target, tls_of(tls, ca, cert, key, server_name), token_file) as client:
        now = client.server_stats(sessions or 1, SECONDS_TO_ANSWER)
        if as_json:
            print_json({"target": target, "server": facts(now), "figures": asdict(figures(now, None))})
        elif once:
            Console().print(picture(target, now, figures(now, None), sessions))
        else:
            _watch(client, now, interval, sessions)


def _watch(client: "Client", now: "ops.ServerStats", interval: float, sessions: int) -> None:
    """Draws until interrupted; a server that goes away is waited for."""
    import time

    from rich.live import Live

    from terraloom.errors import DeadlineExceededError, UnavailableError
    from terraloom_engines.cli.figures import figures

    with Live(picture(client.target, now, figures(now, None), sessions), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            try:
                before, now = now, client.server_stats(sessions or 1, SECONDS_TO_ANSWER)
            except (UnavailableError, DeadlineExceededError) as error:
                live.update(f"[yellow]{error}[/]", refresh=True)
                continue
            live.update(picture(client.target, now, figures(now, before), sessions), refresh=True)
