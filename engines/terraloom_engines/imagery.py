"""Scale-space transition: the stage that generates finer imagery and the texture left inside its pixels, p(I_z | I_{z-1}, H_z)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.conservation import block_details, bound_scale, conserve, deviations
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.lifting import RELIEF_RANGE, Geometry, child_relief, slope_spread, spread_of
from terraloom_engines.runtimes import Graph
from terraloom_engines.stages import StageSpec, Window, draw_sample
from terraloom_engines.upsampling import REACH, smooth_details

Steps = NDArray[np.int32]

WHITE = round(255 / COLOUR_UNIT)
"""Stored value of a saturated channel."""
CHROMA = 0.5
"""What is kept of the drawn differences between channels beyond their smooth upsampling, set by eye: the network draws hue more freely
than land has it."""


@dataclass(frozen=True)
class Colours:
    """Four children per parent pixel: colour int32 (4, 3, H, W) and texture (4, H, W), stored steps."""

    colour: Steps
    texture: Steps


class ImageryStage:
    """The imagery network with its integer finishing."""

    def __init__(self, graph: Graph, spec: StageSpec, seed: int) -> None:
        self._graph, self.spec, self._seed = graph, spec, seed

    def refine(
        self, window: Window, colour: Steps, texture: Steps, land: Steps, parent: tuple[Steps, Steps], children: Geometry
    ) -> Colours:
        """Children of the window's inner pixels, (4, ..., side - 2 halo, side - 2 halo).

        colour (3, side, side), texture, land (side, side): the parents' stored rasters; parent: their elevation and relief;
        children: the geometry generated below the whole window, (4, side, side).
        """
        side = window.side
        geometry = np.empty((6, side, side), np.float32)
        geometry[0] = parent[0] * np.float32(ELEVATION_UNIT)
        geometry[1] = parent[1] * np.float32(LOG_UNIT)
        geometry[2:5] = block_details(children.elevation) * np.float32(ELEVATION_UNIT)
        geometry[5] = 1
        sample = draw_sample(self._graph, self.spec, window, self._seed, {
            "colour": colour * np.float32(COLOUR_UNIT), "texture": (texture * np.float32(LOG_UNIT))[None],
            "land": (land * np.float32(1 / LAND_FULL))[None], "geometry": geometry,
        })  # fmt: skip
        halo = self.spec.halo
        inner = slice(halo, side - halo)
        spread = spread_of(texture[inner, inner]) * np.float32(self.spec.detail_scale / COLOUR_UNIT)
        bands = colour[:, inner, inner]
        details = sample[:9].reshape(3, 3, *spread.shape) * spread
        near = slice(halo - REACH, side - halo + REACH)
        hues = colour - (colour[0] + colour[1] + colour[2]) // 3
        smooth = [smooth_details(hue[near, near].astype(np.float32)) for hue in hues]
        light = (details[0] + details[1] + details[2]) * np.float32(1 / 3)
        steps = [deviations(light + smooth[band] + (details[band] - light - smooth[band]) * np.float32(CHROMA)) for band in range(3)]
        scale = np.ones(spread.shape, np.float32)
        for band in range(3):
            below, above = bands[band].astype(np.float32), (WHITE - bands[band]).astype(np.float32)
            scale = np.minimum(scale, bound_scale(steps[band], below, above))
        finished = np.stack([conserve(bands[band], steps[band] * scale) for band in range(3)], axis=1)
        drawn = child_relief(texture[inner, inner], sample[9:], self.spec)
        ring = slice(halo - 1, side - halo + 1)
        floor = slope_spread((colour[0] + colour[1] + colour[2])[ring, ring] // 3, COLOUR_UNIT, 4)
        return Colours(finished, np.clip(np.maximum(drawn, floor), *RELIEF_RANGE))
