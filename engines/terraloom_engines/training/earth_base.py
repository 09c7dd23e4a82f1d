"""Build the base of the world `earth` from public-domain data: `python -m terraloom_engines.training.earth_base --data DATA`.

Levels 0 to 4 of EPSG:3857: ETOPO5 elevation moved to its place (`registration`) and reconciled with the GLOBE land mask and lakes, Blue
Marble colour without the snow that melts, continued under the sea, relief and texture spreads (predicted from what is shipped, see
`relief_prior`), and the mask itself in packed tiles. Heights that `sharpening` has drawn take the place of ETOPO5's.
"""

import argparse
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from terraloom_engines.bundle.appearance import lift, texture_variance
from terraloom_engines.bundle.archive import RasterArchive, pack_array, pack_image, pack_shortest
from terraloom_engines.bundle.coast import MASK_COLUMNS, MASK_ROWS, TILE_CELLS, CoastMask
from terraloom_engines.bundle.earth import KNOWN_FROM, LOG_CODE_STEP, LOG_CODE_ZERO, STORED_LEVELS
from terraloom_engines.field import DETAIL_UNIT, LAND_FULL
from terraloom_engines.tiling import TILE_SIZE
from terraloom_engines.training.base_grid import BASE_LEVEL, SIDE, Raster, inside_pixels, mercator, row_latitudes
from terraloom_engines.training.lakes import find_lakes
from terraloom_engines.training.rasters import archive_of, data_folder, load_pack
from terraloom_engines.training.relief_prior import Prior, cells_of_square, natural_earth, predict, quarters_of_cells
from terraloom_engines.training.snow import summer

DEPRESSIONS = (
    (34.9, 29.5, 36.2, 33.3), (46.0, 36.0, 56.0, 49.0), (-117.5, 35.5, -116.2, 37.0), (-116.6, 32.2, -114.8, 34.0),
    (25.0, 28.0, 30.0, 31.2), (88.0, 42.0, 90.6, 43.6), (39.8, 11.0, 43.2, 15.2), (3.2, 51.0, 7.3, 53.7),
    (135.0, -31.0, 141.0, -27.0), (-69.0, -50.0, -63.0, -42.0), (6.0, 33.0, 9.5, 35.0), (51.0, 43.0, 60.0, 46.0), (29.0, 29.0, 31.5, 31.7),
)  # fmt: skip
"""Boxes (west, south, east, north) of land below the sea: Dead Sea, Caspian, Death Valley, Salton, Qattara, Turpan, ..."""
AROUND = 7
"""Base pixels along the side of what counts as surroundings of one when texture is predicted."""
WHITE, SNOW, ICE = 255.0, 200.0, 222.0
"""Lighter than `SNOW` Blue Marble is snow and ice, most of it saturated. Its white becomes `ICE`: whiter, ice would have no room for sides
that face the sun or do not."""


def add(archive: zipfile.ZipFile, name: str, packed: bytes) -> None:
    """An entry without a date, so that the same data make the same file."""
    archive.writestr(zipfile.ZipInfo(name), packed)


