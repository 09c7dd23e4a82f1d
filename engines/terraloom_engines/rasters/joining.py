"""A raster laid into Earth without a step.

Near its edge a raster takes on Earth's shape, the more the coarser the shape is: what the two differ by is split into octaves, and each
fades out over a strip as wide as its pixels are (Burt and Adelson, "A multiresolution spline with application to image mosaics", 1983).
Outside of the raster nothing changes; inside, all differences are gone after the widest strip. What is left at the finest scale is
faded over `FEATHER` pixels. Gaps narrower than twice `BRIDGE` pixels are filled with Earth's detail, moved to the height of their rims.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.rasters.blocks import doubled, paired, quarters
from terraloom_engines.rasters.distances import closed, depth

__all__ = ["BRIDGE", "COARSE", "FEATHER", "MARGIN", "STRIP", "Difference", "coverage", "fade", "octave_masks", "offsets"]

Raster = NDArray[np.float32]
Mask = NDArray[np.bool_]

FEATHER, BRIDGE = 24, 12
"""Pixels over which a raster fades out, and half the width of the gaps that are bridged."""
STRIP = 12
"""Cells over which an octave of differences fades out."""
MARGIN = FEATHER + 2 * BRIDGE
"""Pixels round a window that its mask and weights depend on."""
COARSE = 4
"""Pixels along a side of the cells that differences are kept in."""
MOST_OCTAVES = 5
"""Octaves of differences: cells of 4 to 64 pixels, strips of 48 to 768."""


@dataclass(frozen=True)
class Difference:
    """Raster minus Earth, means over cells of one size: float32 (bands, H, W), and the cells where it is known."""

    values: Raster
    known: Mask

    @property
    def parent(self) -> "Difference":
        """The same over cells twice as wide."""
        known = quarters(paired(self.known)).astype(np.float32)
        count = known.sum(axis=0)
        total = (quarters(paired(self.values)) * known[:, None]).sum(axis=0)
        return Difference((total / np.maximum(count, 1)).astype(np.float32), count > 0)

    def filled(self) -> Raster:
        """Values everywhere: where unknown, those of the nearest coarser cells that are known."""
        if self.known.all() or min(self.known.shape) < 2:
            return self.values
        coarser = doubled(self.parent.filled())[:, : self.known.shape[0], : self.known.shape[1]]
        return np.where(self.known, self.values, coarser).astype(np.float32)


def coverage(valid: Mask) -> tuple[Mask, Raster]:
    """Where a raster counts, gaps bridged, and its weight there, 0 to 1; right but for `MARGIN` pixels at the rim of `valid`."""
    mask = closed(valid, BRIDGE)
    return mask, fade(mask, FEATHER, beyond=True)


def fade(mask: Mask, over: int, *, beyond: bool = False) -> Raster:
    """Weights that rise over so many pixels from the edge of a mask, 0 to 1; 0 outside. `beyond`: see `depth`."""
    t = np.clip((depth(mask, over, beyond=beyond) - np.float32(0.5)) / np.float32(over), 0, 1)
    return t * t * (np.float32(3) - np.float32(2) * t)


def octave_masks(covered: Mask) -> list[Mask]:
    """The cells that a raster covers, octave by octave, as many as it is large enough for: half as deep again as the strip. Perhaps none.

    `covered`: those of `COARSE` pixels, the first octave.
    """
    masks: list[Mask] = []
    cells, enough = covered, STRIP * 3 // 2
    while len(masks) < MOST_OCTAVES and min(cells.shape) > enough and (depth(cells, enough, beyond=False) > enough).any():
        masks.append(cells)
        cells = np.logical_and.reduce(quarters(paired(cells)))
    return masks


def offsets(difference: Difference, masks: list[Mask]) -> Raster:
    """What is taken off a raster, (bands, H, W) by cells of `COARSE` pixels: at its edge the whole difference, the less the further inside.

    `masks`: see `octave_masks`.
    """
    if not masks:
        return np.zeros_like(difference.values)
    levels = [difference]
    while len(levels) < len(masks):
        levels.append(levels[-1].parent)
    filled = [level.filled() for level in levels]
    rests = [np.float32(1) - fade(mask, STRIP) for mask in masks]
    out = rests[-1] * filled[-1]
    for index in range(len(levels) - 2, -1, -1):
        height, width = masks[index].shape
        band = filled[index] - doubled(filled[index + 1])[:, :height, :width]
        out = doubled(out)[:, :height, :width] + rests[index] * band
    return out.astype(np.float32)
