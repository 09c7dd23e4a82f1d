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

from terraloom_engines.training import adversary, chaining, free_running, landforms, networks, objective, rasters, samples, slimming, weave

NETWORKS: dict[str, tuple[type[nn.Module], int, Any]] = {
    "geometry": (networks.GeometryRefiner, 3, samples.geometry_sample),
    "imagery": (networks.ImageryRefiner, 9, samples.imagery_sample),
}
"""Per network: module, number of detail channels, sample builder."""
PENALTY = 1.0
"""Weight of the critics' squared gradients, taken every fourth time."""
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
    batch: int = 8
    side: int = 64
    learning_rate: float = 2e-3
    average: float = 0.998
    one_step_share: float = 1.0
    adversarial: float = 1.2
    wandering: float = 1.0
    """Pull of the critic of free-running chains, in units of the score's; 0 leaves them out."""
    landforms: float = 0.0
    """Weight of the score of pits, curvature and drainage (geometry alone)."""
    pool: int = 64
    threads: int = 2
    workers: int = 0
    seed: int = 1


def sources(network: str, data: Path) -> list[rasters.Source]:
    """The training material of one network, held-out regions included (they carry the mark)."""
    if network == "imagery":
        return rasters.imagery_sources(data)
    return weave.straight(rasters.elevation_sources(data) + rasters.pair_sources(data)[0])


def balanced(network: str, material: list[rasters.Source]) -> samples.ScaleBalance:
    """Sources drawn from evenly by scale; of geometry, what is finer than any that the network is told is one scale."""
    return samples.ScaleBalance(material, samples.FINEST_TOLD[0] if network == "geometry" else 0.0)


