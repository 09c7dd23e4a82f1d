"""Run the benchmarks and write benchmarks/results/MACHINE.json: `python -m benchmarks [NAME ...]`, all of them if none is named."""

import json
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import drift, generation, glb, http, machine, reconnect, relief, serving, towns, urgency

BENCHES = {
    "generation": generation.measure,
    "glb": glb.measure,
    "serving": serving.measure,
    "relief": relief.measure,
    "towns": towns.measure,
    "http": http.measure,
    "urgency": urgency.measure,
    "reconnect": reconnect.measure,
    "drift": drift.measure,
}


def main() -> None:
    """Run the named benches (all by default), print and keep their figures; those not run keep what the file has."""
    chosen = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        print(f"error: unknown bench {unknown[0]!r}: allowed are {', '.join(BENCHES)}", file=sys.stderr)
        sys.exit(2)
    path = Path(__file__).parent / "results" / f"{machine.name()}.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    console = Console()
    for name in chosen:
        results[name] = {"machine": machine.describe(), "command": f"python -m benchmarks {name}", "figures": BENCHES[name]()}
        console.print_json(json.dumps({name: results[name]["figures"]}))
        path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
