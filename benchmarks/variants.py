"""Which network, trained how, gives the most for its microseconds? `python -m benchmarks.variants train --data DATA`, then `judge`.

Every variant of the geometry network is trained from scratch for the same processor time on one thread, and judged by what it makes of
held-out land (`benchmarks.realism`), not by its loss. So small a budget ranks recipes, it does not finish networks.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import machine, realism, sheets
from terraloom_engines import slope_noise
from terraloom_engines.lifting import LiftingStage
from terraloom_engines.runtimes import Graph
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.self_test import CONDITIONS
from terraloom_engines.stages import StageSpec
from terraloom_engines.training import chaining, export, networks, objective
from terraloom_engines.training.rasters import Source, data_folder
from terraloom_engines.training.train import TrainConfig, Trainer, batch_of, material_of, sources

DETAILS = 3
EXTRA = networks.GeometryRefiner.noise_channels - networks.GeometryRefiner.channels
"""Noise channels beside the noised sample."""
FLOW_FLOOR = 0.05
"""Times below it are not trained: a straight path is nearly its data there."""
TEACHER_STEPS = 4
FIELD_SIDE = 224
"""Parent pixels along the side of the window that is timed: that of a tile made alone."""


@dataclass(frozen=True)
class Variant:
    """One row: how wide, how trained, how often called for a sample."""

    name: str
    recipe: str
    """`score`, `score and critics`, `flow`, `distilled`."""
    width: int = 48
    steps: tuple[int, ...] = (1,)
    flat: bool = False
    """Without the coarse level: sees 7 parent pixels in place of 12."""
    without: tuple[float, float] | None = None
    """Metres per pixel, from and to, of the scales that it is not scored on; two-step chains pass through them all the same."""
    teacher: str | None = None


VARIANTS = (
    Variant("score, width 48", "score"),
    Variant("score and critics, width 48", "score and critics"),
    Variant("flow, width 48", "flow", steps=(1, 2, 4)),
    Variant("distilled flow, width 48", "distilled", teacher="flow, width 48"),
    Variant("score, width 32", "score", width=32),
    Variant("score, width 64", "score", width=64),
    Variant("score, width 48, no coarse level", "score", flat=True),
    Variant("score, width 48, never shown 60 to 200 m", "score", without=(60.0, 200.0)),
)


class FlatBody(nn.Module):
    """Six unpadded convolutions at one resolution, cropped to lose what `networks.LocalUNet` loses."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, width, 3)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in range(5))
        self.leave = nn.Conv2d(width, outputs, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(N, inputs, n, n) to (N, outputs, n - 20, n - 20)."""
        values = functional.leaky_relu(self.enter(values), 0.1)
        for layer in self.layers:
            values = functional.leaky_relu(layer(values), 0.1)
        return self.leave(networks.crop(values, 4))


def build(variant: Variant) -> nn.Module:
    """The network of a variant, untrained."""
    torch.manual_seed(1)
    model = networks.GeometryRefiner(variant.width)
    if variant.flat:
        model.body = FlatBody(model.noise_channels + 1 + 25, model.channels, variant.width)
    return model.to(memory_format=torch.channels_last)


def conditions_of(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the network is told of a batch."""
    return {key: values for key, values in batch.items() if key in chaining.CONDITIONS}


def without_extra(noised: Tensor) -> Tensor:
    """A noised sample with empty channels where a one-step network takes its extra noise."""
    return torch.cat([noised, noised.new_zeros(len(noised), EXTRA, *noised.shape[2:])], dim=1)


def flow_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Squared error of the velocity of straight paths (flow matching, Lipman et al. 2023), the network predicting the clean sample."""
    target = batch["target"]
    when = FLOW_FLOOR + (1 - FLOW_FLOOR) * torch.rand(len(target), 1, 1, 1)
    noised = objective.noised(target, torch.randn_like(target), when)
    clean = model(without_extra(noised), when, **conditions_of(batch)).float()
    error = (clean - networks.crop(target, networks.HALO)) / when
    return (error.square() * batch["mask"]).sum() / batch["mask"].sum() / target.shape[1]


def integrated(model: nn.Module, noise: Tensor, conditions: Mapping[str, Tensor], steps: int) -> Tensor:
    """Euler's way along the flow from pure noise (N, C, n, n) in equal steps: (N, C, n - 24 steps, n - 24 steps)."""
    value = noise
    for step in range(steps):
        when, then = 1 - step / steps, 1 - (step + 1) / steps
        margin = step * networks.HALO
        given = {
            name: networks.crop(raster, margin) if name != "gsd" else raster[:, :, margin : raster.shape[2] - margin]
            for name, raster in conditions.items()
        }
        clean = model(without_extra(value), torch.full((len(noise), 1, 1, 1), when), **given).float()
        value = clean + (networks.crop(value, networks.HALO) - clean) * (then / when)
    return value


def distillation_loss(student: nn.Module, teacher: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Squared error of one call against the teacher's whole way from the same noise (Luhman & Luhman 2021)."""
    noise, given = torch.randn_like(batch["target"]), conditions_of(batch)
    with torch.no_grad():
        goal = integrated(teacher, noise, given, TEACHER_STEPS)
    margin = (TEACHER_STEPS - 1) * networks.HALO
    inner = {
        name: networks.crop(raster, margin) if name != "gsd" else raster[:, :, margin : raster.shape[2] - margin]
        for name, raster in given.items()
    }
    made = student(without_extra(networks.crop(noise, margin)), torch.ones(len(noise), 1, 1, 1), **inner).float()
    return (made - goal).square().mean()


def shown(material: list[Source], variant: Variant) -> list[Source]:
    """The sources of a variant: no held-out region, no scale that it is not to see."""
    low, high = variant.without or (0.0, 0.0)
    return [source for source in material if not source.held_out and not low <= source.level.gsd < high]


class VariantRun:
    """Training of one variant; its clock is processor time, so that other work on the machine takes nothing from it."""

    def __init__(self, variant: Variant, material: list[Source], minutes: float, teacher: nn.Module | None) -> None:
        critics = float(variant.recipe == "score and critics")
        self.config = TrainConfig(
            "geometry", minutes, variant.width, adversarial=3 * critics, threads=1,
            side=128 if variant.recipe == "distilled" else 64, batch=2 if variant.recipe == "distilled" else 8,
        )  # fmt: skip
        self.variant, self.teacher = variant, teacher
        self.trainer = Trainer(self.config, "cpu")
        self.trainer.model, self.trainer.average = build(variant), build(variant)
        if teacher is not None:
            self.trainer.model.load_state_dict(teacher.state_dict())
            self.trainer.average.load_state_dict(teacher.state_dict())
        self.trainer.optimiser = torch.optim.AdamW(self.trainer.model.parameters(), lr=2e-3, weight_decay=1e-4, betas=(0.9, 0.98))
        self.material = material_of(self.config, shown(material, variant))

    def losses(self) -> Iterator[float | None]:
        """One training step after the other, until the time is up."""
        torch.set_num_threads(1)
        rng = np.random.default_rng(1)
        start = time.process_time()
        while self.trainer.seconds < self.config.minutes * 60:
            if self.variant.recipe.startswith("score"):
                yield self.trainer.step(self.material, rng)
            else:
                yield self._regress(batch_of(self.material.narrow, self.config, rng, "cpu"))
            self.trainer.seconds = time.process_time() - start

    def _regress(self, batch: dict[str, Tensor]) -> float:
        """A step of flow matching, or of distillation."""
        trainer = self.trainer
        trainer.pace()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=trainer.bfloat16):
            loss = flow_loss(trainer.model, batch) if self.teacher is None else distillation_loss(trainer.model, self.teacher, batch)
        return trainer.descend(loss)


class FlowGraph:
    """Euler steps along a flow behind the face of one graph, whose border is that of all steps together."""

    def __init__(self, graph: Graph, steps: int) -> None:
        self._graph, self._steps = graph, steps

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The sample of a window, (1, C, n - 24 steps, n - 24 steps)."""
        value = inputs["noise"][:, : networks.GeometryRefiner.channels]
        for step in range(self._steps):
            when, then = 1 - step / self._steps, 1 - (step + 1) / self._steps
            margin = step * networks.HALO
            inner = slice(margin, inputs["noise"].shape[-1] - margin)
            given = {name: raster[..., inner, inner] for name, raster in inputs.items() if name not in ("noise", "time", "gsd")}
            noised = np.pad(value, ((0, 0), (0, EXTRA), (0, 0), (0, 0)))
            given |= {"noise": noised, "gsd": inputs["gsd"][:, :, inner], "time": np.full((1, 1, 1, 1), when, np.float32)}
            clean = self._graph.run({name: np.ascontiguousarray(raster, np.float32) for name, raster in given.items()})[0][None]
            edge = slice(networks.HALO, value.shape[-1] - networks.HALO)
            value = clean + (value[..., edge, edge] - clean) * np.float32(then / when)
        return [value[0]]


def stage_of(variant: Variant, model: Path, steps: int) -> LiftingStage:
    """The geometry stage that runs a variant in so many calls."""
    graph: Graph = OnnxCpuRuntime(1).load(model.read_bytes())
    spec = StageSpec(
        stream=16, border=networks.HALO * steps, times=(1.0,), channels=networks.GeometryRefiner.channels,
        noise_channels=networks.GeometryRefiner.noise_channels, slopes=slope_noise.CHANNELS, detail_scale=networks.DETAIL_SCALE,
        spread_mean=networks.SPREAD_MEAN, spread_scale=networks.SPREAD_SCALE,
    )  # fmt: skip
    return LiftingStage(FlowGraph(graph, steps) if variant.recipe in ("flow", "distilled") else graph, spec, 0)


def cost(model: Path, steps: int, repeats: int = 12) -> float:
    """Microseconds of the network for every pixel made, median of windows of one tile on two threads."""
    graph = OnnxCpuRuntime(2).load(model.read_bytes(), FIELD_SIDE)
    shapes = {"noise": (1, 10, FIELD_SIDE, FIELD_SIDE), "time": (1, 1, 1, 1)}
    shapes |= {name: (1, channels, FIELD_SIDE, FIELD_SIDE) for name, channels in CONDITIONS["geometry"].items()}
    inputs = {name: np.ones(shape, np.float32) for name, shape in shapes.items()} | {"gsd": np.ones((1, 1, FIELD_SIDE, 1), np.float32)}
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        graph.run(inputs)
        seconds.append(time.perf_counter() - start)
    made = (2 * (FIELD_SIDE - 2 * networks.HALO)) ** 2
    return float(np.median(seconds[1:])) * 1e6 / made * steps


def file_of(variant: Variant, folder: Path) -> Path:
    """Where a variant's network lies."""
    return folder / (variant.name.replace(",", "").replace(" ", "-") + ".onnx")


def train(data: Path, folder: Path, minutes: float, chosen: list[str]) -> None:
    """Train the chosen variants one after the other; those whose network lies in `folder` are left as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    material = sources("geometry", data)
    for variant in (variant for variant in VARIANTS if not chosen or variant.name in chosen):
        path = file_of(variant, folder)
        if path.exists():
            continue
        teacher = None
        if variant.teacher is not None:
            teacher = build(variant)
            of = next(each for each in VARIANTS if each.name == variant.teacher)
            teacher.load_state_dict(torch.load(file_of(of, folder).with_suffix(".pt"), weights_only=True))
        run = VariantRun(variant, material, minutes, teacher)
        scores = [score for score in run.losses() if score is not None]
        model = run.trainer.average.eval()
        torch.save(model.state_dict(), path.with_suffix(".pt"))
        export.export(model, "geometry", path)
        record = {"steps": run.trainer.steps, "minutes": minutes, "loss": round(float(np.mean(scores[-200:])), 3)}
        path.with_suffix(".json").write_text(json.dumps(record) + "\n")
        print(json.dumps({"variant": variant.name} | record), flush=True)


def judge(data: Path, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Every trained variant on held-out land, beside the shipped network: distances in units of the floor, and what a pixel costs."""
    makers = realism.makers_of(realism.stages_of([]))
    rows: dict[str, dict[str, Any]] = {}
    for variant in VARIANTS:
        path = file_of(variant, folder)
        for steps in variant.steps if path.exists() else ():
            name = variant.name + (f", {steps} step{'s' * (steps > 1)}" if variant.recipe == "flow" else "")
            makers[name] = realism.maker(stage_of(variant, path, steps))
            parameters = sum(values.numel() for values in torch.load(path.with_suffix(".pt"), weights_only=True).values())
            made = {"parameters": parameters, "calls": steps, "us_per_pixel": round(cost(path, steps), 3)}
            rows[name] = made | {"training": json.loads(path.with_suffix(".json").read_text())}
    lands: dict[str, list[NDArray[np.uint8]]] = {}
    figures = realism.measure(data, makers, lands.__setitem__)
    if pictures is not None:
        sheets.save(sheets.sheet(lands, ["real", *makers]), pictures)
    summary = realism.summary(figures)
    return {name: rows.get(name, {}) | {"over_floor": summary[name]} for name in makers}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "judge"))
    parser.add_argument("--data", type=data_folder, required=True, help="folder of the training packs")
    parser.add_argument("--folder", type=Path, default=Path("build/variants"), help="where the networks lie")
    parser.add_argument("--minutes", type=float, default=7.0, help="processor time of each training")
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--variant", action="append", default=[], choices=names, help="one to train; may be repeated; all by default")
    parser.add_argument("--pictures", type=Path, help="file (JPEG) for hillshades of all variants")
    given = parser.parse_args()
    if given.what == "train":
        train(given.data, given.folder, given.minutes, given.variant)
        return
    report = {"machine": machine.describe(), "variants": judge(given.data, given.folder, given.pictures)}
    path = Path(__file__).parent / "results" / f"variants-{machine.name()}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["variants"], indent=1))


if __name__ == "__main__":
    main()
