"""Archives of rasters: a zip of small compressed arrays, so that only what is looked at is read."""

import io
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray
from PIL import Image

from terraloom.errors import DataLossError

RAW = "="
"""After the type of an array whose bytes are packed as they are."""


def pack_array(values: NDArray[np.generic], level: int = 19, *, raw: bool = False) -> bytes:
    """Lossless bytes of an integer or boolean array of one or two axes: column and row differences, byte planes, zstd of a `level`.

    `raw` leaves differences out: what varies from pixel to pixel as much as over all is longer with them.
    """
    if raw:
        planes = np.ascontiguousarray(values).tobytes()
    elif values.dtype == np.bool_:
        planes = np.packbits(values.view(np.uint8)).tobytes()
    else:
        delta = np.diff(np.diff(values, axis=-1, prepend=values.dtype.type(0)), axis=0, prepend=values.dtype.type(0))
        planes = np.ascontiguousarray(delta).view(np.uint8).reshape(-1, values.itemsize).T.tobytes()
    kind = values.dtype.str + RAW * raw
    header = np.array([len(values), values.shape[-1]], "<u4").tobytes() + kind.encode().ljust(4)
    return header + zstandard.ZstdCompressor(level=level).compress(planes)


def unpack_array(packed: bytes) -> NDArray[np.generic]:
    """Inverse of `pack_array` for arrays of two axes."""
    height, width = (int(n) for n in np.frombuffer(packed[:8], "<u4"))
    kind = packed[8:12].decode().strip()
    dtype = np.dtype(kind.removesuffix(RAW))
    planes = np.frombuffer(zstandard.ZstdDecompressor().decompress(packed[12:]), np.uint8)
    if kind.endswith(RAW):
        return planes.view(dtype).reshape(height, width)
    if dtype == np.bool_:
        return np.unpackbits(planes, count=height * width).view(np.bool_).reshape(height, width)
    delta = np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T).view(dtype).reshape(height, width)
    return np.cumsum(np.cumsum(delta, axis=0, dtype=dtype), axis=1, dtype=dtype)


def pack_image(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """WebP bytes of an (H, W, 3) image; decoding WebP is exact, so the decoded pixels are the base."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=quality, method=6)
    return out.getvalue()


class RasterArchive:
    """Reads rasters from a zip by name; keeps the last `capacity` decoded ones. Thread-safe.

    `owner` and `remedy` are what a message about damage names, and what it tells to do.
    """

    def __init__(self, path: Path, capacity: int = 256, *, owner: str = "the bundle", remedy: str = "reinstall the bundle") -> None:
        self._where, self._remedy = f"{path.name} of {owner}", remedy
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataLossError(f"file {self._where} is missing or corrupt ({error}); {remedy}") from error
        self._names = frozenset(self._zip.namelist())
        self._capacity, self._lock = capacity, threading.Lock()
        self._decoded: OrderedDict[str, NDArray[np.generic]] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> NDArray[np.generic]:
        """The raster `name`; images are (H, W, 3) uint8."""
        with self._lock:
            if name in self._decoded:
                self._decoded.move_to_end(name)
                return self._decoded[name]
            try:
                packed = self._zip.read(name)
                values = np.asarray(Image.open(io.BytesIO(packed))) if name.endswith(".webp") else unpack_array(packed)
            except (KeyError, zipfile.BadZipFile, zstandard.ZstdError, OSError, ValueError) as error:
                raise DataLossError(f"entry {name} in {self._where} is missing or corrupt ({error}); {self._remedy}") from error
            self._decoded[name] = values
            if len(self._decoded) > self._capacity:
                self._decoded.popitem(last=False)
            return values
