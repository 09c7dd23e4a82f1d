"""`terraloom info`: what a server serves, or what is installed here."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from terraloom_engines.cli.connection import Ca, Cert, Key, ServerName, TokenFile, UseTls, reached, tls_of
from terraloom_engines.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from terraloom import Client
    from terraloom.v1 import terraloom_pb2 as pb

SECONDS_TO_ANSWER = 10.0


def installed() -> dict[str, Any]:
    """The distribution, its bundles with digests, licences and sources, and the kinds of worlds it opens."""
    from importlib.metadata import version

    from terraloom_engines.bundle import Bundle, embedded_bundles
    from terraloom_engines.world import SCHEMES, open_base

    bundles = {}
    for name, folder in embedded_bundles().items():
        bundle = Bundle.open(folder)
        bundles[name] = {
            "digest": bundle.digest,
            "folder": str(folder),
            "licence": bundle.manifest["licence"],
            "base_data": bundle.manifest["base_data"],
            "training_data": bundle.manifest["training_data"],
            "attribution": open_base(name, bundle).attribution,
        }
    return {"version": version("terraloom"), "worlds": [scheme.form for scheme in SCHEMES.values()], "bundles": bundles}


def served(client: "Client") -> dict[str, Any]:
    """The server's version, runtime, worlds, defaults and limits. Raises UnavailableError when nobody answers."""
    from google.protobuf.json_format import MessageToDict

    with client:
        answer, worlds = client.describe(SECONDS_TO_ANSWER), client.worlds(SECONDS_TO_ANSWER)
    parts = {name: getattr(answer, name) for name in ("content", "credit", "selection")}
    defaults = {name: MessageToDict(part, preserving_proto_field_name=True) for name, part in parts.items()}
    return {
        "target": client.target,
        "server_version": answer.server_version,
        "protocol_version": answer.protocol_version,
        "runtime": answer.runtime,
        "worlds": [_world(world) for world in worlds],
        "defaults": defaults,
        "limits": {"max_message_bytes": answer.max_message_bytes, "max_sample_points": answer.max_sample_points},
    }


def _world(world: "pb.WorldInfo") -> dict[str, Any]:
    from terraloom.v1 import terraloom_pb2 as pb

    return {
        "name": world.id.name,
        "seed": world.id.seed,
        "kind": pb.WorldKind.Name(world.kind).removeprefix("WORLD_KIND_").lower(),
        "title": world.title,
        "attribution": world.attribution,
        "base_level": world.base_level,
        "max_level": world.max_level,
        "identity": world.identity.hex(),
    }


def table(facts: dict[str, Any]) -> "Table":
    """Facts for a person: a row each, those inside others by their path."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "value")
    for column in table.columns:
        column.overflow = "fold"

    def add(name: str, value: object) -> None:
        if isinstance(value, dict):
            for part, inner in value.items():
                add(f"{name}.{part}" if name else part, inner)
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            for part in value:
                add(f"{name}.{part.get('name', '')}", {key: inner for key, inner in part.items() if key != "name"})
        else:
            table.add_row(escape(name), escape("; ".join(map(str, value)) if isinstance(value, list) else str(value)))

    add("", facts)
    return table


def command(
    target: Annotated[str, typer.Argument(help="address of a server; without it, what is installed here", show_default=False)] = "",
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show worlds, versions, runtime, defaults and limits of a server; or the installed bundle with its licences."""
    from rich.console import Console

    facts = served(reached(target, tls_of(tls, ca, cert, key, server_name), token_file)) if target else installed()
    if as_json:
        print_json(facts)
    else:
        Console().print(table(facts))
