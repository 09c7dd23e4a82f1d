"""Map tiles: a tile's rasters as 256 px pictures for slippy maps, in the encodings that map libraries know.

    imagery       colour of the surface
    terrain-rgb   heights as Mapbox Terrain-RGB: metres = -10000 + 0.1 (65536 R + 256 G + B)
    terrarium     heights as Terrarium: metres = 256 R + G + B / 256 - 32768, exact here
    hillshade     relief in grey, the sun in the north-west

Pictures of heights are PNG, since a lossy picture of a number is another number.
"""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom.errors import InvalidArgumentError
from terraloom_engines.field import ELEVATION_UNIT, Field
from terraloom_engines.mesh import surface_elevation
from terraloom_engines.shading import Sun, hillshade
from terraloom_engines.texture import surface_colour
from terraloom_engines.tiling import TILE_SIZE, ground_sample_distance, row_ground_sample_distance

__all__ = ["FORMATS", "MapFormat", "MapLayer", "MapOptions", "encode_map_tile", "terrain_rgb", "terrarium"]

MapLayer = Literal["imagery", "terrain-rgb", "terrarium", "hillshade"]
MapFormat = Literal["webp", "jpg", "png"]
FORMATS: dict[MapLayer, tuple[MapFormat, ...]] = {
    "imagery": ("webp", "jpg", "png"),
    "terrain-rgb": ("png",),
    "terrarium": ("png",),
    "hillshade": ("webp", "png"),
}
"""Formats of each layer, the default first."""
MEDIA_TYPES: dict[MapFormat, str] = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}
QUALITY = 85
"""Of lossy pictures, 1 to 100."""
TRUE_TO_SCALE = 60.0
"""Metres per pixel up to which hillshade is true to scale; coarser levels, whose slopes are gentler, are exaggerated."""

SURFACES = ("ground_or_water", "ground")

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MapOptions:
    """Which picture of a tile. Raises InvalidArgumentError for a layer that is none, or a format that the layer lacks."""

    layer: MapLayer = "imagery"
    format: MapFormat = "webp"
    surface: Literal["ground_or_water", "ground"] = "ground_or_water"

    def __post_init__(self) -> None:
        _one_of("layer", self.layer, tuple(FORMATS))
        _one_of(f"format of {self.layer}", self.format, FORMATS[self.layer])
        _one_of("surface", self.surface, SURFACES)

    @property
    def media_type(self) -> str:
        """Of the encoded picture."""
        return MEDIA_TYPES[self.format]


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidArgumentError(f"{name}={value!r} is not allowed: choose one of {', '.join(allowed)}", field=name, allowed=allowed)


def encode_map_tile(field: Field, options: MapOptions) -> bytes:
    """The picture of a field's tile; the field needs a halo of one pixel."""
    water = options.surface == "ground_or_water"
    if options.layer == "imagery":
        return _encode(surface_colour(field.crop(0)), options.format)
    if options.layer == "hillshade":
        return _encode(_relief(field.crop(1), water=water), options.format)
    steps = surface_elevation(field.crop(0), water=water)
    return _encode((terrain_rgb if options.layer == "terrain-rgb" else terrarium)(steps), options.format)


def terrain_rgb(steps: NDArray[np.int32]) -> Picture:
    """Heights in `ELEVATION_UNIT`s, shape (rows, columns), as Mapbox Terrain-RGB (rows, columns, 3), rounded to 0.1 m."""
    per_metre = round(1 / ELEVATION_UNIT)
    return _bytes_of((10 * (steps.astype(np.int64) + 10_000 * per_metre) + per_metre // 2) // per_metre)


def terrarium(steps: NDArray[np.int32]) -> Picture:
    """The same as Terrarium, whose 1/256 m holds every step exactly."""
    per_step = round(256 * ELEVATION_UNIT)
    return _bytes_of(steps.astype(np.int64) * per_step + (32_768 << 8))


def _bytes_of(numbers: NDArray[np.int64]) -> Picture:
    """The lowest 24 bits, most significant first."""
    held = np.clip(numbers, 0, (1 << 24) - 1)
    return np.stack([held >> 16, held >> 8 & 255, held & 255], axis=-1).astype(np.uint8)


def _relief(field: Field, *, water: bool) -> Picture:
    """Hillshade of the tile inside a ring of one pixel. One exaggeration a level, so that tiles join."""
    level, first = field.tile.z, field.tile.y * TILE_SIZE
    metres = np.array([row_ground_sample_distance(level, first + row, field.tile.kind) for row in range(TILE_SIZE)])[:, None]
    exaggeration = max(1.0, ground_sample_distance(level, 0.0) / TRUE_TO_SCALE) ** 0.4
    light = hillshade(surface_elevation(field, water=water) * ELEVATION_UNIT, metres, Sun(), exaggeration)
    return np.clip(light * 255, 0, 255).astype(np.uint8)


def _encode(picture: Picture, picture_format: MapFormat) -> bytes:
    stream, image = io.BytesIO(), Image.fromarray(picture)
    match picture_format:
        case "webp":
            image.save(stream, "WEBP", quality=QUALITY, method=2)
        case "jpg":
            image.save(stream, "JPEG", quality=QUALITY, subsampling=0)
        case "png":
            image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
