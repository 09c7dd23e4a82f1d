"""Textures: the colour of a tile's surface as an encoded picture with a gutter, so that no line shows between tiles.

A texture has 2 px of the neighbours on every side. Samplers that interpolate, and the encoder's blocks, then reach past the tile's edge
into the same pixels that the neighbour shows. JPEG keeps chroma at full resolution (4:4:4). WebP halves it below quality 100, which is
lossless; pixels on either side of an edge then differ no more than JPEG's do (see docs/mesh.md).
"""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom_engines.field import LAND_FULL, Field
from terraloom_engines.tiling import TILE_SIZE

__all__ = ["GUTTER", "SEA_COLOUR", "Texture", "TextureFormat", "encode_picture", "encode_texture", "surface_colour", "texture_coordinates"]

GUTTER = 2
"""Pixels of the neighbours round a texture."""
SEA_COLOUR = (11, 35, 62)
"""Colour of water, sRGB."""
TextureFormat = Literal["jpeg", "webp"]


@dataclass(frozen=True, slots=True)
class Texture:
    """An encoded picture of 256 + 2 `GUTTER` pixels a side and its media type."""

    data: bytes
    media_type: str


def surface_colour(field: Field) -> NDArray[np.uint8]:
    """sRGB of the surface, shape (row, column, 3), halo included: land and `SEA_COLOUR` mixed by the land fraction, rounded once."""
    land = field.channel("land")
    sea = np.array(SEA_COLOUR, np.int32)[:, None, None] * 64
    unit = LAND_FULL * 64
    mixed = land * field.imagery + ((LAND_FULL - land) * sea + unit // 2)
    # Below 2^24, so exact in float32; a quotient is either whole or further from a whole number than rounding reaches.
    steps = np.clip(mixed.astype(np.float32) / np.float32(unit), 0, 255)
    return np.ascontiguousarray(steps.astype(np.uint8).transpose(1, 2, 0))


def encode_texture(field: Field, texture_format: TextureFormat, quality: int) -> Texture:
    """The texture of a field, whose halo must be at least `GUTTER` pixels; `quality`: 1 to 100, which is lossless for WebP."""
    return encode_picture(surface_colour(field.crop(GUTTER)), texture_format, quality)


def encode_picture(colours: NDArray[np.uint8], texture_format: TextureFormat, quality: int) -> Texture:
    """A texture of sRGB colours, shape (row, column, 3), gutter included."""
    picture, stream = Image.fromarray(colours), io.BytesIO()
    if texture_format == "jpeg":
        picture.save(stream, "JPEG", quality=quality, subsampling=0)
    elif quality < 100:
        picture.save(stream, "WEBP", method=0, quality=quality)
    else:
        picture.save(stream, "WEBP", lossless=True, method=0, quality=0)
    return Texture(stream.getvalue(), f"image/{texture_format}")


def texture_coordinates(segments: int) -> NDArray[np.float32]:
    """u and v of the grid's vertices, shape (rows, columns, 2), origin at the picture's top left, inside the gutter."""
    along = (GUTTER + np.arange(segments + 1) * (TILE_SIZE / segments)) / (TILE_SIZE + 2 * GUTTER)
    return np.stack(np.meshgrid(along, along), axis=-1).astype(np.float32)
