"""A stage is one learned step of the recursion; this module has what both stages share: their window, noise and sampler."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from terraloom_engines import slope_noise
from terraloom_engines.diffusion.sampling import sample_distributional
from terraloom_engines.noise import STREAK_REACH, gaussian_noise, without_streaks
from terraloom_engines.runtimes import Graph
from terraloom_engines.tiling import TILE_SIZE, WorldKind, row_ground_sample_distance

Array = NDArray[np.float32]
Number = TypeVar("Number", bound=np.number)

TROPIC = 0.4
"""Sine of the latitude from which on the noon sun stands on the equator's side all year."""


@dataclass(frozen=True)
class StageSpec:
    """What a trained network asks of its caller; written by the export, kept in the bundle's manifest.

    `border` parent pixels are lost per call on each side, the receptive field; `times` are the sampler's calls; `channels` the
    size of a sample and `noise_channels` of the noise; the scales undo the normalisation of the sample.
    """

    stream: int
    border: int
    times: tuple[float, ...]
    channels: int
    noise_channels: int
    detail_scale: float
    spread_mean: float
    spread_scale: float
    kinks: float = 0.0
    """Share of `upsampling.kinks` added to what a graph draws: those of degree 2 lack it, and those of degree 6 leave steps too."""
    breaching: float = 0.0
    """Share of their depth by which valleys are cut from pits to lower ground (`breaching.py`); geometry alone, 0 leaves pits alone."""
    slopes: int = 0
    """Of the noise channels, how many are drawn out along the parents' slopes (`slope_noise.py`): the last 8, or none; geometry alone."""
    streaks: float = 0.0
    """Share of what is alike along rows and columns that is taken out of the noise (`noise.without_streaks`)."""
    north_south: float = 1.0
    """Factor of what is new in north-south details of colour; east-west ones get its inverse (weights that learnt from oblong pixels)."""
    guidance: float = 0.0
    """Largest share of a colour's texture that follows relief instead of the network, where colour goes with height (`guidance.py`)."""

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any]) -> "StageSpec":
        """The spec that a bundle's manifest holds under `stages`."""
        return cls(**{**entry, "times": tuple(entry["times"])})

    @property
    def halo(self) -> int:
        """Parent pixels lost on each side by the whole stage."""
        return self.border * len(self.times)


@dataclass(frozen=True)
class Window:
    """A square of parent pixels: `level` of the parent, global pixel of its north-west corner, side in pixels."""

    level: int
    column: int
    row: int
    side: int
    kind: WorldKind = WorldKind.PLANET

    def inner(self, margin: int) -> "Window":
        """The window without `margin` pixels on each side."""
        return Window(self.level, self.column + margin, self.row + margin, self.side - 2 * margin, self.kind)

    def child_gsd(self) -> Array:
        """Metres per pixel of the children, per parent row: float32 (side,)."""
        return _child_gsd(*self._latitudes())

    def log_child_gsd(self) -> Array:
        """Their log2."""
        return _log_child_gsd(*self._latitudes())

    def sunward(self) -> Array:
        """Where the noon sun stands, per row: 1 in the south, -1 in the north, in between within the tropics; float32 (side,)."""
        return _sunward(*self._latitudes())

    def _latitudes(self) -> tuple[int, int, int, WorldKind]:
        """What pixel sizes depend on; on a plane the rows do not matter."""
        return self.level, self.row if self.kind is WorldKind.PLANET else 0, self.side, self.kind


@lru_cache(maxsize=256)
def _child_gsd(level: int, row: int, side: int, kind: WorldKind) -> Array:
    rows = [row_ground_sample_distance(level, row + i, kind) / 2 for i in range(side)]
    return np.array(rows, np.float32)


@lru_cache(maxsize=256)
def _log_child_gsd(level: int, row: int, side: int, kind: WorldKind) -> Array:
    return np.log2(_child_gsd(level, row, side, kind).astype(np.float64)).astype(np.float32)


@lru_cache(maxsize=256)
def _sunward(level: int, row: int, side: int, kind: WorldKind) -> Array:
    if kind is WorldKind.PLANE:
        return np.ones(side, np.float32)
    sines = [math.tanh(math.pi * (1 - 2 * (row + i + 0.5) / (TILE_SIZE << level))) for i in range(side)]
    return np.clip(np.array(sines, np.float32) * np.float32(1 / TROPIC), np.float32(-1), np.float32(1))


def crop(values: NDArray[Number], margin: int) -> NDArray[Number]:
    """Drop `margin` pixels on every side of the last two axes."""
    return values[..., margin : values.shape[-2] - margin, margin : values.shape[-1] - margin]


def in_units(stored: NDArray[np.int32], unit: float) -> Array:
    """A stored raster in the units of networks."""
    values = stored.astype(np.float32)
    values *= np.float32(unit)
    return values


def draw_noise(spec: StageSpec, window: Window, seed: int, streaks: float = 0.0, elevation: NDArray[np.int32] | None = None) -> list[Array]:
    """The noise of every call of a stage's network for a window, each (noise channels, n, n); `streaks` is the share taken out of it.

    A stage whose noise runs along slopes needs the window's `elevation`, stored (side, side).
    """

    def drawn(stream: int, channels: int, part: Window) -> Array:
        return gaussian_noise(seed, stream, part.level, part.column, part.row, (channels, part.side, part.side), part.kind)

    noises = []
    for step in range(len(spec.times)):
        part = window.inner(step * spec.border)
        channels, stream = spec.noise_channels - spec.slopes, spec.stream + step
        noise = without_streaks(drawn(stream, channels, part.inner(-STREAK_REACH)), streaks) if streaks else drawn(stream, channels, part)
        if spec.slopes:
            assert elevation is not None
            white = drawn(stream + slope_noise.STREAM, spec.slopes, part.inner(-slope_noise.MARGIN))
            noise = np.concatenate([noise, slope_noise.along_slopes(white, crop(elevation, step * spec.border))])
        noises.append(noise)
    return noises


def draw_sample(
    graph: Graph, spec: StageSpec, window: Window, noises: Sequence[Array], conditions: Mapping[str, Array], *, coarser: int = 0
) -> Array:
    """One sample (channels, side - 2 halo, side - 2 halo) for a window, given its noise and condition rasters (C, side, side) by name.

    The network is told pixels `coarser` octaves larger than they are; whoever asks for that has scaled the conditions alike.
    """
    gsd = window.log_child_gsd()[None, :, None] + np.float32(coarser)

    def denoise(noise: Array, time: float) -> Array:
        margin = (window.side - noise.shape[-1]) // 2
        inputs = {name: np.ascontiguousarray(crop(values, margin)[None], np.float32) for name, values in conditions.items()}
        rows = gsd[:, margin : window.side - margin]
        fixed = {"noise": noise[None], "time": np.full((1, 1, 1, 1), time, np.float32), "gsd": np.ascontiguousarray(rows[None])}
        return graph.run(inputs | fixed)[0]

    return sample_distributional(denoise, noises, spec.times)
