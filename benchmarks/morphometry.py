"""What a geomorphologist measures on a raster of heights, and how far two rasters are apart by it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks import drainage

Raster = NDArray[np.float64]

FORMS = ("flat", "summit", "ridge", "shoulder", "spur", "slope", "hollow", "footslope", "valley", "pit")
"""The ten geomorphons (Jasiewicz & Stepinski 2013)."""
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


def slope(height: Raster, gsd: float) -> Raster:
    """Degrees, from central differences; one pixel is lost on each side."""
    east = (height[1:-1, 2:] - height[1:-1, :-2]) / (2 * gsd)
    south = (height[2:, 1:-1] - height[:-2, 1:-1]) / (2 * gsd)
    return np.degrees(np.arctan(np.hypot(east, south)))


def curvature(height: Raster, gsd: float) -> Raster:
    """Laplacian times pixel size: change of slope per pixel, metres per metre."""
    total = height[1:-1, 2:] + height[1:-1, :-2] + height[2:, 1:-1] + height[:-2, 1:-1] - 4 * height[1:-1, 1:-1]
    return total / gsd


def local_relief(height: Raster, side: int = 9) -> Raster:
    """Highest minus lowest in squares of `side` pixels, every `side` pixels, metres."""
    rows, columns = (n // side * side for n in height.shape)
    blocks = height[:rows, :columns].reshape(rows // side, side, columns // side, side)
    return blocks.max(axis=(1, 3)) - blocks.min(axis=(1, 3))


def geomorphons(height: Raster, gsd: float, reach: int = 10, flat: float = 1.0) -> NDArray[np.float64]:
    """Shares of the ten forms: lines of sight over `reach` pixels in eight directions, `flat` degrees of flatness."""
    inner = height[reach:-reach, reach:-reach]
    rows, columns = inner.shape
    higher, lower = np.zeros(inner.shape, int), np.zeros(inner.shape, int)
    for dy, dx in DIRECTIONS:
        steepest, deepest = np.full(inner.shape, -np.inf), np.full(inner.shape, np.inf)
        for step in range(1, reach + 1):
            part = height[reach + dy * step : reach + dy * step + rows, reach + dx * step : reach + dx * step + columns]
            angle = np.degrees(np.arctan((part - inner) / (gsd * step * np.hypot(dy, dx))))
            steepest, deepest = np.maximum(steepest, angle), np.minimum(deepest, angle)
        # The zenith angle is 90 - steepest, the nadir angle 90 + deepest: their difference decides.
        difference = steepest + deepest
        higher += difference > flat
        lower += difference < -flat
    return np.bincount(form_of(higher, lower).ravel(), minlength=len(FORMS)) / inner.size


def form_of(higher: NDArray[np.int_], lower: NDArray[np.int_]) -> NDArray[np.int_]:
    """Number of the form in `FORMS` for the counts of directions in which land is higher and lower."""
    table = np.full((9, 9), -1)
    rows = (
        (0, 0, 0, 7, 7, 8, 8, 8, 9),
        (0, 0, 7, 7, 7, 8, 8, 8),
        (0, 3, 5, 5, 6, 6, 8),
        (3, 3, 5, 5, 5, 6),
        (3, 3, 4, 5, 5),
        (2, 2, 4, 4),
        (2, 2, 2),
        (2, 2),
        (1,),
    )
    for down, row in enumerate(rows):
        table[down, : len(row)] = row
    return table[lower, higher]


def spectrum(height: Raster) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radial power density and its frequency (cycles per pixel) in twelve logarithmic rings; a plane is taken off, a Hann window put on."""
    side = min(height.shape)
    square = height[:side, :side]
    y, x = np.mgrid[:side, :side] / side
    terms = np.stack([np.ones(square.size), x.ravel(), y.ravel()], axis=1)
    flat = square - (terms @ np.linalg.lstsq(terms, square.ravel(), rcond=None)[0]).reshape(square.shape)
    taper = np.hanning(side)
    power = np.abs(np.fft.fft2(flat * taper[:, None] * taper[None, :])) ** 2
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    edges = np.geomspace(4 / side, 0.5, 13)
    ring = np.digitize(radius.ravel(), edges) - 1
    inside = (ring >= 0) & (ring < 12)
    count = np.bincount(ring[inside], minlength=12)
    density = np.bincount(ring[inside], power.ravel()[inside], minlength=12) / np.maximum(count, 1)
    return density, np.sqrt(edges[1:] * edges[:-1])


def spectral_slope(height: Raster) -> float:
    """Exponent of the radial power density over the finest three octaves: about -3 to -4 on real land."""
    density, frequency = spectrum(height)
    fine = frequency > 0.06
    return float(np.polyfit(np.log(frequency[fine]), np.log(density[fine]), 1)[0])


def roll_off(height: Raster) -> float:
    """Octaves of power that the finest half octave has over the power law of the two octaves before it: below 0 where land is blurred."""
    density, frequency = spectrum(height)
    law = (frequency > 0.08) & (frequency < 0.33)
    slope, level = np.polyfit(np.log2(frequency[law]), np.log2(density[law]), 1)
    fine = frequency > 0.35
    return float(np.mean(np.log2(density[fine]) - (slope * np.log2(frequency[fine]) + level)))


LAGS = (1, 2, 4, 8, 16)


