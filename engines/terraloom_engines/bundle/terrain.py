"""Invented land: elevation as a function of place, in integers, by a few rules of how land lies.

Noise alone is the same everywhere. Land is not: continents with shelves stand over a sea floor, ranges run in long belts that end,
plateaus lie among them, and most of the ground is flat. So a bent continental field goes through Earth's hypsometric curve, mountains
rise along the zero lines of other fields, which are long and winding, and hills are as high as one more field lets them be. The numbers
are fitted to ETOPO5 at 8 km per pixel: differences of height over 1 to 128 pixels, and quantiles of height (`tests/test_plane_base.py`).
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.lattice import ONE, octaves
from terraloom_engines.bundle.sites import Sites

__all__ = ["Curve", "continentality", "elevation", "product"]

Steps = NDArray[np.int32]


class Curve:
    """A piecewise linear function of integers, by table: `knots` are pairs of an argument, in units of 4096, and a value."""

    def __init__(self, *knots: tuple[float, float], step: int = 16) -> None:
        self._low, self._step = round(knots[0][0] * ONE), step
        high = round(knots[-1][0] * ONE)
        places = np.arange(self._low, high + step, step) / ONE
        self._table = np.rint(np.interp(places, [x for x, _ in knots], [y for _, y in knots])).astype(np.int32)

    def __call__(self, values: Steps) -> Steps:
        """The function at `values`; constant beyond its ends."""
        found: Steps = self._table[np.clip((values - self._low) // self._step, 0, len(self._table) - 1)]
        return found


def product(first: Steps, second: Steps) -> Steps:
    """A value times a fraction in 1/4096."""
    return first * second >> 12


_CONTINENTS = octaves(30, 500.0, 6, lacunarity=1.6, gain=0.68)
_COAST = octaves(36, 30.0, 5, gain=0.62)
_RUGGED_COAST = octaves(44, 240.0, 2)
_BELTS = (octaves(50, 700.0, 5, lacunarity=1.6, gain=0.62), octaves(55, 480.0, 5, lacunarity=1.6, gain=0.62))
_ACTIVITY = (octaves(60, 560.0, 2), octaves(64, 400.0, 2))
_RIDGES = (octaves(70, 34.0, 5, gain=0.62), octaves(75, 14.0, 3, gain=0.66))
_STRIKE = octaves(79, 30.0, 4, gain=0.66)
_PLATEAUS = octaves(84, 330.0, 3)
_HILLS = octaves(90, 26.0, 5, gain=0.6)
_HILLINESS = octaves(100, 170.0, 3, gain=0.6)
_SEA_FLOOR = octaves(110, 50.0, 4, gain=0.6)

_SHORE = 0.12
"""Continental field, in standard deviations, at the coast: 45 % of a plane is land before mountains."""
_HYPSOMETRY = Curve(
    (-2.6, -5900), (-1.5, -5100), (-0.7, -4300), (-0.35, -3300), (-0.19, -1500), (-0.13, -300), (-0.07, -90), (-0.001, -4),
    (0.001, 4), (0.06, 16), (0.2, 55), (0.5, 150), (0.9, 300), (1.5, 560), (2.5, 900),
)  # fmt: skip
"""Metres by continental field above the coast: sea floor, slope, shelf, plains, interior."""
_RUGGEDNESS = Curve((-2.0, 0.025 * ONE), (-0.6, 0.04 * ONE), (0.6, 0.075 * ONE), (2.0, 0.14 * ONE))
"""Standard deviation of the coast's own octaves: some coasts are smooth, some are torn."""
_BELT = Curve((0.0, ONE), (0.06, 0.93 * ONE), (0.15, 0.66 * ONE), (0.3, 0.33 * ONE), (0.5, 0.14 * ONE), (0.9, 0))
"""Share of a belt's uplift by its field, whose zero line is its axis."""
_ACTIVE = Curve((-0.6, 0), (0.2, 0.3 * ONE), (1.2, 0.95 * ONE), (2.2, 1.3 * ONE))
_PLATEAU = Curve((0.5, 0), (0.8, 300), (1.4, 800), (2.4, 1700))
_HILL_HEIGHT = Curve((-2.0, 6), (-1.0, 14), (0.0, 34), (1.0, 92), (2.0, 220), (2.6, 320))
"""Metres of a standard deviation of hills."""
_ABOVE_SHORE = Curve((0.0, 0.1 * ONE), (60 / ONE, 0.3 * ONE), (260 / ONE, ONE), step=1)
"""Share of hills that a height in metres above the shore bears: plains at the coast stay dry."""
_PLATEAU_RISE = Curve((0.0, 0), (30 / ONE, 0.25 * ONE), (200 / ONE, ONE), step=1)
"""Share of a plateau that stands on ground of a height in metres: none ends at the shore."""
_RANGE_RISE = Curve((-1500 / ONE, 0.6 * ONE), (0.0, 0.9 * ONE), (150 / ONE, ONE), step=1)
"""Share of a range that stands on ground of a height: islands are lower, and no shore is a step."""
_RANGES_PER_BELT = 11
"""Parallel ranges to a standard deviation of a belt's field."""
_SWELL_METRES, _PEAK_METRES = 1900, 3200
_SUMMITS = Curve((0.0, 0), (4500 / ONE, 4500), (9000 / ONE, 7000), (16000 / ONE, 8500), step=1)
"""Mountains where belts cross, kept within what stands on Earth."""