def batch_of(balance: samples.ScaleBalance, config: TrainConfig, rng: np.random.Generator, device: str) -> dict[str, Tensor]:
    """A stacked batch of windows."""
    build = NETWORKS[config.network][2]
    how = samples.Augmentation()
    rows = [build(balance.draw(rng), config.side, how, rng) for _ in range(config.batch)]
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

    def __init__(self, config: TrainConfig, device: str, terrain: free_running.Terrain | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.bfloat16 = config, device, computes_bfloat16(device)
        self.pool = free_running.Pool(config.network, config.pool, terrain)
        module, self.details, _ = NETWORKS[config.network]
        self.model = module(config.width, config.coarse).to(device, memory_format=torch.channels_last)
        self.average = module(config.width, config.coarse).to(device, memory_format=torch.channels_last)
        self.average.load_state_dict(self.model.state_dict())
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=config.learning_rate, weight_decay=1e-4, betas=(0.9, 0.98))
        self.critic = adversary.Critic(self.details // 3).to(device)
        self.critic_optimiser = torch.optim.AdamW(self.critic.parameters(), lr=4e-4, betas=(0.0, 0.99))
        self.judge = adversary.Critic(self.details // 3).to(device)
        self.judge_optimiser = torch.optim.AdamW(self.judge.parameters(), lr=4e-4, betas=(0.0, 0.99))
        self.steps, self.critic_steps, self.seconds = 0, 0, 0.0
        self.parts: list[tuple[float, float, float]] = []
        """Score, critic's loss and its weight of the steps since the last record."""

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of an exported network (ONNX), of the channels that matter most where it is wider.

        Raises MismatchError for a file that is none, or none of the same kind.
        """
        try:
            held = onnx.load(weights).graph.initializer
        except DecodeError:
            raise slimming.MismatchError("not an ONNX file") from None
        given = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in held}
        state = slimming.slimmed(given, self.model.state_dict())
        for module in (self.model, self.average):
            module.load_state_dict(state)

    def step(self, batch: dict[str, Tensor]) -> float:
        """One optimiser step; returns the loss."""
        self.pace()
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bfloat16):
            if self.steps % 2:
                chain = chaining.chain_draws(self.model, batch, *CARRIED[self.config.network])
                loss = chaining.chain_score(chain, batch["mask"])
                loss = loss + self._adversarial(chain, batch["mask"], loss)
                if self._forms:
                    loss = loss + self._forms * landforms.score(chain.draws, chain.truth, batch["mask"])
            else:
                loss = score(self.model, batch, self.config.one_step_share, self.details)
                loss = loss + self._wandering(batch, loss)
        return self.descend(loss)

    def pace(self) -> None:
        """Set the learning rate that the clock of the run asks for."""
        progress = min(1.0, self.seconds / 60 / self.config.minutes)
        warm = min(1.0, (self.steps + 1) / 100)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    def descend(self, loss: Tensor) -> float:
        """One step down the gradient of `loss`, and the moving average after it; returns the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        decay = min(self.config.average, 1 - 1 / (self.steps / 10 + 1))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        return float(loss.detach())

    def _adversarial(self, chain: chaining.Chain, mask: Tensor, score: Tensor) -> Tensor | float:
        """The part of the loss that makes two-step draws look real beside the truth; windows with invalid pixels are left out."""
        whole = mask.amin(dim=(1, 2, 3)) > 0
        if self.config.adversarial == 0 or not whole.any():
            return 0.0
        return self._pull(self.critic, self.critic_optimiser, chain.truth[whole], chain.draws[0][whole], score, self.config.adversarial)

    @property
    def _warm(self) -> float:
        """Critics that have seen nothing yet have no say."""
        return min(1.0, self.critic_steps / 200)

    def _wandering(self, batch: dict[str, Tensor], score: Tensor) -> Tensor | float:
        """The part of the loss that makes free-running chains look real to a critic, and gives them the forms of real land."""
        network, forms = self.config.network, self._forms
        if self.config.wandering == 0 and forms == 0:
            return 0.0
        newest, loss = free_running.wander(network, self.model, self.pool, batch), torch.zeros_like(score)
        if newest is None or len((real := free_running.real_land(network, batch)).scale) == 0:
            return 0.0
        pair = free_running.paired(real, newest)
        if forms:
            loss = loss + forms * landforms.likeness(*pair)
        if self.config.wandering:
            self.critic_steps += 1
            loss = loss + self._pull(self.judge, self.judge_optimiser, *pair, score, self.config.wandering)
        return loss

    @property
    def _forms(self) -> float:
        """Weight of the forms of relief; colour has none."""
        return self.config.landforms if self.config.network == "geometry" else 0.0

    def _pull(
        self,
        critic: adversary.Critic,
        optimiser: torch.optim.Optimizer,
        real: adversary.Land,
        fake: adversary.Land,
        score: Tensor,
        share: float,
    ) -> Tensor:
        """One step of a critic, then its part of the loss, weighted so that its pull on the last layer is `share` times the score's."""
        views = real.view, fake.view
        optimiser.zero_grad(set_to_none=True)
        adversary.critic_loss(critic, *views, PENALTY if self.steps % 8 < 2 else 0.0).backward()
        optimiser.step()
        critic.requires_grad_(False)
        loss = adversary.generator_loss(critic(views[0]), critic(views[1]))
        critic.requires_grad_(True)
        last = self.model.body.leave.weight
        pulls = [torch.autograd.grad(part, last, retain_graph=True)[0].norm() for part in (score, loss)]
        weight = (share * pulls[0] / (pulls[1] + 1e-8)).clamp(max=4).detach()
        self.parts.append((float(score.detach()), float(loss.detach()), float(weight)))
        return self._warm * weight * loss

    def save(self, path: Path) -> None:
        """Write the checkpoint in one piece: a stop in the middle leaves the old one."""
        state = {
            "config": asdict(self.config), "model": self.model.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(), "critic": self.critic.state_dict(),
            "judge": self.judge.state_dict(), "critic_steps": self.critic_steps, "steps": self.steps, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.critic.load_state_dict(state["critic"])
        self.judge.load_state_dict(state["judge"])
        self.critic_steps = state["critic_steps"]
        self.steps, self.seconds = state["steps"], state["seconds"]


def held_out_score(trainer: Trainer, balance: samples.ScaleBalance, batches: int = 12) -> float:
    """Mean one-step energy score of the averaged weights on held-out regions (the same windows every time)."""
    rng = np.random.default_rng(7)
    with torch.no_grad():
        values = [
            float(score(trainer.average, batch_of(balance, trainer.config, rng, trainer.device), 1.0, trainer.details))
            for _ in range(batches)
        ]
    return float(np.mean(values))


def terrain_of(data: Path, seed: int) -> free_running.Terrain:
    """Real terrain of any scale, to go with free-running imagery."""
    sources = weave.straight([source for source in rasters.elevation_sources(data) if not source.held_out])
    rng = np.random.default_rng(seed)
    return lambda side, log_gsd: torch.from_numpy(samples.terrain_condition(sources, side, log_gsd, rng))[None]


def train(config: TrainConfig, data: Path, out: Path, device: str, weights: Path | None = None) -> None:
    """Train until the clock of the run is full; resumes from `out`/NETWORK.pt when it is there, else starts from `weights` (ONNX)."""
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    material = sources(config.network, data)
    learn = balanced(config.network, [s for s in material if not s.held_out])
    judge = balanced(config.network, [s for s in material if s.held_out])
    terrain = terrain_of(data, config.seed) if config.network == "imagery" and config.wandering else None
    trainer, checkpoint = Trainer(config, device, terrain), out / f"{config.network}.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    elif weights is not None:
        trainer.start_from(weights)
    rng = np.random.default_rng([config.seed, trainer.steps])
    losses: list[float] = []
    last = saved = time.monotonic()
    while trainer.seconds < config.minutes * 60:
        losses.append(trainer.step(batch_of(learn, config, rng, device)))
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
        ("wandering", float),
        ("landforms", float),
    ):
        parser.add_argument(f"--{name}", type=kind, default=getattr(TrainConfig, name.replace("-", "_")))
    parser.add_argument("--weights", type=rasters.existing_file, help="exported network (ONNX) to start from when there is no checkpoint")
    given = vars(parser.parse_args())
    data, out, device, weights = (given.pop(name) for name in ("data", "out", "device", "weights"))
    try:
        train(TrainConfig(**given), data, out, device, weights)
    except slimming.MismatchError as error:
        parser.error(f"--weights {weights}: {error}")


if __name__ == "__main__":
    main()
