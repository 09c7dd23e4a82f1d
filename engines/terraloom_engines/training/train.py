"""Train one network of the refine step: `python -m terraloom_engines.training.train geometry --data DATA`.

Runs unchanged on CPU and CUDA (bf16 autocast where that is the faster), writes a checkpoint every minute and goes on from it.
"""

import argparse
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from terraloom_engines.training import adversary, chaining, networks, objective, rasters, samples, slimming, weave

NETWORKS: dict[str, tuple[type[nn.Module], int, Any]] = {
    "geometry": (networks.GeometryRefiner, 3, samples.geometry_sample),
    "imagery": (networks.ImageryRefiner, 9, samples.imagery_sample),
}
"""Per network: module, number of detail channels, sample builder."""
CLIP = 50.0
"""Largest norm of a gradient, in units of what the score's usually has in the last layer."""
DRESSED = 0.7
"""Share of the critic's batches of imagery that are given real terrain where theirs is not known."""
CARRIED = {"geometry": ("elevation", "relief"), "imagery": ("colour", "texture")}
"""Per network: the rasters that travel down the levels, mean and log2 spread."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run; the learning rate falls along a cosine over `minutes` of training, restarts not counted."""

    network: str
    minutes: float = 30.0
    width: int = 48
    coarse: int = 0
    """Channels at half resolution; 0 for twice `width`."""
    batch: int = 6
    side: int = 64
    wide_batch: int = 3
    """Windows of a step that the critic judges, and their side: three levels up an eighth of it is left."""
    wide_side: int = 96
    learning_rate: float = 2e-3
    average: float = 0.997
    one_step_share: float = 1.0
    adversarial: float = 3.0
    """Pull of the critic on the last layer, in units of the score's; 0 leaves it out, and its steps."""
    threads: int = 2
    seed: int = 1


def sources(network: str, data: Path) -> list[rasters.Source]:
    """The training material of one network, held-out regions included (they carry the mark)."""
    if network == "imagery":
        return rasters.imagery_sources(data)
    return weave.straight(rasters.elevation_sources(data) + rasters.pair_sources(data)[0])


def balanced(network: str, material: list[rasters.Source]) -> samples.ScaleBalance:
    """Sources drawn from evenly by scale; of geometry, what is finer than any that the network is told is one scale."""
    return samples.ScaleBalance(material, samples.FINEST_TOLD[0] if network == "geometry" else 0.0)


@dataclass(frozen=True)
class Material:
    """What a run draws its windows from: for the score, and for the critic, which wants whole wide ones."""

    narrow: samples.ScaleBalance
    wide: samples.ScaleBalance
    terrain: chaining.Terrain | None = None


def material_of(config: TrainConfig, learn: list[rasters.Source], terrain: chaining.Terrain | None = None) -> Material:
    """The material of a run from the sources that it may learn from."""
    large = [source for source in learn if min(source.level.mean.shape[1:]) >= 2 * config.wide_side]
    return Material(balanced(config.network, learn), balanced(config.network, large), terrain)


def batch_of(
    balance: samples.ScaleBalance, config: TrainConfig, rng: np.random.Generator, device: str, *, wide: bool = False
) -> dict[str, Tensor]:
    """A stacked batch of windows."""
    build = NETWORKS[config.network][2]
    how, count, side = samples.Augmentation(), config.batch, config.side
    if wide:
        count, side = config.wide_batch, config.wide_side
    rows = [build(balance.draw(rng), side, how, rng) for _ in range(count)]
    return {key: torch.from_numpy(np.stack([row[key] for row in rows]).astype(np.float32)).to(device) for key in rows[0]}


def score(model: nn.Module, batch: dict[str, Tensor], one_step_share: float, details: int) -> Tensor:
    """Energy score of two draws at a time drawn per window: 1 (pure noise) with `one_step_share`, else uniform in 0.2..0.8."""
    conditions = {key: value for key, value in batch.items() if key in chaining.CONDITIONS}
    target, mask = batch["target"], batch["mask"]
    count = target.shape[0]
    when = torch.rand(count, 1, 1, 1, device=target.device) * 0.6 + 0.2
    when = torch.where(torch.rand_like(when) < one_step_share, torch.ones_like(when), when)
    noise = torch.randn_like(target)
    draws = []
    for _ in range(2):
        start = torch.where(when == 1, torch.randn_like(target), objective.noised(target, noise, when))
        draws.append(model(torch.cat([start, networks.extra_noise(model, conditions)], dim=1), when, **conditions).float())
    truth = networks.crop(target, networks.HALO)
    return objective.energy_score(draws[0], draws[1], truth, mask, details)


