"""What an export may become: which tiles each format takes, of what kind, and what is made of them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from terraloom.errors import InvalidArgumentError
from terraloom_engines.content import ContentOptions
from terraloom_engines.export import archive, geotiff, heightmap, scene, tiles3d
from terraloom_engines.export.region import Region, tiles_of
from terraloom_engines.export.tile_files import TileFiles, write_whole
from terraloom_engines.geodesy import world_from_tile
from terraloom_engines.maps import MapOptions
from terraloom_engines.tiling import TileId, WorldKind
from terraloom_engines.world import World

__all__ = ["FORMATS", "Job", "Order", "format_of", "job"]

Format = Literal["3dtiles", "3tz", "glb", "geotiff", "heightmap"]
FORMATS: dict[str, str] = {"3dtiles": "", "3tz": ".3tz", "glb": ".glb", "geotiff": ".tif", "heightmap": ".png"}
"""Formats and the suffix that means them; no suffix is a folder."""
MOST_IN_A_SCENE = 1024
"""Tiles in one GLB: some 200 MB."""
SAMPLES = (33, 8193)
"""Least and most samples along a side of a heightmap."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be exported."""

    world: World
    region: Region
    level: int
    output: Path
    content: ContentOptions
    layer: Literal["elevation", "imagery"] = "elevation"
    """Of a GeoTIFF."""
    samples: int = 1025
    """Along a side of a heightmap."""
    metres: float = 10_000.0
    """Along a side of a heightmap."""


@dataclass(frozen=True, slots=True)
class Job:
    """The tiles to make, and what makes the output of them."""

    files: TileFiles
    tiles: list[TileId]
    assemble: Callable[[], None]
    scratch: bool
    """Whether the tiles are means to an end."""

    def finish(self) -> None:
        """Makes the output, and removes what only led to it."""
        self.assemble()
        if self.scratch:
            shutil.rmtree(self.files.folder)


def format_of(output: Path, named: str | None) -> str:
    """The format that is named, or that the suffix means. Raises InvalidArgumentError for neither."""
    if named is not None:
        if named not in FORMATS:
            raise InvalidArgumentError(f"format={named!r} is not allowed: choose one of {', '.join(FORMATS)}")
        return named
    found = [name for name, suffix in FORMATS.items() if suffix == output.suffix.lower()]
    if not found:
        suffixes = ", ".join(suffix for suffix in FORMATS.values() if suffix)
        raise InvalidArgumentError(f"{output} ends in no known suffix: choose a folder's name, one of {suffixes}, or --format")
    return found[0]


def job(order: Order, kind: str) -> Job:
    """How to make `order` in a format. Raises InvalidArgumentError for what cannot be made of it."""
    if not order.world.kind.min_level <= order.level <= order.world.max_level:
        levels = f"{order.world.kind.min_level} to {order.world.max_level}"
        raise InvalidArgumentError(f"level {order.level} is out of range: {order.world.name} has levels {levels}")
    jobs = {"3dtiles": _folder, "3tz": _archive, "glb": _scene, "geotiff": _geotiff, "heightmap": _heightmap}
    return jobs[kind](order)


def _scratch(order: Order) -> Path:
    return order.output.with_name(order.output.name + ".tiles")


def _folder(order: Order) -> Job:
    levels = tiles3d.tree(order.region, order.level)
    files = TileFiles(order.output, order.world, order.content, tiles3d.place_round(order.region))
    tiles = [tile for level in levels for tile in level]
    return Job(files, tiles, lambda: tiles3d.write_tileset(files, order.region, levels), scratch=False)


def _archive(order: Order) -> Job:
    folder = _folder(replace(order, output=_scratch(order)))

    def assemble() -> None:
        folder.assemble()
        archive.write_3tz(folder.files.folder, order.output)

    return Job(folder.files, folder.tiles, assemble, scratch=True)


def _scene(order: Order) -> Job:
    tiles = order.region.tiles(order.level)
    if len(tiles) > MOST_IN_A_SCENE:
        text = f"the region has {len(tiles):,} tiles at level {order.level}, one GLB takes {MOST_IN_A_SCENE:,}"
        raise InvalidArgumentError(f"{text}: choose a smaller region, a coarser level, or 3D Tiles")
    files = TileFiles(_scratch(order), order.world, order.content)
    middle = scene.world_from_place(order.region.kind, *order.region.middle)

    def assemble() -> None:
        placed = ((files.read(tile), np.linalg.inv(middle) @ world_from_tile(tile)) for tile in tiles)
        names = ("longitude", "latitude", "ecefFromScene") if order.region.kind is WorldKind.PLANET else ("x", "y", "planeFromScene")
        extras = {"level": order.level, **dict(zip(names, [*order.region.middle, middle.T.ravel().tolist()], strict=True))}
        write_whole(order.output, scene.join(placed, extras, order.world.attribution))

    return Job(files, tiles, assemble, scratch=True)


def _geotiff(order: Order) -> Job:
    if order.layer not in ("elevation", "imagery"):
        raise InvalidArgumentError(f"layer={order.layer!r} is not allowed: choose elevation or imagery")
    geotiff.require_rasterio()
    box = order.region.pixels(order.level)
    options = MapOptions("terrarium" if order.layer == "elevation" else "imagery", "png", order.content.surface)
    files = TileFiles(_scratch(order), order.world, options)
    return Job(files, order.region.tiles(order.level), lambda: geotiff.write_geotiff(files, box, order.output), scratch=True)


def _heightmap(order: Order) -> Job:
    least, most = SAMPLES
    if not least <= order.samples <= most:
        raise InvalidArgumentError(f"samples={order.samples} is out of range: allowed are {least} to {most}; Unity takes 2^n + 1")
    columns, rows = heightmap.pixels_under(order.region, order.level, order.metres, order.samples)
    box = heightmap.box_of(order.level, columns, rows)
    files = TileFiles(_scratch(order), order.world, MapOptions("terrarium", "png", order.content.surface))

    def assemble() -> None:
        heightmap.write_heightmap(files, order.region, order.level, order.metres, order.samples, order.output)

    return Job(files, tiles_of(order.region.kind, box), assemble, scratch=True)
