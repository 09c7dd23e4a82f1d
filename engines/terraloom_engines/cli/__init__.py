"""The command line: one small file per command, all listed in `app.COMMANDS`."""

import sys


def main() -> None:
    """Entry point of the `terraloom` command."""
    try:
        from terraloom_engines.cli.app import run

        run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in sys.stdlib_module_names | {"terraloom", "terraloom_engines"}:
            raise
        print(f"error: {error.name} is not installed; commands need: pip install 'terraloom[server]'", file=sys.stderr)
        sys.exit(1)
