"""Upsampled fields: what a tile looks like as far as an ancestor tells, for when there is no time for the networks.

The same integer finishing as that of a refine step, without anything new: children are a smooth continuation of their parents, their
mean is exactly the parent's, land stays above the water and water below it. It takes some milliseconds, however many levels it is: of each
only what the tile needs is made.
"""

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.conservation import bound_scale, conserve, deviations, interleave
from terraloom_engines.field import CHANNELS, COLOUR_UNIT, LAND_FULL, Field
from terraloom_engines.tiling import TILE_SIZE, TileId
from terraloom_engines.upsampling import REACH, smooth_details

__all__ = ["HALO", "upsampled"]

HALO = 16
"""Pixels of halo that an upsampled field has: enough for a mesh of any number of segments."""
WHITE = round(255 / COLOUR_UNIT)

Steps = NDArray[np.int32]


def upsampled(field: Field, tile: TileId) -> Field:
    """The field of `tile` upsampled from that of an ancestor, with a halo of `HALO` pixels; of the tile itself, just cropped."""
    spans = [(_span(tile.x), _span(tile.y))]
    for _ in range(field.tile.z, tile.z):
        spans.append((_above(spans[-1][0]), _above(spans[-1][1])))
    columns, rows = spans.pop()
    left, top = (at * TILE_SIZE - field.halo for at in (field.tile.x, field.tile.y))
    data = np.ascontiguousarray(field.data[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left])
    for below_columns, below_rows in reversed(spans):
        left, top = (2 * (span.start + REACH) for span in (columns, rows))
        columns, rows = below_columns, below_rows
        data = _halved(data)[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return Field(tile, HALO, np.ascontiguousarray(data))


def _span(index: int) -> range:
    """Global columns (or rows) of a tile with its halo."""
    return range(index * TILE_SIZE - HALO, (index + 1) * TILE_SIZE + HALO)


def _above(span: range) -> range:
    """The parents' columns (or rows) that those of their children take."""
    return range((span.start >> 1) - REACH, (span.stop + 1 >> 1) + REACH)


def _halved(window: Steps) -> Steps:
    """One level down: the children (channel, 2 H, 2 W) of all pixels but those of a margin of `REACH`."""
    middle = dict(zip(CHANNELS, window[:, REACH:-REACH, REACH:-REACH], strict=True))
    raster = dict(zip(CHANNELS, window, strict=True))
    over = middle["elevation"] - middle["water"]
    room = {
        "elevation": (_room(over - 2, (middle["land"] == LAND_FULL) & (over >= 1)), _room(-2 - over, (middle["land"] == 0) & (over <= -1))),
        "land": (middle["land"], LAND_FULL - middle["land"]),
        **{band: (middle[band], WHITE - middle[band]) for band in ("red", "green", "blue")},
    }
    return np.stack(
        [
            _smooth(raster[name], middle[name], *room[name]) if name in room else np.repeat(np.repeat(values, 2, 0), 2, 1)
            for name, values in middle.items()
        ]
    )


def _room(steps: Steps, bounded: NDArray[np.bool_]) -> Steps:
    """How far children may depart from their parents, where that is bounded at all."""
    return np.where(bounded, np.maximum(steps, 0), np.iinfo(np.int32).max).astype(np.int32)


def _smooth(raster: Steps, middle: Steps, below: Steps, above: Steps) -> Steps:
    """Children of the pixels of `raster` but for its margin, (2 H, 2 W), within `below` and `above` of their parents."""
    steps = deviations(smooth_details(raster.astype(np.float32)))
    return interleave(conserve(middle, steps * bound_scale(steps, below.astype(np.float32), above.astype(np.float32))))
