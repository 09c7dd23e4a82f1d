"""`terraloom token`: tokens for those who may call."""

from datetime import datetime
from typing import Annotated

import typer

from terraloom_engines.cli.output import AsJson, print_json

group = typer.Typer(help="Make tokens for those who may call a server.", no_args_is_help=True)


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="who will hold it, for logs and metrics")],
    sessions: Annotated[int | None, typer.Option(min=1, help="sessions open at a time; default: no limit")] = None,
    tiles_per_second: Annotated[float | None, typer.Option(min=0.001, help="default: no limit")] = None,
    bytes_per_second: Annotated[int | None, typer.Option(min=1, help="default: no limit")] = None,
    operator: Annotated[bool, typer.Option("--operator", help="may read metrics and the server's state")] = False,
    expires: Annotated[datetime | None, typer.Option(help="UTC; default: never")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a new token, which is kept nowhere, and its entry for the file of `terraloom serve --tokens`."""
    from terraloom_engines.server.tokens import check_name, digest_of, new_token

    token = new_token()
    lines = [f'["{check_name(name)}"]', f'sha256 = "{digest_of(token).hex()}"']
    limits = {"sessions": sessions, "tiles_per_second": tiles_per_second, "bytes_per_second": bytes_per_second}
    lines += [f"{key} = {value}" for key, value in limits.items() if value is not None]
    lines += ["operator = true"] if operator else []
    lines += [f"expires = {expires:%Y-%m-%dT%H:%M:%SZ}"] if expires else []
    entry = "\n".join(lines) + "\n"
    if as_json:
        print_json({"name": name, "token": token, "entry": entry})
    else:
        print(f"# The token, shown this once:\n#     {token}\n# The entry to add to the file of tokens:\n{entry}", end="")
