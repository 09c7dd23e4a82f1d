"""`terraloom_engines.lifting` and `imagery` on a device: what becomes of the networks' samples, operation by operation as numpy has it."""

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from terraloom_engines import guidance as host_guidance
from terraloom_engines.creep import BORNE
from terraloom_engines.creep import MARGIN as CREEP_MARGIN
from terraloom_engines.device import breaching, cover, creep, exposure, guidance
from terraloom_engines.device.finishing import (
    bound_scale,
    conserve,
    deviations,
    interleave,
    keep_sides,
    kinks,
    lean_to_land,
    smooth_details,
    split_children,
)
from terraloom_engines.exposure import MARGIN
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.imagery import (
    ALONE,
    BORDERS,
    CALMEST,
    CHROMA,
    GREY,
    HAZE,
    HEADROOM,
    LARGEST_KINK,
    NEAREST,
    OUT,
    TO_THE_END,
    WHITE,
    balance,
)
from terraloom_engines.lifting import COAST_SPREADS, EXCESS_PERCENT, LAND_SLACK, OCTAVE, REACH, RELIEF_RANGE, TALLEST, TO_THE_WATER
from terraloom_engines.stages import StageSpec
from terraloom_engines.upsampling import REACH as KINK_REACH


@dataclass(frozen=True)
class Parents:
    """Stored rasters of a window's parents, int32 (side, side), with its rows' child pixel sizes: float32 metres (side,)."""

    elevation: Tensor
    relief: Tensor
    land: Tensor
    surface: Tensor
    gsd: Tensor
    kinks: Tensor
    """`mended_kinks` of the window, float32 without axes."""
    knee: Tensor
    """`hillslope_knee` of the rows, int32 (side,)."""
    creep: Tensor
    """`creep_percent` of the window, int32 without axes."""
    creep_room: Tensor
    """`creep_room` of the window, the same."""
    mask: Tensor | None
    """The children's land fraction (4, side, side), where a mask knows it."""


@dataclass(frozen=True)
class Below:
    """Ground of a window's parents and children: elevations int32 (side, side) and (4, side, side); of the parents' rows the children's
    metres per pixel, `Window.sunward` and `cover.grain`, float32 (side,).
    """

    parent: Tensor
    children: Tensor
    gsd: Tensor
    sunward: Tensor
    grain: Tensor