def write_mask(archive: zipfile.ZipFile, land: NDArray[np.bool_]) -> None:
    """The mask in tiles of 10 degrees; a tile that is all sea is absent, one that is all land is an empty entry."""
    for row in range(MASK_ROWS // TILE_CELLS):
        for column in range(MASK_COLUMNS // TILE_CELLS):
            tile = land[row * TILE_CELLS : (row + 1) * TILE_CELLS, column * TILE_CELLS : (column + 1) * TILE_CELLS]
            if tile.all():
                add(archive, f"land/{row}/{column}/whole", b"")
            elif tile.any():
                add(archive, f"land/{row}/{column}", pack_array(tile))


def in_depression() -> NDArray[np.bool_]:
    """Base pixels in the listed depressions."""
    longitudes = (np.arange(SIDE) + 0.5) / SIDE * 360 - 180
    latitudes = row_latitudes()
    inside = np.zeros((SIDE, SIDE), bool)
    for west, south, east, north in DEPRESSIONS:
        inside |= ((latitudes >= south) & (latitudes <= north))[:, None] & ((longitudes >= west) & (longitudes <= east))[None, :]
    return inside


def reconcile(elevation: Raster, land: NDArray[np.int32], relief: Raster) -> NDArray[np.int16]:
    """Elevation in metres that agrees with the land fraction: land >= +1 m but in depressions, sea <= -1 m, mixed cells plausible.

    Where land has relief, its mean lies above the sea by at least 0.8 of its spread (`relief`, log2 metres): heights above 0 with that
    spread have no lower mean. ETOPO5 puts some fjord coasts under water; raised to 1 m only, they would stay flat plates for ever.

    Below 200 m of water whole 16 m are kept, below 1 km whole 32 m: nobody sees the floor there, and it would be a third of the file.
    """
    share, spread = land.astype(np.float32) / LAND_FULL, np.exp2(relief)
    floor = np.where(in_depression(), -450, np.maximum(1, np.where(elevation < 100, 0.8 * spread, 1)))
    mixed = np.clip(elevation, np.maximum(-150 * (1 - share), (1.3 * share - 0.5) * spread), 40 + 3000 * share**2)
    coast = np.where(land > LAND_FULL // 2, np.maximum(mixed, 1), np.minimum(mixed, -1))
    fixed = np.where(land == LAND_FULL, np.maximum(elevation, floor), np.where(land == 0, np.minimum(elevation, -1), coast))
    step = np.where(fixed < -1000, 32, np.where(fixed < -200, 16, 1))
    return (np.rint(fixed / step) * step).astype(np.int16)


def lake_shore(height: NDArray[np.int16], land: NDArray[np.int32], relief: Raster) -> NDArray[np.int16]:
    """Heights over a lake at which about the land fraction of a mixed pixel is dry, if its heights are normal with spread `relief`."""
    quantiles = np.array([NormalDist().inv_cdf(min(max(part / LAND_FULL, 0.03), 0.97)) for part in range(LAND_FULL + 1)], np.float32)
    likely = quantiles[land] * np.exp2(relief)
    leaning = np.where(land > LAND_FULL // 2, np.maximum(height, likely), np.minimum(height, likely))
    return np.where((land > 0) & (land < LAND_FULL), np.rint(leaning), height).astype(np.int16)


def continue_under_sea(colour: Raster, land: NDArray[Any]) -> Raster:
    """Blue Marble (H, W, 3) with everything but pure land replaced by the nearest land's colour, smoothed away from the shore."""
    pure = land >= 250
    far, nearest = ndimage.distance_transform_edt(~pure, return_indices=True)
    filled = colour[tuple(nearest)]
    smooth = np.stack([ndimage.gaussian_filter(filled[..., c], 4, mode=("nearest", "wrap")) for c in range(3)], axis=-1)
    weight = np.clip((far - 1) / 4, 0, 1)[..., None]
    return (filled * (1 - weight) + smooth * weight).astype(np.float32)


def texture_spread(colour: Raster, relief: Raster) -> Raster:
    """log2 of the luminance's spread inside a base pixel, by cover, surroundings and relief (`bundle.appearance`)."""
    light = colour.mean(axis=-1)
    variance = ndimage.uniform_filter(light**2, AROUND) - ndimage.uniform_filter(light, AROUND) ** 2
    deviation = np.sqrt(np.maximum(variance, 0))
    return np.asarray(0.5 * np.log2(texture_variance(light, deviation, np.exp2(relief))), np.float32)


def log_code(octaves: NDArray[Any]) -> NDArray[np.uint8]:
    """Octaves of a spread to a byte for every 2x2 block of pixels (the mean of variances), in `LOG_CODE_STEP` steps an octave."""
    mean = 0.5 * np.log2(halve(np.exp2(2.0 * octaves)))
    return np.clip(np.rint(mean * LOG_CODE_STEP) + LOG_CODE_ZERO, 0, 255).astype(np.uint8)


def halve(values: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of 2x2 blocks of an (H, W) raster."""
    wide = values.astype(np.float64)
    return (wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]) / 4


def halve_spread(values: NDArray[Any], octaves: NDArray[Any]) -> Raster:
    """log2 spread of the parents by the law of total variance."""
    variance = halve(np.exp2(2.0 * octaves)) + np.maximum(halve(values.astype(np.float64) ** 2) - halve(values) ** 2, 0)
    return (0.5 * np.log2(variance)).astype(np.float32)


def write_level(archive: zipfile.ZipFile, level: int, rasters: Mapping[str, NDArray[Any]]) -> None:
    """One level as 256 px tiles (128 px for the rasters of blocks)."""
    for y in range(1 << level):
        for x in range(1 << level):
            for name, raster in rasters.items():
                size = len(raster) >> level
                window = np.s_[y * size : (y + 1) * size, x * size : (x + 1) * size]
                tile = np.ascontiguousarray(raster[window])
                if name == "water" and not tile.any():
                    continue
                add(archive, f"{level}/{x}/{y}/{name}", pack_shortest(tile))


def known_details(details: Raster, relief: NDArray[np.uint8], land: NDArray[np.int32]) -> NDArray[np.int8]:
    """Details in metres (3, n, n) as stored steps where `EarthBase` says that they are known; `relief` as it is stored (n/2, n/2)."""
    octaves = np.kron((relief.astype(np.float32) - LOG_CODE_ZERO) / LOG_CODE_STEP, np.ones((2, 2), np.float32))
    steps = np.clip(np.rint(details / np.exp2(octaves) / np.float32(DETAIL_UNIT)), -127, 127)
    return np.where((land == LAND_FULL) & (octaves * 256 > KNOWN_FROM), steps, 0).astype(np.int8)


def write_details(archive: zipfile.ZipFile, details: NDArray[np.int8]) -> None:
    """The details of every tile that has any, (3, 256, 256) one below the other."""
    for y in range(1 << BASE_LEVEL):
        for x in range(1 << BASE_LEVEL):
            tile = details[:, y * TILE_SIZE : (y + 1) * TILE_SIZE, x * TILE_SIZE : (x + 1) * TILE_SIZE]
            if tile.any():
                add(archive, f"{BASE_LEVEL}/{x}/{y}/details", pack_shortest(tile.reshape(3 * TILE_SIZE, TILE_SIZE)))


def toned(light: Raster) -> Raster:
    """Colour in 8-bit steps with what is lighter than `SNOW` brought down towards `ICE`."""
    return np.where(light > SNOW, SNOW + (light - SNOW) * ((ICE - SNOW) / (WHITE - SNOW)), light)


def write_colour(archive: zipfile.ZipFile, colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colour of the base level as lossy WebP tiles; returns the image as it will be read back."""
    out = np.empty_like(colour)
    for y in range(1 << BASE_LEVEL):
        for x in range(1 << BASE_LEVEL):
            window = np.s_[y * TILE_SIZE : (y + 1) * TILE_SIZE, x * TILE_SIZE : (x + 1) * TILE_SIZE]
            packed = pack_image(np.ascontiguousarray(colour[window]), 95)
            add(archive, f"{BASE_LEVEL}/{x}/{y}/colour.webp", packed)
            out[window] = np.asarray(Image.open(io.BytesIO(packed)))
    return out


def write_coarse_levels(archive: zipfile.ZipFile, rasters: dict[str, NDArray[Any]], colour: NDArray[np.uint8]) -> None:
    """Levels 2 to 0 in stored integers (1/64): exact means down to level 1, rounded at level 0."""
    water = rasters["water"].astype(np.float64) * 64
    height, relief, texture = rasters["elevation"].astype(np.float64) * 64, rasters["relief"], rasters["texture"]
    land = rasters["land"].astype(np.float64)
    bands = [colour[..., c].astype(np.float64) * 64 for c in range(3)]
    for level in range(BASE_LEVEL - 1, -1, -1):
        light = np.add.reduce(bands) / 192
        relief, texture = halve_spread(height / 64, relief), halve_spread(light, texture)
        height, land, bands = halve(height), halve(land), [halve(band) for band in bands]
        water = halve(water) / np.maximum(halve(water != 0), 0.25)
        stored: dict[str, NDArray[Any]] = {
            "land": np.rint(land).astype(np.uint8),
            "elevation": np.rint(height).astype(np.int32),
            "water": np.rint(water).astype(np.int32),
            "relief": log_code(relief),
            "texture": log_code(texture),
        }
        stored |= {name: np.rint(band).astype(np.int16) for name, band in zip(("red", "green", "blue"), bands, strict=True)}
        if level in STORED_LEVELS:
            write_level(archive, level, stored)


def base_rasters(data: Path, mask: CoastMask, prior: Path | None, heights: Path | None) -> dict[str, NDArray[Any]]:
    """Elevation (int16 m), relief and texture (log2), colour (uint8) and land of the base grid; the last arguments as in `build`."""
    coarse = load_pack(data, "earth_coarse")
    sea = np.concatenate([mask.land(BASE_LEVEL, 0, row, 256, SIDE) for row in range(0, SIDE, 256)])
    tint = natural_earth(data)
    quarters = quarters_of_cells(tint)
    cells = predict(coarse, tint) if prior is None else Prior.load(prior)
    height = mercator(cells.height, order=3) if heights is None else np.load(heights)["heights"]
    relief = inside_pixels(cells.relief)
    lakes = find_lakes(tint, sea, height)
    land = np.rint(sea * (1 - lakes.share)).astype(np.int32)
    mean_tint = ndimage.gaussian_filter(quarters.mean(axis=0), (0, 0.7, 0.7), mode="nearest")
    bare = summer(coarse | {"etopo5": cells.height}, mean_tint)
    filled = continue_under_sea(bare, coarse["land255"] * (1 - cells_of_square(lakes.share)))
    colour, even = (np.stack([mercator(filled[..., c], order) for c in range(3)], axis=-1) for order in (3, 1))
    water = lakes.surface.astype(np.float32)
    shores = ndimage.maximum_filter(np.where(lakes.share > 0, water, -1e4), 3)
    height = np.where((lakes.share == 0) & (shores > -1e4), np.maximum(height, shores + 1), height)
    over = reconcile(height - water, land, relief)
    elevation = (np.where(lakes.share > 0, lake_shore(over, land, relief), over) + lakes.surface).astype(np.int16)
    light = np.clip(colour + lift(colour.mean(axis=-1, keepdims=True)), 0, WHITE)
    return {
        "elevation": elevation, "relief": relief, "texture": texture_spread(even, relief),
        "colour": np.rint(toned(light)).astype(np.uint8),
        "land": land, "water": lakes.surface,
    }  # fmt: skip


def build(data: Path, out: Path, prior: Path | None, heights: Path | None, details: Path | None = None) -> None:
    """Write coast.zip and base.zip into `out`.

    `prior` is what `relief_prior` wrote, if it need not be made again, `heights` what `sharpening` wrote, if ETOPO5 is to be sharpened,
    `details` what `mountains` wrote, if there are to be any.
    """
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out / "coast.zip", "w") as archive:
        write_mask(archive, ~np.asarray(load_pack(data, "globe_combined_mask_compressed")["mask"]))
    rasters = base_rasters(data, CoastMask(RasterArchive(out / "coast.zip", capacity=648)), prior, heights)
    with zipfile.ZipFile(out / "base.zip", "w") as archive:
        tiles: dict[str, NDArray[Any]] = {
            "elevation": rasters["elevation"],
            "relief": log_code(rasters["relief"]),
            "texture": log_code(rasters["texture"]),
        }
        tiles |= {"land": rasters["land"].astype(np.uint8), "water": rasters["water"]}
        write_level(archive, BASE_LEVEL, tiles)
        if details is not None:
            write_details(archive, known_details(np.load(details)["details"], tiles["relief"], rasters["land"]))
        write_coarse_levels(archive, rasters, write_colour(archive, rasters["colour"]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=data_folder, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "bundle" / "data" / "earth")
    parser.add_argument(
        "--prior", type=archive_of("relief", "relief_prior"), help="what relief_prior wrote (default: made, in ten minutes)"
    )
    parser.add_argument("--heights", type=archive_of("heights", "sharpening"), help="what sharpening wrote (default: heights are ETOPO5's)")
    parser.add_argument("--details", type=archive_of("details", "mountains"), help="what mountains wrote (default: level 5 is drawn)")
    given = parser.parse_args()
    build(given.data, given.out, given.prior, given.heights, given.details)


if __name__ == "__main__":
    main()
