"""The command line: one small file per command, all listed in `app.COMMANDS`."""

import sys


def main() -> None:
    """Entry point of the `terraloom` command."""
    try:
        from terraloom_engines.cli.app import run

        run()
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("terraloom"):
            raise
        print(f"error: {error.name} is not installed; commands need: pip install 'terraloom[server]'", file=sys.stderr)
        sys.exit(1)
