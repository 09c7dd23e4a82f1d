"""Lakes of the base: where they are from Natural Earth II (5 km, public domain), how high from the base or from the maps.

Natural Earth II paints water in one blue. What is blue inland and at least two pixels wide is a lake; thinner lines are rivers, which are
left to the land, and so are the arms that rivers make of lakes. ETOPO5 knows the surface of some lakes and the floor of others: where it
lies below the shore, the shore's low end is the surface.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from terraloom_engines.field import LAND_FULL

LEAST_PIXELS = 6
"""Smaller ones are left out, in pixels of level 5."""
SLENDER = 0.06
"""Area over the square of the longest side, below which water longer than 25 pixels is a river."""
ARM = 4
"""Pixels that an arm only two wide may reach out from a lake's body of three and more; what is longer is a river."""
FOOTPRINT = np.array([0.25, 0.5, 0.25])
"""Weights of a pixel and its neighbours under a window of twice its width."""
SURFACES = {
    (-87.5, 47.7): 183, (-87.0, 43.5): 176, (-82.5, 44.8): 176, (-81.2, 42.2): 174, (-77.8, 43.6): 75, (33.0, -1.0): 1134,
    (107.8, 53.3): 456, (29.5, -6.0): 773, (34.5, -12.0): 474, (6.5, 46.45): 372, (9.3, 47.62): 395, (-69.3, -15.8): 3812,
    (50.5, 40.0): -28, (31.5, 60.8): 5, (35.5, 61.7): 33, (-97.8, 52.5): 217, (-121.0, 66.0): 156, (-114.0, 61.5): 156,
    (13.3, 58.9): 44, (-85.4, 11.5): 32, (77.3, 42.4): 1607, (100.2, 36.9): 3194, (36.0, 3.5): 360, (-112.6, 41.1): 1280,
}  # fmt: skip
"""Heights of the surface in metres at a place (longitude, latitude) of well-known lakes: Superior, Michigan, Huron, Erie, Ontario,
Victoria, Baikal, Tanganyika, Malawi, Geneva, Constance, Titicaca, Caspian, Ladoga, Onega, Winnipeg, Great Bear, Great Slave, Vaenern,
Nicaragua, Issyk-Kul, Qinghai, Turkana, Great Salt Lake."""
Raster = NDArray[np.float32]


@dataclass(frozen=True)
class Lakes:
    """Share of a base pixel that is lake (H, W) in 0..1, and the height of its surface in metres (int16, 0 where there is none)."""

    share: Raster
    surface: NDArray[np.int16]


def find_lakes(tint: Raster, sea: NDArray[Any], height: Raster) -> Lakes:
    """Lakes on the grid of `height` (H, W), metres; `tint` (2H, 2W, 3) is Natural Earth II, `sea` (H, W) the land fraction by the sea."""
    blue = (tint[..., 2] - tint[..., 0] > 62) & (tint[..., 2] > 170)
    dry = np.kron(sea, np.ones((2, 2), sea.dtype)) == LAND_FULL
    water = ndimage.binary_opening(blue & dry, np.ones((2, 2)))
    body = ndimage.binary_dilation(ndimage.binary_opening(water, np.ones((3, 3))), iterations=ARM) & water
    labels, _ = ndimage.label(body, np.ones((3, 3)))
    surface = np.zeros(labels.shape, np.float32)
    known = {int(labels[pixel_of(place, len(labels))]): metres for place, metres in SURFACES.items()}
    fine = np.kron(height, np.ones((2, 2), np.float32))
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        wide = tuple(slice(max(side.start - 4, 0), side.stop + 4) for side in box)
        here, around = labels[wide] == label, fine[wide]
        longest = max(side.stop - side.start for side in box)
        river = longest > 25 and here.sum() < SLENDER * longest**2
        if label in known or not (here.sum() < LEAST_PIXELS or river):
            surface[wide][here] = known.get(label, level_of(here, around))
    covered = surface != 0
    blocks = surface.reshape(len(height), 2, -1, 2)
    count = covered.reshape(len(height), 2, -1, 2).sum(axis=(1, 3))
    mean = np.rint(blocks.sum(axis=(1, 3)) / np.maximum(count, 1)).astype(np.int16)
    return widened((count / 4).astype(np.float32), mean)


def widened(share: Raster, surface: NDArray[np.int16]) -> Lakes:
    """Lakes whose share is counted over twice the pixel's width, as beside the sea: the generator, not the pixel, draws the shore."""
    wide = ndimage.convolve1d(ndimage.convolve1d(share, FOOTPRINT, axis=0, mode="nearest"), FOOTPRINT, axis=1, mode="wrap")
    near = ndimage.maximum_filter(np.where(share > 0, surface, np.int16(-10000)), 3)
    return Lakes(wide, np.where(share > 0, surface, np.where(wide > 0, near, 0)).astype(np.int16))


def pixel_of(place: tuple[float, float], side: int) -> tuple[int, int]:
    """Row and column of a place (longitude, latitude) on the Mercator square."""
    northing = np.arcsinh(np.tan(np.radians(place[1]))) / np.pi
    return int((1 - northing) / 2 * side), int((place[0] + 180) / 360 * side)


def level_of(lake: NDArray[np.bool_], height: Raster) -> float:
    """The surface's height, at least 1 m: the low end of the lake's own heights, or of the shore's where those lie below it."""
    shore = ndimage.binary_dilation(lake, iterations=3) & ~lake
    low = float(np.percentile(height[shore], 5)) if shore.any() else float(np.median(height[lake]))
    bottom = float(np.median(height[lake])) < low
    return max(low if bottom else min(low, float(np.percentile(height[lake], 10))), 1.0)
