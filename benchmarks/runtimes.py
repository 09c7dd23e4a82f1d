"""Every runtime that works here against onnx-cpu, and its speed: `make bench-gpu`, `python -m benchmarks.runtimes [NAME ...]`.

Writes benchmarks/results/MACHINE-runtimes.json: differences per level as `terraloom engines verify` has them, times of the networks and of
tiles, ways of running torch, networks of the paper's size, and the ceilings of processor and GPU in the same run.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import machine
from terraloom.errors import TerraloomError
from terraloom_engines.bench.ceilings import cpu_ceilings
from terraloom_engines.bench.generation import QUICK, generation
from terraloom_engines.bench.stages import stage_figures
from terraloom_engines.bundle import Bundle
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.networks import Networks, open_networks
from terraloom_engines.runtimes.catalogue import choices
from terraloom_engines.verification import verify
from terraloom_engines.world import networks_bundle

LEVELS = (6, 9, 12, 15)
REPEATS = 3


def figures(bundle: Bundle, reference: Networks, networks: Networks) -> dict[str, Any]:
    """One runtime."""
    differences = verify(EarthBase(bundle.folder), reference, networks, LEVELS)
    stages = {name: asdict(stage) for name, stage in stage_figures(bundle, networks).items()}
    found = {"identity": networks.runtime_identity, "stages": stages, "differences": [asdict(level) for level in differences]}
    return found | {"tiles": asdict(generation(bundle, networks, QUICK))}


def of_torch(bundle: Bundle) -> dict[str, Any]:
    """Ways of running the networks in torch, the memory of a step there, and the networks of the paper's size, where they are installed."""
    try:
        from benchmarks import accelerated
    except ImportError as error:
        return {"refused": f"{error.name} is not installed"}
    found = {"networks": accelerated.torch_figures(bundle, REPEATS), "step_peak_bytes": accelerated.step_peak_bytes(bundle)}
    try:
        found["paper"] = accelerated.paper_figures(REPEATS)
    except ImportError as error:
        found["paper"] = {"refused": f"{error.name} is not installed: pip install 'terraloom[paper]'"}
    return found


def ceilings() -> dict[str, Any]:
    """Of the processor, and of the GPU where torch sees one."""
    found = {"cpu": asdict(cpu_ceilings(2))}
    try:
        import torch
    except ImportError:
        return found
    if torch.cuda.is_available():
        from terraloom_engines.bench.torch_ceilings import gpu_ceilings

        found["gpu"] = asdict(gpu_ceilings())
    return found


def main() -> None:
    """Measure the runtimes named, or all; those that do not work are kept with the reason."""
    bundle = networks_bundle()
    reference, found = open_networks(bundle, "onnx-cpu"), {}
    for name in sys.argv[1:] or [str(choice) for choice in choices()]:
        try:
            found[name] = figures(bundle, reference, open_networks(bundle, name))
        except TerraloomError as error:
            found[name] = {"refused": str(error)}
        Console().print_json(json.dumps({name: found[name]}))
    report = {
        "machine": machine.describe(),
        "command": "make bench-gpu",
        "ceilings": ceilings(),
        "runtimes": found,
        "torch": of_torch(bundle),
    }
    path = Path(__file__).parent / "results" / f"{machine.name()}-runtimes.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
