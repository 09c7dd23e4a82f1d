"""Does generated colour look like that of satellites? Held-out scenes made 16 times coarser and coloured again, beside the scenes.

Both stages run as the cascade runs them, integers and all: ground first, colour that knows it. Where no height is known, the ground is
even. Statistics of colour are those of whole scenes: moments, gradients, spectrum, a kernel distance of scattering coefficients, and
where heights are real how gradients of light and of height go together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from kymatio.scattering2d.frontend.numpy_frontend import ScatteringNumPy2D  # the package's own entry imports what scipy has no more
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import morphometry
from benchmarks.realism import window_at
from terraloom_engines.cascade import Stages
from terraloom_engines.conservation import block_details, interleave, split_children
from terraloom_engines.field import COLOUR_UNIT, ELEVATION_UNIT, LAND_FULL, LOG_UNIT
from terraloom_engines.imagery import HAZE, ImageryStage
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.stages import Array, Window
from terraloom_engines.training.pyramid import Level, coarser
from terraloom_engines.training.rasters import imagery_sources
from terraloom_engines.upsampling import REACH as SMOOTH
from terraloom_engines.upsampling import smooth_details

Raster = NDArray[np.float64]
Maker = Callable[[Level, Level, int], tuple[Raster, Raster]]
"""Coarse colour, coarse ground and how many times finer, to colour (3, H, W) in 8-bit steps and heights (H, W) in metres."""

SCENES = {
    "Rocky Mountains 167 m": ("rmnp150", 167.0), "Germany 100 m": ("s2_T32UQV_100", 100.0), "Kanto hills 31 m": ("l9kanto_3646_1608", 31.0),
    "Kanto towns 31 m": ("l9kanto_3646_1600", 31.0), "Dubai, built up, 1.4 m": ("t5_8.rgb", 1.4), "Dubai, coast, 2.8 m": ("t5_3.rgb", 2.8),
}  # fmt: skip
"""Held-out scenes: name and metres per pixel."""
TIMES = 16
SLOPE = -2.2
"""Exponent of the plain answer's noise: that of the power density of the first four scenes is -1.9 to -2.3."""
LARGEST = 512
"""Pixels along the side of what is judged, at most."""
EVEN = 0.02
"""Spread of even ground inside a pixel, over its size."""
PATCH, SCALES, ANGLES = 32, 3, 4
"""Side of the squares that scattering describes, and its wavelets."""


@dataclass(frozen=True)
class Scene:
    """A held-out image at one level, and its ground at the same, if that is known."""

    colour: Level
    ground: Level | None


class Northern(Window):
    """A window whose row says how large its pixels are, not how high the sun stands: all scenes lie north of the tropics."""

    def sunward(self) -> Array:
        return np.ones(self.side, np.float32)


def scenes(data: Path) -> dict[str, Scene]:
    """The scenes of `SCENES`, cut to a square that `TIMES` divides."""
    held_out = [source for source in imagery_sources(data) if source.held_out]
    found = {}
    for title, (name, gsd) in SCENES.items():
        source = min((one for one in held_out if one.name == name), key=lambda one: abs(math.log2(one.level.gsd / gsd)))
        found[title] = Scene(*(None if level is None else squared(level) for level in (source.level, source.partner)))  # type: ignore[arg-type]
    return found


def squared(level: Level) -> Level:
    """The middle of a level: a square whose side twice `TIMES` divides (windows of networks are even)."""
    rows, columns = level.mean.shape[1:]
    side = min(rows, columns, LARGEST) // (2 * TIMES) * 2 * TIMES
    top, left = (rows - side) // 2, (columns - side) // 2
    cut = np.s_[..., top : top + side, left : left + side]
    return Level(level.mean[cut], level.spread[cut], level.valid[cut], level.gsd)


def even_ground(colour: Level) -> Level:
    """Ground of the shape of an image where nothing is known of it: 100 m high and nearly flat."""
    shape = colour.mean.shape[1:]
    spread = np.full(shape, EVEN * colour.gsd, np.float32)
    return Level(np.full((1, *shape), 100, np.float32), spread, np.ones(shape, bool), colour.gsd)


