"""Fractal sums of noise over a patch: octaves from coarse cells down to what its pixels resolve."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.bundle.planet.curves import Raster
from terraloom_engines.bundle.planet.gradient import gradient_noise, uniforms
from terraloom_engines.bundle.planet.patches import Window

SMOOTH_CELLS = 12
"""Noise with cells of at least this many pixels (at the equator) is interpolated from nodes."""
FADE = (1.2, 2.4)
"""Pixels per cell up to which an octave is left out, and from which on it counts in full."""
MEAN_CREST, MEAN_RIDGES = np.float32(0.3), np.float32(0.55)
"""Means of one octave of ridges and of their sum."""


@dataclass(frozen=True)
class Fractal:
    """A sum of octaves of noise: the coarsest cell and the finest in radians, the ratio of amplitudes from one octave to the next."""

    stream: int
    cell: float
    gain: float
    finest: float = 0.0
    channels: int = 1


@dataclass(frozen=True)
class Warp:
    """Moved places of a patch and of its nodes; without nodes, noise there is evaluated at every pixel."""

    places: list[Raster]
    nodes: list[Raster] | None

    def halfway(self, window: Window) -> "Warp":
        """Half of the way from the window's own places."""
        half = np.float32(0.5)
        places = [own + half * (moved - own) for own, moved in zip(window.places, self.places, strict=True)]
        nodes = self.nodes and [own + half * (moved - own) for own, moved in zip(window.nodes, self.nodes, strict=True)]
        return Warp(places, nodes)


class Noise:
    """The noise of one planet."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._frames: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32], int]] = {}

    def sum(self, window: Window, fractal: Fractal, warp: Warp | None = None) -> list[Raster]:
        """Fractional Brownian motion: the octaves' sum, the coarsest with amplitude 1; one raster per channel."""
        smooth, fine = self._parts(window, fractal, warp)
        return [window.interpolate(low) + high for low, high in zip(smooth, fine, strict=True)]

    def warp(self, window: Window, fractal: Fractal, amount: float) -> Warp:
        """The window's places moved by `amount` times a sum of three channels."""
        smooth, fine = self._parts(window, fractal, None)
        factor = np.float32(amount)
        nodes = [place + factor * low for place, low in zip(window.nodes, smooth, strict=True)]
        vectors = [window.interpolate(low) + high for low, high in zip(smooth, fine, strict=True)]
        return Warp([place + factor * vector for place, vector in zip(window.places, vectors, strict=True)], nodes)

    def ridged(self, window: Window, fractal: Fractal, warp: Warp | None = None) -> Raster:
        """Ridged multifractal (Musgrave, in Ebert et al., "Texturing and modeling"), about 0 to 1: crests where noise crosses 0.

        An octave counts by what it differs from its mean, so that one that fades out leaves nothing behind.
        """
        total, before = np.full(window.shape, MEAN_RIDGES), np.float32(1)
        for index, weight, (values,) in self._octaves(window, fractal, warp):
            crest = np.maximum(np.float32(1) - np.abs(window.interpolate(values) if weight is None else values) * np.float32(0.85), 0)
            excess = crest * crest - MEAN_CREST
            if weight is not None:
                excess = weight * excess
            total = total + np.float32(fractal.gain**index) * excess * before
            before = np.clip((excess + MEAN_CREST) * np.float32(1.6), 0, 1)
        return total

    def _parts(self, window: Window, fractal: Fractal, warp: Warp | None) -> tuple[list[Raster], list[Raster]]:
        """The part of a sum that nodes resolve, there, and the rest, at the pixels."""
        smooth: list[Raster] = [np.zeros(window.nodes[0].shape, np.float32) for _ in range(fractal.channels)]
        fine: list[Raster] = [np.zeros(window.shape, np.float32) for _ in range(fractal.channels)]
        for index, weight, values in self._octaves(window, fractal, warp):
            amplitude = np.float32(fractal.gain**index)
            if weight is None:
                smooth = [total + amplitude * raster for total, raster in zip(smooth, values, strict=True)]
            else:
                fine = [total + (weight * amplitude) * raster for total, raster in zip(fine, values, strict=True)]
        return smooth, fine

    def _octaves(self, window: Window, fractal: Fractal, warp: Warp | None) -> Iterator[tuple[int, Raster | None, list[Raster]]]:
        """Index, weight (height, 1) and noise of every octave that the window resolves; weight None: it counts in full, at the nodes."""
        smallest = float(window.gsd.min()) * FADE[0]
        places, nodes = (warp.places, warp.nodes) if warp else (window.places, window.nodes)
        index, cell = 0, fractal.cell
        while cell > smallest and cell >= fractal.finest:
            if nodes is not None and cell >= SMOOTH_CELLS * window.pixel:
                yield index, None, self._octave(nodes, fractal, index)
            else:
                weight = np.clip((np.float32(cell) / window.gsd - np.float32(FADE[0])) * np.float32(1 / (FADE[1] - FADE[0])), 0, 1)
                yield index, weight, self._octave(places, fractal, index)
            index, cell = index + 1, cell / 2

    def _octave(self, places: list[Raster], fractal: Fractal, index: int) -> list[Raster]:
        """One octave at places. Each has its own turned and shifted lattice, so that no lattice shows."""
        turn, shift, key = self._frame(fractal, index)
        along = [places[0] * turn[k, 0] + places[1] * turn[k, 1] + places[2] * turn[k, 2] + shift[k] for k in range(3)]
        return gradient_noise(along, key, fractal.channels)

    def _frame(self, fractal: Fractal, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        """Axes of an octave's lattice over the cell's size, its shift in cells and its hash key."""
        known = self._frames.get((fractal.stream, index))
        if known is None:
            u = uniforms(self._seed, 256 * fractal.stream + index, 8)
            up, across = direction(u[0], u[1]), direction(u[2], u[3])
            across = across - up * float((across * up).sum())
            across = across / math.sqrt(float((across * across).sum()))
            turn = np.stack([up, across, np.cross(up, across)]) * (2.0**index / fractal.cell)
            known = turn.astype(np.float32), (u[4:7] * 512).astype(np.float32), int(u[7] * 2**32)
            self._frames[fractal.stream, index] = known
        return known


def direction(height: float, turn: float) -> NDArray[np.float64]:
    """A unit vector out of two uniform numbers."""
    z, angle = 2 * height - 1, 2 * math.pi * turn
    return np.array([math.sqrt(1 - z * z) * math.cos(angle), math.sqrt(1 - z * z) * math.sin(angle), z])
