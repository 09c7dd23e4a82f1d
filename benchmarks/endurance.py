"""Endurance: many sessions on one server for hours, and what its memory does.

    python -m benchmarks.endurance --store DIR --hours 24

Active sessions fly a piece of a trace in a circle and begin anew every time round, so that all of it is sent again; idle ones have a
connection, a view and all that it needs, and say nothing. The store is one that `benchmarks.streaming prepare` filled. One line a
minute; at the end memory at the start and the end, and its slope. Fails when an idle session was cut off.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe, quantiles
from benchmarks.push import view_at
from benchmarks.traces import TRACES
from terraloom import Reconnected, StreamOptions, Tile
from terraloom._async_client import AsyncClient
from terraloom._async_stream import AsyncStream

TRACE = TRACES["uav120"]
LEVEL = 11
"""Finest level: some 100 tiles a view."""
ROUND_SECONDS, VIEWS_PER_SECOND = 20.0, 2.0
WARM_UP_SECONDS = 60.0
"""Left out of the slope: caches fill."""


@dataclass(slots=True)
class Tally:
    """What all sessions saw together."""

    tiles: int = 0
    bytes: int = 0
    cuts: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from the opening of a session until all that its first view asks for is drawn."""


class Served:
    """A server process whose memory can be read."""

    def __init__(self, store: Path) -> None:
        command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--port", "0", "--no-http"]
        self._process = subprocess.Popen([*command, "--log-level", "warning", "--store", str(store)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().split()[-1]

    def memory(self) -> tuple[float, float]:
        """Resident MiB now, and the most so far."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
        return found["VmRSS"], found["VmHWM"]

    def processor_seconds(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100.0

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()


async def _take(stream: AsyncStream, tally: Tally) -> None:
    """Takes all that comes."""
    async for event in stream.events():
        if isinstance(event, Tile):
            tally.tiles += 1
            tally.bytes += len(event.glb)
        elif isinstance(event, Reconnected):
            tally.cuts += 1


async def _active(address: str, number: int, tally: Tally) -> None:
    """Flies round and round."""
    await asyncio.sleep(number / 50 * ROUND_SECONDS)
    async with AsyncClient(address) as client:
        while True:
            async with client.stream(view_at(TRACE, 0.0), StreamOptions(max_level=LEVEL)) as stream:
                start = time.perf_counter()
                for tile in await stream.settle(300.0):
                    tally.tiles += 1
                    tally.bytes += len(tile.glb)
                tally.waits.append(time.perf_counter() - start)
                taking = asyncio.create_task(_take(stream, tally))
                while (elapsed := time.perf_counter() - start) < ROUND_SECONDS:
                    stream.move(view_at(TRACE, elapsed))
                    await asyncio.sleep(1.0 / VIEWS_PER_SECOND)
                taking.cancel()


async def _idle(address: str, stack: AsyncExitStack, tally: Tally) -> asyncio.Task[None]:
    """A session that says nothing once it has all of its first view."""
    client = await stack.enter_async_context(AsyncClient(address))
    stream = await stack.enter_async_context(client.stream(view_at(TRACE, 0.0), StreamOptions(max_level=5)))
    await stream.settle(300.0)
    return asyncio.create_task(_take(stream, tally))


async def run(served: Served, active: int, idle: int, seconds: float) -> dict[str, Any]:
    """All sessions for so long; figures."""
    flying, quiet = Tally(), Tally()
    samples: list[tuple[float, float]] = []
    empty, _ = served.memory()
    async with AsyncExitStack() as stack:
        listeners = [await _idle(served.address, stack, quiet) for _ in range(idle)]
        resting, _ = served.memory()
        used, start = served.processor_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            flights = [group.create_task(_active(served.address, number, flying)) for number in range(active)]
            while (elapsed := time.perf_counter() - start) < seconds:
                await asyncio.sleep(min(5.0, seconds - elapsed))
                samples.append((time.perf_counter() - start, served.memory()[0]))
                if len(samples) % 12 == 0:
                    print(f"{samples[-1][0]:7.0f} s {samples[-1][1]:7.0f} MiB {flying.tiles} tiles, {quiet.cuts} cuts", flush=True)
            for task in (*flights, *listeners):
                task.cancel()
        used = served.processor_seconds() - used
    steady = np.array([sample for sample in samples if sample[0] >= min(WARM_UP_SECONDS, seconds / 2)])
    slope = float(np.polyfit(steady[:, 0], steady[:, 1], 1)[0]) * 3600 if len(steady) > 1 else float("nan")
    return {
        "active": active,
        "idle": idle,
        "seconds": round(seconds),
        "memory_mib": {
            "empty": round(empty), "with_idle": round(resting), "after_warm_up": round(steady[0, 1]), "end": round(steady[-1, 1]),
            "most": round(served.memory()[1]), "slope_per_hour": round(slope, 1),
        },
        "tiles_per_s": round(flying.tiles / seconds, 1),
        "megabytes_per_s": round(flying.bytes / seconds / 1e6, 2),
        "first_view_complete_s": quantiles(flying.waits),
        "idle_sessions_cut": quiet.cuts,
        "server_cores_used": round(used / seconds, 2),
    }  # fmt: skip


def main() -> None:
    """Run it and print the figures; keeps them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--active", type=int, default=50)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--keep", action="store_true", help="add the figures to this machine's results")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16), hard))  # a socket for every session; the server inherits it
    served = Served(options.store)
    try:
        figures = asyncio.run(run(served, options.active, options.idle, 3600 * options.hours))
    finally:
        served.stop()
    print(json.dumps(figures, indent=1))
    if options.keep:
        from benchmarks.streaming import keep

        keep({"endurance": {**figures, "machine": describe(), "command": f"python -m benchmarks.endurance {' '.join(sys.argv[1:])}"}})
    if figures["idle_sessions_cut"]:
        sys.exit(f"{figures['idle_sessions_cut']} idle sessions were cut off")


if __name__ == "__main__":
    main()