def painted(lifting: LiftingStage, imagery: ImageryStage, colour: Level, ground: Level, times: int) -> tuple[Raster, Raster]:
    """What both stages make of a coarse scene, reflected at its rim."""
    loss = lifting.spec.halo + imagery.spec.halo
    rasters = [
        np.rint(ground.mean[0] / ELEVATION_UNIT), np.rint(np.log2(ground.spread) / LOG_UNIT),
        *np.rint(colour.mean / COLOUR_UNIT), np.rint(np.log2(colour.spread) / LOG_UNIT),
    ]  # fmt: skip
    pad = 2 * loss
    # So small a scene is not as wide as its halo: it is repeated by reflection as often as that takes.
    stored = np.stack([np.pad(raster.astype(np.int32), pad, mode="symmetric") for raster in rasters])
    gsd, margin = colour.gsd, pad
    for _ in range(int(math.log2(times))):
        gsd /= 2
        elevation, relief, *bands, texture = stored
        side = elevation.shape[0]
        window = window_at(gsd, side)
        dry = Waters(np.full((side, side), LAND_FULL, np.int32), np.zeros((side, side), np.int32), None)
        geometry = lifting.refine(window, elevation, relief, dry, None)
        outer = slice(lifting.spec.halo, side - lifting.spec.halo)
        below = Northern(window.level, window.column + lifting.spec.halo, window.row + lifting.spec.halo, side - 2 * lifting.spec.halo)
        made = imagery.refine(
            below, np.stack(bands)[:, outer, outer], texture[outer, outer], dry.land[outer, outer],
            (elevation[outer, outer], relief[outer, outer]), geometry,
        )  # fmt: skip
        geometry = lifting.drained(window, elevation, dry, geometry)
        inner = slice(imagery.spec.halo, geometry.elevation.shape[-1] - imagery.spec.halo)
        parts = [geometry.elevation[:, inner, inner], geometry.relief[:, inner, inner]]
        stored = np.stack([interleave(part) for part in [*parts, *(made.colour[:, band] for band in range(3)), made.texture]])
        margin = 2 * (margin - loss)
    keep = stored[:, margin:-margin, margin:-margin].astype(np.float64)
    return keep[2:5] * COLOUR_UNIT, keep[0] * ELEVATION_UNIT


def plain(colour: Level, ground: Level, times: int, rng: np.random.Generator) -> tuple[Raster, Raster]:
    """The plain answer: bicubic upsampling, and grey noise of a power law with the spread that the coarse pixels hold."""

    def larger(raster: NDArray[np.float32], order: int) -> Raster:
        made: Raster = ndimage.zoom(raster.astype(np.float64), times, order=order, mode="nearest", grid_mode=True)
        return made

    spread = larger(colour.spread, 1)
    radius = np.hypot(np.fft.fftfreq(spread.shape[0])[:, None], np.fft.rfftfreq(spread.shape[1])[None, :])
    power = np.where(radius > 0.5 / times, np.maximum(radius, 1e-6) ** (SLOPE / 2), 0)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(spread.shape)) * power, spread.shape)
    bands = np.stack([larger(band, 3) for band in colour.mean])
    return np.clip(bands + noise / noise.std() * spread, 0, 255), larger(ground.mean[0], 3)


def maker(lifting: LiftingStage, imagery: ImageryStage) -> Maker:
    """What both stages make of a coarse scene."""
    return lambda colour, ground, times: painted(lifting, imagery, colour, ground, times)


def makers_of(stages: Mapping[str, Stages]) -> dict[str, Maker]:
    """The plain answer, and every pair of stages."""
    rng = np.random.default_rng(5)
    makers: dict[str, Maker] = {"bicubic + noise": lambda colour, ground, times: plain(colour, ground, times, rng)}
    return makers | {name: maker(each.lifting, each.imagery) for name, each in stages.items()}


def gradients(raster: Raster) -> Raster:
    """Length of the gradient of a raster (H, W), per pixel."""
    south, east = np.gradient(raster)
    return np.hypot(south, east)


