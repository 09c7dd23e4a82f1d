"""Push against pull: the same flights on the gRPC streams and on a client of 3D Tiles, over the same links and stores.

    python -m benchmarks.streaming prepare --store DIR        # makes all that the flights need, once (hours on a busy machine)
    python -m benchmarks.streaming fly --store DIR            # with a warm store: every trace, push and pull in turn
    python -m benchmarks.streaming fly --store DIR --cold --traces uav120   # with an empty one
    python -m benchmarks.streaming urgent --store DIR         # a collision tile beside bulk

Every flight has a server of its own, so that nothing is in its memory; the link is a process of its own. What the clients do is in
`push.py` and `pull.py`, what is counted in `shown.py`. Results go into results/streaming-MACHINE.json, each with machine and command.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine, pull, push
from benchmarks.links import LINKS
from benchmarks.shown import Heights, Log, Picture, late_ground, pictures, seen
from benchmarks.traces import TRACES, Trace
from terraloom.testing import ServerAddress, run_server
from terraloom_engines.tiling import TileId

RESULTS = Path(__file__).parent / "results" / f"streaming-{machine.name()}.json"


@contextmanager
def linked(link: str, target: str) -> Iterator[str]:
    """A link to `target` in a process of its own; yields its address."""
    command = [sys.executable, "-m", "benchmarks.links", target, link]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.stdin.close()
            process.wait()


def metrics(address: ServerAddress) -> dict[str, float]:
    """What the server counted so far."""
    with urllib.request.urlopen(f"{address.http}/metrics", timeout=60.0) as answer:
        lines = answer.read().decode().splitlines()
    wanted = r'(terraloom_tiles_total|terraloom_contents_total|terraloom_busy_seconds_total)\{.*(?:outcome|source|use)="(\w+)".*\} (\S+)'
    found = [match.groups() for line in lines if (match := re.match(wanted, line))]
    found += [("reclaimed", "seconds", line.split()[-1]) for line in lines if line.startswith("terraloom_reclaimed_seconds_total{")]
    return {f"{name.removeprefix('terraloom_').removesuffix('_total')}.{label}": float(value) for name, label, value in found}


def flight(kind: str, trace: Trace, link: str, store: Path, seconds: float) -> tuple[Log, dict[str, Any]]:
    """One flight on a new server over a store; its log, and what the server counted."""
    with run_server("--store", str(store), http=True) as address:
        target = address if kind == "push" else address.http.removeprefix("http://")
        counted: dict[str, float] = {}
        with linked(link, str(target)) as end:
            log = asyncio.run((push if kind == "push" else pull).fly(end, trace, seconds, lambda: counted.update(metrics(address))))
    busy = counted["busy_seconds.used"] + counted["busy_seconds.wasted"]
    wasted = counted["busy_seconds.wasted"] - counted.get("reclaimed.seconds", 0.0)
    return log, {
        "tiles_generated": round(counted["tiles.generated"]),
        "busy_seconds": round(busy, 2),
        "given_up_percent": round(100 * counted["busy_seconds.wasted"] / busy, 2) if busy else 0.0,
        "wasted_work_percent": round(100 * wasted / busy, 2) if busy else 0.0,
        "outcomes": {name.removeprefix("tiles."): round(value) for name, value in counted.items() if name.startswith("tiles.")},
    }


def figures(log: Log, counted: dict[str, Any], frames: list[Picture], trace: Trace, kind: str) -> dict[str, Any]:
    """All figures of one flight."""
    used: set[TileId] = set()
    for _, drawn in log.changes:
        for tile in drawn - used:
            at = tile
            while at not in used:
                used.add(at)
                if not at.has_parent:
                    break
                at = at.parent
    received = sum(size for *_, size in log.arrivals)
    idle = sum(size for _, tile, size in log.arrivals if tile not in used)
    return {
        **seen(log, frames),
        **({"collision": late_ground(log, trace.radius, trace.collision_level)} if kind == "push" else {}),
        "tiles_received": len(log.arrivals),
        "megabytes_received": round(received / 1e6, 2),
        "never_drawn_percent": round(100 * idle / received, 2) if received else 0.0,
        **counted,
        "slowest_frame_ms": round(1e3 * max((b[0] - a[0] for a, b in zip(log.frames, log.frames[1:], strict=False)), default=0.0)),
    }


def heights_of(store: Path, trace: Trace) -> Heights:
    """The heights of all tiles of a flight, as `prepare` left them."""
    entries = json.loads((store / f"heights-{trace.name}.json").read_text())
    return {TileId(*map(int, name.split("/"))): (low, high) for name, (low, high) in entries.items()}


def compare(trace: Trace, link: str, store: Path | None, seconds: float, heights: Heights, repeats: int) -> dict[str, Any]:
    """Push and pull in turn, `repeats` times; the figures of every flight."""
    found: dict[str, list[dict[str, Any]]] = {"push": [], "pull": []}
    for _ in range(repeats):
        for kind, results in found.items():
            with tempfile.TemporaryDirectory() as empty:
                load = os.getloadavg()[0]
                log, counted = flight(kind, trace, link, store or Path(empty), seconds)
            frames = pictures(log, trace.max_level, heights)
            results.append({**figures(log, counted, frames, trace, kind), "load_before": round(load, 1)})
            print(json.dumps({trace.name: link, kind: results[-1]}), flush=True)
    return {
        "trace": trace.what,
        "seconds": seconds,
        "finest_level": trace.max_level,
        "picture": "1920 x 1080, 60 degrees, 16 lines of error",
        "store": "warm" if store else "cold",
        **found,
    }


def prepare(store: Path, names: list[str], seconds: float) -> None:
    """Makes all that both clients need into a store, and keeps the heights of the tiles beside it."""
    for name in names:
        trace = TRACES[name]
        with run_server("--store", str(store), http=True) as address:
            log = asyncio.run(push.prepare(str(address), trace, seconds))
            entries = {f"{tile.z}/{tile.x}/{tile.y}": span for tile, span in log.heights.items()}
            (store / f"heights-{name}.json").write_text(json.dumps(entries))
            asyncio.run(pull.prepare(address.http.removeprefix("http://"), trace, seconds))


def keep(entries: dict[str, Any]) -> None:
    """Adds results to the file of this machine; folders of the command that made them are called DIR."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    given = ["DIR" if before == "--store" else word for before, word in zip(sys.argv, sys.argv[1:], strict=False)]
    about = {"machine": machine.describe(), "command": f"python -m benchmarks.streaming {' '.join(given)}"}
    for name, entry in entries.items():
        results[name] = {**about, **entry}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    """Prepare, fly or measure urgent tiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "fly", "urgent"))
    parser.add_argument("--store", type=Path, help="a directory that `prepare` filled")
    parser.add_argument("--cold", action="store_true", help="fly over an empty store; --store still tells the heights")
    parser.add_argument("--traces", nargs="+", choices=TRACES, default=list(TRACES))
    parser.add_argument("--links", nargs="+", choices=LINKS, default=["1gbit", "100mbit"])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if options.store is None:
        parser.error("--store is needed: the directory that `prepare` filled")
    if options.what == "prepare":
        prepare(options.store, options.traces, options.seconds)
        return
    if options.what == "urgent":
        from benchmarks.urgent import measure

        keep({"urgent": {"started": time.strftime("%Y-%m-%d"), **measure(options.store)}})
        return
    for name in options.traces:
        for link in options.links:
            trace, store = TRACES[name], None if options.cold else options.store
            heights = heights_of(options.store, trace)
            found = compare(trace, link, store, options.seconds, heights, options.repeats)
            keep({f"{name} {link} {'cold' if options.cold else 'warm'}": found})


if __name__ == "__main__":
    main()