def continentality(sites: Sites) -> Steps:
    """The continental field above the coast: positive inland, in 1/4096 of a standard deviation."""
    torn = product(sites.fine(_COAST), _RUGGEDNESS(sites.broad(_RUGGED_COAST)))
    return sites.broad(_CONTINENTS) + torn - np.int32(round(_SHORE * ONE))


def elevation(sites: Sites, inland: Steps) -> Steps:
    """Metres above the sea, whole and never 0, given `continentality`."""
    ground = _HYPSOMETRY(inland)
    dry = ground > 0
    uplift, strike = _belts(sites)
    height = _HILL_HEIGHT(sites.broad(_HILLINESS)) + (uplift >> 5)
    rolling = product(product(sites.fine(_HILLS, dry), height), _ABOVE_SHORE(ground))
    floor = product(sites.fine(_SEA_FLOOR, ~dry) * 260 >> 12, np.clip(-ground * 2, 0, ONE))
    plateau = product(_PLATEAU(sites.broad(_PLATEAUS)), _PLATEAU_RISE(ground))
    total = ground + np.where(dry, rolling + plateau, floor)
    total += product(_ranges(sites, uplift, strike), _RANGE_RISE(ground))
    return np.where(total == 0, np.where(dry, 1, -1), total).astype(np.int32)


def _belts(sites: Sites) -> tuple[Steps, Steps]:
    """How much of a mountain range a place is, in 1/4096, and the field whose level lines run along it."""
    fields = [sites.broad(belt) for belt in _BELTS]
    shares = [product(_BELT(abs(field)), _ACTIVE(sites.broad(active))) for field, active in zip(fields, _ACTIVITY, strict=True)]
    return shares[0] + shares[1], np.where(shares[0] > shares[1], *fields)


def _ranges(sites: Sites, uplift: Steps, strike: Steps) -> Steps:
    """Metres that mountains add: a swell, on it ridges that branch, finer ones where the coarser are high, and ranges along the belt."""
    high = uplift > 0
    main, spurs = (_ridge(sites.fine(layers, high) * 3 >> 2) for layers in _RIDGES)
    phase = strike * _RANGES_PER_BELT + (sites.fine(_STRIKE, high) * 3 >> 2)
    along = _ridge((phase & (2 * ONE - 1)) - ONE)
    peaks = (main * 3 + along * 3 + product(spurs, main + along) * 2) >> 3
    steep = np.clip(uplift * 5 >> 2, 0, 3 * ONE // 2)
    swell = uplift * _SWELL_METRES >> 12
    return _SUMMITS(swell + product(product(steep, uplift), peaks * _PEAK_METRES >> 12))


def _ridge(field: Steps) -> Steps:
    """A crest along the zero lines of a field (Musgrave 1993), 1 there and 0 a standard deviation away."""
    crest = np.maximum(ONE - abs(field), 0)
    return product(crest, crest)