def variograms(height: Raster, lags: tuple[int, ...] = LAGS) -> NDArray[np.float64]:
    """Half the mean squared difference of heights `lags` pixels apart, m2, along columns and along rows: (2, lags) (Matheron 1963)."""
    return np.array([
        [0.5 * np.mean((raster[lag:] - raster[:-lag]) ** 2) for lag in lags] for raster in (height, height.T)
    ])  # fmt: skip


def variogram(height: Raster, lags: tuple[int, ...] = LAGS) -> NDArray[np.float64]:
    """The mean of both directions."""
    return np.asarray(variograms(height, lags).mean(axis=0), np.float64)


def anisotropy(height: Raster) -> float:
    """Octaves of the variogram along columns over that along rows, mean of the lags: 0 for land that is as rough either way."""
    along, across = np.log2(variograms(height))
    return float(np.mean(along - across))


def stride_peak(height: Raster, stride: int) -> float:
    """Power along rows and columns at 1 / `stride` cycles per pixel over that beside it: 1 where no lattice of that stride shows."""
    ratios = []
    for raster in (height, height.T):
        length = raster.shape[1] // (8 * stride) * 8 * stride
        cut = raster[:, :length] - raster[:, :length].mean(axis=1, keepdims=True)
        power = np.mean(np.abs(np.fft.rfft(cut * np.hanning(length), axis=1)) ** 2, axis=0)
        peak = length // stride
        beside = [peak + step for step in (-6, -5, -4, 4, 5, 6) if peak + step < len(power)]
        ratios.append(power[peak] / np.exp(np.mean(np.log(power[beside]))))
    return float(np.sqrt(ratios[0] * ratios[1]))


def pit_fraction(height: Raster) -> float:
    """Share of pixels lower than their eight neighbours."""
    inner = height[1:-1, 1:-1]
    rows, columns = height.shape
    around = [height[1 + dy : rows - 1 + dy, 1 + dx : columns - 1 + dx] for dy, dx in DIRECTIONS]
    return float(np.mean(np.all([inner < part for part in around], axis=0)))


def grid_ratio(height: Raster, stride: int) -> float:
    """Mean squared difference across the borders of `stride` pixel blocks over that inside them: 1 where no grid shows."""
    ratios = []
    for raster in (height, height.T):
        step = np.diff(raster, axis=1) ** 2
        border = np.arange(1, raster.shape[1]) % stride == 0
        ratios.append(step[:, border].mean() / step[:, ~border].mean())
    return float(np.mean(ratios))


def axis_ratio(height: Raster) -> float:
    """Power along the grid's axes over that along its diagonals at 0.25 to 0.5 cycles per pixel: 1 on land without a lattice."""
    side = min(height.shape) // 2 * 2
    taper = np.hanning(side)
    bent = height[:side, :side] - height[:side, :side].mean()
    power = np.abs(np.fft.fft2(bent * taper[:, None] * taper[None, :])) ** 2
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]
    ring = (np.hypot(fy, fx) > 0.25) & (np.hypot(fy, fx) < 0.5)
    along = np.minimum(np.abs(fy), np.abs(fx)) < 0.03
    across = np.abs(np.abs(fy) - np.abs(fx)) < 0.042
    return float(power[ring & along].mean() / power[ring & across].mean())


def wasserstein(first: Raster, second: Raster) -> float:
    """Distance of two distributions of numbers (1-Wasserstein), over 200 quantiles."""
    levels = (np.arange(200) + 0.5) / 200
    return float(np.mean(np.abs(np.quantile(first, levels) - np.quantile(second, levels))))


def distances(first: Raster, second: Raster, gsd: float) -> dict[str, float]:
    """How far two rasters of heights (metres) of the same pixel size are apart, by statistic; 0 for the same statistics."""
    densities = [np.log2(spectrum(raster[: min(first.shape), : min(first.shape)])[0]) for raster in (first, second)]
    pairs: dict[str, Callable[[Raster], float]] = {
        "psd_slope": spectral_slope, "psd_roll_off_octaves": roll_off, "anisotropy_octaves": anisotropy, "pit_fraction": pit_fraction,
    }  # fmt: skip
    water = [drainage.statistics(raster) for raster in (first, second)]
    out = {
        "geomorphons": float(0.5 * np.abs(geomorphons(first, gsd) - geomorphons(second, gsd)).sum()),
        "slope_degrees": wasserstein(slope(first, gsd), slope(second, gsd)),
        "curvature": wasserstein(curvature(first, gsd), curvature(second, gsd)),
        "local_relief_metres": wasserstein(local_relief(first), local_relief(second)),
        "psd_octaves": float(np.abs(densities[0] - densities[1]).mean()),
        "variogram_octaves": float(np.abs(np.log2(variogram(first)) - np.log2(variogram(second))).mean()),
        "depressions": abs(water[0]["depressions"] - water[1]["depressions"]),
        "hack_exponent": abs(water[0]["hack_exponent"] - water[1]["hack_exponent"]),
        "bifurcation_octaves": abs(float(np.log2(water[0]["bifurcation_ratio"] / water[1]["bifurcation_ratio"]))),
        "length_ratio_octaves": abs(float(np.log2(water[0]["length_ratio"] / water[1]["length_ratio"]))),
    }
    return out | {name: abs(measure(first) - measure(second)) for name, measure in pairs.items()}
