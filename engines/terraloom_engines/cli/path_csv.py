"""Paths from CSV files: poses in order of time.

    time,longitude,latitude,height,heading,pitch
    0,7.00,46.00,3000,90,-10
    10,7.02,46.00,3100,100,-10

Commas, semicolons or tabs stand between columns. These may be in any order, and others among them are passed over. `time` (seconds;
`seconds` is another name of it) increases, longitude and latitude are degrees (on a plane x and y stand in their place, metres), height is
metres above mean sea level. `heading` (degrees clockwise from north) and `pitch` (degrees up from the horizon) are optional, as columns and
in each line.
"""

import csv
import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.tiling import PLANE_REACH, WorldKind

if TYPE_CHECKING:
    from terraloom_engines.cli.flight import Fix, FlightPath

COLUMNS = ("time", "longitude", "latitude", "height")
PLANE_COLUMNS = ("time", "x", "y", "height")
OPTIONAL = ("heading", "pitch")
SYNONYMS = {"seconds": "time"}
RANGES = {"longitude": (-180.0, 180.0), "latitude": (-90.0, 90.0), "height": (-12_000.0, 1e8), "pitch": (-90.0, 90.0)}
RANGES |= dict.fromkeys("xy", (-PLANE_REACH / 2, PLANE_REACH / 2))
MOST_LINES = 1_000_000
SEPARATORS = ",;\t"
"""What spreadsheets write, by language."""


def read_path(file: Path, pitch: float = -20.0, kind: WorldKind = WorldKind.PLANET) -> "FlightPath":
    """The path in a CSV file, over a kind of world; `pitch` holds where the file has none.

    Raises InvalidArgumentError, which names the file, the line and what is allowed, and NotFoundError without a file.
    """
    from terraloom_engines.cli.flight import FlightPath

    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return FlightPath(tuple(_fixes(file, stream, PLANE_COLUMNS if kind is WorldKind.PLANE else COLUMNS)), pitch, kind)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgumentError(f"{file} cannot be read as CSV in UTF-8: {error}") from error


def _fixes(file: Path, stream: Iterator[str], columns: tuple[str, ...]) -> Iterator["Fix"]:
    from terraloom_engines.cli.flight import Fix

    first = next(stream, "")
    reader = csv.reader(chain([first], stream), delimiter=max(SEPARATORS, key=first.count))
    header = [SYNONYMS.get(name.strip().lower(), name.strip().lower()) for name in next(reader, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        known = f"needed are {', '.join(columns)}; {' and '.join(OPTIONAL)} are optional"
        raise InvalidArgumentError(f"{file}, line 1: no column {', '.join(missing)}; {known}")
    twice = {name for name in (*columns, *OPTIONAL) if header.count(name) > 1}
    if twice:
        raise InvalidArgumentError(f"{file}, line 1: column {', '.join(sorted(twice))} comes twice")
    before, count = -math.inf, 0
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        where, count = f"{file}, line {reader.line_num}", count + 1
        if count > MOST_LINES:
            raise InvalidArgumentError(f"{where}: a path has at most {MOST_LINES:,} places")
        if len(row) != len(header):
            raise InvalidArgumentError(f"{where}: {len(row)} values for {len(header)} columns")
        cells = {name: text.strip() for name, text in zip(header, row, strict=True)}
        time, east, north, height = (_number(where, name, cells[name]) for name in columns)
        heading, pitch = (_number(where, name, cells[name]) if cells.get(name) else None for name in OPTIONAL)
        if time <= before:
            raise InvalidArgumentError(f"{where}: time = {time:g} does not increase: the line before has {before:g}")
        before = time
        yield Fix(time, east, north, height, heading, pitch)
    if count < 2:
        raise InvalidArgumentError(f"{file}: {count} places; a path needs at least two")


def _number(where: str, name: str, text: str) -> float:
    """A finite number within the range of its column."""
    try:
        value = float(text)
    except ValueError:
        raise InvalidArgumentError(f"{where}: {name} = {text[:40]!r} is not a number") from None
    low, high = RANGES.get(name, (-math.inf, math.inf))
    if not (math.isfinite(value) and low <= value <= high):
        allowed = f"{low:g} to {high:g}" if name in RANGES else "finite numbers"
        raise InvalidArgumentError(f"{where}: {name} = {text[:40]} is out of range: allowed are {allowed}")
    return value
