"""GeoTIFF: elevation or imagery of a region in its own pixels, tiled and packed. Needs rasterio (the extra `raster`)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terraloom.errors import FailedPreconditionError
from terraloom_engines.export.mosaic import blocks, read_colours, read_heights
from terraloom_engines.export.region import PixelBox
from terraloom_engines.export.tile_files import TileFiles
from terraloom_engines.maps import MapOptions
from terraloom_engines.tiling import EQUATOR, PLANE_METRES, TILE_SIZE, WorldKind

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["require_rasterio", "write_geotiff"]


def require_rasterio() -> "ModuleType":
    """rasterio. Raises FailedPreconditionError without it."""
    try:
        import rasterio
    except ImportError:
        raise FailedPreconditionError("GeoTIFF needs rasterio: pip install 'terraloom[raster]'") from None
    return rasterio


def write_geotiff(files: TileFiles, box: PixelBox, file: Path) -> None:
    """Writes the tiles of `box`: float32 metres where they are Terrarium, else red, green and blue.

    Planets are in EPSG:3857; a plane has metres and no reference system.
    """
    rasterio, world = require_rasterio(), files.world
    elevation = isinstance(files.options, MapOptions) and files.options.layer == "terrarium"
    metres = (EQUATOR if world.kind is WorldKind.PLANET else TILE_SIZE * PLANE_METRES) / (TILE_SIZE << box.level)
    origin = EQUATOR / 2 if world.kind is WorldKind.PLANET else 0.0
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": box.width,
        "height": box.height,
        "count": 1 if elevation else 3,
        "dtype": "float32" if elevation else "uint8",
        "crs": "EPSG:3857" if world.kind is WorldKind.PLANET else None,
        "transform": rasterio.Affine(metres, 0, box.left * metres - origin, 0, -metres, origin - box.top * metres),
        "tiled": True,
        "compress": "deflate",
        "predictor": 3 if elevation else 2,
        "bigtiff": "if_safer",
    }
    partial = file.with_name(file.name + ".partial")
    with rasterio.open(partial, "w", **profile) as dataset:
        dataset.update_tags(AREA_OR_POINT="Area", TIFFTAG_COPYRIGHT=world.attribution, TIFFTAG_SOFTWARE="Terraloom", WORLD=world.name)
        if elevation:
            dataset.set_band_unit(1, "metre")
            dataset.set_band_description(1, "height above mean sea level")
        for tile, here, there in blocks(world.kind, box):
            raster = read_heights(files, tile)[there][None] if elevation else np.moveaxis(read_colours(files, tile)[there], -1, 0)
            rows, columns = here
            dataset.write(raster, window=((rows.start, rows.stop), (columns.start, columns.stop)))
    partial.replace(file)
