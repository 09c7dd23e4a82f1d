"""Training on free-running chains: windows that a network has refined many levels down on its own.

Two steps in a row (`chaining`) do not show a network what its faults grow into after ten. So a pool keeps windows that go on from
their own output, level after level, each with its age; a critic compares the newest children with real ones of like roughness, and
the network learns to make them look alike whatever parent its own past gave it (professor forcing, Lamb et al. 2016). One step is one
network call, since the pool remembers the rest. No truth exists for such a window: what is learnt is what land looks like, not what
lies where.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines.lifting import EXCESS_PERCENT, REPOSE
from terraloom_engines.training import chaining, networks, samples
from terraloom_engines.training.adversary import Land

FINEST = -1.0
"""log2 metres of the finest children drawn."""
FINEST_TOLD = log2(samples.FINEST_TOLD[0])
"""log2 metres of the finest children that the geometry network is told of: finer ones are drawn in units of slope, as it draws worlds."""
ALIGNED = 8
"""Windows are cut at multiples of so many pixels: their first pixel begins a block of that side."""
TRUSTED = {"geometry": 4.3, "imagery": 3.3}
"""log2 metres from which on real rasters are plentiful: the critic is told no finer scale, so that it judges finer children by these."""
Terrain = Callable[[int, float], Tensor]
STATE = {"geometry": ("elevation", "relief"), "imagery": ("colour", "texture")}
"""Per network: the rasters that travel down, mean and log2 spread."""


@dataclass
class Wanderer:
    """A window of the pool: condition rasters (1, C, n, n) on the CPU, and the number of levels it has come on its own."""

    conditions: dict[str, Tensor]
    age: int = 0


def land(network: str, mean: Tensor, log_spread: Tensor, parent_spread: Tensor, gsd: Tensor) -> Land:
    """Children (N, C, 2m, 2m) measured by their parents' spread, log2 (N, 1, m, m); gsd (N, 1, 1, 1) is the children's, log2 metres."""
    octaves = functional.interpolate(parent_spread, scale_factor=2, mode="bilinear")
    unit = torch.exp2(octaves) * chaining.TYPICAL_DEPARTURE
    told = gsd.clamp(min=TRUSTED[network])
    steepness = octaves - gsd if network == "geometry" else octaves - 4
    scale = torch.cat([((told - 7) / 4).expand_as(unit), (steepness + 2.5) / 2.5], dim=1)
    return Land(mean, (log_spread - octaves) / networks.SPREAD_SCALE, unit, scale)


def paired(real: Land, fake: Land) -> tuple[Land, Land]:
    """As many of both, in the order of their steepness: the critic compares like with like."""
    count = min(len(real.scale), len(fake.scale))
    orders = [side.scale[:, 1].mean(dim=(1, 2)).argsort()[:count] for side in (real, fake)]
    return real[orders[0]], fake[orders[1]]


def hillslopes(relief: Tensor, gsd: Tensor) -> Tensor:
    """log2 spreads with their excess over what hillslopes bear compressed, as `lifting.threshold_hillslopes` does when it generates."""
    knee = torch.log2(torch.tensor(REPOSE, device=relief.device)) + gsd
    return torch.where(relief > knee, knee + (relief - knee) * (EXCESS_PERCENT / 100), relief)


class Pool:
    """Windows that wander down the levels; each is let go when it is `oldest` levels old or as fine as `FINEST`."""

    def __init__(self, network: str, size: int, terrain: Terrain | None = None, oldest: int = 9) -> None:
        """`terrain` gives geometry to windows of imagery: the condition (1, 6, n, n) for n and log2 metres of the children."""
        self._network, self._size, self._oldest, self._terrain = network, size, oldest, terrain
        self._windows: list[Wanderer] = []

    def draw(self, batch: dict[str, Tensor]) -> list[Wanderer]:
        """As many windows as the batch has rows, taken out of the pool; missing ones start from the batch's real parents."""
        count = len(batch["mask"])
        fresh = [self._start(batch, row) for row in range(count) if self._fit(batch, row)]
        taken: list[Wanderer] = []
        while len(taken) < count and (fresh or self._windows):
            wanting = fresh and len(self._windows) + len(taken) < self._size
            if wanting or not self._windows:
                taken.append(fresh.pop())
            else:
                taken.append(self._windows.pop(int(torch.randint(len(self._windows), ()))))
        return taken

    def put(self, window: Wanderer) -> None:
        """Back it goes, unless its time has come."""
        if window.age < self._oldest and float(window.conditions["gsd"].mean()) > FINEST:
            self._dress(window.conditions)
            self._windows.append(window)

    def _dress(self, conditions: dict[str, Tensor]) -> None:
        """Gives a window of imagery some real terrain: any, since the critic does not see it; when the world runs there always is one."""
        if self._terrain is not None:
            conditions["geometry"] = self._terrain(conditions["colour"].shape[-1], float(conditions["gsd"].mean()))

    def _fit(self, batch: dict[str, Tensor], row: int) -> bool:
        return bool(batch["mask"][row].min() > 0 and batch["land"][row].min() == 1)

    def _start(self, batch: dict[str, Tensor], row: int) -> Wanderer:
        given = {key: batch[key][row : row + 1].detach().cpu() for key in chaining.CONDITIONS if key in batch}
        if self._network == "geometry":
            given["imagery"] = torch.zeros_like(given["imagery"])
        if self._network == "imagery" and given["geometry"][:, 5].max() == 0:
            self._dress(given)
        return Wanderer(given)


