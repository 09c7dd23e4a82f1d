"""A flight from above: the ground that the client received, the tiles it drew, coloured by level, and the path."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from terraloom_engines.render.received import TileSurface
from terraloom_engines.shading import Sun, hillshade
from terraloom_engines.texture import SEA_COLOUR
from terraloom_engines.tiling import TILE_SIZE, TileId, WorldKind, ground_sample_distance, pixel_from_place, row_ground_sample_distance

__all__ = ["Chart", "draw_chart"]

LEVEL_COLOURS = ("#7b6cff", "#4aa3ff", "#25d0c8", "#58d364", "#c8e04a", "#ffc93c", "#ff8f3f", "#ff5470", "#ff6ad5", "#ffffff")
"""Outlines by level, coarse to fine; the last for all levels beyond."""
COARSEST_COLOURED = 6
RELIEF_STRENGTH = 0.75
_GRID_LEVEL = 20
"""Positions on charts are counted in pixels of this level."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What is to be seen: the drawn tiles, the path flown (degrees, or metres on a plane) and numbered marks on it."""

    drawn: frozenset[TileId]
    path: Sequence[tuple[float, float]]
    marks: Sequence[tuple[float, float]]
    width: int = 1600
    height: int = 900
    kind: WorldKind = WorldKind.PLANET


def draw_chart(chart: Chart, surfaces: Iterable[TileSurface]) -> Image.Image:
    """The chart over the ground of `surfaces`, with room round the path; north is up."""
    frame = _Frame.round_path(chart)
    picture = _ground(frame, surfaces).convert("RGB")
    draw = ImageDraw.Draw(picture, "RGBA")
    inside = [tile for tile in sorted(chart.drawn) if frame.touches(tile)]
    for tile in inside:
        draw.rectangle(frame.box(tile), outline=_level_colour(tile.z), width=2)
    path = [frame.position(*place) for place in chart.path]
    draw.line(path, fill="#000000", width=9, joint="curve")
    draw.line(path, fill="#ffffff", width=5, joint="curve")
    for number, place in enumerate(chart.marks, start=1):
        _mark(draw, frame.position(*place), str(number))
    _legend(draw, sorted({tile.z for tile in inside}), chart.height)
    return picture


@dataclass(frozen=True, slots=True)
class _Frame:
    """A north-up rectangle of the map: global pixel of `_GRID_LEVEL` at the top left, and such pixels to one of the chart."""

    left: float
    top: float
    scale: float
    width: int
    height: int
    latitude: float
    kind: WorldKind

    @classmethod
    def round_path(cls, chart: Chart) -> "_Frame":
        places = np.array([pixel_from_place(chart.kind, _GRID_LEVEL, *place) for place in chart.path])
        low, high = places.min(axis=0), places.max(axis=0)
        middle = (low + high) / 2
        scale = max(*(1.7 * (high - low) / (chart.width, chart.height)), 1.0)
        left, top = middle - np.array([chart.width, chart.height]) * scale / 2
        return cls(left, top, scale, chart.width, chart.height, chart.path[0][1], chart.kind)

    def position(self, east: float, north: float) -> tuple[float, float]:
        column, row = pixel_from_place(self.kind, _GRID_LEVEL, east, north)
        return (column - self.left) / self.scale, (row - self.top) / self.scale

    def box(self, tile: TileId) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of a tile on the chart, in pixels."""
        side = float(TILE_SIZE << _GRID_LEVEL - tile.z) if tile.z <= _GRID_LEVEL else TILE_SIZE / (1 << tile.z - _GRID_LEVEL)
        left, top = (tile.x * side - self.left) / self.scale, (tile.y * side - self.top) / self.scale
        return left, top, left + side / self.scale, top + side / self.scale

    def touches(self, tile: TileId) -> bool:
        """Whether any of a tile is on the chart."""
        left, top, right, bottom = self.box(tile)
        return right > 0 and bottom > 0 and left < self.width and top < self.height

    @property
    def metres(self) -> float:
        """Metres to a pixel of the chart."""
        plane = self.kind is WorldKind.PLANE
        pixel = row_ground_sample_distance(_GRID_LEVEL, 0, self.kind) if plane else ground_sample_distance(_GRID_LEVEL, self.latitude)
        return pixel * self.scale


def _ground(frame: _Frame, surfaces: Iterable[TileSurface]) -> Image.Image:
    """Colour and relief of the surfaces, finer ones over coarser ones."""
    colour = Image.new("RGB", (frame.width, frame.height), SEA_COLOUR)
    heights = Image.new("F", (frame.width, frame.height))
    for surface in sorted((surface for surface in surfaces if frame.touches(surface.tile)), key=lambda surface: surface.tile):
        _paste(colour, surface.colour, frame.box(surface.tile))
        _paste(heights, surface.heights, frame.box(surface.tile))
    shade = hillshade(np.pad(np.asarray(heights), 1, mode="edge"), frame.metres, Sun(), 1.3)
    relief = 1 + RELIEF_STRENGTH * (shade / np.float32(Sun().direction[2]) - 1)
    lifted = 255 * (np.asarray(colour) / 255) ** 0.75 * relief[..., None]
    return Image.fromarray(np.clip(lifted, 0, 255).astype(np.uint8))


def _paste(target: Image.Image, values: NDArray[np.generic], box: tuple[float, float, float, float]) -> None:
    """Puts a tile's raster into `box` of the target; only the part inside is resampled."""
    left, top, right, bottom = (round(edge) for edge in box)
    inside = max(left, 0), max(top, 0), min(right, target.width), min(bottom, target.height)
    size = inside[2] - inside[0], inside[3] - inside[1]
    if min(size) > 0:
        across, down = values.shape[1] / (right - left), values.shape[0] / (bottom - top)
        part = (inside[0] - left) * across, (inside[1] - top) * down, (inside[2] - left) * across, (inside[3] - top) * down
        target.paste(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, box=part), inside[:2])


def _level_colour(level: int) -> str:
    return LEVEL_COLOURS[min(max(level - COARSEST_COLOURED, 0), len(LEVEL_COLOURS) - 1)]


def _mark(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str) -> None:
    x, y = at
    draw.ellipse((x - 17, y - 17, x + 17, y + 17), fill="#101418", outline="#ffffff", width=3)
    draw.text((x, y), text, fill="#ffffff", anchor="mm", font=ImageFont.load_default(20))


def _legend(draw: ImageDraw.ImageDraw, levels: Sequence[int], height: int) -> None:
    """One swatch a level, finest first, in the lower left corner."""
    font, line = ImageFont.load_default(18), 26
    top = height - 24 - line * len(levels)
    draw.rectangle((12, top - 12, 140, height - 12), fill=(16, 20, 24, 190))
    for row, level in enumerate(reversed(levels)):
        y = top + row * line
        draw.rectangle((24, y + 4, 44, y + 20), outline=_level_colour(level), width=3)
        draw.text((56, y + 12), f"level {level}", fill="#ffffff", anchor="lm", font=font)
