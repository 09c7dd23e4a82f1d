"""A step of the cascade by stages of the paper's scale: colours first, then heights that know them, in integers as every step makes them.

Bounds, coasts and conservation are those of the shipped networks (`finished_geometry`, `conservation`), so elevations and colours do not
drift from what they refine, whatever a checkpoint draws.
"""

import threading
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from terraloom_engines.cascade import cut_fields, place_in_field, step_window
from terraloom_engines.conservation import block_details, bound_scale, conserve, deviations, interleave, split_children
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LOG_UNIT, Field
from terraloom_engines.imagery import WHITE
from terraloom_engines.lifting import RELIEF_RANGE, Waters, finished_geometry, slope_spread, spread_of
from terraloom_engines.networks import StepMaker
from terraloom_engines.paper.models import PaperModels
from terraloom_engines.paper.sampling import Sampler
from terraloom_engines.paper.windows import Drawn, blended
from terraloom_engines.stages import Array, StageSpec, Window
from terraloom_engines.tiling import TileId
from terraloom_engines.upsampling import REACH, smooth_details

Steps = NDArray[np.int32]
SPREAD_MEAN = -0.9
"""log2 of a child's spread over its parent's: the models say nothing of it, and it is the mean of real land."""
RIM = 2
"""Parent pixels at the edge of what is finished that are cut off: their slopes lack a neighbour."""
HEIGHT_SPREADS = 2.0
"""Spreads of its parent by which a child's elevation departs from the smooth upsampling where the decoded picture is white."""


class PaperStep:
    """A step of one world, for one child or four: all windows are of one size anyway. One thread at a time."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler, (self._coarse, self._fine) = sampler, sampler.sides
        self._colours, self._heights = Drawn(), Drawn()
        self._spec = StageSpec(0, self._fine, (1.0,), 7, 0, 1.0, SPREAD_MEAN, 1.0)

    @property
    def loss(self) -> int:
        """Parent pixels lost on each side: as many as the windows of both networks have, and `RIM`."""
        return self._coarse + self._fine + RIM

    def fields(self, parent: Field, children: Sequence[TileId], mask: Steps | None) -> list[Field]:
        """As every step does."""
        window = step_window(parent, children, self.loss)
        rows, columns = place_in_field(parent, window)
        return cut_fields(self.rasters(window, np.ascontiguousarray(parent.data[:, rows, columns]), mask), children, 2 * self.loss)

    def rasters(self, window: Window, parents: Steps, mask: Steps | None = None) -> Steps:
        """The children's rasters (8, 2 n, 2 n) of the n = side - 2 loss inner pixels of a window, of its parents' (8, side, side)."""
        elevation, relief, land, *bands, texture, water = parents
        drawn = self._drawn_colours(window, np.stack(bands))
        outer = slice(self._coarse, window.side - self._coarse)
        inside, coarse = window.inner(self._coarse), [raster[outer, outer] for raster in (elevation, relief, land, water)]
        sample = self._height_sample(inside, drawn, coarse[0], coarse[1])
        near = None if mask is None else mask[:, outer, outer]
        geometry = finished_geometry(sample, self._spec, inside, coarse[0], coarse[1], Waters(coarse[2], coarse[3], near))
        inner, fine = slice(self.loss - RIM, RIM - self.loss), slice(2 * self._fine, -2 * self._fine)
        colour = finished_colours(np.stack(bands)[:, inner, inner], drawn[:, fine, fine])
        rasters = [geometry.elevation, geometry.relief, geometry.land, *(colour[:, band] for band in range(3))]
        rasters += [finished_texture(texture[inner, inner], colour), np.broadcast_to(water[inner, inner], geometry.land.shape)]
        return np.stack([interleave(raster[:, RIM:-RIM, RIM:-RIM]) for raster in rasters])

    def _drawn_colours(self, region: Window, bands: Steps) -> Array:
        """Children (3, 2 n, 2 n) in -1..1 of a region without the windows' side at its rim."""
        parents = bands.astype(np.float32) * np.float32(2 / WHITE) - 1

        def draw(window: Window) -> Array:
            top, left = window.row - region.row, window.column - region.column
            return self._sampler.colours(window, parents[:, top : top + window.side, left : left + window.side])

        return blended(region, self._coarse, partial(self._colours.get, draw=draw))

    def _height_sample(self, region: Window, colours: Array, elevation: Steps, relief: Steps) -> Array:
        """What the lifting stage is given by its network: details in spreads of the parent, and nothing of the children's spreads."""

        def draw(window: Window) -> Array:
            top, left, side = 2 * (window.row - region.row), 2 * (window.column - region.column), 2 * window.side
            return self._sampler.heights(window, np.ascontiguousarray(colours[:, top : top + side, left : left + side]))

        made = blended(region, self._fine, partial(self._heights.get, draw=draw))[0]
        cut = slice(self._fine, region.side - self._fine)
        near = slice(cut.start - REACH, cut.stop + REACH)
        smooth = smooth_details(elevation[near, near].astype(np.float32) * np.float32(ELEVATION_UNIT)) / spread_of(relief[cut, cut])
        sample = np.zeros((7, *smooth.shape[1:]), np.float32)
        sample[:3] = smooth + block_details(split_children(made)) * np.float32(HEIGHT_SPREADS)
        return sample


def finished_colours(parents: Steps, drawn: Array) -> Steps:
    """Stored colours (4, 3, H, W) of children drawn in -1..1, (3, 2H, 2W): within black and white, and on average their parents'."""
    bands = []
    for parent, band in zip(parents, drawn, strict=True):
        steps = deviations(block_details(split_children(band)) * np.float32(WHITE / 2))
        room = parent.astype(np.float32), (WHITE - parent).astype(np.float32)
        bands.append(conserve(parent, steps * bound_scale(steps, *room)))
    return np.stack(bands, axis=1)


def finished_texture(parent: Steps, colour: Steps) -> Steps:
    """Stored texture (4, H, W): the parent's less what real land loses in an octave, and what the slope alone says at least."""
    light = np.pad(interleave(colour.sum(axis=1)) // 3, 1, mode="edge").astype(np.int32)
    floor = split_children(slope_spread(light, COLOUR_UNIT, 2))
    return np.clip(np.maximum(parent + round(SPREAD_MEAN / LOG_UNIT), floor), *RELIEF_RANGE).astype(np.int32)


class PaperGenerator:
    """What makes the steps of worlds at the paper's scale: give it to `World` in the place of `Networks`."""

    def __init__(self, models: PaperModels, steps: int = 50) -> None:
        """`steps`: calls of a network per window; the paper takes 50."""
        self.models, self.steps, self.lock = models, steps, threading.Lock()
        self.bundle_digest = models.digest
        place = torch.cuda.get_device_name() if models.device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
        self.runtime_identity = f"torch {torch.__version__} {place} {models.dtype} ddim {steps}"

    @property
    def step(self) -> StepMaker:
        """What makes a world's step by the seed of its noise."""
        return lambda seed: PaperStep(Sampler(self.models, self.steps, seed))

    def joined(self) -> None:
        """Siblings are made one by one: they share windows, which are kept."""
        return None