def alignment(colour: Raster, height: Raster) -> float:
    """How gradients of light and of height go together, -1..1: their scalar product over the whole, normalised."""
    light, ground = np.gradient(colour.mean(axis=0)), np.gradient(height)
    together = sum(float((a * b).sum()) for a, b in zip(light, ground, strict=True))
    powers = [sum(float((part**2).sum()) for part in field) for field in (light, ground)]
    return together / math.sqrt(powers[0] * powers[1] + 1e-12)


def halved(raster: Raster) -> Raster:
    """Means of 2 x 2 blocks of a raster (..., H, W)."""
    rows, columns = (n // 2 * 2 for n in raster.shape[-2:])
    split: Raster = raster[..., :rows, :columns].reshape(*raster.shape[:-2], rows // 2, 2, columns // 2, 2)
    return split.mean(axis=(-3, -1))


def sides(colour: Raster, height: Raster, gsd: float) -> dict[str, float]:
    """How light takes after slopes: what it changes by, as a share of itself, per unit of slope southward and eastward, and of height.

    Least squares on what is new in four children (Haar details less those of smooth upsampling); `explained` is the share of its variance.
    Heights are in pixels.
    """
    north, east = (-part / gsd for part in np.gradient(height))
    light = colour.mean(axis=0)

    def new(raster: Raster) -> Raster:
        rows, columns = (n // 2 * 2 for n in raster.shape)
        kept = raster[:rows, :columns].astype(np.float32)
        details: Raster = block_details(split_children(kept))[:, SMOOTH:-SMOOTH, SMOOTH:-SMOOTH] - smooth_details(halved(kept))
        return details

    relative = new(light) / (halved(light)[SMOOTH:-SMOOTH, SMOOTH:-SMOOTH] + HAZE * COLOUR_UNIT)
    terms = np.stack([new(part).ravel() for part in (north, east, height / gsd)], axis=1)
    found = np.linalg.lstsq(terms, relative.ravel(), rcond=None)[0]
    left = ((relative.ravel() - terms @ found) ** 2).mean() / (relative**2).mean()
    return {"southward": float(found[0]), "eastward": float(found[1]), "upward": float(found[2]), "explained": float(1 - left)}


@lru_cache(maxsize=1)
def scattering() -> ScatteringNumPy2D:
    """Scattering of second order over squares of `PATCH` pixels (Bruna & Mallat 2013)."""
    return ScatteringNumPy2D(J=SCALES, shape=(PATCH, PATCH), L=ANGLES)


def features(colour: Raster) -> Raster:
    """Logarithms of the scattering coefficients of the squares of an image (3, H, W): (squares, features).

    Those of order 0 are left out: they are the squares' brightness, which moments tell.
    """
    rows, columns = (n // PATCH for n in colour.shape[1:])
    cut = colour[:, : rows * PATCH, : columns * PATCH].reshape(3, rows, PATCH, columns, PATCH)
    patches = cut.transpose(1, 3, 0, 2, 4).reshape(rows * columns, 3, PATCH, PATCH)
    found = scattering()(np.ascontiguousarray(patches, np.float32)).mean(axis=(-2, -1))
    return np.log2(found[:, :, 1:].reshape(len(patches), -1).astype(np.float64) + 0.05)


def kernel_distance(first: Raster, second: Raster) -> float:
    """Maximum mean discrepancy of two sets of features, by the unbiased estimate with a Gaussian kernel (Gretton et al. 2012).

    The kernel is as wide as the median distance of the second set's features from each other.
    """

    def squares(left: Raster, right: Raster) -> Raster:
        return (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2 * left @ right.T

    own = squares(second, second)
    width = float(np.median(own[~np.eye(len(second), dtype=bool)])) + 1e-9
    count = len(first), len(second)
    inner = [(np.exp(-squares(side, side) / width).sum() - n) / (n * (n - 1)) for side, n in zip((first, second), count, strict=True)]
    return math.sqrt(max(0.0, inner[0] + inner[1] - 2 * float(np.exp(-squares(first, second) / width).mean())))


def lattice(image: Raster) -> dict[str, float]:
    """What a grid would leave in the light of an image: 1 on real scenes, or near it."""
    light = image.mean(axis=0)
    return {"axis_ratio": morphometry.axis_ratio(light)} | {f"grid_{n}": morphometry.grid_ratio(light, n) for n in (2, 4, 8)}


def distances(first: Raster, second: Raster) -> dict[str, float]:
    """How far two images (3, H, W) in 8-bit steps are apart, by statistic; 0 for the same statistics."""
    sides = min(min(first.shape[1:]), min(second.shape[1:]))
    light = [image.mean(axis=0)[:sides, :sides] for image in (first, second)]
    moments = [np.stack([image.reshape(3, -1).mean(axis=1), image.reshape(3, -1).std(axis=1)]) for image in (first, second)]
    skews = [((side - side.mean()) ** 3).mean() / (side.std() ** 3 + 1e-9) for side in light]
    densities = [np.log2(morphometry.spectrum(side)[0]) for side in light]
    return {
        "mean_steps": float(np.abs(moments[0][0] - moments[1][0]).mean()),
        "deviation_octaves": float(np.abs(np.log2(moments[0][1] / moments[1][1])).mean()),
        "skewness": float(abs(skews[0] - skews[1])),
        "gradient_steps": morphometry.wasserstein(gradients(light[0]), gradients(light[1])),
        "psd_octaves": float(np.abs(densities[0] - densities[1]).mean()),
        "psd_slope": abs(morphometry.spectral_slope(light[0]) - morphometry.spectral_slope(light[1])),
        "scattering_kernel": kernel_distance(features(first), features(second)),
    }


def floor(image: Raster) -> dict[str, float]:
    """Between disjoint halves of the same scene, both ways of halving it, averaged."""
    rows, columns = image.shape[1] // 2, image.shape[2] // 2
    found = [distances(image[:, :rows], image[:, rows:]), distances(image[:, :, :columns], image[:, :, columns:])]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def measure(data: Path, makers: Mapping[str, Maker], tell: Callable[[str, list[Raster]], object], *, quick: bool = False) -> dict[str, Any]:
    """All scenes; keys are scene, maker, statistic. `tell` gets the name and the images of a scene: real, then every maker's.

    The first scene alone if `quick`.
    """
    out: dict[str, Any] = {}
    for title, scene in list(scenes(data).items())[: 1 if quick else None]:
        ground = scene.ground or even_ground(scene.colour)
        coarse = [scene.colour, ground]
        for _ in range(int(math.log2(TIMES))):
            coarse = [coarser(level) for level in coarse]
        truth = scene.colour.mean.astype(np.float64)
        figures: dict[str, Any] = {"floor": floor(truth), "lattice of the scene": lattice(truth)}
        if scene.ground is not None:
            figures["alignment with real heights"] = alignment(truth, ground.mean[0].astype(np.float64))
            figures["sides, twice coarser"] = sides(halved(truth), halved(ground.mean[0].astype(np.float64)), 2 * ground.gsd)
        images = [truth]
        for name, make in makers.items():
            image, height = make(coarse[0], coarse[1], TIMES)
            figures[name] = distances(image, truth) | lattice(image)
            if scene.ground is not None:
                figures[name]["alignment with its own heights"] = alignment(image, height)
                figures[name]["sides, twice coarser"] = sides(halved(image), halved(height), 2 * ground.gsd)
            images.append(image)
        out[title] = figures
        tell(title, images)
    return out


def summary(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Geometric mean over scenes of every maker's distances, in units of the floor."""
    statistics = list(next(iter(figures.values()))["floor"])
    out = {}
    others = ("floor", "alignment with real heights", "lattice of the scene", "sides, twice coarser")
    for maker in [name for name in next(iter(figures.values())) if name not in others]:
        ratios = {
            name: [max(scene[maker][name], 1e-3) / max(scene["floor"][name], 1e-3) for scene in figures.values()] for name in statistics
        }
        out[maker] = {name: round(float(np.exp(np.mean(np.log(values)))), 2) for name, values in ratios.items()}
    return out
