"""Scale-space transition: the stage that generates finer imagery and the texture left inside its pixels, p(I_z | I_{z-1}, H_z)."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from terraloom_engines import cover, exposure, guidance
from terraloom_engines.conservation import block_details, bound_scale, conserve, deviations
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.lifting import RELIEF_RANGE, Geometry, child_relief, not_below, slope_spread, spread_of, stored_spread
from terraloom_engines.runtimes import Graph
from terraloom_engines.stages import Array, StageSpec, Window, draw_noise, draw_sample, in_units
from terraloom_engines.upsampling import REACH, kinks_of, smooth_details

Steps = NDArray[np.int32]
Details = NDArray[np.float32]

WHITE = round(255 / COLOUR_UNIT)
"""Stored value of a saturated channel."""
TO_THE_END = 0.75
"""Share of the way to black or white that the smooth part of a colour may go in one step: a pixel that is there stays a plate for ever."""
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
GREY = round(60 / COLOUR_UNIT)
"""What every channel takes of a change of light, however dark it is: what is lighter than its surroundings is also greyer. Fitted on
details of 20 to 240 m in 292 satellite images: least squares ask for 40 to 130, less where it grows darker, and for 400 at 10 m.
"""
HAZE = round(24 / COLOUR_UNIT)
"""What every channel has of the light, however dark it is."""
CALMEST = 0.6
"""A pixel's texture is at most this share of what its light is away from black and white, and half of `HAZE`: with more, most of what is
drawn would have no room, and pixels would stay plates."""
CHROMA = 0.5
"""What is kept of the drawn differences between channels beyond their smooth upsampling, set by eye: the network draws hue more freely
than land has it."""

BORDERS = 1.3
"""Share of `upsampling.kinks` that is left out where rules take the place of what the network draws, by how much of its variance: they
know nothing of the borders of coarser pixels, and light would change less across those than inside."""
COARSE_SHARES = {5: 0.8, 6: 0.75, 7: 0.8, 8: 0.9}
"""By level, the share of a colour's spread that is drawn with where it is not the whole: bases vary less from pixel to pixel than land that
varies inside pixels as they say, and more would show their borders as places where light changes less."""
LARGEST_KINK = 0.5
"""In spreads that the network draws with: where light changes much from pixel to pixel, more would show as plates with straight edges."""


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
    return np.minimum(texture, _LARGEST_TEXTURE.take(room_left, mode="clip"))


_LARGEST_TEXTURE = stored_spread(np.arange(WHITE // 2 + HAZE // 2 + 1, dtype=np.float32) * np.float32(CALMEST * COLOUR_UNIT))
"""Of all rooms that light may have."""


def balance(spec: StageSpec) -> NDArray[np.float32]:
    """Factors (3, 1, 1) of what is new in east-west, north-south and diagonal details."""
    return np.array([1 / spec.north_south, spec.north_south, 1], np.float32)[:, None, None]


def gone_out(band: Steps) -> NDArray[np.float32]:
    """The scale below which a channel does not hold the others: 0 but for channels darker than `OUT`, `ALONE` for one at 0."""
    return np.maximum(np.float32(ALONE) - band.astype(np.float32) * np.float32(ALONE / OUT), np.float32(0))


def brightness_shares(bands: Steps) -> NDArray[np.float32]:
    """What each channel (3, H, W) takes of a change of light, 1 on average: land in shade keeps its hue."""
    total = (bands[0] + bands[1] + bands[2] + 3 * GREY).astype(np.float32)
    shares = (bands + GREY).astype(np.float32)
    shares *= np.float32(3)
    shares /= total
    return shares


def finish(bands: Steps, smooth: Details, new: Details, away: Details) -> Steps:
    """Children (4, 3, H, W) of `bands` (3, H, W): the smooth ones and what is new in them (3, 3, H, W), as far as there is room.

    What is new is scaled by one factor, so that the smooth part stays: a pixel without any room would be a plate with straight edges.
    """
    scales, children, steps = [], [], []
    for band, upsampled, details in zip(bands, smooth, new, strict=True):
        own, deviation, step = band.astype(np.float32), deviations(upsampled), deviations(details)
        deviation *= bound_scale(deviation, own * np.float32(TO_THE_END), (np.float32(WHITE) - own) * np.float32(TO_THE_END))
        scales.append(_largest_scale(own + deviation, step, away))
        children.append(deviation)
        steps.append(step)
    together = reduce(np.minimum, [np.maximum(scale, gone_out(band)) for scale, band in zip(scales, bands, strict=True)])
    out = np.empty((4, *bands.shape), np.int32)
    for number, (band, child, step) in enumerate(zip(bands, children, steps, strict=True)):
        step *= np.minimum(together, scales[number])
        step += child
        out[:, number] = conserve(band, step)
    return out


def _largest_scale(smooth: Details, steps: Details, away: Details) -> Details:
    """The largest factor (H, W) of the steps of smooth children (4, H, W), both in stored steps, that there is room for; at most 1."""
    least = np.ones(away.shape, np.float32)
    for low, step in zip(smooth, steps, strict=True):  # one by one, what is at work stays in the processor's cache
        left = room(np.where(step < 0, low, np.float32(WHITE) - low), away)
        way = np.abs(step)
        left /= np.maximum(way, np.float32(1e-6), out=way)
        np.minimum(least, left, out=least)
    return least


@dataclass(frozen=True)
class Foretold:
    """What the parents alone say of a window's children, before anything is drawn: arrays of its inner pixels (H, W).

    `noises` are those of the network's calls, `bands` the parents' colours (3, H, W), `spread` what is drawn with, `smooth` and `kinks` of
    the bands Haar details (3, 3, H, W), all in stored steps; `shares` are what each band takes of light, (3, H, W); `light` is how light
    goes with height, `parts` each band's part in that (`guidance.correlations`).
    """

    noises: list[Array]
    bands: Steps
    spread: Details
    smooth: Details
    kinks: Details
    shares: Details
    light: Details
    parts: Details


def drawn_share(window: Window) -> np.float32:
    """Share of their spread that the colours of a window's children are drawn with."""
    return np.float32(COARSE_SHARES.get(window.level + 1, 1.0))


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
        told = self.foretold(window, colour, texture, parent[0])
        sample = self.drawn(told, window, colour, texture, land, parent, children)
        return self.finished(sample, told, window, colour, texture, (parent[0], children.elevation))

    def foretold(self, window: Window, colour: Steps, texture: Steps, elevation: Steps) -> Foretold:
        """What needs no children; arguments are those of `refine`."""
        halo, side = self.spec.halo, window.side
        inner, near = slice(halo, side - halo), slice(halo - REACH, side - halo + REACH)
        far = slice(halo - guidance.REACH, side - halo + guidance.REACH)
        bands, around = colour[:, inner, inner], colour[:, near, near].astype(np.float32)
        spread = spread_of(texture[inner, inner])
        spread *= np.float32(self.spec.detail_scale / COLOUR_UNIT)
        spread *= drawn_share(window)
        smooth = smooth_details(around)
        return Foretold(
            draw_noise(self.spec, window, self._seed, self.spec.streaks),
            bands, spread, smooth, kinks_of(around, smooth), brightness_shares(bands),
            *guidance.correlations(colour[:, far, far], elevation[far, far]),
        )  # fmt: skip

    def drawn(
        self, told: Foretold, window: Window, colour: Steps, texture: Steps, land: Steps, parent: tuple[Steps, Steps], children: Geometry
    ) -> Array:
        """The network's sample (13, side - 2 halo, side - 2 halo); arguments are those of `refine`."""
        geometry = np.empty((6, window.side, window.side), np.float32)
        geometry[0], geometry[1] = in_units(parent[0], ELEVATION_UNIT), in_units(parent[1], LOG_UNIT)
        np.multiply(block_details(children.elevation), np.float32(ELEVATION_UNIT), out=geometry[2:5])
        geometry[5] = 1
        return draw_sample(self._graph, self.spec, window, told.noises, {
            "colour": in_units(colour, COLOUR_UNIT), "texture": in_units(texture, LOG_UNIT)[None],
            "land": in_units(land, 1 / LAND_FULL)[None], "geometry": geometry,
        })  # fmt: skip

    def finished(
        self, sample: Array, told: Foretold, window: Window, colour: Steps, texture: Steps, heights: tuple[Steps, Steps]
    ) -> Colours:
        """The integers of a sample; `heights` are those of parents and children, the other arguments those of `refine`."""
        halo, side = self.spec.halo, window.side
        inner, ring = slice(halo, side - halo), slice(halo - 1, side - halo + 1)
        departure = sample[:9].reshape(3, 3, *told.spread.shape) * told.spread
        if self.spec.kinks:
            departure += told.kinks * np.float32(self.spec.kinks)
        departure -= told.smooth
        departure *= balance(self.spec)
        new = self._guided(departure, told, colour, heights, window)
        colours = finish(told.bands, told.smooth, new, told.spread * np.float32(HEADROOM / self.spec.detail_scale))
        textures = child_relief(texture[inner, inner], sample[9:], self.spec)
        floor = slope_spread((colour[0, ring, ring] + colour[1, ring, ring] + colour[2, ring, ring]) // 3, COLOUR_UNIT, 4)
        np.maximum(textures, floor, out=textures)
        grey = (colours[:, 0] + colours[:, 1] + colours[:, 2]) // 3
        if (grains := cover.grain(window.child_gsd()[inner])).any():
            textures = not_below(textures, cover.least_texture(colours, grey, grains))
        textures = calm(textures, grey)
        return Colours(colours, np.clip(textures, *RELIEF_RANGE, out=textures))

    def _guided(self, departure: Details, told: Foretold, colour: Steps, heights: tuple[Steps, Steps], window: Window) -> Details:
        """What is new in the bands, (3, 3, H, W): the drawn departure, which is written over, what follows relief, what exposure puts in.

        Energy is kept.
        """
        halo, (parent, below) = self.spec.halo, heights
        cut = slice(halo - exposure.MARGIN, parent.shape[-1] - halo + exposure.MARGIN)
        grey = (colour[0, cut, cut] + colour[1, cut, cut] + colour[2, cut, cut]) // 3
        rows = window.child_gsd()[cut], window.sunward()[cut]
        exposed, taken = exposure.light_details(grey, told.spread, parent[cut, cut], below[:, cut, cut], rows)
        shares = guidance.shares(told.light, self.spec.guidance)
        kept = (np.float32(1) - shares * shares) * (np.float32(1) - taken)
        departure *= np.sqrt(kept)
        unmended, limit = (kept - np.float32(1)) * np.float32(BORDERS), told.spread * np.float32(LARGEST_KINK)
        light = departure[0] + departure[1] + departure[2]
        light *= np.float32(1 / 3)
        exposed += light
        departure -= light
        departure *= np.float32(CHROMA)
        relief = (shares * told.spread) * guidance.relief_details(parent, below, halo)
        for band, details in enumerate(departure):
            follows = relief * (np.float32(1 - CHROMA) + np.float32(CHROMA) * told.parts[band])
            follows += exposed * told.shares[band]
            follows += np.clip(told.kinks[band] * unmended, -limit, limit)
            np.add(follows, details, out=details)
        return departure