def computes_bfloat16(device: str) -> bool:
    """Whether convolutions in bfloat16 are the faster ones here: on CUDA, and on processors with instructions for them. Elsewhere they are
    emulated, which was seen to cost 14 times the time of float32."""
    if device != "cpu":
        return True
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        layer = nn.Conv2d(48, 48, 3).to(kind).to(memory_format=torch.channels_last)
        values = torch.zeros(2, 48, 64, 64, dtype=kind).to(memory_format=torch.channels_last)
        with torch.no_grad():
            layer(values)
            start = time.perf_counter()
            layer(values)
            seconds[kind] = time.perf_counter() - start
    return seconds[torch.bfloat16] < seconds[torch.float32]


class Trainer:
    """Model, optimiser, moving average and clock of a run; `step` trains one batch, `save`/`load` keep it on disk."""

    def __init__(self, config: TrainConfig, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.bfloat16 = config, device, computes_bfloat16(device)
        module, self.details, _ = NETWORKS[config.network]
        self.model = module(config.width, config.coarse).to(device, memory_format=torch.channels_last)
        self.average = module(config.width, config.coarse).to(device, memory_format=torch.channels_last)
        self.average.load_state_dict(self.model.state_dict())
        # Little momentum: what the critic asks for changes.
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=config.learning_rate, weight_decay=1e-4, betas=(0.5, 0.98))
        self.contest = adversary.Contest(self.details // 3, device)
        self.steps, self.seconds = 0, 0.0
        self.pull = 0.0
        """Moving average of the norm of the score's gradient in the last layer."""
        self.parts: list[tuple[float, float]] = []
        """The critic's loss and its weight of the steps since the last record."""

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of an exported network (ONNX), of the channels that matter most where it is wider.

        Raises MismatchError for a file that is none, or none of the same kind.
        """
        try:
            held = onnx.load(weights).graph.initializer
        except DecodeError:
            raise slimming.MismatchError(f"{weights} is not an ONNX file") from None
        given = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in held}
        try:
            state = slimming.slimmed(given, self.model.state_dict())
        except slimming.MismatchError as error:
            raise slimming.MismatchError(f"{weights}: {error}") from None
        for module in (self.model, self.average):
            module.load_state_dict(state)

    def step(self, material: Material, rng: np.random.Generator) -> float | None:
        """One optimiser step, by the score or by the critic in turn; returns the score."""
        self.pace()
        judged = self.config.adversarial > 0 and self.steps % 2 == 1
        turn = self.steps // 2 if self.config.adversarial > 0 else self.steps
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bfloat16):
            if judged:
                self._contend(material, rng)
                return None
            batch = batch_of(material.narrow, self.config, rng, self.device)
            if turn % 2:
                chain = chaining.chain_draws(self.model, batch, *CARRIED[self.config.network])
                return self.descend(chaining.chain_score(chain, batch["mask"]))
            return self.descend(score(self.model, batch, self.config.one_step_share, self.details))

    def pace(self) -> None:
        """Set the learning rate that the clock of the run asks for."""
        progress = min(1.0, self.seconds / 60 / self.config.minutes)
        warm = min(1.0, (self.steps + 1) / 100)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))

    def descend(self, loss: Tensor) -> float:
        """One step down the gradient of `loss`, and the moving average after it; returns the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        pull = self._last_layer()
        if self._move():
            self.pull = pull if self.pull == 0 else 0.95 * self.pull + 0.05 * pull
        return float(loss.detach())

    def _last_layer(self) -> float:
        """Norm of the gradient of the weights that give the sample."""
        gradient = self.model.body.leave.weight.grad
        return float(gradient.norm()) if gradient is not None else 0.0

    def _move(self) -> bool:
        """Follow the gradients that there are; not, and False, if one is not finite: a chain of steps may overflow, and would spoil all."""
        self.steps += 1
        if not nn.utils.clip_grad_norm_(self.model.parameters(), CLIP * max(self.pull, 1e-3)).isfinite():
            return False
        self.optimiser.step()
        decay = min(self.config.average, 1 - 1 / (self.steps / 10 + 1))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        return True

    def _contend(self, material: Material, rng: np.random.Generator) -> None:
        """A step of the critic, then one that makes children of long chains look real to it; windows with invalid pixels are left out."""
        batch = batch_of(material.wide, self.config, rng, self.device, wide=True)
        whole = batch["mask"].amin(dim=(1, 2, 3)) > 0
        if not whole.any():
            self.steps += 1
            return
        terrain = material.terrain if rng.random() < DRESSED else None
        truth, made = (land[whole] for land in chaining.long_chain(self.model, batch, *CARRIED[self.config.network], terrain))
        self.contest.learn(truth, made.detached())
        if self.contest.say == 0:
            self.steps += 1
            return
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.contest.verdict(truth, made)
        loss.backward()
        weight = min(self.config.adversarial * self.pull / (self._last_layer() + 1e-8), adversary.LARGEST_WEIGHT) * self.contest.say
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(weight)
        self.parts.append((float(loss.detach()), weight))
        self._move()

    def save(self, path: Path) -> None:
        """Write the checkpoint in one piece: a stop in the middle leaves the old one."""
        state = {
            "config": asdict(self.config), "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(), "contest": self.contest.state(), "pull": self.pull,
            "steps": self.steps, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Raises MismatchError for one of networks of another size, or of an earlier version."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.contest.load(state["contest"])
            self.steps, self.seconds, self.pull = state["steps"], state["seconds"], state["pull"]
        except (KeyError, RuntimeError):
            raise slimming.MismatchError(
                f"{path} is of networks of another size or of an earlier version: move it, or name another --out"
            ) from None


def held_out_score(trainer: Trainer, balance: samples.ScaleBalance, batches: int = 12) -> float:
    """Mean one-step energy score of the averaged weights on held-out regions (the same windows every time)."""
    rng = np.random.default_rng(7)
    with torch.no_grad():
        values = [
            float(score(trainer.average, batch_of(balance, trainer.config, rng, trainer.device), 1.0, trainer.details))
            for _ in range(batches)
        ]
    return float(np.mean(values))


def terrain_of(data: Path, seed: int) -> chaining.Terrain:
    """Real terrain of any scale, to go with chains of imagery."""
    sources = weave.straight([source for source in rasters.elevation_sources(data) if not source.held_out])
    rng = np.random.default_rng(seed)
    return lambda side, log_gsd: torch.from_numpy(samples.terrain_condition(sources, side, log_gsd, rng))


def train(config: TrainConfig, data: Path, out: Path, device: str, weights: Path | None = None) -> None:
    """Train until the clock of the run is full; resumes from `out`/NETWORK.pt when it is there, else starts from `weights` (ONNX)."""
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    found = sources(config.network, data)
    terrain = terrain_of(data, config.seed) if config.network == "imagery" and config.adversarial else None
    material = material_of(config, [source for source in found if not source.held_out], terrain)
    judge = balanced(config.network, [source for source in found if source.held_out])
    trainer, checkpoint = Trainer(config, device), out / f"{config.network}.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    elif weights is not None:
        trainer.start_from(weights)
    rng = np.random.default_rng([config.seed, trainer.steps])
    losses: list[float] = []
    last = saved = time.monotonic()
    while trainer.seconds < config.minutes * 60:
        loss = trainer.step(material, rng)
        losses += [loss] if loss is not None else []
        now = time.monotonic()
        trainer.seconds, last = trainer.seconds + now - last, now
        if now - saved > 60:
            trainer.save(checkpoint)
            parts = [round(float(part), 3) for part in np.mean(trainer.parts, axis=0)] if trainer.parts else []
            record = {
                "steps": trainer.steps,
                "minutes": round(trainer.seconds / 60, 2),
                "loss": round(float(np.mean(losses)), 3),
                "parts": parts,
            }
            print(json.dumps(record), flush=True)
            losses, saved = [], now
            trainer.parts.clear()
    trainer.save(checkpoint)
    print(json.dumps({"steps": trainer.steps, "held_out": held_out_score(trainer, judge)}), flush=True)


def main() -> None:
    """Command line of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(NETWORKS))
    parser.add_argument("--data", type=rasters.data_folder, required=True, help="folder of the training packs")
    parser.add_argument("--out", type=Path, default=Path("build/training"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, kind in (
        ("minutes", float),
        ("width", int),
        ("coarse", int),
        ("batch", int),
        ("side", int),
        ("threads", int),
        ("learning-rate", float),
        ("adversarial", float),
    ):
        parser.add_argument(f"--{name}", type=kind, default=getattr(TrainConfig, name.replace("-", "_")))
    parser.add_argument("--weights", type=rasters.existing_file, help="exported network (ONNX) to start from when there is no checkpoint")
    given = vars(parser.parse_args())
    data, out, device, weights = (given.pop(name) for name in ("data", "out", "device", "weights"))
    try:
        train(TrainConfig(**given), data, out, device, weights)
    except slimming.MismatchError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
