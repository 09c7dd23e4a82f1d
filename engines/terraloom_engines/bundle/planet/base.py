"""`PlanetBase`: levels 0 to 4 of an invented planet.

Level 1 is the ground as evaluated. A finer level is the ground as evaluated there, shifted smoothly by what its 2x2 means lack to the
level above, so that the four children of a pixel average to it exactly and no block shows. Level 0 is the mean of level 1, rounded down.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import InvalidArgumentError
from terraloom_engines.bundle.appearance import darkened, texture_variance
from terraloom_engines.bundle.averages import halved
from terraloom_engines.bundle.planet.biomes import BRIGHTEST, land_colour
from terraloom_engines.bundle.planet.climate import MAP_LEVEL, Climate
from terraloom_engines.bundle.planet.curves import Raster, log2
from terraloom_engines.bundle.planet.fractals import Noise
from terraloom_engines.bundle.planet.patches import Patch
from terraloom_engines.bundle.planet.terrain import ROUGHNESS_SIZE, Ground, Terrain
from terraloom_engines.conservation import bound_scale, conserve, interleave, split_children
from terraloom_engines.field import CHANNELS, COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT, Field
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, row_ground_sample_distance

F = np.float32
Steps = NDArray[np.int32]
VERSION = 3
"""Grows whenever a planet changes for a seed."""
STRIP_PIXELS = 1 << 16
"""Pixels evaluated at a time, so that a processor's cache holds them."""
WHITE = F(BRIGHTEST / COLOUR_UNIT)
HURST = 0.55
"""Exponent by which the spread inside a pixel grows with its size."""


@dataclass(frozen=True)
class _Level:
    """Rasters of a patch: elevation and colours (3, ...) in stored steps, the spread of height inside pixels in metres, land fraction."""

    elevation: Steps
    spread: Raster
    land: Steps
    colours: Steps


class PlanetBase:
    """The base of `planet:SEED`, a pure function of the seed (0 to 2^32 - 1)."""

    kind = WorldKind.PLANET
    attribution = "Invented by Terraloom; land colours after NASA Blue Marble (public domain)"
    finest_level = 4

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 1 << 32:
            raise InvalidArgumentError(f"planet seed {seed} is out of range: allowed are 0 to {(1 << 32) - 1}")
        self.title, self.identity = f"Planet {seed}", f"planet:{seed}|{VERSION}"
        self._terrain, self._noise = Terrain(seed), Noise(seed)
        whole = Patch(MAP_LEVEL, 0, 0, TILE_SIZE << MAP_LEVEL, TILE_SIZE << MAP_LEVEL)
        self._climate = Climate(whole, self._terrain.ground(whole).height)

    def field(self, tile: TileId, halo: int) -> Field:
        """Rasters of a tile of level 0 to 4; columns wrap at the antimeridian, rows repeat beyond the square."""
        side, size = TILE_SIZE + 2 * halo, TILE_SIZE << tile.z
        top, left = tile.y * TILE_SIZE - halo, tile.x * TILE_SIZE - halo
        first, last = max(top, 0), min(top + side, size)
        west, width = (0, size) if side > size else (left, side)
        data = self._rasters(Patch(tile.z, first, west, last - first, width))
        rows, columns = np.clip(np.arange(top, top + side), first, last - 1) - first, (np.arange(left, left + side) - west) % size
        return Field(tile, halo, np.ascontiguousarray(data[:, rows[:, None], columns]))

    def child_land(self, level: int, column: int, row: int, side: int) -> None:
        """None: below the base the coast is the zero contour of elevation."""

    def details(self, level: int, column: int, row: int, side: int) -> None:
        """None: all below the base is drawn."""

    def _rasters(self, patch: Patch) -> Steps:
        """All channels of a patch."""
        if patch.level == 0:
            return halved(self._rasters(patch.children))
        outer = patch.grown(1)
        level = self._level(outer)
        light = darkened((level.colours[0] + level.colours[1] + level.colours[2]) * F(COLOUR_UNIT / 3))
        out = np.zeros((len(CHANNELS), *patch.shape), np.int32)
        rasters = {
            "elevation": level.elevation, "relief": _stored_log2(level.spread), "land": level.land,
            "red": level.colours[0], "green": level.colours[1], "blue": level.colours[2],
            "texture": _stored_log2(np.sqrt(texture_variance(light, F(2) * np.sqrt(_gradient_squared(light)), level.spread))),
        }  # fmt: skip
        for name, raster in rasters.items():
            out[CHANNELS.index(name)] = raster[outer.window(patch)]
        return out

    def _level(self, patch: Patch) -> _Level:
        """The rasters of a patch of level 1 to 4; from level 2 on with the means of the level above."""
        coloured = patch if patch.level == 1 else patch.parent.grown(1).children
        around = coloured.grown(1)
        above = None if patch.level == 1 else self._level(around.parent.grown(1))
        whole = around if above is None else around.parent.grown(1).children
        ground = self._evaluated(whole)
        elevation = np.rint(ground.height * F(1 / ELEVATION_UNIT)).astype(np.int32)
        if above is not None:
            elevation = _fitted(elevation, above.elevation)
        elevation, roughness = elevation[whole.window(around)], ground.roughness[whole.window(around)]
        height = elevation * F(ELEVATION_UNIT)
        spread = np.sqrt(roughness * roughness + _gradient_squared(height) * F(1 / 12))
        steepest = np.sqrt(roughness * roughness + _steepest_squared(height) * F(1 / 12))
        land = _land_fraction(elevation, steepest)
        inner = around.window(coloured)
        colours = self._painted(coloured, height[inner], roughness[inner], spread[inner])
        if above is not None:
            parents = above.colours[(slice(None), *around.parent.grown(1).window(coloured.parent))]
            colours = np.stack([_tinted(band, means) for band, means in zip(colours, parents, strict=True)])
        part = coloured.window(patch)
        return _Level(elevation[inner][part], spread[inner][part], land[inner][part], colours[(slice(None), *part)])

    def _evaluated(self, patch: Patch) -> Ground:
        """The ground of a patch; its roughness is that inside the patch's pixels."""
        parts = [self._terrain.ground(strip) for strip in patch.strips(STRIP_PIXELS)]
        metres = [row_ground_sample_distance(patch.level, patch.top + row) for row in range(patch.height)]
        scale = np.array([[(size / ROUGHNESS_SIZE) ** HURST] for size in metres], np.float32)
        return Ground(np.concatenate([part.height for part in parts]), np.concatenate([part.roughness for part in parts]) * scale)

    def _painted(self, patch: Patch, height: Raster, roughness: Raster, spread: Raster) -> Steps:
        """Colours of a patch, in stored steps (3, height, width)."""
        parts = []
        for strip in patch.strips(STRIP_PIXELS):
            rows = patch.window(strip)
            parts.append(np.stack(land_colour(self._noise, self._climate, strip, height[rows], roughness[rows], spread[rows])))
        return np.rint(np.concatenate(parts, axis=1) * F(1 / COLOUR_UNIT)).astype(np.int32)


