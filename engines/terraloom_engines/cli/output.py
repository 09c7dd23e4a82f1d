"""What commands leave behind: files, and JSON for programs."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from terraloom.errors import InvalidArgumentError

AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
"""The option of every command that a program may read."""
RuntimeOption = Annotated[
    str,
    typer.Option(
        envvar="TERRALOOM_RUNTIME",
        help="what runs the networks: auto, onnx-cpu, openvino, onnx-cuda, torch, tensorrt-rtx, tensorrt, or NAME:PRECISION",
    ),
]
"""The option of every command that generates."""


@contextmanager
def writing(file: Path) -> Iterator[Path]:
    """Make the folder of `file`, then write it in the body; what goes wrong there becomes an InvalidArgumentError that names the file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield file
    except (OSError, ValueError) as error:  # Pillow raises ValueError for an unknown suffix
        raise InvalidArgumentError(f"cannot write {file}: {error}") from error


def print_json(value: object) -> None:
    """One JSON document on standard output; numbers that were not measured (NaN) are null, paths are text."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: object) -> object:
    """What JSON can hold of a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
