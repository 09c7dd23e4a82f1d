"""How fast one may fly: what the selection asks for along a path, against what the machine makes.

The path is straight, over flat land, with the default camera's picture. New tiles per metre are counted by the selection that sessions use.
They do not depend on speed, so a machine that did nothing else would keep up until speed times tiles per metre is what it makes a second.
It may use `SHARE` of that.
"""

from dataclasses import dataclass

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.selection import Criteria, ScreenSpaceError, select
from terraloom_engines.tiling import TileId, row_ground_sample_distance
from terraloom_engines.viewpoint import ViewState, extrapolate

SHARE = 0.5
"""Of the tiles that a machine makes, those that new ground may ask for.

The rest is for what bare counting leaves out: server and client on the same cores, a session's look ahead, real ground, and the first
picture, which is made up for only by what is left over. Measured on two cores of an AMD EPYC, 500 m over the plain of the Tisza, with an
error of 16 pixels and nothing generated before: at 0.25 of the speed where the counts meet a picture was first complete after 32 s, at 0.5
after 36 s, and 99 of 100 views after 50 s; at 0.7 and at 1 none was in 75 s.
"""
HEIGHTS = (100.0, 500.0, 2000.0, 10000.0)
"""Metres above ground."""
TARGETS = (8.0, 16.0, 32.0)
"""Pixels of screen-space error; 16 is the default of sessions."""
FORWARD = (0.976, 0.0, -0.218)
"""East, and 12.6 degrees down."""
LENGTH, STRIDE = 20.0, 0.5
"""Of the path and between its views, in heights above ground."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a view asks for: new tiles a metre, the finest pixel in metres, tiles at once; NaN and 0 where it is more than a session may."""

    height: float
    target_pixels: float
    tiles_per_metre: float
    metres_per_pixel: float
    tiles: int


def demand(height: float, target_pixels: float, base_level: int, place: tuple[float, float]) -> Demand:
    """Along a path to the east of a place; tiles of the base cost nothing and are not counted."""
    view = ViewState(*place, height, (height, 0.0, 0.0), FORWARD)  # a height a second: only the places matter
    criteria, seen = Criteria(ScreenSpaceError(target_pixels), lookahead=()), set[TileId]()
    count, metres, moment, before = 0, float("nan"), 0.0, 0
    try:
        while moment <= LENGTH:
            chosen = select(extrapolate(view, moment), criteria, lambda _: (0.0, 0.0))
            seen |= {entry.tile for entry in chosen.tiles if entry.tile.z > base_level}
            if not moment:
                before, count = len(seen), len(chosen.tiles)
                finest = max(chosen.leaves, key=lambda tile: tile.z)
                metres = row_ground_sample_distance(finest.z, finest.y * 256)
            moment += STRIDE
    except ResourceExhaustedError:
        return Demand(height, target_pixels, float("nan"), float("nan"), 0)
    return Demand(height, target_pixels, (len(seen) - before) / (LENGTH * height), metres, count)


def demands(base_level: int, place: tuple[float, float], heights: tuple[float, ...] = HEIGHTS) -> list[Demand]:
    """Of all heights and targets."""
    return [demand(height, target, base_level, place) for height in heights for target in TARGETS]
