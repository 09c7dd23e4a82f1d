"""A world out of a user's rasters: read, joined to Earth, averaged; a folder with a manifest whose digest is the world's identity."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import InvalidArgumentError
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.bundle.raster import FORMAT, RasterFolder, check_raster_name, worlds_folder
from terraloom_engines.networks import open_networks
from terraloom_engines.rasters.folders import workplace
from terraloom_engines.rasters.layers import Earth, Joined, join
from terraloom_engines.rasters.painting import paint
from terraloom_engines.rasters.placement import COARSEST_LEVEL, Placement, place
from terraloom_engines.rasters.pyramid import LevelRasters, write_pyramid
from terraloom_engines.rasters.shores import has_lakes, lakes_of, land_of
from terraloom_engines.rasters.source import Layer, Source, opened
from terraloom_engines.rasters.units import Tell, metres_per_unit
from terraloom_engines.rasters.warped import Report, on_disk, warp
from terraloom_engines.tiling import TILE_SIZE, TileId
from terraloom_engines.world import FieldMemory, World, check_seed, networks_bundle

__all__ = ["Order", "create"]


@dataclass(frozen=True)
class Order:
    """What is to be made: a world's name and the files it is made of, at least one.

    Heights in metres above the sea are those of the file times `vertical_scale`, by default the metres of the unit that the file names,
    less `sea_level`, the height of the sea in the file's own reference, in metres. `seed` is that of the Earth around.
    """

    name: str
    elevation: Path | None = None
    imagery: Path | None = None
    title: str = ""
    attribution: str = ""
    vertical_scale: float | None = None
    sea_level: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Raises InvalidArgumentError for what cannot be meant."""
        check_raster_name(self.name)
        check_seed(self.seed)
        if self.elevation is None and self.imagery is None:
            raise InvalidArgumentError("a world needs --elevation, --imagery or both", field="elevation")
        if self.elevation is None and (self.vertical_scale, self.sea_level) != (None, 0.0):
            raise InvalidArgumentError("--vertical-scale and --sea-level are of --elevation, which is not given", field="elevation")
        if self.vertical_scale is not None and not (np.isfinite(self.vertical_scale) and self.vertical_scale > 0):
            raise InvalidArgumentError(f"vertical scale {self.vertical_scale} is not allowed: it must be positive", field="vertical_scale")
        if not abs(self.sea_level) <= 9000:
            raise InvalidArgumentError(f"sea level {self.sea_level} is out of range: allowed are -9000 to 9000 metres", field="sea_level")
        if (worlds_folder() / self.name).exists():
            raise InvalidArgumentError(f"world raster:{self.name} exists already: delete it or choose another name", field="name")


def create(order: Order, report: Report, *, threads: int = 2, tell: Tell = lambda _: None) -> RasterFolder:
    """Makes a world and returns its folder. `report` is told what goes on, `tell` in a line each what was understood of the files.

    Raises InvalidArgumentError for rasters that cannot be laid into Earth, FailedPreconditionError without rasterio.
    """
    order.check()
    root = worlds_folder()
    with ExitStack() as stack:
        paths: list[tuple[Path | None, Layer]] = [(order.elevation, "elevation"), (order.imagery, "imagery")]
        sources = [stack.enter_context(opened(path, layer)) for path, layer in paths if path is not None]
        placement = place(sources)
        _tell_level(sources, placement, tell)
        if order.vertical_scale is None:
            order = replace(order, vertical_scale=metres_per_unit(sources[0].heights, tell))
        folder = stack.enter_context(workplace(root))
        made = folder / order.name
        made.mkdir()
        making = _Making(order, placement, folder, threads, report)
        making.write(sources, made / "base.zip")
        _write_manifest(order, placement, made, making, sources)
        made.rename(root / order.name)
    return RasterFolder.open(root / order.name)


def _tell_level(sources: Sequence[Source], placement: Placement, tell: Tell) -> None:
    """Tells that the second raster, imagery, is much finer than the level, which is that of the first."""
    if len(sources) == 2 and sources[0].resolution >= 2 * sources[1].resolution:
        ground, colour = (source.resolution for source in sources)
        tell(f"imagery of {colour:,.3g} m is averaged to level {placement.level}, that of the elevation of {ground:,.3g} m")


