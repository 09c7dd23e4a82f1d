"""`terraloom bench`: what this machine can do, on one page."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.cli.output import AsJson, RuntimeOption, plain, print_json, writing


def command(
    runtime: RuntimeOption = "auto",
    threads: Annotated[int, typer.Option(min=1, help="cores that generation may use")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="fewer tiles: a third of the time, and noisier")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="keep the report as JSON")] = None,
    plot: Annotated[Path | None, typer.Option(dir_okay=False, help="draw it as a picture, such as bench.png")] = None,
    compare: Annotated[tuple[Path, Path] | None, typer.Option(help="measure nothing: two kept reports side by side")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure this machine: networks, tiles, cost per square kilometre, and the speed of flight that it keeps up with."""
    from rich.console import Console

    from terraloom_engines.bench.generation import QUICK, Effort
    from terraloom_engines.bench.report import comparison, measure, page
    from terraloom_engines.networks import open_networks
    from terraloom_engines.world import networks_bundle

    if compare is not None:
        print(comparison(*(_read(path) for path in compare)))
        return
    bundle = networks_bundle()
    with Console(stderr=True).status("opening the runtime") as status:
        networks = open_networks(bundle, runtime, threads)
        report = measure(bundle, networks, threads, QUICK if quick else Effort(), status.update)
    if output is not None:
        with writing(output):
            output.write_text(json.dumps(plain(report), indent=1) + "\n")
    if plot is not None:
        from terraloom_engines.bench.chart import draw

        with writing(plot):
            draw(report).save(plot)
    if as_json:
        print_json(report)
    else:
        print(page(report))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise NotFoundError(f"there is no report {path}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"{path} is not a report of terraloom bench: {error}") from None
