"""What slopes alone do to light: sides that face the sun are lighter, and steep ground is bare.

Where colour goes with height, `guidance` says so; how it goes with slope, a place's parents do not tell, since slopes turn within a few
pixels. So this is the same for all land. In the one scene with real heights that are fine enough (Rocky Mountains at 333 m per pixel, see
`benchmarks/colours.py`) light changes by 0.9 of itself per unit of slope southward and by 0.3 to 0.4 eastward, as under a satellite's
morning sun half way up the sky; height says next to nothing. Bare ground is rock: neither as white as snow nor as dark as forest.

Every operation on floats is elementwise; sums over boxes are sums of integers. A pixel's result does not depend on its window.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.conservation import block_details, interleave, split_children
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT
from terraloom_engines.guidance import LARGEST_DETAIL, ROUGHNESS_RADIUS, typical_detail
from terraloom_engines.upsampling import REACH as SMOOTH_REACH
from terraloom_engines.upsampling import smooth_details

Steps = NDArray[np.int32]
Real = NDArray[np.float32]

SUNNY, MORNING = 0.9, 0.4
"""Share of its light by which ground changes per unit of slope toward the noon sun, and eastward; steeper ones count less and less."""
ROCK = round(88 / COLOUR_UNIT)
"""Light of bare rock, in stored steps."""
GENTLE, STEEP = 0.2, 1.0
"""Squares of the slopes from which ground begins to be bare (24 degrees), and all of it is (45 degrees)."""
LARGEST_SHARE = 1.0
"""A place's typical detail of exposure is at most this share of the spread that the network draws with: the base knows too little texture
in mountains, and less would leave them without sides."""
MOST_TAKEN = 0.75
"""Of the variance that the network draws, what exposure takes the place of at most."""
MARGIN = ROUGHNESS_RADIUS + SMOOTH_REACH + 1
"""Pixels that must be known round those whose exposure is asked for."""


def exposure(elevation: Steps, gsd: Real, sunward: Real) -> tuple[Real, Real]:
    """How far ground faces the sun, -1..1, and how bare it is, 0..1, (H - 2, W - 2) of a raster of heights (H, W).

    `gsd` are metres per pixel of its rows, `sunward` (H,) is 1 where the noon sun stands in the south, -1 where in the north.
    """
    unit: Real = (np.full(gsd.shape, ELEVATION_UNIT / 2, np.float32) / gsd)[1:-1, None]
    east = (elevation[1:-1, 2:] - elevation[1:-1, :-2]).astype(np.float32) * unit
    north = (elevation[:-2, 1:-1] - elevation[2:, 1:-1]).astype(np.float32) * unit
    facing = north * sunward[1:-1, None]
    facing -= east * np.float32(MORNING)
    bare = np.multiply(east, east, out=east)
    bare += np.multiply(north, north, out=north)
    bare -= np.float32(GENTLE)
    bare *= np.float32(1 / (STEEP - GENTLE))
    steepness = np.abs(facing, out=north)
    steepness += np.float32(1)
    facing /= steepness
    return facing, np.clip(bare, np.float32(0), np.float32(1), out=bare)


def light_details(light: Steps, spread: Real, parent: Steps, children: Steps, rows: tuple[Real, Real]) -> tuple[Real, Real]:
    """What exposure puts into the light of four children, Haar details in stored steps (3, H, W), and the drawn variance that it takes.

    The latter is a share, (H, W). The parents' `light` (H + 2 MARGIN, same) and heights, and their children's, (4, same), have margins, the
    `spread` that the network draws with, stored steps (H, W), has none. `rows` are the children's metres per pixel and `sunward` of the
    parents' rows.
    """
    gsd, sunward = rows
    fine = exposure(interleave(children), np.repeat(gsd, 2), np.repeat(sunward, 2))
    coarse = exposure(parent, gsd * np.float32(2), sunward)
    # Below the ring that the parents' exposure lacks, and what smooth upsampling takes.
    side = slice(2 * (MARGIN - ROUGHNESS_RADIUS) - 1, 1 - 2 * (MARGIN - ROUGHNESS_RADIUS))
    facing, bare = (split_children(part[side, side]) for part in fine)
    cut = slice(MARGIN - ROUGHNESS_RADIUS, ROUGHNESS_RADIUS - MARGIN)
    here = light[cut, cut].astype(np.float32)
    sun, rock = here * np.float32(SUNNY), np.float32(ROCK) - here
    new = block_details(_together(facing, sun, bare, rock))
    new -= _together(smooth_details(coarse[0]), sun, smooth_details(coarse[1]), rock)
    typical = typical_detail(new) + np.float32(1)
    kept = np.minimum(typical, spread * np.float32(LARGEST_SHARE))
    inner = slice(ROUGHNESS_RADIUS, -ROUGHNESS_RADIUS)
    limit = typical * np.float32(LARGEST_DETAIL)
    share = kept / np.maximum(spread, np.float32(1))
    return np.clip(new[:, inner, inner], -limit, limit) * (kept / typical), np.minimum(share * share, np.float32(MOST_TAKEN))


def _together(facing: Real, sun: Real, bare: Real, rock: Real) -> Real:
    """What both change light by; the first and the third are written over."""
    facing *= sun
    bare *= rock
    facing += bare
    return facing
