"""Write a bundle from checkpoints: `python -m terraloom_engines.training.export`.

Exports the averaged weights to ONNX (fp32, free window size), copies nothing else: the base is built by `earth_base`. The manifest
records digests, the training command, data, licence and metrics.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from terraloom_engines.self_test import CONDITIONS
from terraloom_engines.training import networks
from terraloom_engines.training.train import NETWORKS

OPSET = 18
SPREAD_GAIN = {"geometry": 0.0, "imagery": 0.24}
"""Octaves added to every child's spread. Without it texture fades: with 0.15 light steps by 5.8 from pixel to pixel at level 13 (median of
nine places), with 0.28 by 8.6. A likely cause, not tested, is that every image is blurred at its own finest scale by its optics."""
DETAIL_SCALE = {"geometry": networks.DETAIL_SCALE, "imagery": 0.43}
"""Typical size of a detail in spreads of its parent, 0.45 when they were trained. A little less of colour is drawn, and more is left inside
the children, by the realism report."""
KINKS = {"geometry": 0.08, "imagery": 0.0}
"""Share of `upsampling.kinks` that is added: though they learn what departs from smooth children, networks leave steps at the borders of
blocks. By the seams of `benchmarks/drift.py`."""
STREAKS = {"geometry": 0.45, "imagery": 0.5}
"""Share of what is alike along rows and columns that is taken out of the noise, by eye and the power along the axes of generated land."""
GUIDANCE = {"geometry": 0.0, "imagery": 0.7}
"""Largest share of texture that follows relief, set by eye."""
BREACHING = {"geometry": 0.7, "imagery": 0.0}
"""Share of their depth by which valleys are cut, by the realism report: the whole of it makes curvature too large."""
STREAMS = {"geometry": 16, "imagery": 32}
"""Noise streams of the networks; a stage's later steps take the following numbers."""


def load_average(checkpoint: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The averaged network of a checkpoint, and its training record."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = NETWORKS[state["config"]["network"]][0](state["config"]["width"], state["config"].get("coarse", 0))
    model.load_state_dict(state["average"])
    return model.eval(), {"config": state["config"], "steps": state["steps"], "minutes": round(state["seconds"] / 60, 1)}


def export(model: nn.Module, network: str, path: Path) -> None:
    """Serialise one network; inputs in the order of its forward function."""
    side = 64
    shapes: dict[str, tuple[int, ...]] = {"noise": (1, model.noise_channels, side, side), "time": (1, 1, 1, 1)}
    first, last = list(CONDITIONS[network])[:-1], list(CONDITIONS[network])[-1]
    shapes |= {name: (1, CONDITIONS[network][name], side, side) for name in first}
    shapes |= {"gsd": (1, 1, side, 1), last: (1, CONDITIONS[network][last], side, side)}
    axes = {name: {2: "rows", 3: "columns"} if name != "gsd" else {2: "rows"} for name in shapes if name != "time"}
    arguments = tuple(torch.zeros(shape) for shape in shapes.values())
    torch.onnx.export(
        model, arguments, str(path), input_names=list(shapes), output_names=["sample"], dynamic_axes=axes, opset_version=OPSET, dynamo=False
    )
    onnx.checker.check_model(str(path))


def stage_spec(model: nn.Module, network: str, times: tuple[float, ...]) -> dict[str, Any]:
    """The manifest's entry of a stage (see `StageSpec`)."""
    return {
        "stream": STREAMS[network], "border": networks.HALO, "times": list(times), "channels": model.channels,
        "noise_channels": model.noise_channels, "slopes": model.noise_channels - model.channels - networks.NOISE_EXTRA,
        "detail_scale": DETAIL_SCALE[network], "spread_mean": networks.SPREAD_MEAN + SPREAD_GAIN[network],
        "spread_scale": networks.SPREAD_SCALE, "kinks": KINKS[network], "streaks": STREAKS[network],
        "breaching": BREACHING[network], "guidance": GUIDANCE[network],
    }  # fmt: skip


def write_bundle(checkpoints: Path, out: Path, provenance: dict[str, Any]) -> None:
    """Export both networks into `out`, beside the base, and write the manifest."""
    stages, training = {}, {}
    for network in NETWORKS:
        model, training[network] = load_average(checkpoints / f"{network}.pt")
        export(model, network, out / f"{network}.onnx")
        stages[network] = stage_spec(model, network, (1.0,))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir()) if path.name != "manifest.json"}
    manifest = {"name": out.name, "format": 1, "stages": stages, "training": training, **provenance, "files": digests}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def main() -> None:
    """Command line."""
    folder = Path(__file__).parents[1] / "bundle" / "data" / "earth"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=Path("build/training"))
    parser.add_argument("--out", type=Path, default=folder)
    given = parser.parse_args()
    write_bundle(given.checkpoints, given.out, json.loads((Path(__file__).parent / "provenance.json").read_text()))


if __name__ == "__main__":
    main()
