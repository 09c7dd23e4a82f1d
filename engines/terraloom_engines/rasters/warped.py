"""Rasters resampled to the pixels of a level: by averages from finer pixels, by cubic convolution from coarser ones."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import InvalidArgumentError
from terraloom_engines.rasters.placement import Placement
from terraloom_engines.rasters.source import Source
from terraloom_engines.tiling import EQUATOR, TILE_SIZE, ground_sample_distance

__all__ = ["Report", "Warped", "on_disk", "warp"]

BLOCK = 8
"""Tiles along a side that are resampled at a time."""
FINER = 1.2
"""Target pixels this much larger than the source's are averages of them."""
PLAUSIBLE = (-12_000.0, 9_500.0)
"""Metres between which heights on Earth lie."""
MISSING, MOST_MISSING = -9999.0, 16
"""What many programs write where they know no height, and how many pixels of a file may have it for a height."""
SCANNED = 1 << 22
"""Pixels of a file that are looked through at a time."""

Report = Callable[[str, int, int], None]
"""Told what is being done, how many of how many steps are done."""


class Warped:
    """A raster on the pixels of a placement: `values`, float32 (bands, H, W), and `valid`, bool (H, W); kept in files in `folder`."""

    def __init__(self, folder: Path, name: str, bands: int, shape: tuple[int, int]) -> None:
        self.values = on_disk(folder / f"{name}.npy", np.float32, (bands, *shape))
        self.valid = on_disk(folder / f"{name}-valid.npy", np.bool_, shape)


def warp(source: Source, placement: Placement, folder: Path, scale: float, offset: float, report: Report) -> Warped:
    """The raster on the pixels of `placement`; heights, in the unit of the file, times `scale` plus `offset`.

    Raises InvalidArgumentError when it holds nothing there, or heights that are none.
    """
    out = Warped(folder, source.layer, len(source.bands), placement.shape)
    if source.layer == "elevation":
        _check_missing(source, report)
    blocks = list(_blocks(placement))
    for done, (rows, columns) in enumerate(blocks):
        report(f"reading {source.layer}", done, len(blocks))
        values, valid = _read(source, placement, rows, columns)
        if source.layer == "elevation":
            values = values * np.float32(scale * source.heights.scale) + np.float32(scale * source.heights.offset + offset)
        valid &= np.isfinite(values).all(axis=0)
        values[:, ~valid] = 0
        out.values[:, rows, columns], out.valid[rows, columns] = values, valid
        if source.layer == "elevation" and valid.any():
            _check_heights(source, values[0][valid])
    if not out.valid.any():
        raise InvalidArgumentError(f"{source.layer} file {source.path} holds no valid pixel", field=source.layer)
    return out


def _check_missing(source: Source, report: Report) -> None:
    """Raises InvalidArgumentError where the file itself, not what is resampled from it, has `MISSING` for a height.

    As deep as that lie a few trenches, where one metre more or less is about as frequent.
    """
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    dataset, found, beside = source.dataset, 0, 0
    block = dataset.block_shapes[0][0]
    rows = max(SCANNED // dataset.width // block, 1) * block
    for top in range(0, dataset.height, rows):
        report("looking for gaps", top, dataset.height)
        window = Window(0, top, dataset.width, min(rows, dataset.height - top))
        try:
            heights = dataset.read(1, window=window)
            near = np.abs(heights - np.float64(MISSING)) < 1.5
            known = near & (dataset.read_masks(1, window=window) > 0) if near.any() else near
        except RasterioError as error:
            raise _unreadable(source, error) from error
        exact = int(np.count_nonzero(known & (heights == MISSING)))
        found, beside = found + exact, beside + int(np.count_nonzero(known)) - exact
    if found > MOST_MISSING + 4 * beside:
        text = f"elevation file {source.path} is {MISSING:.0f} where it seems to know nothing"
        raise InvalidArgumentError(f"{text}: declare that as its nodata value (gdal_edit -a_nodata {MISSING:.0f})", field="elevation")


def _unreadable(source: Source, error: Exception) -> InvalidArgumentError:
    return InvalidArgumentError(f"{source.layer} file {source.path} cannot be read ({error})", field=source.layer)


def _check_heights(source: Source, heights: NDArray[np.float32]) -> None:
    low, high = float(heights.min()), float(heights.max())
    if low < PLAUSIBLE[0] or high > PLAUSIBLE[1]:
        raise InvalidArgumentError(
            f"elevation file {source.path} has heights of {low:,.0f} to {high:,.0f} m, allowed are {PLAUSIBLE[0]:,.0f} to"
            f" {PLAUSIBLE[1]:,.0f}: declare its nodata value (gdal_edit -a_nodata) or set --vertical-scale to metres per unit",
            field="elevation",
        )


def _blocks(placement: Placement) -> Iterator[tuple[slice, slice]]:
    """Blocks of pixels that do not cross the antimeridian."""
    around = 1 << placement.level
    turns = [0, *range(-placement.column % around or around, placement.columns, around), placement.columns]
    for top in range(0, placement.rows, BLOCK):
        bottom = min(top + BLOCK, placement.rows)
        for first, last in pairwise(turns):
            for left in range(first, last, BLOCK):
                right = min(left + BLOCK, last)
                yield slice(top * TILE_SIZE, bottom * TILE_SIZE), slice(left * TILE_SIZE, right * TILE_SIZE)


def _read(source: Source, placement: Placement, rows: slice, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    from rasterio import Affine
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    dataset, size = source.dataset, EQUATOR / (TILE_SIZE << placement.level)
    column = (placement.column * TILE_SIZE + columns.start) % (TILE_SIZE << placement.level)
    row = placement.row * TILE_SIZE + rows.start
    finer = ground_sample_distance(placement.level, source.latitude) > FINER * source.resolution
    nodata = dataset.nodata
    if nodata is None and np.dtype(dataset.dtypes[0]).kind == "f":
        nodata = float("nan")
    masked = ColorInterp.alpha in dataset.colorinterp
    # Of colours equal to nodata at the rim of what is known, GDAL's mask says nothing: it makes an alpha band instead.
    with_alpha = not masked and (nodata is None or source.layer == "imagery")
    options = {
        "crs": "EPSG:3857",
        "transform": Affine(size, 0, column * size - EQUATOR / 2, 0, -size, EQUATOR / 2 - row * size),
        "width": columns.stop - columns.start,
        "height": rows.stop - rows.start,
        "resampling": Resampling.average if finer else Resampling.cubic,
        "dtype": "float32" if source.layer == "elevation" else "uint8",
        "src_nodata": nodata,
        "nodata": None if with_alpha else nodata,
        "add_alpha": with_alpha,
    }
    a, b, c, *rest = dataset.transform[:6]
    shape = rows.stop - rows.start, columns.stop - columns.start
    values, valid = np.zeros((len(source.bands), *shape), np.float32), np.zeros(shape, np.bool_)
    try:
        for turn in source.turns:
            with WarpedVRT(dataset, src_transform=Affine(a, b, c - turn, *rest), **options) as warped:
                alpha = [band for band, meaning in enumerate(warped.colorinterp, start=1) if meaning is ColorInterp.alpha]
                more = (warped.read(indexes=alpha[0]) > 127 if alpha else warped.dataset_mask() > 0) & ~valid
                if more.any():
                    values, valid = np.where(more, warped.read(indexes=list(source.bands)), values).astype(np.float32), valid | more
    except RasterioError as error:
        raise _unreadable(source, error) from error
    return values, valid


def on_disk(path: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of zeros in a file."""
    return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
