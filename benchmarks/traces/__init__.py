"""Flights that mean something, as paths that `terraloom fly --path` reads too; `python -m benchmarks.traces.make` makes them."""

from dataclasses import dataclass
from pathlib import Path

from terraloom_engines.cli.flight import FlightPath
from terraloom_engines.cli.path_csv import read_path

__all__ = ["TRACES", "Trace"]


@dataclass(frozen=True, slots=True)
class Trace:
    """One flight, and how much ground it asks for."""

    name: str
    max_level: int
    """Finest level for the eye; the screen-space error alone would ask for more only where `leaf` says so."""
    radius: float
    """Metres around the body within which collision tiles must be there."""
    collision_level: int
    what: str

    @property
    def path(self) -> FlightPath:
        """Its poses, four a second."""
        return read_path(Path(__file__).parent / f"{self.name}.csv")


_ALL = (
    Trace("f16", 14, 500.0, 13, "JSBSim's F-16 at Mach 0.9, 150 m and more above the ground ahead of it, two turns"),
    Trace("uav120", 16, 200.0, 15, "120 m/s, 500 m above the ground, turns to both sides"),
    Trace("reversal", 16, 200.0, 15, "120 m/s, 500 m above the ground, there and back twice with turns of 180 degrees"),
    Trace("uav30", 17, 100.0, 16, "30 m/s, 120 m above the ground: a turn, a halt, a look all around, back, and a jump of 20 km"),
    Trace("car", 17, 60.0, 17, "25 m/s on the ground, eyes at 2 m"),
)
TRACES = {trace.name: trace for trace in _ALL}
