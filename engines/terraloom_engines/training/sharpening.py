"""Sharpen the heights of the base where their source is blurred, by what pictures show of ridges and valleys.

ETOPO5 is a mean over 20 to 40 km in Tibet, the Andes and much of Africa and Asia. The cascade conserves its base, so valleys of 10 to 40 km
would be missing there for ever. But Natural Earth II has them in its painted shading of 5 km, and Blue Marble in its snow and forests: a
network that has seen heights beside pictures can tell the ones from the others. It learns by a proper score of two draws (`objective`), so
that what pictures do not tell is drawn, not left out. A modern grid teaches it, of which nothing is shipped: strips that the network
never saw gain nearly as much as those that it has learnt from (`report`).

    python -m terraloom_engines.training.sharpening --data DATA --prior PRIOR.npz --out HEIGHTS.npz
"""

import argparse
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines.training.base_grid import SIDE, Raster, inside_pixels, mercator, row_latitudes
from terraloom_engines.training.commands import parser_of, prepared
from terraloom_engines.training.objective import FILTER_SIDE, mean_response, patch_norms, unit_filters
from terraloom_engines.training.rasters import load_pack
from terraloom_engines.training.registration import agreement
from terraloom_engines.training.relief_prior import Prior, natural_earth
from terraloom_engines.training.slimming import MismatchError
from terraloom_engines.training.train import computes_bfloat16

WIDTHS = (48, 64, 96)
"""Channels at full, half and quarter resolution."""
NOISE = 4
"""Channels of noise at each of them."""
LEAST_UNIT = 15.0
"""Metres that count as much as the spread inside a pixel: ETOPO5 errs on plains as well."""
LARGEST = 12.0
"""Units by which a height may be off at most, to be learnt from."""
SIDE_LEARNT, BATCH = 96, 4
HELD_OUT = 114, 6
"""Columns of a strip (10 degrees), and how many strips there are to one that is not learnt from."""
PATCHES = (1, 3, 9)
LEARNING_RATE, AVERAGE = 2e-3, 0.998
EVERY = 100
"""Steps between checkpoints."""
SEED = 5
"""The base is the same in every world: its own seed."""
DRAWS = 2
"""Draws whose mean is taken: 15 % nearer to the truth than one, with 0.8 to 0.98 of its power between pixels."""
CORE, MARGIN = 384, 64
"""Pixels of a window that are kept when the base is drawn, and around them: more than anything farther than that would change."""


class Residual(nn.Module):
    """Two padded 3x3 convolutions beside a skip."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, values: Tensor) -> Tensor:
        inside = functional.leaky_relu(self.first(values), 0.1)
        return functional.leaky_relu(self.skip(values) + self.second(inside), 0.1)


class Sharpener(nn.Module):
    """p(heights | ETOPO5, pictures): a UNet of three levels; a call is a draw. The base is made once, so nothing bounds its reach."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        fine, half, quarter = WIDTHS
        self.down = nn.ModuleList([Residual(30 + NOISE, fine), Residual(fine + NOISE, half), Residual(half + NOISE, quarter)])
        self.middle = Residual(quarter, quarter)
        self.up = nn.ModuleList([Residual(quarter + half, half), Residual(half + fine, fine)])
        self.leave = nn.Conv2d(fine, outputs, 1)
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            self.leave.weight.mul_(0.3)

    def forward(self, seen: dict[str, Tensor], noises: list[Tensor]) -> Tensor:
        """What is drawn, (N, outputs, h, w) in units of `unit_of(relief)`: departures from ETOPO5; sides are multiples of 4.

        seen: rasters (N, 1, h, w) as `Evidence` names them, `colour` (N, 3, h, w), `tint` (N, 3, 2h, 2w); noises: (N, `NOISE`, ...) at
        full, half and quarter resolution.
        """
        values, skips = features(seen), list[Tensor]()
        for level, (block, noise) in enumerate(zip(self.down, noises, strict=True)):
            values = functional.avg_pool2d(values, 2) if level else values
            values = block(torch.cat([values, noise], dim=1))
            skips.append(values)
        values = self.middle(values)
        for block, beside in zip(self.up, (skips[1], skips[0]), strict=True):
            values = block(torch.cat([functional.interpolate(values, scale_factor=2.0), beside], dim=1))
        out: Tensor = self.leave(values)
        return out


def unit_of(relief: Tensor) -> Tensor:
    """Metres that departures are measured in, from log2 of the spread inside pixels in metres."""
    return torch.exp2(relief) + LEAST_UNIT


