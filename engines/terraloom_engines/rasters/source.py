"""A raster file as rasterio reads it: checked, with one clear line for whatever is wrong with it."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from terraloom.errors import FailedPreconditionError, InvalidArgumentError
from terraloom_engines.rasters.units import Heights, heights_of
from terraloom_engines.tiling import EQUATOR, MAX_LATITUDE

__all__ = ["Layer", "Source", "opened"]

Layer = Literal["elevation", "imagery"]
Degrees = NDArray[np.float64]
BANDS = {"elevation": (1,), "imagery": (3, 4)}
"""How many bands a file of a layer may have; the fourth of imagery is its mask (alpha)."""
SAMPLES = 33
"""Places along a side that say where a raster lies."""
INSIDE = 1e-3
"""Pixels that the outermost of them lie inside of its edge, so that 180 degrees east are not taken for west."""


@dataclass(frozen=True)
class Source:
    """An open raster: rasterio's dataset, and where it lies.

    `longitudes` and `latitudes` (degrees) are of a grid of places over it, longitudes running on past 180; `resolution` is the size of its
    middle pixel in metres. `turns` are distances in the file's own coordinates that its columns lie east of where its coordinate reference
    system has them, one after the other: 0, or a turn around the globe, such as 360 in the eastern half of a grid from 0 to 360 degrees.
    `bands` are the numbers of the band of heights, or those of red, green and blue.
    """

    layer: Layer
    path: Path
    dataset: Any
    longitudes: Degrees
    latitudes: Degrees
    resolution: float
    turns: tuple[float, ...] = (0.0,)
    heights: Heights = field(default_factory=Heights)
    bands: tuple[int, ...] = (1,)

    @property
    def latitude(self) -> float:
        """Latitude of the middle in degrees."""
        return float(np.median(self.latitudes))


@contextmanager
def opened(path: Path, layer: Layer) -> Iterator[Source]:
    """Opens a raster file. Raises InvalidArgumentError for one that no world can be made of, FailedPreconditionError without rasterio."""
    try:
        import rasterio
        import rasterio.errors
    except ImportError:
        raise FailedPreconditionError("reading rasters needs rasterio: pip install 'terraloom[raster]'") from None
    if not path.exists():
        raise InvalidArgumentError(f"there is no {layer} file {path}", field=layer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            dataset = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise InvalidArgumentError(f"{path} is not a raster that GDAL can read ({_first_line(error)})", field=layer) from error
    with dataset:
        _check(path, layer, dataset)
        yield _placed(path, layer, dataset)


def _check(path: Path, layer: Layer, dataset: Any) -> None:
    wanted = " or ".join(str(count) for count in BANDS[layer])
    kinds = "red, green, blue and perhaps a mask" if layer == "imagery" else "height"
    problem = ""
    if dataset.crs is None:
        problem = "has no coordinate reference system: set it, for example with gdal_edit -a_srs EPSG:32633"
    elif dataset.transform.is_identity:
        problem = "has no georeference: it says what its coordinates mean, but not where its pixels lie"
    elif not abs(dataset.transform.determinant) > 0:
        problem = "has pixels without an area: its geotransform lays them all onto a line"
    elif dataset.count not in BANDS[layer]:
        problem = f"has {dataset.count} band{'s' * (dataset.count != 1)}, {layer} needs {wanted} ({kinds})"
    elif layer == "imagery" and set(dataset.dtypes) != {"uint8"}:
        problem = f"has pixels of type {dataset.dtypes[0]}, imagery needs uint8: convert it, for example by gdal_translate -ot Byte -scale"
    elif layer == "elevation" and not dataset.dtypes[0].startswith(("int", "uint", "float")):
        problem = f"has pixels of type {dataset.dtypes[0]}, elevation needs real numbers"
    if problem:
        raise InvalidArgumentError(f"{layer} file {path} {problem}", field=layer)


def _placed(path: Path, layer: Layer, dataset: Any) -> Source:
    from rasterio.warp import transform

    steps = np.linspace(0, 1, SAMPLES)
    across, down = (np.clip(steps * size, INSIDE, size - INSIDE) for size in (dataset.width, dataset.height))
    columns, rows = (grid.ravel() for grid in np.meshgrid(across, down))
    # The pixel in the middle gives the resolution.
    columns, rows = np.append(columns, dataset.width / 2 + np.array([0, 1, 0])), np.append(rows, dataset.height / 2 + np.array([0, 0, 1]))
    a, b, c, d, e, f = dataset.transform[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    try:
        places = transform(dataset.crs, "EPSG:4326", x, y)
        longitudes, latitudes = (np.array(axis) for axis in places)
        turns = _turns(dataset, x, y, longitudes, latitudes)
    except Exception as error:  # rasterio passes on what PROJ says, as several types
        text = f"{layer} file {path}: its coordinate reference system has no way to longitude and latitude ({_first_line(error)})"
        raise InvalidArgumentError(text, field=layer) from error
    good = np.isfinite(longitudes) & np.isfinite(latitudes)
    if not good[-3:].all() or not (good & (np.abs(latitudes) < MAX_LATITUDE)).any():
        raise InvalidArgumentError(f"{layer} file {path} lies outside of the map, which ends at {MAX_LATITUDE:.2f} degrees", field=layer)
    middle = longitudes[-3]
    longitudes = (longitudes - middle + 180.0) % 360.0 - 180.0 + middle
    heights = heights_of(dataset) if layer == "elevation" else Heights()
    metre = EQUATOR / 360.0
    east, north = (longitudes[-2:] - longitudes[-3]) * math.cos(math.radians(latitudes[-3])), latitudes[-2:] - latitudes[-3]
    area = abs(float(east[0] * north[1] - east[1] * north[0]))
    if not 0 < area < math.inf:
        raise InvalidArgumentError(f"{layer} file {path}: its coordinate reference system gives its pixels no area", field=layer)
    return Source(layer, path, dataset, longitudes[good], latitudes[good], math.sqrt(area) * metre, turns, heights, _bands(layer, dataset))


def _bands(layer: Layer, dataset: Any) -> tuple[int, ...]:
    """See `Source.bands`: by their names, where all three have one, else in their order."""
    names = [meaning.name for meaning in dataset.colorinterp]
    colours = ("red", "green", "blue")
    if layer == "elevation":
        return (1,)
    return tuple(names.index(colour) + 1 for colour in colours) if set(colours) <= set(names) else (1, 2, 3)


def _turns(dataset: Any, x: Degrees, y: Degrees, longitudes: Degrees, latitudes: Degrees) -> tuple[float, ...]:
    """See `Source.turns`: by how much places come back elsewhere from longitudes of -180 to 180, which is where GDAL looks for them."""
    from rasterio.warp import transform

    good = np.isfinite(longitudes) & np.isfinite(latitudes)
    x, y, longitudes, latitudes = (values[good] for values in (x, y, longitudes, latitudes))
    back = [np.array(axis) for axis in transform("EPSG:4326", dataset.crs, (longitudes + 180.0) % 360.0 - 180.0, latitudes)]
    pixel = math.hypot(*dataset.transform[:2]) + math.hypot(*dataset.transform[3:5])
    moved = (np.abs(x - back[0]) > pixel) & (np.abs(y - back[1]) < pixel)
    turns = {round(turn / pixel): float(turn) for turn in (x - back[0])[moved]}
    return (*([] if moved.all() else [0.0]), *turns.values())


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
