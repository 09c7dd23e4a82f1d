"""A step in windows of one size as one program of torch: the parents' integers in, the children's out.

On a GPU it is recorded once as a CUDA graph and replayed, since all its shapes are fixed: some hundred small kernels for one call.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from terraloom_engines import slope_noise
from terraloom_engines.cover import grain
from terraloom_engines.device.finishing import block_details, informed, interleave
from terraloom_engines.device.noise import gaussian_noise, without_streaks
from terraloom_engines.device.rules import Below, Parents, Rules
from terraloom_engines.device.slope_noise import along_slopes
from terraloom_engines.field import CHANNELS, COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.imagery import drawn_share
from terraloom_engines.lifting import (
    SELF_SIMILAR_LEVEL,
    SPREAD_TABLE,
    creep_percent,
    creep_room,
    hillslope_knee,
    mended_kinks,
    streaks_taken,
)
from terraloom_engines.noise import STREAK_REACH, column_words, normal_quantiles, pixel_numbers, row_words, streak_weights
from terraloom_engines.runtimes.torch_runtime import TorchGraph
from terraloom_engines.stages import StageSpec, Window
from terraloom_engines.tiling import WorldKind

PLACES, KNEE, GSD, LOG_GSD, SUNWARD, GRAIN, SCALARS = slice(0, 4), 4, 5, 6, 7, 8, 9
"""Rows of a frame; the last holds level, octaves and unit of elevation, share of kinks, `streak_weights`, `creep_percent`, `creep_room`
and `drawn_share`."""
REACH = max(STREAK_REACH, slope_noise.MARGIN)
"""Pixels on each side of a window whose noise is needed."""
WARM_UPS = 3
"""Runs before a graph is recorded, in which libraries choose kernels and allocate what they keep."""


def frame(window: Window, spec: StageSpec, seed: int) -> NDArray[np.int32]:
    """All that a window's place says to a geometry stage, int32 (10, side + 2 `REACH`), some of it the bits of float32: what goes to
    the device with every step. It reaches so far beyond the window as noise is averaged.
    """
    window = window.inner(-REACH)
    columns, rows = pixel_numbers(window.level, window.column, window.row, (window.side, window.side), window.kind)
    finer = max(0, window.level + 1 - SELF_SIMILAR_LEVEL)
    out = np.zeros((10, window.side), np.int32)
    out[PLACES] = np.stack([*column_words(columns), *row_words(seed, rows)]).view(np.int32)
    out[KNEE : GRAIN + 1] = _row_facts(
        Window(window.level, 0, window.row if window.kind is WorldKind.PLANET else 0, window.side, window.kind)
    )
    out[SCALARS, 0] = window.level
    scalars = [finer, ELEVATION_UNIT * 2**finer, mended_kinks(spec, window), *streak_weights(streaks_taken(spec, window))]
    out[SCALARS, 1:6] = np.array(scalars, np.float32).view(np.int32)
    out[SCALARS, 6] = creep_percent(window)
    out[SCALARS, 7] = creep_room(window)
    out[SCALARS, 8] = drawn_share(window).view(np.int32)
    return out


@lru_cache(maxsize=256)
def _row_facts(window: Window) -> NDArray[np.int32]:
    """What is known of rows by their latitude: rows `KNEE` to `GRAIN` of a frame."""
    gsd = window.child_gsd()
    rows = [gsd, window.log_child_gsd(), window.sunward(), grain(gsd)]
    return np.stack([hillslope_knee(gsd), *(row.view(np.int32) for row in rows)])


class Program:
    """Both networks of one window size with everything between and after them, on the networks' device."""

    def __init__(self, graphs: Mapping[str, TorchGraph], specs: Mapping[str, StageSpec]) -> None:
        self.specs, self._graphs = specs, graphs
        self.device = torch.device(graphs["geometry"].device)
        self._table = torch.from_numpy(normal_quantiles()).to(self.device)
        self._rules = Rules(torch.from_numpy(SPREAD_TABLE).to(self.device))
        self._calm = tuple(torch.tensor(weight, device=self.device) for weight in streak_weights(specs["imagery"].streaks))
        self._recorded: dict[int, Callable[[Sequence[Tensor]], Tensor]] = {}

    @property
    def loss(self) -> int:
        """Parent pixels lost on each side to the two networks."""
        return self.specs["geometry"].halo + self.specs["imagery"].halo

    def run(self, parents: Tensor, place: Tensor, known: Tensor | None) -> Tensor:
        """Children's rasters (8, 2 (side - 2 loss), same), valid until the next run, of the parents' (8, side, side).

        `place` is the window's `frame`; `known` what the base knows of the children, as every step takes it. All int32, on the device or
        not.
        """
        given = [parents, place] if known is None else [parents, place, known]
        if self.device.type != "cuda":
            return self._compute(given)
        rasters = 0 if known is None else len(known)
        if rasters not in self._recorded:
            self._recorded[rasters] = recorded(self._compute, [torch.empty_like(each, device=self.device) for each in given], given)
        return self._recorded[rasters](given)

    def _compute(self, given: Sequence[Tensor]) -> Tensor:
        (rasters, framed), known = given[:2], given[2] if len(given) > 2 else None
        parents, level = dict(zip(CHANNELS, rasters, strict=True)), framed[SCALARS, 0]
        finer, unit, kinks, taken, scale = framed[SCALARS, 1:6].view(torch.float32)
        place = framed[:, REACH : framed.shape[-1] - REACH]
        gsd, rows = place[GSD].view(torch.float32), place[LOG_GSD].view(torch.float32)
        bands = torch.stack([parents[name] for name in ("red", "green", "blue")])
        spec, outer = self.specs["geometry"], self.specs["geometry"].halo
        window = (
            parents["elevation"],
            parents["relief"],
            parents["land"],
            parents["water"],
            gsd,
            kinks,
            place[KNEE],
            framed[SCALARS, 6],
            framed[SCALARS, 7],
            None if known is None else known[:4],
        )
        unknown = rasters.new_zeros((13, *rasters.shape[1:]), dtype=torch.float32)
        conditions = {
            "elevation": (parents["elevation"].float() * unit)[None], "relief": (parents["relief"].float() * LOG_UNIT + finer)[None],
            "land": (parents["land"].float() * (1 / LAND_FULL))[None], "imagery": unknown,
        }  # fmt: skip
        sample = self._draw("geometry", framed[PLACES], level, rows + finer, conditions, (taken, scale), parents["elevation"])
        cut = slice(outer, rasters.shape[-1] - outer)
        if known is not None and len(known) > 4:
            sample = informed(sample, known[4:, cut, cut], spec)
        drawn, relief, land = self._rules.geometry(sample, spec, Parents(*window))
        around = {name: raster[cut, cut] for name, raster in parents.items()}
        colour = bands[:, cut, cut]
        geometry = torch.cat([
            torch.stack([around["elevation"].float() * ELEVATION_UNIT, around["relief"].float() * LOG_UNIT]),
            block_details(drawn) * ELEVATION_UNIT, torch.ones_like(around["land"], dtype=torch.float32)[None],
        ])  # fmt: skip
        conditions = {
            "colour": colour.float() * COLOUR_UNIT, "texture": (around["texture"].float() * LOG_UNIT)[None],
            "land": (around["land"].float() * (1 / LAND_FULL))[None], "geometry": geometry,
        }  # fmt: skip
        sample = self._draw("imagery", framed[PLACES, outer : framed.shape[-1] - outer], level, rows[cut], conditions, self._calm)
        below = Below(around["elevation"], drawn, gsd[cut], *(place[row, cut].view(torch.float32) for row in (SUNWARD, GRAIN)))
        share = framed[SCALARS, 8].view(torch.float32)
        colours, texture = self._rules.colours(sample, self.specs["imagery"], colour, around["texture"], below, share)
        elevation, relief = self._rules.drained(spec, Parents(*window), drawn, relief)
        halo = self.specs["imagery"].halo
        inner = slice(halo, elevation.shape[-1] - halo)
        water = around["water"][inner, inner].expand_as(texture)
        finished = [*(raster[:, inner, inner] for raster in (elevation, relief, land)), *colours.unbind(1), texture, water]
        return interleave(torch.stack(finished, dim=1))

    def _draw(
        self,
        network: str,
        places: Tensor,
        level: Tensor,
        gsd: Tensor,
        conditions: Mapping[str, Tensor],
        streaks: tuple[Tensor, ...],
        elevation: Tensor | None = None,
    ) -> Tensor:
        """One sample (channels, side - 2 halo, side - 2 halo), as `stages.draw_sample` and `sample_distributional` have it.

        `places` reach `REACH` pixels beyond the window on each side; `streaks` are the weights of `without_streaks`; noise that runs along
        slopes needs the window's `elevation`.
        """
        spec, side = self.specs[network], gsd.shape[-1]

        def drawn(stream: int, channels: int, inside: slice, margin: int) -> Tensor:
            around = slice(inside.start + REACH - margin, inside.stop + REACH + margin)
            return gaussian_noise(places[:, around].contiguous(), level, stream, channels, self._table)

        clean: Tensor | None = None
        for step, time in enumerate(spec.times):
            cut = slice(step * spec.border, side - step * spec.border)
            channels, stream = spec.noise_channels - spec.slopes, spec.stream + step
            if spec.streaks:
                noise = without_streaks(drawn(stream, channels, cut, STREAK_REACH), *streaks)
            else:
                noise = drawn(stream, channels, cut, 0)
            if spec.slopes and elevation is not None:
                white = drawn(stream + slope_noise.STREAM, spec.slopes, cut, slope_noise.MARGIN)
                noise = torch.cat([noise, along_slopes(white[None], elevation[None, None, cut, cut])[0]])
            if clean is not None:
                noise = torch.cat([(1 - time) * clean + time * noise[: spec.channels], noise[spec.channels :]])
            inputs = {name: values[None, :, cut, cut].contiguous() for name, values in conditions.items()}
            inputs |= {"noise": noise[None], "time": noise.new_full((1, 1, 1, 1), time), "gsd": gsd[None, None, cut, None].contiguous()}
            clean = self._graphs[network].evaluate(inputs)[0]
        assert clean is not None
        return clean


def recorded(
    compute: Callable[[Sequence[Tensor]], Tensor], held: Sequence[Tensor], given: Sequence[Tensor]
) -> Callable[[Sequence[Tensor]], Tensor]:
    """`compute` as a CUDA graph over the tensors `held` of the device, into which its inputs are copied; `given` are plausible ones.

    It is recorded after some runs on a stream of their own, as CUDA asks for.
    """

    def fill(values: Sequence[Tensor]) -> None:
        for tensor, value in zip(held, values, strict=True):
            tensor.copy_(value, non_blocking=True)

    fill(given)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            compute(held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = compute(held)

    def replay(values: Sequence[Tensor]) -> Tensor:
        fill(values)
        graph.replay()
        return out

    return replay
