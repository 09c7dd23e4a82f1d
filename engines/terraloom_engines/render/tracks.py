"""The ways that lines of sight run over the ground from one place: great circles as Web Mercator draws them, straight lines on a plane."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.geodesy import SEMI_MAJOR_AXIS
from terraloom_engines.render.camera import Eye
from terraloom_engines.tiling import PLANE_METRES, TILE_SIZE, WorldKind

__all__ = ["Tracks"]

Array = NDArray[np.float32]

_KNOT = 12
"""Distances from one exact point of a track to the next; between them a track is straight."""


@dataclass(frozen=True, slots=True)
class Tracks:
    """Offsets of points on tracks from their common start, in the units of `Landscape`; `east` and `south` are (tracks, knots)."""

    distances: Array
    knots: Array
    east: NDArray[np.float32]
    south: NDArray[np.float32]

    @classmethod
    def from_eye(cls, eye: Eye, azimuths: NDArray[np.floating], distances: Array) -> Self:
        """Tracks in directions `azimuths` (degrees clockwise from north) over the ground, for rising `distances` in metres."""
        knots = np.concatenate([distances[:-1:_KNOT], distances[-1:]])
        if eye.kind is WorldKind.PLANE:
            course, far = np.radians(azimuths.astype(np.float64))[:, None], knots / np.float64(PLANE_METRES * TILE_SIZE)
            return cls(distances, knots, (np.sin(course) * far).astype(np.float32), (-np.cos(course) * far).astype(np.float32))
        return cls(distances, knots, *_great_circles(eye.east, eye.north, azimuths, knots))

    def along(self) -> tuple[Array, Array]:
        """Offsets east and south of all tracks at all distances, shape (tracks, distances)."""
        knot, part = self._between(self.distances)
        return tuple(at[:, knot] + (at[:, knot + 1] - at[:, knot]) * part for at in (self.east, self.south))  # type: ignore[return-value]

    def at(self, tracks: NDArray[np.int64], distances: Array) -> tuple[Array, Array]:
        """Offsets east and south of one point each: `distances` metres along `tracks`."""
        knot, part = self._between(distances)
        return tuple(at[tracks, knot] + (at[tracks, knot + 1] - at[tracks, knot]) * part for at in (self.east, self.south))  # type: ignore[return-value]

    def _between(self, distances: Array) -> tuple[NDArray[np.int64], Array]:
        """The knot before each distance, and the part of the way to the next."""
        knot = np.clip(np.searchsorted(self.knots, distances, side="right") - 1, 0, len(self.knots) - 2)
        return knot, (distances - self.knots[knot]) / (self.knots[knot + 1] - self.knots[knot])


def _great_circles(longitude: float, latitude: float, azimuths: NDArray[np.floating], distances: Array) -> tuple[Array, Array]:
    """Offsets east and south on the map, in widths of it, of points on great circles that leave a place."""
    arc, course = distances.astype(np.float64) / SEMI_MAJOR_AXIS, np.radians(azimuths.astype(np.float64))[:, None]
    phi = math.radians(min(max(latitude, -89.0), 89.0))
    north, along = math.cos(phi) * np.sin(arc) * np.cos(course), math.sin(phi) * np.cos(arc)
    sine = np.clip(along + north, -0.9999, 0.9999)
    east = np.arctan2(np.sin(course) * np.sin(arc) * math.cos(phi), np.cos(arc) - math.sin(phi) * sine) / math.tau
    south = (math.atanh(math.sin(phi)) - np.arctanh(sine)) / math.tau
    return east.astype(np.float32), south.astype(np.float32)
