"""Below the length of hillslopes soil creep leaves land smooth: what relief there is inside a pixel is that of its slope.

Slopes of real land hardly grow below 100 m per pixel, be it steep or gentle (Perron, Kirchner & Dietrich 2008 see the break in spectra; on
DEMs of 2 to 30 m the relief inside pixels is 0.95 to 1.4 times what the slopes around put there). What the networks have learnt from gentle
land is the noise of radar as well, 0.3 m and more inside pixels of 90 m that are flat: taken for relief, it was seen to come out as slopes
of 12 degrees on a plain once pixels were of a metre. Where land is gentle hillslopes are longer, and it begins a level earlier
(`lifting.GENTLE_CREEP_LEVEL`).

Sums over boxes are sums of integers, so a pixel's result does not depend on the window it was computed in.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.field import ELEVATION_UNIT
from terraloom_engines.guidance import box_sums

Steps = NDArray[np.int32]
Real = NDArray[np.float32]

RADIUS = 4
"""Pixels on each side over which relief and slopes are averaged."""
MARGIN = RADIUS + 1
"""Pixels that must be known round those asked for."""
COUNT = (2 * RADIUS + 1) ** 2
BORNE = 1.05
"""Relief inside pixels, over what the slopes around put there, that land keeps."""
PERCENT = 80
"""Of the octaves beyond that, what every level takes out."""


def roughness(elevation: Steps, squares: NDArray[np.int64]) -> tuple[Real, Real]:
    """Root mean squares, in metres, of the relief round pixels and of what slopes put into it: each (H, W).

    elevation: stored, (H + 2 MARGIN, W + 2 MARGIN); squares: of the spreads inside its pixels, in twelfths of squared stored steps.
    """
    east = (elevation[1:-1, 2:] - elevation[1:-1, :-2]).astype(np.int64)
    south = (elevation[2:, 1:-1] - elevation[:-2, 1:-1]).astype(np.int64)
    both = np.stack([squares[1:-1, 1:-1] * 4, east * east + south * south])
    roots = np.sqrt(box_sums(both, RADIUS) / np.float64(48 * COUNT)) * ELEVATION_UNIT
    return roots[0].astype(np.float32), roots[1].astype(np.float32)
