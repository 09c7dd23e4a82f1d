"""Plates that drift: cells of a power diagram on the sphere, each turning about a pole of its own, and how they meet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.curves import Raster
from terraloom_engines.bundle.planet.fractals import direction
from terraloom_engines.bundle.planet.gradient import uniforms

Indices = NDArray[np.int32]


@dataclass(frozen=True)
class Boundary:
    """How places lie to the nearest boundary between two plates.

    `plate` and `other` are the indices of a place's plate and its neighbour; `distance` to the boundary and `third`, the same between the
    neighbour and a third plate, in radians; `closing` the speed at which the two approach, about -1 to 1; `across` the unit vector over
    the boundary. At `third` = 0 the neighbour changes, and with it all the rest.
    """

    plate: Indices
    other: Indices
    distance: Raster
    third: Raster
    closing: Raster
    across: list[Raster]


class Plates:
    """`count` plates of one planet. `lonely` candidates are drawn for each centre and the loneliest taken; `weight` makes sizes differ."""

    def __init__(self, seed: int, stream: int, count: int, *, lonely: int, weight: float) -> None:
        u = uniforms(seed, stream, count * (2 * lonely + 4)).reshape(count, -1)
        centres: list[NDArray[np.float64]] = []
        for row in u:
            candidates = [direction(row[2 * k], row[2 * k + 1]) for k in range(lonely)]
            gaps = [min((float(((place - known) ** 2).sum()) for known in centres), default=0.0) for place in candidates]
            centres.append(candidates[gaps.index(max(gaps))])
        self.count, self.centres = count, np.array(centres)
        self._weights = (u[:, -4] * weight).astype(np.float32)
        spins = np.array([direction(row[-3], row[-2]) * (0.4 + 0.9 * row[-1]) for row in u])
        apart = self.centres[None] - self.centres[:, None]
        distances = np.sqrt((apart**2).sum(axis=-1)) + np.eye(count)
        normals = apart / distances[..., None]
        self._scale = (0.5 / distances).astype(np.float32).ravel()
        self._normals = normals.astype(np.float32).reshape(-1, 3).T.copy()
        self._closing = np.cross(normals, spins[:, None] - spins[None]).astype(np.float32).reshape(-1, 3).T.copy()

    def boundary(self, warped: list[Raster], places: list[Raster]) -> Boundary:
        """The boundaries next to places; `warped` are the places that decide on plates."""
        plate, other, gaps = self._nearest(warped)
        pair = plate * np.int32(self.count) + other
        scale = np.take(self._scale, pair)
        closing = [np.take(part, pair) * place for part, place in zip(self._closing, places, strict=True)]
        across = [np.take(part, pair) for part in self._normals]
        return Boundary(
            plate, other, (gaps[1] - gaps[0]) * scale, (gaps[2] - gaps[1]) * scale, closing[0] + closing[1] + closing[2], across
        )

    def shares(self, places: list[Raster], width: float) -> list[Raster]:
        """How much of every plate there is at places, adding up to 1; plates blend over about `width` radians on either side."""
        gaps = [self._gap(i, places) for i in range(self.count)]
        least = gaps[0]
        for gap in gaps[1:]:
            least = np.minimum(least, gap)
        parts = []
        for gap in gaps:
            near = np.maximum(np.float32(1) - (gap - least) * np.float32(1 / (2 * width)), 0)
            parts.append(near * near)
        whole = parts[0]
        for part in parts[1:]:
            whole = whole + part
        return [part / whole for part in parts]

    def _gap(self, i: int, places: list[Raster]) -> Raster:
        """Distance from plate `i` in the power diagram: least at the plate that a place belongs to."""
        x, y, z = (np.float32(-2 * part) for part in self.centres[i])
        return places[0] * x + places[1] * y + places[2] * z + self._weights[i]

    def _nearest(self, places: list[Raster]) -> tuple[Indices, Indices, list[Raster]]:
        """Nearest and second nearest plate, and the three least distances."""
        shape = places[0].shape
        gaps = [np.full(shape, np.float32(1e9)) for _ in range(3)]
        plate, other = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        for i in range(self.count):
            gap = self._gap(i, places)
            first, second = gap < gaps[0], gap < gaps[1]
            gaps[2] = np.where(second, gaps[1], np.minimum(gaps[2], gap))
            other = np.where(first, plate, np.where(second, np.int32(i), other))
            gaps[1] = np.where(first, gaps[0], np.where(second, gap, gaps[1]))
            plate = np.where(first, np.int32(i), plate)
            gaps[0] = np.where(first, gap, gaps[0])
        return plate, other, gaps
