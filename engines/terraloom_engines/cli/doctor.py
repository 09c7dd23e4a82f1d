"""`terraloom doctor`: whether this machine can serve, and what is missing."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from terraloom_engines.cli.output import AsJson, print_json

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[red]fault[/]"}


def command(
    store: Annotated[Path | None, typer.Option(file_okay=False, help="directory that a server would keep its tiles in")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port that it would listen on")] = 50051,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="port for HTTP")] = 8080,
    http: Annotated[bool, typer.Option(help="whether it would serve HTTP")] = True,
    as_json: AsJson = False,
) -> None:
    """Look at versions, runtime, cores, memory, store and ports; exit 0 when this machine can serve, else 1."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from terraloom_engines.cli.checkup import examine

    findings = list(examine(store, {"--port": port} | ({"--http-port": http_port} if http else {})))
    serves = all(finding.state != "fault" for finding in findings)
    if as_json:
        print_json({"serves": serves, "findings": [asdict(finding) for finding in findings]})
    else:
        table = Table("what", "state", "found", "remedy")
        for finding in findings:
            table.add_row(finding.name, MARKS[finding.state], escape(finding.found), escape(finding.remedy))
        console = Console()
        console.print(table)
        console.print("This machine can serve." if serves else "This machine cannot serve; see the faults above.")
    if not serves:
        raise typer.Exit(1)