def features(seen: dict[str, Tensor]) -> Tensor:
    """What the network looks at, (N, 30, h, w)."""
    height, unit = seen["height"], unit_of(seen["relief"])
    quarters = functional.pixel_unshuffle(seen["tint"] / 64 - 3, 2)
    light = functional.pixel_unshuffle(seen["tint"].mean(dim=1, keepdim=True) / 64, 2)
    shading = 4 * (light - mean_around(light.mean(dim=1, keepdim=True), 9))
    around = functional.pad(height, (1, 1, 1, 1), mode="replicate")
    neighbours = torch.cat([around[..., :-2, 1:-1], around[..., 2:, 1:-1], around[..., 1:-1, :-2], around[..., 1:-1, 2:]], dim=1)
    steps = ((neighbours - height) / unit).clamp(-6, 6)
    local = ((height - mean_around(height, 17)) / unit).clamp(-6, 6)
    octaves = torch.log2(unit) / 2 - 3
    plain = [height / 3000, octaves, seen["land"] / 255, seen["narrowing"], seen["agreement"], seen["agreement"] ** 2]
    colour = seen["colour"] / 64 - 1
    return torch.cat([quarters, shading, colour, steps, local, *plain], dim=1)


def mean_around(values: Tensor, side: int) -> Tensor:
    """Mean over a square of `side` pixels."""
    return functional.avg_pool2d(values, side, stride=1, padding=side // 2, count_include_pad=False)


def draw_noises(count: int, height: int, width: int, generator: torch.Generator) -> list[Tensor]:
    """Noise at full, half and quarter resolution."""
    return [torch.randn(count, NOISE, height >> level, width >> level, generator=generator) for level in range(len(WIDTHS))]


@dataclass(frozen=True)
class Evidence:
    """A square that goes around the globe as the network sees it: `rasters` (C, n, n) and `fine` ones (C, 2n, 2n); `truth` (n, n) teaches.

    Rasters by name: `height` ETOPO5 in its place, `relief` log2 of the spread inside pixels, both metres; `land` 0..255; `narrowing` cosine
    of the latitude; `agreement` how well ETOPO5 agrees with the modern grid around (`registration`); `colour` Blue Marble; among the fine
    ones `tint`, Natural Earth II.
    """

    rasters: dict[str, NDArray[Any]]
    fine: dict[str, NDArray[Any]]
    truth: Raster

    @property
    def side(self) -> int:
        """Pixels along a side, n."""
        return len(self.truth)

    def cut(self, top: int, left: int, height: int, width: int) -> dict[str, NDArray[Any]]:
        """A window, whose columns wrap around the globe and whose rows end at its edge."""
        rows = np.clip(np.arange(top, top + height), 0, self.side - 1)
        columns = np.arange(left, left + width) % self.side
        fine_rows = np.clip(np.arange(2 * top, 2 * (top + height)), 0, 2 * self.side - 1)
        fine_columns = np.arange(2 * left, 2 * (left + width)) % (2 * self.side)
        out = {name: raster[:, rows[:, None], columns] for name, raster in self.rasters.items()}
        out |= {name: raster[:, fine_rows[:, None], fine_columns] for name, raster in self.fine.items()}
        return out | {"truth": self.truth[None, rows[:, None], columns]}

    @property
    def learnt(self) -> NDArray[np.bool_]:
        """Pixels (n, n) that are learnt from: land that is not in a strip that is held out."""
        return (self.rasters["land"][0] > 128) & ~held_out(self.side)


def held_out(side: int) -> NDArray[np.bool_]:
    """Columns (side,) of the strips that nothing is learnt from."""
    strip, every = HELD_OUT
    return np.arange(side) // strip % every == 0


def evidence(data: Path, prior: Prior) -> Evidence:
    """What the training folder has of every base pixel."""
    coarse = load_pack(data, "earth_coarse")
    truth, land = coarse["elev"].astype(np.float32), coarse["land255"].astype(np.float32)
    narrowing = np.cos(np.radians(row_latitudes())).astype(np.float32)
    rasters: dict[str, NDArray[Any]] = {
        "height": mercator(prior.height, order=3), "relief": inside_pixels(prior.relief), "land": mercator(land),
        "narrowing": np.repeat(narrowing[:, None], SIDE, axis=1), "agreement": mercator(agreement(prior.height, truth, land > 200)),
    }  # fmt: skip
    rasters = {name: raster[None] for name, raster in rasters.items()}
    rasters["colour"] = np.stack([mercator(coarse["rgb"][..., band]) for band in range(3)])
    tint = np.ascontiguousarray(natural_earth(data).astype(np.uint8).transpose(2, 0, 1))
    return Evidence(rasters, {"tint": tint}, mercator(truth, order=3))


def tensors(windows: list[dict[str, NDArray[Any]]]) -> dict[str, Tensor]:
    """Windows as one batch."""
    return {name: torch.from_numpy(np.stack([window[name] for window in windows]).astype(np.float32)) for name in windows[0]}


def windows_of(seen: Evidence, learnt: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Corners (N, 2) of windows with pixels to learn from, and how likely each is to be drawn: by area, and where land is rough."""
    rough = seen.rasters["relief"][0] > math.log2(LEAST_UNIT)
    weight = learnt * (0.3 + rough) * seen.rasters["narrowing"][0] ** 2
    step = SIDE_LEARNT // 6
    sums = np.pad(np.cumsum(np.cumsum(np.asarray(weight, np.float64), axis=0), axis=1), ((1, 0), (1, 0)))
    shares = np.pad(np.cumsum(np.cumsum(learnt, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))

    def inside(total: NDArray[Any]) -> NDArray[Any]:
        side = SIDE_LEARNT
        return np.asarray(total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side])[::step, ::step]

    weights = inside(sums) * (inside(shares) > 0.3 * SIDE_LEARNT**2)
    corners = np.argwhere(weights > 0)
    chosen = weights[weights > 0]
    return corners * step, chosen / chosen.sum()


def batches(seen: Evidence, learnt: NDArray[np.bool_], rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    """Batches without end. Half of the windows are turned over their diagonal, along which the painted light falls."""
    corners, likely = windows_of(seen, learnt)
    while True:
        rows = []
        for top, left in corners[rng.choice(len(corners), BATCH, p=likely)]:
            window = seen.cut(top, left, SIDE_LEARNT, SIDE_LEARNT)
            window["mask"] = learnt[None, top : top + SIDE_LEARNT, left : left + SIDE_LEARNT]
            turned = rng.random() < 0.5
            rows.append({name: raster.swapaxes(1, 2) if turned else raster for name, raster in window.items()})
        yield tensors(rows)


def score(first: Tensor, second: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Energy score of two draws (N, 1, h, w): norms of patches, and of filters slid over the raster."""
    kernels = unit_filters(truth.device)
    whole = (functional.avg_pool2d(mask, FILTER_SIDE, stride=1) > 0.999).to(mask.dtype)

    def distance(error: Tensor) -> Tensor:
        sliced = (mean_response(error, kernels) * whole).sum() / whole.sum().clamp(min=1)
        return torch.stack([patch_norms(error, mask, side) for side in PATCHES]).sum() + 3 * sliced

    return 0.5 * (distance(first - truth) + distance(second - truth)) - 0.5 * distance(first - second)


@dataclass(frozen=True)
class Task:
    """What a network is to draw: so many `outputs`, scored as `raster` of them beside `truth` of a batch where `mask` of it is 1."""

    outputs: int
    raster: Callable[[Tensor], Tensor]
    truth: Callable[[dict[str, Tensor]], Tensor]
    mask: Callable[[dict[str, Tensor]], Tensor]


def departures(batch: dict[str, Tensor]) -> Tensor:
    """Of the truth from ETOPO5, in units, (N, 1, h, w)."""
    return ((batch["truth"] - batch["height"]) / unit_of(batch["relief"])).clamp(-LARGEST, LARGEST)


HEIGHTS = Task(1, lambda draw: draw, departures, lambda batch: batch["mask"])
"""The heights of the base."""


def train(
    seen: Evidence,
    steps: int,
    checkpoint: Path,
    task: Task = HEIGHTS,
    learnt: NDArray[np.bool_] | None = None,
    *,
    device: str = "cpu",
    bfloat16: bool,
) -> Sharpener:
    """Train until `steps` are done, going on from `checkpoint` if it is there; returns the mean of the last weights.

    Raises MismatchError for a checkpoint that is none of this network.
    """
    torch.manual_seed(SEED)
    model, average = Sharpener(task.outputs).to(device, memory_format=torch.channels_last), Sharpener(task.outputs).to(device)
    average.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=1e-3)
    done, total = 0, 0.0
    if checkpoint.exists():
        try:
            state = torch.load(checkpoint, map_location=device, weights_only=True)
            model.load_state_dict(state["model"])
            average.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            done = state["done"]
        except (KeyError, RuntimeError, UnpicklingError):
            raise MismatchError(f"{checkpoint} is no checkpoint of this network: move it, or name another --out") from None
    noise, material = (
        torch.Generator().manual_seed(SEED + done),
        batches(seen, seen.learnt if learnt is None else learnt, np.random.default_rng(SEED + done)),
    )
    while done < steps:
        batch = {name: values.to(device) for name, values in next(material).items()}
        fall = 0.5 + 0.5 * math.cos(math.pi * done / steps)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (done + 1) / 100) * fall + LEARNING_RATE / 100
        noises = [[part.to(device) for part in draw_noises(BATCH, SIDE_LEARNT, SIDE_LEARNT, noise)] for _ in range(2)]
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            draws = [task.raster(model(batch, each).float()) for each in noises]
        loss = score(draws[0], draws[1], task.truth(batch), task.mask(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if nn.utils.clip_grad_norm_(model.parameters(), 3.0).isfinite():
            optimiser.step()
        done += 1
        with torch.no_grad():
            for kept, latest in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(latest, max(1 - AVERAGE, 1 / (done + 1)))
        total += loss.item()
        if done % EVERY == 0:
            print(f"step {done}: {total / EVERY:.3f}", flush=True)
            total = 0.0
            state = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save(state | {"done": done}, checkpoint.with_suffix(".part"))
            os.replace(checkpoint.with_suffix(".part"), checkpoint)
    return average.cpu()


def drawn(model: Sharpener, seen: Evidence, draws: int = DRAWS) -> Raster:
    """Heights (n, n) in metres: the mean of `draws` draws on land, ETOPO5 at sea, and something between at coasts."""
    share = np.clip((seen.rasters["land"][0] - 64) / 128, 0, 1)
    return np.asarray(seen.rasters["height"][0] + share * drawn_metres(model, seen, seen.rasters["land"][0] > 0, draws)[0], np.float32)


def drawn_metres(model: Sharpener, seen: Evidence, wanted: NDArray[np.bool_], draws: int = DRAWS) -> Raster:
    """The mean of `draws` draws in metres, (outputs, n, n), in all windows that have a pixel that is `wanted`; elsewhere 0."""
    whole, side = seen.side, CORE + 2 * MARGIN
    total = np.zeros((model.leave.out_channels, whole, whole), np.float32)
    for number in range(draws):
        noises = [noise[0] for noise in draw_noises(1, whole, whole, torch.Generator().manual_seed(SEED + number))]
        for top in range(0, whole, CORE):
            for left in range(0, whole, CORE):
                there = np.s_[top : min(top + CORE, whole), left : min(left + CORE, whole)]
                if not wanted[there].any():
                    continue
                window = tensors([seen.cut(top - MARGIN, left - MARGIN, side, side)])
                near = [
                    _around(noise, (top - MARGIN) >> level, (left - MARGIN) >> level, side >> level) for level, noise in enumerate(noises)
                ]
                with torch.no_grad():
                    departure = model(window, near) * unit_of(window["relief"])
                rows, columns = (part.stop - part.start for part in there)
                total[:, *there] += departure[0, :, MARGIN : MARGIN + rows, MARGIN : MARGIN + columns].numpy()
    return np.asarray(total / np.float32(draws), np.float32)


def _around(noise: Tensor, top: int, left: int, side: int) -> Tensor:
    rows = (torch.arange(top, top + side) % noise.shape[1])[:, None]
    return noise[:, rows, torch.arange(left, left + side) % noise.shape[2]][None]


def report(heights: Raster, seen: Evidence) -> str:
    """How near rough land comes, learnt from and held out: deviation and steps from pixel to pixel, ETOPO5's in brackets."""
    rough = (seen.rasters["land"][0] > 250) & (seen.rasters["relief"][0] > math.log2(100)) & (seen.rasters["narrowing"][0] > 0.5)
    apart = np.broadcast_to(held_out(seen.side), rough.shape)
    lines = []
    for name, where in (("learnt from", rough & ~apart), ("held out", rough & apart)):
        figures = []
        for raster in (heights, seen.rasters["height"][0]):
            steps, real = (np.diff(values, axis=1)[where[:, 1:]].astype(np.float64) for values in (raster, seen.truth))
            error = (raster - seen.truth)[where].astype(np.float64)
            figures.append((error.std(), np.corrcoef(steps, real)[0, 1], (steps**2).mean() / (real**2).mean()))
        (error, alike, power), before = figures
        lines.append(
            f"rough land {name}: {error:.0f} m off ({before[0]:.0f}), steps correlate {alike:.2f} ({before[1]:.2f}), "
            f"their power {power:.2f} of the real ({before[2]:.2f})"
        )
    return "\n".join(lines)


def trained(parser: argparse.ArgumentParser, given: argparse.Namespace, seen: Evidence, task: Task, learnt: NDArray[np.bool_]) -> Sharpener:
    """The network that a command line asks for; ends the program with one line where its checkpoint is of another."""
    try:
        bfloat16 = computes_bfloat16(given.device)
        return train(seen, given.steps, given.out.with_suffix(".pt"), task, learnt, device=given.device, bfloat16=bfloat16)
    except MismatchError as error:
        parser.error(str(error))


def main() -> None:
    """Command line."""
    parser = parser_of(__doc__, "heights", 6000)
    given = prepared(parser)
    seen = evidence(given.data, Prior.load(given.prior))
    model = trained(parser, given, seen, HEIGHTS, seen.learnt)
    heights = drawn(model, seen)
    np.savez(given.out.with_suffix(".npz"), heights=heights)
    print(report(heights, seen), flush=True)


if __name__ == "__main__":
    main()
