"""The command line: one small file per command, all listed in `app.COMMANDS`."""


def main() -> None:
    """Entry point of the `terraloom` command."""
    from terraloom_engines.cli.app import run

    run()
