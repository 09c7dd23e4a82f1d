"""Polar caps: they meet the rim vertex for vertex, close up to the pole, and stay between what the rim says."""

from functools import lru_cache

import numpy as np
import pytest

from terraloom.errors import InvalidArgumentError
from terraloom_engines.field import Field
from terraloom_engines.mesh import TileMesh, build_mesh
from terraloom_engines.polar import sector_mesh, sector_picture
from terraloom_engines.texture import GUTTER, surface_colour
from terraloom_engines.tiling import TileId, WorldKind
from terraloom_engines.world import open_world


@lru_cache
def field_of(tile: TileId) -> Field:
    return open_world("earth").field(tile)


def edge(mesh: TileMesh, row: int) -> np.ndarray:
    """Positions of a row of a mesh, shape (columns, 3)."""
    side = mesh.segments + 1
    return mesh.positions[: side * side].reshape(side, side, 3)[row]


@pytest.mark.parametrize(
    ("tile", "segments"), [(TileId(1, 0, 0), 64), (TileId(1, 1, 1), 32), (TileId(3, 5, 7), 64), (TileId(3, 2, 0), 128)]
)
def test_a_cap_meets_the_rim_vertex_for_vertex(tile: TileId, segments: int) -> None:
    north = tile.y == 0
    cap, ground = sector_mesh(tile, field_of, segments), build_mesh(field_of(tile), segments)
    assert np.array_equal(edge(cap, -1 if north else 0), edge(ground, 0 if north else -1))
    assert cap.north[0 if north else -1] == (90 if north else -90)
    assert (np.einsum("ij,ij->i", cap.tile_normals, cap.tile_normals) == pytest.approx(1, abs=1e-5)) and cap.normals[..., 2].min() > 0.5


@pytest.mark.parametrize("row", [0, 7])
def test_a_cap_closes_at_the_pole_between_the_heights_of_the_rim(row: int) -> None:
    sectors = [sector_mesh(TileId(3, x, row), field_of, 32) for x in range(8)]
    rim = np.concatenate([sector.heights[-1 if row == 0 else 0, :-1] for sector in sectors])
    for sector, next_one in zip(sectors, sectors[1:] + sectors[:1], strict=True):
        assert np.array_equal(sector.heights[:, -1], next_one.heights[:, 0])
        assert rim.min() <= sector.min_height and sector.max_height <= rim.max()
        assert sector.heights[0 if row == 0 else -1] == pytest.approx(rim.mean())
    if row:
        assert rim.std() > 100, "the south is land, and not even"


def test_the_colour_of_a_cap_is_that_of_the_rim() -> None:
    tile = TileId(2, 1, 3)
    picture, ground = sector_picture(tile, field_of), surface_colour(field_of(tile).crop(0))
    assert np.abs(picture[GUTTER, GUTTER:-GUTTER].astype(int) - ground[-1]).mean() < 3
    assert np.ptp(picture[-GUTTER - 1], axis=0).max() <= 2, "all meridians meet in one colour"


@pytest.mark.parametrize("tile", [TileId(0, 0, 0), TileId(2, 1, 1), TileId(4, 0, 0, WorldKind.PLANE)])
def test_only_the_rim_has_caps(tile: TileId) -> None:
    with pytest.raises(InvalidArgumentError, match="no polar cap"):
        sector_mesh(tile, field_of)
