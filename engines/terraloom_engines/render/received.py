"""What a received tile shows: heights and colours, read back out of its GLB."""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from terraloom import Tile
from terraloom.errors import DataLossError
from terraloom_engines.geodesy import ECCENTRICITY_SQUARED, SEMI_MAJOR_AXIS
from terraloom_engines.texture import GUTTER
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind

__all__ = ["SEGMENTS", "TileSurface", "read_surface"]

SEGMENTS = 128
"""Quads along a side of the tiles that are drawn."""


@dataclass(frozen=True, slots=True)
class TileSurface:
    """One tile's vertices and picture: `heights` in metres, `colour` (256, 256, 3) sRGB; rows southward, columns eastward.

    Vertices lie on pixel corners from edge to edge: (129, 129) of a received tile, (257, 257) of a field. `water` (256, 256) says what
    is water; a received tile does not tell, so there it is what lies at the height of the sea.
    """

    tile: TileId
    heights: NDArray[np.float32]
    colour: NDArray[np.uint8]
    water: NDArray[np.bool_] | None = None


def read_surface(tile: Tile) -> TileSurface:
    """The surface of a textured tile of `SEGMENTS` segments; raises DataLossError for anything else (see `TileMesh` for the order)."""
    mesh, side = tile.mesh(), SEGMENTS + 1
    if len(mesh.positions) != side * side + 4 * SEGMENTS or mesh.texture is None:
        raise DataLossError(f"tile {tile.id} is not a textured grid of {SEGMENTS} segments: it has {len(mesh.positions)} vertices")
    positions = mesh.positions[: side * side].reshape(side, side, 3)
    picture = np.asarray(Image.open(io.BytesIO(mesh.texture)).convert("RGB"))
    return TileSurface(
        tile=TileId(*tile.id, WorldKind.PLANE if tile.on_plane else WorldKind.PLANET),
        heights=positions[..., 1] if tile.on_plane else _heights(_placed(positions, tile.ecef_from_tile)),
        colour=picture[GUTTER : GUTTER + TILE_SIZE, GUTTER : GUTTER + TILE_SIZE],
    )


def _placed(positions: NDArray[np.float32], ecef_from_tile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Earth-centred earth-fixed positions of a tile's, shape (..., 3)."""
    placed: NDArray[np.float64] = positions.astype(np.float64) @ ecef_from_tile[:3, :3].T + ecef_from_tile[:3, 3]
    return placed


def _heights(ecef: NDArray[np.float64]) -> NDArray[np.float32]:
    """Metres above the ellipsoid of earth-centred earth-fixed positions, shape (..., 3); Bowring, Survey Review 23 (1976)."""
    minor = SEMI_MAJOR_AXIS * math.sqrt(1 - ECCENTRICITY_SQUARED)
    second = ECCENTRICITY_SQUARED / (1 - ECCENTRICITY_SQUARED)
    across, along = np.hypot(ecef[..., 0], ecef[..., 1]), ecef[..., 2]
    parametric = np.arctan2(along * SEMI_MAJOR_AXIS, across * minor)
    latitude = np.arctan2(
        along + second * minor * np.sin(parametric) ** 3, across - ECCENTRICITY_SQUARED * SEMI_MAJOR_AXIS * np.cos(parametric) ** 3
    )
    sine, cosine = np.sin(latitude), np.cos(latitude)
    heights: NDArray[np.float64] = across * cosine + along * sine - SEMI_MAJOR_AXIS * np.sqrt(1 - ECCENTRICITY_SQUARED * sine * sine)
    return heights.astype(np.float32)
