"""Does land stay land from the 10 km base down to 3 to 5 m? Slopes, shares of variance and spectrum of every level, beside real land's.

Six kinds of land are looked at: a square of 0.8 degrees, and where it has more than `LARGEST` pixels nine tiles spread over it.
Real land is the same place's DEM, made coarser step by step. The share is what of the variance inside the parents appears between their
children (law of total variance): 0.75 on a plane, less on rough land; where it is too large relief is spent too soon, where it is too
small it piles up below.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import morphometry
from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, LOG_UNIT, Field
from terraloom_engines.render.overhead import Frame
from terraloom_engines.tiling import TILE_SIZE, TileId, row_ground_sample_distance, tile_from_lonlat
from terraloom_engines.training.pyramid import Level, finest_elevation, pyramid
from terraloom_engines.training.rasters import load_pack

PLACES = {
    "Alps": ((8.5, 46.5), "SRTM_N46E008"), "Everest": ((86.9, 27.9), "SRTM_everest"), "Idaho ranges": ((-113.6, 43.9), "ID_mackay30"),
    "Ozarks": ((-92.7, 38.15), "MO_ozarks30"), "New South Wales": ((149.5, -35.5), "SRTM_S36E149"),
    "Texas plains": ((-97.33, 32.67), "TX_plains90"),
}  # fmt: skip
"""Place (longitude, latitude) and its DEM in the data: ranges like the Alps, the Himalaya, ranges between basins, a dissected plateau,
hills, a plain."""
LEVELS = tuple(range(5, 16))
Fields = Callable[[TileId], Field]
"""What gives a world's fields."""
ACROSS, SPREAD_DEGREES = 3, 0.5
BOX_DEGREES, LARGEST = 0.8, 600
LEAST = 48
"""Pixels along the side from which on a spectrum is taken."""
FINE = 16
"""The level whose tile tells the pixel size of a place."""


