"""The `terraloom` command: finds its subcommands, prints errors in one line."""

import os
import sys
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from terraloom.errors import TerraloomError

COMMANDS = (
    "serve", "top", "fly", "tile", "heights", "render", "view", "export", "world", "spawn", "token",
    "info", "doctor", "bench", "engines", "demo",
)  # fmt: skip
"""Modules of this package, in the order of the help page. Each has a function `command` whose docstring is its help, or a `group` of
several; what is slow to import is imported inside them."""


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"terraloom {version('terraloom')}")
        raise typer.Exit


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="terraloom",
        help="Terraloom: an unbounded, generated Earth, streamed as glTF tiles.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name in COMMANDS:
        module = import_module(f"terraloom_engines.cli.{name}")
        if hasattr(module, "group"):
            app.add_typer(module.group, name=name)
        else:
            app.command(name)(module.command)
    return app


def _root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit.")] = False,
) -> None:
    """Terraloom: an unbounded, generated Earth, streamed as glTF tiles."""


def run() -> None:
    """Run the command line of this process; errors of Terraloom and of usage become one line and their exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what gRPC has to say of a failure comes as an error as well
    try:
        code = build()(prog_name="terraloom", standalone_mode=False)
    except TerraloomError as error:
        _end(str(error), error.exit_code)
    except typer.Abort:
        _end("interrupted", 130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what every version of typer and click tells usage errors by
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "terraloom")
        _end(f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help" if error.format_message() else "", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _end(message: str, code: int) -> NoReturn:
    """One line, unless there is nothing to say, as after the help that a command without arguments shows."""
    if message:
        print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