def _fitted(raster: Steps, parents: Steps) -> Steps:
    """A raster (2H, 2W) with the means `parents` (H, W): what is lacking is added. The outermost blocks see their neighbours repeated."""
    children = split_children(raster)
    lacking = parents.astype(np.float32) - children.sum(axis=0).astype(np.float32) * F(0.25)
    return interleave(conserve(parents, children - parents + _tilted(lacking)))


def _tinted(raster: Steps, parents: Steps) -> Steps:
    """A band of colour (2H, 2W) with the means `parents` (H, W): what is too dark is drawn to white, what is too bright to black."""
    children = split_children(raster).astype(np.float32)
    children = _drawn(children, _tilted(_wanting(children, parents)))
    children = _drawn(children, _wanting(children, parents)[None])
    deviation = (children - parents).astype(np.float32)
    deviation *= bound_scale(deviation, parents.astype(np.float32), WHITE - parents.astype(np.float32))
    return interleave(conserve(parents, deviation))


def _wanting(children: Raster, parents: Steps) -> Raster:
    """Share of the way to white (positive) or black (negative) on which the children's mean meets their parent."""
    mean = (children[0] + children[1] + children[2] + children[3]) * F(0.25)
    lacking = parents.astype(np.float32) - mean
    return lacking / np.maximum(np.where(lacking > 0, WHITE - mean, mean), F(1))


def _drawn(children: Raster, share: Raster) -> Raster:
    """Colours moved by a share of the way to white or black."""
    share = np.clip(share, F(-1), F(1))
    return children + share * np.where(share > 0, WHITE - children, children)


def _tilted(blocks: Raster) -> Raster:
    """Four children (4, H, W) of values (H, W), tilted towards the neighbours' without a change of the mean."""
    ring = np.pad(blocks, 1, mode="edge")
    east, south = (ring[1:-1, 2:] - ring[1:-1, :-2]) * F(0.125), (ring[2:, 1:-1] - ring[:-2, 1:-1]) * F(0.125)
    return np.stack([blocks - east - south, blocks + east - south, blocks - east + south, blocks + east + south])


def _gradient_squared(raster: Raster) -> Raster:
    """Squared difference per pixel; at the rim against the pixel itself."""
    ring = np.pad(raster, 1, mode="edge")
    east, south = (ring[1:-1, 2:] - ring[1:-1, :-2]) * F(0.5), (ring[2:, 1:-1] - ring[:-2, 1:-1]) * F(0.5)
    return east * east + south * south


def _steepest_squared(raster: Raster) -> Raster:
    """Squared difference to that neighbour, of four, that differs most.

    A ramp as steep reaches over the sea's level in one of any two neighbours on either side of it: so both are never pure.
    """
    ring = np.pad(raster, 1, mode="edge")
    steps = [ring[1:-1, 2:] - raster, ring[1:-1, :-2] - raster, ring[2:, 1:-1] - raster, ring[:-2, 1:-1] - raster]
    return np.maximum(np.maximum(steps[0] ** 2, steps[1] ** 2), np.maximum(steps[2] ** 2, steps[3] ** 2))


def _stored_log2(values: Raster) -> Steps:
    """log2 in steps of `LOG_UNIT`."""
    return np.rint(log2(np.maximum(values, F(1e-3))) * F(1 / LOG_UNIT)).astype(np.int32)


def _land_fraction(elevation: Steps, spread: Raster) -> Steps:
    """Share of a pixel above the sea, were its heights a ramp of four spreads; at least half land exactly from elevation 0 on."""
    ramp = np.floor(F(128) + elevation.astype(np.float32) * F(LAND_FULL) / np.maximum(spread * F(4 / ELEVATION_UNIT), F(1)))
    share = np.clip(ramp, 0, LAND_FULL).astype(np.int32)
    return np.where(elevation >= 0, np.maximum(share, 128), np.minimum(share, 127)).astype(np.int32)