def stacked(windows: list[Wanderer], device: str) -> dict[str, Tensor]:
    """Their conditions as one batch."""
    return {key: torch.cat([window.conditions[key] for window in windows]).to(device) for key in windows[0].conditions}


def real_land(network: str, batch: dict[str, Tensor]) -> Land:
    """The real children of a batch's whole windows."""
    whole = batch["mask"].amin(dim=(1, 2, 3)) > 0
    edge = 2 * networks.HALO
    spread = networks.crop(batch[STATE[network][1]], networks.HALO)[whole]
    children, spreads = networks.crop(batch["children"], edge)[whole], networks.crop(torch.log2(batch["spreads"]), edge)[whole]
    return land(network, children, spreads, spread, batch["gsd"].mean(dim=2, keepdim=True)[whole])


def wander(network: str, model: nn.Module, pool: Pool, batch: dict[str, Tensor]) -> Land | None:
    """Takes windows of the pool one level down, with gradients through this level alone; None when there was no fit start."""
    windows = pool.draw(batch)
    if not windows:
        return None
    mean, spread = STATE[network]
    given = stacked(windows, batch["mask"].device.type)
    gsd = given["gsd"].mean(dim=2, keepdim=True)
    children, spreads = chaining.one_step(model, given, mean, spread)
    if network == "geometry":
        spreads = hillslopes(spreads, gsd)
    newest = land(network, children, spreads, networks.crop(given[spread], networks.HALO), gsd)
    side = given[mean].shape[-1]
    for row, window in enumerate(windows):
        top, left = (ALIGNED * int(torch.randint((children.shape[-1] - side) // ALIGNED + 1, ())) for _ in range(2))
        cut = (slice(row, row + 1), slice(None), slice(top, top + side), slice(left, left + side))
        below = {mean: children[cut].detach().cpu(), spread: spreads[cut].detach().clamp(-6, 12).cpu()}
        below["gsd"] = window.conditions["gsd"] - 1
        if network == "geometry" and float(below["gsd"].mean()) < FINEST_TOLD:
            below = {mean: 2 * below[mean], spread: below[spread] + 1, "gsd": window.conditions["gsd"]}
        pool.put(Wanderer(window.conditions | below, window.age + 1))
    return newest
