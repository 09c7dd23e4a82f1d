"""The real rasters that the networks learn from, as pyramids of known ground sample distance, split by region.

Reads the data packs of the training folder through the reader that lies beside them (`packlib.py`).
"""

import argparse
import importlib.util
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from terraloom_engines.training.pyramid import Level, Raster, finest_elevation, finest_imagery, pyramid

CELL = 9276.0
"""Metres from north to south of a cell of 5 arc-minutes."""
HELD_OUT = ("ID_mackay30", "TX_plains90", "SRTM_S36E149", "CA_sba3m", "SRTM_baltoro", "l9kanto_3646", "s2_T32UQV_100", "t5_", "rmnp150")
"""Names (or their beginnings) of the regions no network is trained on."""
HELD_OUT_LATITUDES = {"TW17": (24.8, 90.0)}
"""Families whose northern part is held out."""


@dataclass(frozen=True)
class Source:
    """One level of one raster as training material.

    `imagery` is the co-registered colour of a DEM, `elevation` the co-registered height of an image (level of the same size), if known.
    """

    name: str
    level: Level
    held_out: bool
    sea: bool = False
    partner: Level | None = None


def data_folder(text: str) -> Path:
    """A folder of training packs, as a command line names it. Raises ArgumentTypeError for one that has no packs."""
    folder = Path(text)
    if not (folder / "packlib.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} is no folder of training packs: there is no packlib.py in it")
    return folder


