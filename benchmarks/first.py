"""The first version, v0, to judge later ones beside: its networks and its manifest's values under the present finishing rules but for some.

What is off, since it came later: mending kinks (`kinks` 0 in both stages), drawing levels finer than 10 as level 10 is, valleys cut for
water (`breaching` 0), colour that follows height (`guidance` 0). The imagery stage has the first manifest's `spread_mean` and
`detail_scale`. What came later and stays on: colours keep away from black and white, keep the smooth part of their hue, change light by
brightness, follow slopes and have no more texture than room; land and water go at most 75 % of the way to the water's level; no towers
beside fjords; lakes. Those of land say nothing far from water. Heights and relief of the base are the present ones too.
"""

import json
import subprocess
from pathlib import Path

from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.cascade import Cascade, Stages
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.stages import StageSpec
from terraloom_engines.world import FieldMemory, FieldStore, open_base

BUNDLE = "0b65037:engines/terraloom_engines/bundle/data/earth"
"""Commit and folder of the first bundle."""


def file_of_first(name: str) -> bytes:
    """A file of the first bundle, out of the history. Raises CalledProcessError without it (a shallow clone)."""
    command = ["git", "show", f"{BUNDLE}/{name}"]
    return subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True).stdout


class FirstLifting(LiftingStage):
    """The geometry stage that is told every scale."""

    finest_told = 30


def first_stages(threads: int = 1) -> Stages:
    """Both stages of the first version, on onnx-cpu."""
    manifest = json.loads(file_of_first("manifest.json"))["stages"]
    specs = {name: StageSpec.from_manifest(entry) for name, entry in manifest.items()}
    graphs = {name: OnnxCpuRuntime(threads).load(file_of_first(f"{name}.onnx")) for name in specs}
    return Stages(FirstLifting(graphs["geometry"], specs["geometry"], 0), ImageryStage(graphs["imagery"], specs["imagery"], 0))


def earth_of(stages: Stages, name: str) -> Cascade:
    """Earth as two stages make it from the present base; `name` keeps its fields apart."""
    base = open_base("earth", Bundle.open(embedded_bundles()["earth"]))
    return Cascade(base, stages, FieldStore(name, FieldMemory(), None))
