"""One layer of a world, ground or colour, at the raster's own level: the raster joined to Earth, with the spread inside its pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.raster import LAYERS
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LOG_UNIT, Field
from terraloom_engines.rasters.blocks import doubled
from terraloom_engines.rasters.joining import COARSE, MARGIN, STRIP, Difference, coverage, fade, octave_masks, offsets
from terraloom_engines.rasters.placement import Placement
from terraloom_engines.rasters.shores import open_surface
from terraloom_engines.rasters.spreads import inner_variance
from terraloom_engines.rasters.warped import Report, Warped, on_disk
from terraloom_engines.tiling import TILE_SIZE, TileId

__all__ = ["Earth", "Joined", "join"]

Raster = NDArray[np.float32]
Mask = NDArray[np.bool_]
Earth = Callable[[TileId], Field]
"""Earth's fields, with a halo of at least `MARGIN` pixels."""

SPREAD_BOUNDS = {"ground": (2.0**-6, 2.0**12), "colour": (2.0, 64.0)}
"""Metres, or 8-bit steps, that the spread inside a pixel is kept in; colour has cover that no raster of its level shows."""
UNITS = {"ground": ELEVATION_UNIT, "colour": COLOUR_UNIT}


@dataclass(frozen=True)
class Joined:
    """A layer on the pixels of a placement: `values` in stored steps, float32 (bands, H, W), those of Earth outside of `mask` but in tiles
    that the mask touches; `spread` in stored steps of log2, int16 (H, W); `mask`, bool (H, W): where the raster has a part in it."""

    layer: str
    values: NDArray[np.float32]
    spread: NDArray[np.int16]
    mask: NDArray[np.bool_]


def join(warped: Warped, layer: str, placement: Placement, earth: Earth, folder: Path, report: Report) -> Joined:
    """A raster joined to Earth; `folder` takes large arrays."""
    masks = octave_masks(_cells(warped.valid))
    difference = _difference(warped, layer, placement, earth, masks, report)
    taken = offsets(difference, masks)
    out = Joined(
        layer,
        on_disk(folder / f"{layer}-values.npy", np.float32, warped.values.shape),
        on_disk(folder / f"{layer}-spread.npy", np.int16, placement.shape),
        on_disk(folder / f"{layer}-mask.npy", np.bool_, placement.shape),
    )
    tiles = placement.tiles()
    for done, (tile, rows, columns) in enumerate(tiles):
        report(f"joining {layer} to Earth", done, len(tiles))
        _join_tile(out, warped, taken, tile, (rows, columns), earth)
    return out