def existing_file(text: str) -> Path:
    """A file that a command line names. Raises ArgumentTypeError for one that is not there: hours may pass until it is read."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def archive_of(name: str, source: str) -> Callable[[str], Path]:
    """What checks that a file that a command line names is an archive (.npz) of `source` with the raster `name`, before hours pass."""

    def checked(text: str) -> Path:
        path = existing_file(text)
        try:
            with np.load(path) as held:
                found = name in held
        except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile):
            found = False
        if not found:
            raise argparse.ArgumentTypeError(f"{text} is not what {source} wrote: it has no {name}")
        return path

    return checked


def load_pack(folder: Path, name: str) -> dict[str, Any]:
    """All rasters of a pack and its `meta`."""
    spec = importlib.util.spec_from_file_location("packlib", folder / "packlib.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pack: dict[str, Any] = module.load(str(folder / f"{name}.npz"))
    return pack


def is_held_out(name: str, latitude: float = 0.0) -> bool:
    """Whether a raster belongs to the regions that judge and do not teach."""
    low, high = HELD_OUT_LATITUDES.get(name.split("_")[0], (91.0, 91.0))
    return name.startswith(HELD_OUT) or low <= latitude <= high


def elevation_sources(folder: Path) -> list[Source]:
    """Every DEM at every usable level, finest first."""
    found: list[Source] = []

    def add(
        name: str, metres: Raster, gsd: float, step: float, valid: Any, *, skip: int = 0, sea: bool = False, latitude: float = 0.0
    ) -> None:
        levels = pyramid(finest_elevation(metres, gsd, step, valid))
        found.extend(Source(name, level, is_held_out(name, latitude), sea) for level in levels[skip:])

    for pack_name in ("dem_misc", "dem_taiwan_rwanda", "dem_taiwan_more", "dem185_srtm_browse"):
        pack = load_pack(folder, pack_name)
        for entry in pack["meta"]["index"]:
            if entry["key"] == "DC_dsm2":
                continue
            metres = pack[entry["key"]].astype(np.float32) * np.float32(entry["unit_m"])
            skip = {"dem185_srtm_browse": 1}.get(pack_name, 0) + (1 if entry["key"].startswith("RW") else 0)
            add(entry["key"], metres, entry["mpp"], entry["unit_m"], metres > 0.5, skip=skip, latitude=entry.get("lat", 0.0))
    pack = load_pack(folder, "earth_2km_land")
    for row, column, _ in pack["meta"]["tiles"]:
        metres = pack[f"r{row}_c{column}"].astype(np.float32)
        northing = np.pi * (1 - 2 * (row + 256.5) / 16384)
        add(f"earth_{row}_{column}", metres, 2445.98 / np.cosh(northing), 1.0, np.ones(metres.shape, bool), sea=True)
    return found


def square_pixels(values: Any, mpp: Any) -> tuple[Any, float]:
    """Resample an image with oblong pixels (mpp = [x, y]) to square ones of the coarser side."""
    if not isinstance(mpp, list):
        return values, float(mpp)
    gsd = max(mpp)
    size = (round(values.shape[1] * mpp[0] / gsd), round(values.shape[0] * mpp[1] / gsd))
    picture = Image.fromarray(values if values.ndim == 3 else values.astype(np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BOX)), gsd


def pair_sources(folder: Path) -> tuple[list[Source], list[Source]]:
    """Co-registered colour and elevation: DEMs with their imagery, and images, with their elevation where that is as fine."""
    dems: list[Source] = []
    images: list[Source] = []
    pack = load_pack(folder, "rgb_dem_pairs")
    for entry in pack["meta"]["index"]:
        key = entry["key"]
        colour, gsd = square_pixels(pack[f"{key}.rgb"], entry["mpp"])
        inside = (colour.max(axis=-1) > 8) & (colour.min(axis=-1) < 250)
        image = pyramid(finest_imagery(colour.astype(np.float32).transpose(2, 0, 1), gsd, inside))
        if key not in ("craterlake30", "rmnp150", "santabarbara_airport3"):
            images.extend(Source(key, level, is_held_out(key)) for level in image)
            continue
        metres, _ = square_pixels(pack[f"{key}.dem"], entry["mpp"])
        metres = metres.astype(np.float32) * np.float32(entry["unit_m"])
        valid = metres > -400
        dem = pyramid(finest_elevation(np.where(valid, metres, metres[valid].mean()), gsd, entry["unit_m"], valid & inside))
        dems.extend(Source(key, height, is_held_out(key), partner=light) for height, light in zip(dem, image, strict=True))
        images.extend(Source(key, light, is_held_out(key), partner=height) for height, light in zip(dem, image, strict=True))
    return dems, images


def imagery_sources(folder: Path) -> list[Source]:
    """Every image at every usable level; those with elevation carry it as partner."""
    found = pair_sources(folder)[1]

    def add(name: str, colour: Any, gsd: float, smallest: int = 48) -> None:
        valid = (colour.min(axis=-1) < 252) & (colour.max(axis=-1) > 2)
        levels = pyramid(finest_imagery(colour.astype(np.float32).transpose(2, 0, 1), gsd, valid), smallest)
        found.extend(Source(name, level, is_held_out(name)) for level in levels)

    pack = load_pack(folder, "rgb_scene_crops")
    for entry in pack["meta"]["index"]:
        add(entry["key"], pack[entry["key"]], entry["mpp"])
    for name in ("rgb10m_eurosat_subset", "rgb10m_eurosat_more"):
        pack = load_pack(folder, name)
        for key in sorted(k for k in pack if "/" in k and not k.startswith("SeaLake"))[::2]:
            add(key.split("/")[1], pack[key], 10.0, 32)
    pack = load_pack(folder, "rgb1m_dubai_seg")
    for key in (k for k in pack if k.endswith(".rgb")):
        add(key, pack[key], 0.7)
    coarse = load_pack(folder, "earth_coarse")
    return found + globe_sources(coarse)


def globe_sources(coarse: dict[str, Any]) -> list[Source]:
    """Blue Marble with its elevation on tiles of 256 x 256 at 9.3 km, between 55 south and 65 north.

    Cells of 5 arc-minutes are narrower the farther from the equator: as many more columns are taken, and brought to square pixels. Taken as
    they are, land is stretched from west to east, and the network that learns from it draws streaks.
    """
    found: list[Source] = []
    for top in range(300, 1700, 200):
        narrow = float(np.cos(np.radians(90 - (top + 128) / 12)))
        width = round(256 / narrow)
        for left in range(0, 4320 - width, 256):
            window = np.s_[top : top + 256, left : left + width]
            valid, _ = square_pixels((coarse["land255"][window] > 250).astype(np.float32), [CELL * narrow, CELL])
            if (valid > 0.99).mean() < 0.3:
                continue
            colour, gsd = square_pixels(coarse["rgb"][window], [CELL * narrow, CELL])
            light = pyramid(finest_imagery(colour.astype(np.float32).transpose(2, 0, 1), gsd, valid > 0.99))
            spread, elevation = (
                square_pixels(coarse[name][window].astype(np.float32), [CELL * narrow, CELL])[0] for name in ("sub_sd", "elev")
            )
            dem = pyramid(Level(elevation[None], np.maximum(spread, 2), valid > 0.99, gsd))
            name = f"globe_{top}_{left}"
            found.extend(Source(name, i, False, partner=h) for i, h in zip(light, dem, strict=True))
    return found
