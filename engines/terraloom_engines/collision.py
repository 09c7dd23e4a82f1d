"""Collision: the ground that bodies at viewpoints may touch, now and soon.

It is the tiles of one level that touch the disc of some radius on the ground below the viewpoint, whatever its height. A moving viewpoint
is followed along its extrapolated path in steps of half the radius, so that no tile on the way is passed over, for 8 seconds or 32 radii,
whichever is less. Each tile comes with the time until the disc first touches it.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

from terraloom.errors import ResourceExhaustedError
from terraloom_engines.ground import GroundPoint
from terraloom_engines.selection import Radius
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState, extrapolate

__all__ = ["DISTANCE_MARGIN", "MOST_TILES", "select_ground"]

MOST_TILES = 1024
"""Most tiles of one collision selection; what lies ahead is cut short before that."""
HORIZON = 8.0
"""Seconds that a moving viewpoint is followed ahead."""
LEAST_STEPS, MOST_STEPS = 8, 64
"""Moments of the path ahead that are looked at."""
DISTANCE_MARGIN = 1.01
"""Factor on the radius: distances are those of a sphere, which on the ellipsoid are too long by up to 0.7 %."""

_AROUND = ((-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1))


def select_ground(view: ViewState, disc: Radius, others: Sequence[ViewState] = ()) -> dict[TileId, float]:
    """Seconds until `view` or one of `others` needs each tile of `disc.level`, 0 for those within `disc.radius` metres now; soonest first.

    Raises ResourceExhaustedError when the discs take more than `MOST_TILES` tiles where they are now.
    """
    reach, views = disc.radius * DISTANCE_MARGIN, (view, *others)
    now = itertools.chain.from_iterable(_touched(GroundPoint(body), reach, disc.level) for body in views)
    needed: dict[TileId, float] = {}
    for tile in now:
        needed[tile] = 0.0
        if len(needed) > MOST_TILES:
            raise ResourceExhaustedError(f"a radius of {disc.radius:g} m takes over {MOST_TILES} tiles of level {disc.level}: lower either")
    ahead = [(seconds, body) for body in views for seconds in _moments(body, disc.radius)]
    for seconds, body in sorted(ahead, key=lambda moment: moment[0]):
        for tile in _touched(GroundPoint(extrapolate(body, seconds)), reach, disc.level):
            if len(needed) >= MOST_TILES:
                return needed
            needed.setdefault(tile, seconds)
    return needed


def _moments(view: ViewState, radius: float) -> Iterator[float]:
    """Seconds ahead at which to look, so close that the discs overlap by half; none for a viewpoint at rest."""
    marks = [GroundPoint(extrapolate(view, HORIZON * i / 16)) for i in range(17)]
    length = sum(before.distance_to(after) for before, after in itertools.pairwise(marks))
    if length == 0.0:
        return
    steps = max(math.ceil(2.0 * length / max(radius, 1.0)), LEAST_STEPS)
    for i in range(min(steps, MOST_STEPS)):
        yield HORIZON * (i + 1) / steps


def _touched(point: GroundPoint, reach: float, level: int) -> Iterator[TileId]:
    """The tiles of `level` within `reach` metres, from the middle outward; they hang together, so neighbours lead to all of them."""
    start = point.tile(level)
    edge = [start] if point.distance(start) <= reach else []
    seen = set(edge)
    while edge:
        yield from edge
        around = {near for tile in edge for dx, dy in _AROUND if (near := tile.neighbour(dx, dy)) is not None} - seen
        seen |= around
        edge = sorted(tile for tile in around if point.distance(tile) <= reach)
