"""Scale-space transition: the stage that generates finer imagery and the texture left inside its pixels, p(I_z | I_{z-1}, H_z)."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from terraloom_engines import cover, exposure, guidance
from terraloom_engines.conservation import block_details, bound_scale, conserve, deviations
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.lifting import RELIEF_RANGE, Geometry, child_relief, slope_spread, spread_of, stored_spread
from terraloom_engines.runtimes import Graph
from terraloom_engines.stages import StageSpec, Window, draw_sample
from terraloom_engines.upsampling import REACH, kinks, smooth_details

Steps = NDArray[np.int32]
Details = NDArray[np.float32]

WHITE = round(255 / COLOUR_UNIT)
"""Stored value of a saturated channel."""
HEADROOM = 0.8
"""Spreads of its parent by which a colour keeps away from black and white, where it can: a saturated pixel stays a plate with straight
edges for ever, since its children have nowhere to go."""
NEAREST = 0.25
"""Share of the way to black or white that a colour nearer than that may still go."""
OUT = round(2 / COLOUR_UNIT)
"""All channels change by one scale, or hues drift. But one darker than this holds the others less and less: red and blue of dark forests
have gone out altogether, and what they held would be a plate."""
ALONE = 0.4
"""The scale that a channel that has gone out leaves the others."""
HAZE = round(24 / COLOUR_UNIT)
"""What every channel has of the light, however dark it is."""
CALMEST = 0.6
"""A pixel's texture is at most this share of what its light is away from black and white, and half of `HAZE`: with more, most of what is
drawn would have no room, and pixels would stay plates."""
CHROMA = 0.5
"""What is kept of the drawn differences between channels beyond their smooth upsampling, set by eye: the network draws hue more freely
than land has it."""


@dataclass(frozen=True)
class Colours:
    """Four children per parent pixel: colour int32 (4, 3, H, W) and texture (4, H, W), stored steps."""

    colour: Steps
    texture: Steps


def room(distance: NDArray[np.float32], away: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far colours may go towards black or white, given their distance from it and what they are to keep of it, in stored steps."""
    return np.maximum(distance - away, distance * np.float32(NEAREST))


def calm(texture: Steps, light: Steps) -> Steps:
    """Stored texture spreads, no larger than what light (stored steps) has room for."""
    room_left = np.minimum(light, WHITE - light) + HAZE // 2
    return np.minimum(texture, stored_spread(room_left.astype(np.float32) * np.float32(CALMEST * COLOUR_UNIT)))


def balance(spec: StageSpec) -> NDArray[np.float32]:
    """Factors (3, 1, 1) of what is new in east-west, north-south and diagonal details."""
    return np.array([1 / spec.north_south, spec.north_south, 1], np.float32)[:, None, None]


def gone_out(band: Steps) -> NDArray[np.float32]:
    """The scale below which a channel does not hold the others: 0 but for channels darker than `OUT`, `ALONE` for one at 0."""
    return np.maximum(np.float32(ALONE) - band.astype(np.float32) * np.float32(ALONE / OUT), np.float32(0))


def brightness_shares(bands: Steps) -> NDArray[np.float32]:
    """What each channel (3, H, W) takes of a change of light, 1 on average: land in shade keeps its hue."""
    total = (bands[0] + bands[1] + bands[2] + 3 * HAZE).astype(np.float32)
    return (bands + HAZE).astype(np.float32) * np.float32(3) / total


def finish(bands: Steps, smooth: Details, new: list[Details], away: Details) -> Steps:
    """Children (4, 3, H, W) of `bands` (3, H, W): the smooth ones and what is new in them (3, 3, H, W), as far as there is room.

    What is new is scaled by one factor, so that the smooth part stays: a pixel without any room would be a plate with straight edges.
    """
    scales, children, steps = [], [], []
    for band, upsampled, details in zip(bands, smooth, new, strict=True):
        own, deviation = band.astype(np.float32), deviations(upsampled)
        steps.append(deviations(details))
        children.append(deviation * bound_scale(deviation, own, np.float32(WHITE) - own))
        low = own + children[-1]
        way, distance = np.abs(steps[-1]), np.where(steps[-1] < 0, low, np.float32(WHITE) - low)
        scales.append(np.minimum((room(distance, away) / np.maximum(way, np.float32(1e-6))).min(axis=0), np.float32(1)))
    together = reduce(np.minimum, [np.maximum(scale, gone_out(band)) for scale, band in zip(scales, bands, strict=True)])
    return np.stack([conserve(bands[b], children[b] + steps[b] * np.minimum(together, scales[b])) for b in range(3)], axis=1)


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
        near = slice(halo - REACH, side - halo + REACH)
        around = colour[:, near, near].astype(np.float32)
        smooth = np.stack([smooth_details(band) for band in around])
        drawn = sample[:9].reshape(3, 3, *spread.shape) * spread + np.stack([kinks(band) for band in around]) * np.float32(self.spec.kinks)
        departure, followed, exposed = self._guided(
            (drawn - smooth) * balance(self.spec), spread, colour, (parent[0], children.elevation), window
        )
        light = (departure[0] + departure[1] + departure[2]) * np.float32(1 / 3)
        shares = brightness_shares(bands)
        new = [followed[b] + (light + exposed) * shares[b] + (departure[b] - light) * np.float32(CHROMA) for b in range(3)]
        away = spread * np.float32(HEADROOM / self.spec.detail_scale)
        finished = finish(bands, smooth, new, away)
        textures = child_relief(texture[inner, inner], sample[9:], self.spec)
        ring = slice(halo - 1, side - halo + 1)
        floor = slope_spread((colour[0] + colour[1] + colour[2])[ring, ring] // 3, COLOUR_UNIT, 4)
        grey = finished.sum(axis=1) // 3
        grown = cover.least_texture(finished, grey, cover.grain(window.child_gsd()[inner]))
        textures = calm(np.maximum(np.maximum(textures, floor), stored_spread(grown)), grey)
        return Colours(finished, np.clip(textures, *RELIEF_RANGE))

    def _guided(
        self, departure: Details, spread: Details, colour: Steps, heights: tuple[Steps, Steps], window: Window
    ) -> tuple[Details, Details, Details]:
        """What is left of the drawn departure (3, 3, ...) where colour follows relief, what follows it, and what exposure puts into light.

        Energy is kept.
        """
        halo, (parent, below) = self.spec.halo, heights
        far = slice(halo - guidance.REACH, parent.shape[-1] - halo + guidance.REACH)
        light, parts = guidance.correlations(colour[:, far, far], parent[far, far])
        shares = guidance.shares(light, self.spec.guidance)
        followed = (
            (shares * spread)
            * guidance.relief_details(parent, below, halo)
            * (np.float32(1 - CHROMA) + np.float32(CHROMA) * parts[:, None])
        )
        cut = slice(halo - exposure.MARGIN, parent.shape[-1] - halo + exposure.MARGIN)
        grey = (colour[0] + colour[1] + colour[2])[cut, cut] // 3
        rows = window.child_gsd()[cut], window.sunward()[cut]
        exposed, taken = exposure.light_details(grey, spread, parent[cut, cut], below[:, cut, cut], rows)
        return departure * np.sqrt((np.float32(1) - shares * shares) * (np.float32(1) - taken)), followed, exposed
