"""How commands reach a server: options that all of those have which talk to one, and variables of the environment in their place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terraloom.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from terraloom import Client, Tls

UseTls = Annotated[bool, typer.Option("--tls", envvar="TERRALOOM_TLS", help="talk over TLS; implied by the options below")]
Ca = Annotated[
    Path | None, typer.Option(envvar="TERRALOOM_CA", dir_okay=False, help="PEM of the authorities that may vouch for the server")
]
Cert = Annotated[
    Path | None,
    typer.Option(envvar="TERRALOOM_CERT", dir_okay=False, help="PEM of the certificate to show, and of its key unless there is --key"),
]
Key = Annotated[Path | None, typer.Option(envvar="TERRALOOM_KEY", dir_okay=False, help="PEM of its key")]
ServerName = Annotated[str, typer.Option(envvar="TERRALOOM_SERVER_NAME", help="name in the server's certificate, if not the address's")]
TokenFile = Annotated[
    Path | None, typer.Option(envvar="TERRALOOM_TOKEN_FILE", dir_okay=False, help="file that holds the token; or set TERRALOOM_TOKEN")
]
"""A token itself is no option: whoever lists processes reads those."""


def tls_of(tls: bool, ca: Path | None, cert: Path | None, key: Path | None, server_name: str) -> "Tls | None":
    """What the options say of TLS."""
    from terraloom import Tls

    return Tls(ca, cert, key or cert, server_name) if tls or ca or cert or key or server_name else None


def reached(target: str, tls: "Tls | None", token_file: Path | None, world: str = "", seed: int = 0) -> "Client":
    """A client of the server at `target`. Raises NotFoundError or InvalidArgumentError."""
    from terraloom import connect

    token = None
    if token_file is not None:
        try:
            token = token_file.read_text("utf-8").strip()
        except FileNotFoundError:
            raise NotFoundError(f"there is no file {token_file}") from None
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(f"cannot read the token in {token_file}: {error}", field="token_file") from error
        if not token:
            raise InvalidArgumentError(f"{token_file} is empty: it must hold a token", field="token_file")
    return connect(target, world, seed, tls=tls, token=token)