class Rules:
    """The finishing of both stages; `table` is `lifting.SPREAD_TABLE` on the device."""

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self._squares = torch.round(12 * (table.double() / ELEVATION_UNIT) ** 2).long()

    def spread_of(self, stored: Tensor) -> Tensor:
        """Standard deviation of stored log2 values."""
        return self._table[stored.clamp(*RELIEF_RANGE) - RELIEF_RANGE[0]]

    def stored_spread(self, spread: Tensor) -> Tensor:
        """The least stored value whose spread is not below that given."""
        return torch.searchsorted(self._table, spread, out_int32=True) + RELIEF_RANGE[0]

    def slope_spread(self, raster: Tensor, unit: float, pixels: int) -> Tensor:
        """Stored spread (H, W) that the slope alone puts into a pixel of a raster (H + 2, W + 2)."""
        east = (raster[1:-1, 2:] - raster[1:-1, :-2]).float()
        south = (raster[2:, 1:-1] - raster[:-2, 1:-1]).float()
        squared = (east * east + south * south) * (unit**2 / (12 * pixels**2))
        return self.stored_spread(torch.sqrt(squared.double()).float())  # torch's root of float32 is not rounded as IEEE 754 has it

    def tilt_floor(self, children: Tensor) -> Tensor:
        """The least stored relief of four children (4, H, W)."""
        raster = interleave(children)
        raster = torch.cat([raster[:1], raster, raster[-1:]])
        raster = torch.cat([raster[:, :1], raster, raster[:, -1:]], dim=1)
        return split_children(self.slope_spread(raster, ELEVATION_UNIT, 2))

    def shore(self, elevation: Tensor, relief: Tensor, parent_land: Tensor) -> Tensor:
        """Land fraction of four children where no mask knows it."""
        width = (self.spread_of(relief) * (4 / ELEVATION_UNIT)).clamp(min=1)
        ramp = torch.floor(128 + elevation.float() * 255 / width)
        mixed = ramp.clamp(0, LAND_FULL).to(torch.int32)
        mixed = torch.where(elevation >= 0, mixed.clamp(min=128), mixed.clamp(max=127))
        return torch.where((parent_land > 0) & (parent_land < LAND_FULL), mixed, parent_land)

    def geometry(self, sample: Tensor, spec: StageSpec, parents: Parents) -> tuple[Tensor, Tensor, Tensor]:
        """Elevation, relief and land of the children, each int32 (4, H, W), from a sample (7, H, W)."""
        halo, side = spec.halo, parents.elevation.shape[-1]
        inner = slice(halo, side - halo)
        parent, relief, coast, surface = (
            raster[inner, inner] for raster in (parents.elevation, parents.relief, parents.land, parents.surface)
        )
        details = sample[:3] * (self.spread_of(relief) * (spec.detail_scale / ELEVATION_UNIT))
        near = slice(halo - KINK_REACH, side - halo + KINK_REACH)
        steps = deviations(details + parents.kinks * kinks(parents.elevation[near, near].float()))
        reach = (parents.gsd[inner, None] * (REACH / ELEVATION_UNIT)).expand_as(parent)
        limits = _land_room(parent - surface, coast, reach)
        steps = steps * bound_scale(steps, *limits)
        lands = parents.mask[:, inner, inner] if parents.mask is not None else None
        children = conserve(parent, steps)
        drawn = _hillslopes(child_relief(relief, sample[3:], spec), parents.knee[inner, None]) - self._crept(parents, halo)
        if lands is not None:
            least = (self.spread_of(drawn) * (COAST_SPREADS / ELEVATION_UNIT)).clamp(min=1).to(torch.int32)
            mixed = (coast > 0) & (coast < LAND_FULL) & (surface == 0)
            tallest = torch.minimum(reach, self.spread_of(relief) * (TALLEST / ELEVATION_UNIT))
            leaning = lean_to_land(parent, steps, lands, LAND_SLACK)
            leaning = leaning * bound_scale(leaning, *limits)
            beyond = mixed
            for held in (children, conserve(parent, torch.where(parent > 0, leaning, steps))):
                kept = keep_sides(held, lands > LAND_FULL // 2, parent, least)
                fits = mixed & ((kept - parent).abs() <= tallest).all(dim=0)
                children, beyond = torch.where(fits, kept, children), beyond & ~fits
        reliefs = torch.maximum(drawn, self.tilt_floor(children)).clamp(*RELIEF_RANGE)
        shores = self.shore(children - surface, reliefs, coast)
        if lands is not None:
            shores = torch.where((surface == 0) & ~beyond, lands, shores)
        return children, reliefs, shores

    def _crept(self, parents: Parents, halo: int) -> Tensor:
        """`lifting.crept` inside the halo: stored steps (H, W)."""
        far = slice(halo - CREEP_MARGIN, parents.elevation.shape[-1] - halo + CREEP_MARGIN)
        squares = self._squares[parents.relief[far, far].clamp(*RELIEF_RANGE) - RELIEF_RANGE[0]]
        found, sloping = creep.roughness(parents.elevation[far, far], squares)
        slope, inner = self.stored_spread(sloping * BORNE), slice(halo, parents.elevation.shape[-1] - halo)
        excess, share = (self.stored_spread(found) - slope).clamp(min=0), parents.knee[inner, None] + parents.creep_room - slope
        taken = torch.div(excess * parents.creep, 100, rounding_mode="floor") * share.clamp(0, OCTAVE)
        return torch.div(taken, OCTAVE, rounding_mode="floor").to(torch.int32)

    def drained(self, spec: StageSpec, parents: Parents, children: Tensor, reliefs: Tensor) -> tuple[Tensor, Tensor]:
        """`LiftingStage.drained`: elevation and relief of the children, each int32 (4, H, W), with the valleys that water cuts."""
        if not spec.breaching:
            return children, reliefs
        inner = slice(spec.halo, parents.elevation.shape[-1] - spec.halo)
        parent, coast, surface = (raster[inner, inner] for raster in (parents.elevation, parents.land, parents.surface))
        reach = (parents.gsd[inner, None] * (REACH / ELEVATION_UNIT)).expand_as(parent)
        free = (coast == LAND_FULL) & (parent > surface)
        limits = _land_room(parent - surface, coast, reach)
        children = breaching.drained(parent, children, free, limits, spec.breaching)
        return children, torch.maximum(reliefs, self.tilt_floor(children)).clamp(*RELIEF_RANGE)

    def colours(
        self, sample: Tensor, spec: StageSpec, colour: Tensor, texture: Tensor, below: Below, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Colour (4, 3, H, W) and texture (4, H, W) of the children from a sample (13, H, W) and the parents' stored rasters.

        `share` is `imagery.drawn_share`.
        """
        halo, side = spec.halo, texture.shape[-1]
        inner, near = slice(halo, side - halo), slice(halo - KINK_REACH, side - halo + KINK_REACH)
        spread = self.spread_of(texture[inner, inner]) * (spec.detail_scale / COLOUR_UNIT) * share
        bands, around = colour[:, inner, inner], colour[:, near, near].float()
        smooth = smooth_details(around)
        left = kinks(around)
        drawn = sample[:9].reshape(3, 3, *spread.shape) * spread
        if spec.kinks:
            drawn = drawn + left * spec.kinks
        balanced = torch.stack([part * share.item() for part, share in zip((drawn - smooth).unbind(1), balance(spec), strict=True)], dim=1)
        departure, followed, exposed, unmended = _guided(balanced, spread, spec, colour, below)
        light = (departure[0] + departure[1] + departure[2]) * (1 / 3)
        shares = _brightness_shares(bands)
        limit = spread * LARGEST_KINK
        bounded = torch.minimum(torch.maximum(left * unmended, -limit), limit)
        new = [followed[b] + (light + exposed) * shares[b] + bounded[b] + (departure[b] - light) * CHROMA for b in range(3)]
        finished = _finish(bands, smooth, new, spread * (HEADROOM / spec.detail_scale))
        textures = child_relief(texture[inner, inner], sample[9:], spec)
        ring = slice(halo - 1, side - halo + 1)
        floor = self.slope_spread(_grey(colour)[ring, ring], COLOUR_UNIT, 4)
        grey = torch.div(finished.sum(dim=1, dtype=torch.int32), 3, rounding_mode="floor")
        grown = self.stored_spread(cover.least_texture(finished, grey, below.grain[inner]))
        calm = torch.minimum(grey, WHITE - grey) + HAZE // 2
        largest = self.stored_spread(calm.float() * (CALMEST * COLOUR_UNIT))
        return finished, torch.minimum(torch.maximum(torch.maximum(textures, floor), grown), largest).clamp(*RELIEF_RANGE)


def _guided(departure: Tensor, spread: Tensor, spec: StageSpec, colour: Tensor, below: Below) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What is left of the drawn departure (3, 3, ...) where colour follows relief, what follows it, what exposure puts into light, and
    what kinks are multiplied by."""
    parent, side = below.parent, below.parent.shape[-1]
    far = slice(spec.halo - host_guidance.REACH, side - spec.halo + host_guidance.REACH)
    light, parts = guidance.correlations(colour[:, far, far], parent[far, far])
    shares = guidance.shares(light, spec.guidance)
    followed = (shares * spread) * guidance.relief_details(parent, below.children, spec.halo) * ((1 - CHROMA) + CHROMA * parts[:, None])
    cut = slice(spec.halo - MARGIN, side - spec.halo + MARGIN)
    rows = below.gsd[cut], below.sunward[cut]
    exposed, taken = exposure.light_details(_grey(colour)[cut, cut], spread, parent[cut, cut], below.children[:, cut, cut], rows)
    kept = (1 - shares * shares) * (1 - taken)
    return departure * torch.sqrt(kept.double()).float(), followed, exposed, (kept - 1) * BORDERS


def _finish(bands: Tensor, smooth: Tensor, new: list[Tensor], away: Tensor) -> Tensor:
    """Children (4, 3, H, W) of `bands` (3, H, W): the smooth ones and what is new in them, as far as there is room."""
    scales, children, steps = [], [], []
    for band, upsampled, details in zip(bands, smooth, new, strict=True):
        own, deviation = band.float(), deviations(upsampled)
        steps.append(deviations(details))
        children.append(deviation * bound_scale(deviation, own * TO_THE_END, (WHITE - own) * TO_THE_END))
        low = own + children[-1]
        way, distance = steps[-1].abs(), torch.where(steps[-1] < 0, low, WHITE - low)
        scales.append((_room(distance, away) / way.clamp(min=1e-6)).amin(dim=0).clamp(max=1))
    together = reduce(torch.minimum, [torch.maximum(scale, _gone_out(band)) for scale, band in zip(scales, bands, strict=True)])
    return torch.stack([conserve(bands[b], children[b] + steps[b] * torch.minimum(together, scales[b])) for b in range(3)], dim=1)


def _grey(colour: Tensor) -> Tensor:
    """Mean of the channels, rounded down."""
    return torch.div(colour[0] + colour[1] + colour[2], 3, rounding_mode="floor")


def child_relief(parent: Tensor, sample: Tensor, spec: StageSpec) -> Tensor:
    """Stored log2 spreads of four children (4, H, W) from the sample's normalised log ratios."""
    octaves = sample * spec.spread_scale + spec.spread_mean
    return (parent + torch.round(octaves / LOG_UNIT).to(torch.int32)).clamp(*RELIEF_RANGE)


def _hillslopes(relief: Tensor, knee: Tensor) -> Tensor:
    """Relief (4, H, W) with its excess over the knee (H, 1) compressed."""
    return torch.where(relief > knee, knee + torch.div((relief - knee) * EXCESS_PERCENT, 100, rounding_mode="floor"), relief)


def _land_room(over: Tensor, coast: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """`lifting.room`: how far children may be below their parents, and above them."""
    depth = (over.abs() - 2).clamp(min=0).float() * TO_THE_WATER
    below = torch.where((coast == LAND_FULL) & (over >= 1), torch.minimum(depth, reach), reach)
    return below, torch.where((coast == 0) & (over <= -1), torch.minimum(depth, reach), reach)


def _room(distance: Tensor, away: Tensor) -> Tensor:
    return torch.maximum(distance - away, distance * NEAREST)


def _gone_out(band: Tensor) -> Tensor:
    return (ALONE - band.float() * (ALONE / OUT)).clamp(min=0)


def _brightness_shares(bands: Tensor) -> Tensor:
    total = (bands[0] + bands[1] + bands[2] + 3 * GREY).float()
    return (bands + GREY).float() * 3 / total