def figures(height: NDArray[np.float64], spread: NDArray[np.float64], land: NDArray[np.bool_], gsd: float) -> dict[str, float]:
    """Slopes in degrees, share of variance between the children, and the exponent of the spectrum, of heights and spreads in metres."""
    rows, columns = (n // 2 * 2 for n in height.shape)
    blocks = height[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2)
    inside = (spread[:rows, :columns] ** 2).reshape(rows // 2, 2, columns // 2, 2)
    dry = land[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).all(axis=(1, 3))
    between = blocks.var(axis=(1, 3))[dry].sum()
    angle = morphometry.slope(height, gsd)[land[1:-1, 1:-1]]
    return {
        "slope_median": float(np.median(angle)), "slope_p95": float(np.percentile(angle, 95)),
        "share_between_children": float(between / (between + inside.mean(axis=(1, 3))[dry].sum())),
    } | ({"spectral_slope": morphometry.spectral_slope(height)} if min(height.shape) >= LEAST else {})  # fmt: skip


def field_figures(rasters: dict[str, NDArray[np.int32]], gsd: float) -> dict[str, float]:
    """The figures of the rasters of a field, or of a piece of several."""
    height, spread = rasters["elevation"] * ELEVATION_UNIT, np.exp2(rasters["relief"] * LOG_UNIT)
    return figures(height, spread, rasters["land"] == LAND_FULL, gsd)


def tile_gsd(tile: TileId) -> float:
    """Metres per pixel in the middle of a tile."""
    return row_ground_sample_distance(tile.z, tile.y * TILE_SIZE + TILE_SIZE // 2)


def tiles_of(place: tuple[float, float], level: int) -> list[TileId]:
    """The tiles of a level that lie under nine points around a place."""
    offsets = [(i / (ACROSS - 1) - 0.5) * SPREAD_DEGREES for i in range(ACROSS)]
    return sorted({tile_from_lonlat(level, place[0] + east, place[1] + north) for east in offsets for north in offsets})


def box(world: Fields, place: tuple[float, float], level: int) -> dict[str, NDArray[np.int32]]:
    """The rasters of the square of `BOX_DEGREES` round a place, cut out of its tiles at even pixels."""
    side = round(BOX_DEGREES / 360 * (TILE_SIZE << level)) // 2 * 2
    frame = Frame(place[0], place[1], level, side, side)
    left, top = (edge // 2 * 2 for edge in frame.origin)
    out = {name: np.zeros((side, side), np.int32) for name in ("elevation", "relief", "land")}
    for tile, column, row in frame.tiles():
        field = world(tile).crop(0)
        rows = slice(max(row, top), min(row + TILE_SIZE, top + side))
        columns = slice(max(column, left), min(column + TILE_SIZE, left + side))
        for name, raster in out.items():
            cut = field.channel(name)[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
            raster[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = cut
    return out


def generated(world: Fields, place: tuple[float, float]) -> dict[str, dict[str, float]]:
    """Figures of a place by level; what a raster is too small for is left out."""
    out = {}
    for level in LEVELS:
        gsd = tile_gsd(tile_from_lonlat(FINE, *place)) * 2 ** (FINE - level)
        if BOX_DEGREES / 360 * (TILE_SIZE << level) <= LARGEST:
            means = field_figures(box(world, place, level), gsd)
        else:
            fields = [world(tile).crop(0) for tile in tiles_of(place, level)]
            rows = [field_figures({name: field.channel(name) for name in ("elevation", "relief", "land")}, gsd) for field in fields]
            means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        out[f"z{level}"] = {"metres": round(gsd, 1), **{name: round(value, 3) for name, value in means.items()}}
    return out


def real(data: Path) -> dict[str, list[dict[str, float]]]:
    """Figures of each place's DEM, made coarser step by step; the finest has no share, since what lies inside its pixels is not known."""
    pack, out = load_pack(data, "dem_misc"), {}
    for place, (_, key) in PLACES.items():
        entry = next(entry for entry in pack["meta"]["index"] if entry["key"] == key)
        metres = pack[key].astype(np.float32) * np.float32(entry["unit_m"])
        levels = pyramid(finest_elevation(metres, entry["mpp"], entry["unit_m"], np.ones(metres.shape, bool)))
        out[place] = [level_figures(level, finest=level is levels[0]) for level in levels]
    return out


def level_figures(level: Level, *, finest: bool) -> dict[str, float]:
    """The figures of one level of a real DEM."""
    found = figures(level.mean[0].astype(np.float64), level.spread.astype(np.float64), level.valid, level.gsd)
    kept = {name: round(value, 3) for name, value in found.items() if not (finest and name == "share_between_children")}
    return {"metres": round(level.gsd, 1), **kept}


def beside(made: dict[str, dict[str, float]], truth: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Generated over real (slopes), or minus it (share, spectrum), at every real level, from the generated level of the nearest pixels."""
    out = {}
    for row in truth:
        level, near = min(made.items(), key=lambda item: abs(math.log2(item[1]["metres"] / row["metres"])))
        if abs(math.log2(near["metres"] / row["metres"])) > 0.6:
            continue
        out[f"{row['metres']:g} m ({level})"] = {
            name: round(near[name] / row[name] if name.startswith("slope") else near[name] - row[name], 3)
            for name in row
            if name != "metres" and name in near
        }
    return out


def measure(data: Path, worlds: Mapping[str, Fields], *, quick: bool = False) -> dict[str, Any]:
    """All places (the last alone if `quick`): figures by level of real land and of every world, and those beside the real ones."""
    truth, out = real(data), {}
    for name, (place, _) in list(PLACES.items())[-1 if quick else 0 :]:
        out[name] = {"real": truth[name]} | {
            maker: {"generated": made, "beside real": beside(made, truth[name])}
            for maker, made in ((maker, generated(world, place)) for maker, world in worlds.items())
        }
    return out


def summary(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By maker, over all places and real levels: mean factor by which slopes are off, mean deviation of shares and spectrum."""
    out = {}
    for maker in [name for name in next(iter(figures.values())) if name != "real"]:
        rows = [row for place in figures.values() for row in place[maker]["beside real"].values()]
        means = {}
        for name in rows[0] | rows[-1]:
            values = [row[name] for row in rows if name in row]
            ratio = name.startswith("slope")
            mean = math.exp(np.mean(np.abs(np.log(values)))) if ratio else float(np.mean(np.abs(values)))
            means[f"{name}, {'factor' if ratio else 'deviation'}"] = round(mean, 3)
        out[maker] = means
    return out
