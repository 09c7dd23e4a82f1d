"""The `terraloom` command: finds its subcommands, prints errors in one line."""

import sys
from importlib import import_module

import typer

from terraloom.errors import TerraloomError

COMMANDS = ("serve", "fly", "tile", "heights", "render", "demo")
"""Modules of this package, in the order of the help page. Each has a function `command` whose docstring is its help; what is slow to
import is imported inside it."""


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="terraloom",
        help="Terraloom: an unbounded, generated Earth, streamed as glTF tiles.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name in COMMANDS:
        app.command(name)(import_module(f"terraloom_engines.cli.{name}").command)
    return app


def _root() -> None:
    """Terraloom: an unbounded, generated Earth, streamed as glTF tiles."""


def run() -> None:
    """Run the command line of this process; errors of Terraloom become one line and their exit code."""
    try:
        build()()
    except TerraloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
