"""`terraloom serve`: serve a world until told to stop."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from terraloom_engines.cli.output import RuntimeOption

if TYPE_CHECKING:
    from terraloom_engines.server import ServerOptions, TlsFiles


def command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach all but 127.0.0.1, ::1 and localhost.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 50051,
    world: Annotated[list[str] | None, typer.Option(help="World to serve: the first is the default (earth).", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything generated below the base.")] = 0,
    store: Annotated[Path | None, typer.Option(help="Directory that keeps what was generated; without it, memory does.")] = None,
    cache_mib: Annotated[int, typer.Option(min=1, help="Memory for encoded tiles, in MiB.")] = 256,
    threads: Annotated[int, typer.Option(min=1, help="Cores that generation may use.")] = 2,
    runtime: RuntimeOption = "auto",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port for HTTP; 0 takes any free one.")] = 8080,
    http: Annotated[bool, typer.Option(help="Serve 3D Tiles, map tiles and the viewer over HTTP as well.")] = True,
    tls_cert: Annotated[Path | None, typer.Option(dir_okay=False, help="Certificate with its chain, PEM; taken up when renewed.")] = None,
    tls_key: Annotated[Path | None, typer.Option(dir_okay=False, help="Its key, PEM, without a password.")] = None,
    client_ca: Annotated[Path | None, typer.Option(dir_okay=False, help="Take only clients whose certificate these sign, PEM.")] = None,
    tokens: Annotated[Path | None, typer.Option(dir_okay=False, help="Take only callers whose token is in this file, TOML.")] = None,
    log_format: Annotated[str, typer.Option(help="text or json, one line an event on standard error.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    insecure: Annotated[bool, typer.Option("--insecure", help="Talk in clear to other machines.")] = False,
) -> None:
    """Serve a world over gRPC and HTTP until SIGINT or SIGTERM."""
    import asyncio

    from terraloom_engines import spans
    from terraloom_engines.server import ServerOptions
    from terraloom_engines.server.checks import one_of
    from terraloom_engines.server.logs import LogFormat, LogLevel, set_up

    set_up(
        one_of("log_format", log_format, get_args(LogFormat)),  # type: ignore[arg-type]
        one_of("log_level", log_level, get_args(LogLevel)),  # type: ignore[arg-type]
    )
    options = ServerOptions(
        host,
        port,
        tuple(world or ["earth"]),
        seed,
        store,
        cache_mib << 20,
        threads,
        runtime=runtime,
        tls=_tls(tls_cert, tls_key, client_ca),
        insecure=insecure,
        tokens=tokens,
    )
    spans.set_up()
    try:
        asyncio.run(_serve(options, http_port if http else None))
    finally:
        spans.shut_down()


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> "TlsFiles | None":
    from terraloom.errors import InvalidArgumentError
    from terraloom_engines.server import TlsFiles

    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    raise InvalidArgumentError("TLS needs --tls-cert and --tls-key; --client-ca goes with them", field="tls")


async def _serve(options: "ServerOptions", http_port: int | None) -> None:
    from contextlib import AsyncExitStack

    from terraloom_engines.server import Server

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(options))
        print(f"listening on {options.netloc}:{server.port}", flush=True)
        if http_port is not None:
            from terraloom_engines.http import HttpServer

            face = await stack.enter_async_context(HttpServer(server, http_port))
            print(f"listening on {face.url}", flush=True)
        gc.freeze()  # what there is by now stays; a full collection would look through it every few seconds, and hold up all meanwhile
        await server.until_signalled()