class _Making:
    """One world in the making: the digest of the Earth that the rasters are joined to, and where they are known, once they are read."""

    bounds: tuple[float, float, float, float]

    def __init__(self, order: Order, placement: Placement, folder: Path, threads: int, report: Report) -> None:
        self._order, self._placement, self._folder, self._report = order, placement, folder, report
        bundle = networks_bundle()
        self.earth_digest, self._base = bundle.digest, EarthBase(bundle.folder)
        self._networks = open_networks(bundle, threads=threads)
        self._earth: Earth = World("earth", order.seed, self._base, self._networks, FieldMemory(), None).field

    def write(self, sources: Sequence[Source], archive: Path) -> None:
        """Writes the archive."""
        layers = {source.layer: self._joined(source) for source in sources}
        self.bounds = self._placement.bounds(np.logical_or.reduce([joined.mask for joined in layers.values()]))
        with zipfile.ZipFile(archive, "w") as file:
            if "elevation" in layers:
                write_pyramid(self._ground(layers["elevation"]), self._earth, file, self._report)
        if "imagery" not in layers:
            layers["imagery"] = paint(
                layers["elevation"], self._placement, archive, self._base, self._earth, self._networks, self._order.seed, self._folder,
                self._report,
            )  # fmt: skip
        with zipfile.ZipFile(archive, "a") as file:
            write_pyramid(self._rasters(layers["imagery"]), self._earth, file, self._report)

    def _joined(self, source: Source) -> Joined:
        height = source.layer == "elevation"
        scale, offset = (self._order.vertical_scale or 1.0, -self._order.sea_level) if height else (1.0, 0.0)
        warped = warp(source, self._placement, self._folder, scale, offset, self._report)
        return join(warped, "ground" if height else "colour", self._placement, self._earth, self._folder, self._report)

    def _ground(self, joined: Joined) -> LevelRasters:
        """The joined elevation with the land and water that go with it."""
        rasters = self._rasters(joined)
        rasters.land, rasters.water = np.zeros(self._placement.shape, np.int32), np.zeros(self._placement.shape, np.int32)
        for tile, rows, columns in self._placement.tiles():
            mask = joined.mask[rows, columns]
            if not mask.any():
                continue
            elevation, spread = joined.values[0, rows, columns], joined.spread[rows, columns]
            coarse_land, coarse_water = self._coarse(tile)
            means, land = land_of(elevation, spread, coarse_land)
            if has_lakes(coarse_land, coarse_water):
                lake, height, shore, surface = lakes_of(elevation, spread, self._earth(tile).crop(0))
                means, land = np.where(lake, height, means), np.where(lake, shore, land)
                rasters.water[rows, columns] = np.where(lake, surface, 0)
            rasters.means[0, rows, columns] = np.where(mask, means, elevation)
            rasters.land[rows, columns] = land
        return rasters

    def _coarse(self, tile: TileId) -> list[NDArray[np.int32]]:
        """Earth's land fraction and height of water in a tile, as `COARSEST_LEVEL` has them."""
        field = self._earth(tile.ancestor(COARSEST_LEVEL)).crop(0)
        shift = tile.z - COARSEST_LEVEL
        rows, columns = ((index * TILE_SIZE + np.arange(TILE_SIZE) >> shift) % TILE_SIZE for index in (tile.y, tile.x))
        return [field.channel(name)[np.ix_(rows, columns)] for name in ("land", "water")]

    def _rasters(self, joined: Joined) -> LevelRasters:
        values = on_disk(self._folder / f"{joined.layer}-steps.npy", np.int32, joined.values.shape)
        return LevelRasters(joined.layer, self._placement, joined.values, joined.spread, joined.mask, joined.mask, values)


def _write_manifest(order: Order, placement: Placement, folder: Path, making: _Making, sources: Sequence[Source]) -> None:
    archive = folder / "base.zip"
    with archive.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {
        "format": FORMAT,
        "title": order.title or order.name,
        "attribution": order.attribution,
        "level": placement.level,
        "layers": [source.layer for source in sources],
        "bounds": making.bounds,
        "resolution": [source.resolution for source in sources],
        "vertical_scale": order.vertical_scale,
        "sea_level": order.sea_level,
        "seed": order.seed,
        "earth": making.earth_digest,
        "files": {"base.zip": {"bytes": archive.stat().st_size, "sha256": checksum}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