def _cells(valid: Mask) -> Mask:
    """The cells of `COARSE` pixels in which a raster has any."""
    blocks = valid.reshape(valid.shape[0] // COARSE, COARSE, valid.shape[1] // COARSE, COARSE)
    cells: Mask = np.logical_or.reduce(blocks, axis=(1, 3))
    return cells


def _difference(warped: Warped, layer: str, placement: Placement, earth: Earth, masks: list[Mask], report: Report) -> Difference:
    """Raster minus Earth in stored steps, in the tiles that the edge's widest strip touches."""
    shape = tuple(side // COARSE for side in placement.shape)
    near: Mask = np.zeros(shape, np.bool_)
    if masks:
        size = 1 << (len(masks) - 1)
        strip = fade(masks[-1], STRIP) < 1
        near = masks[0] & np.kron(strip, np.ones((size, size), np.bool_))[: shape[0], : shape[1]]
    values, known = np.zeros((len(warped.values), *shape), np.float32), np.zeros(shape, np.bool_)
    tiles = placement.tiles()
    for done, (tile, rows, columns) in enumerate(tiles):
        report(f"comparing {layer} with Earth", done, len(tiles))
        cells = tuple(slice(part.start // COARSE, part.stop // COARSE) for part in (rows, columns))
        if not near[cells].any():
            continue
        ground = _earth_values(earth(tile).crop(0), layer)
        valid = warped.valid[rows, columns]
        gap = np.where(valid, warped.values[:, rows, columns] / np.float32(UNITS[layer]) - ground, 0)
        count = _sums(valid.astype(np.float32)[None])[0]
        values[(slice(None), *cells)] = _sums(gap) / np.maximum(count, 1)
        known[cells] = count > 0
    return Difference(values, known)


def _join_tile(out: Joined, warped: Warped, taken: Raster, tile: TileId, part: tuple[slice, slice], earth: Earth) -> None:
    """The pixels of one tile, from a window `MARGIN` pixels larger."""
    values, valid = _window(warped.values, part), _window(warped.valid[None], part)[0]
    inner = slice(MARGIN, MARGIN + TILE_SIZE)
    mask, weight = coverage(valid)
    if not mask[inner, inner].any():
        return
    moved = values / np.float32(UNITS[out.layer]) - _offset_window(taken, part)
    if not (valid.all() and (weight[inner, inner] == 1).all()):
        outside = earth(tile).crop(MARGIN)
        ground = _earth_values(outside, out.layer)
        moved = np.where(valid, moved, ground + Difference(np.where(valid, moved - ground, 0), valid).filled())
        moved = np.where(mask, weight * moved + (1 - weight) * ground, ground)
        own = outside.channel(LAYERS[out.layer][1 if out.layer == "ground" else 3])[inner, inner]
    else:
        own = np.zeros((TILE_SIZE, TILE_SIZE), np.int32)
    if out.layer == "colour":
        moved = np.clip(moved, 0, 255 / COLOUR_UNIT)
    low, high = (bound**2 for bound in SPREAD_BOUNDS[out.layer])
    variance = np.clip(inner_variance(moved.mean(axis=0) * np.float32(UNITS[out.layer]))[inner, inner], low, high)
    weight = weight[inner, inner]
    blended = weight * variance + (1 - weight) * np.exp2(own * (2 * LOG_UNIT))
    out.values[:, part[0], part[1]] = moved[:, inner, inner]
    out.spread[part] = np.rint(np.log2(blended) / (2 * LOG_UNIT))
    out.mask[part] = mask[inner, inner]


def _earth_values(field: Field, layer: str) -> Raster:
    """Elevation (1, H, W), lakes at their surface, or colours (3, H, W) of a field, stored steps."""
    return open_surface(field)[None] if layer == "ground" else field.imagery.astype(np.float32)


def _sums(rasters: Raster) -> Raster:
    """Sums over cells of `COARSE` pixels."""
    bands, height, width = rasters.shape
    return rasters.reshape(bands, height // COARSE, COARSE, width // COARSE, COARSE).sum(axis=(2, 4))


def _window(rasters: NDArray[Any], part: tuple[slice, slice]) -> NDArray[Any]:
    """Rasters (bands, H, W) at a tile and `MARGIN` pixels round it; 0 beyond their rim."""
    spans = [(s.start - MARGIN, s.stop + MARGIN, size) for s, size in zip(part, rasters.shape[1:], strict=True)]
    inside = [slice(max(low, 0), min(high, size)) for low, high, size in spans]
    pads = [(max(-low, 0), max(high - size, 0)) for low, high, size in spans]
    return np.pad(rasters[:, inside[0], inside[1]], ((0, 0), *pads))


def _offset_window(taken: Raster, part: tuple[slice, slice]) -> Raster:
    """What is taken off at a tile and `MARGIN` pixels round it; at the rim of the cells it goes on unchanged."""
    ring = MARGIN // COARSE + 2
    spans = [(s.start // COARSE - ring, s.stop // COARSE + ring, size) for s, size in zip(part, taken.shape[1:], strict=True)]
    rows, columns = (np.clip(np.arange(low, high), 0, size - 1) for low, high, size in spans)
    fine = doubled(doubled(taken[:, rows[:, None], columns]))
    return fine[:, 2 * COARSE : -2 * COARSE, 2 * COARSE : -2 * COARSE]
