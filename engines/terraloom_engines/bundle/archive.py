"""Archives of rasters: a zip of small compressed arrays, so that only what is looked at is read."""

import io
import threading
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from PIL import Image

from terraloom.errors import DataLossError

PLAIN, RAW, PICTURE, RAW_PICTURE = "", "=", "*", "~"
"""After the type of an array, how it is packed: differences or the bytes as they are, with zstd or as a lossless WebP picture."""
BYTES = (1, 0, 2)
"""The bands of a picture that have the lowest byte of integers, the second and the third."""
WIDEST = 16383
"""Pixels along a side of the largest WebP picture."""


def pack_array(values: NDArray[np.generic], level: int = 19, *, way: str = PLAIN) -> bytes:
    """Lossless bytes of an integer or boolean array of one or two axes: column and row differences, byte planes, zstd of a `level`.

    `way` is one of the four above. `RAW` leaves differences out: what varies from pixel to pixel as much as over all is longer with them.
    A `PICTURE` takes two axes of up to `WIDEST` pixels and integers whose fourth byte says nothing; it adapts from place to place, which
    makes rough heights a fifth shorter, and takes some ten times as long. Raises ValueError for others. Booleans are packed as bits,
    whatever the way.
    """
    way = PLAIN if values.dtype == np.bool_ else way
    header = np.array([len(values), values.shape[-1]], "<u4").tobytes() + (values.dtype.str + way).encode().ljust(4)
    if way in (PICTURE, RAW_PICTURE):
        return header + _pictured(_folded(_differences(values)) if way == PICTURE else values)
    if values.dtype == np.bool_:
        planes = np.packbits(values.view(np.uint8)).tobytes()
    elif way == RAW:
        planes = np.ascontiguousarray(values).tobytes()
    else:
        planes = np.ascontiguousarray(_differences(values)).view(np.uint8).reshape(-1, values.itemsize).T.tobytes()
    return header + zstandard.ZstdCompressor(level=level).compress(planes)


def pack_shortest(values: NDArray[np.generic]) -> bytes:
    """The shortest of what `pack_array` makes of an array of two axes."""
    found = [pack_array(values, way=way) for way in (PLAIN, RAW)]
    for way in (PICTURE, RAW_PICTURE):
        with suppress(ValueError):
            found.append(pack_array(values, way=way))
    return min(found, key=len)


def unpack_array(packed: bytes) -> NDArray[np.generic]:
    """Inverse of `pack_array` for arrays of two axes."""
    height, width = (int(n) for n in np.frombuffer(packed[:8], "<u4"))
    kind = packed[8:12].decode().strip()
    dtype, way = np.dtype(kind[:3]), kind[3:]
    if way in (PICTURE, RAW_PICTURE):
        values = _from_picture(packed[12:], dtype)
        return values if way == RAW_PICTURE else _summed(_unfolded(values))
    planes = np.frombuffer(zstandard.ZstdDecompressor().decompress(packed[12:]), np.uint8)
    if dtype == np.bool_:
        return np.unpackbits(planes, count=height * width).view(np.bool_).reshape(height, width)
    if way == RAW:
        return planes.view(dtype).reshape(height, width)
    return _summed(np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T).view(dtype).reshape(height, width))


def _differences(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Differences along rows, and of these along columns; they wrap, so that every integer survives."""
    nothing = values.dtype.type(0)
    return np.diff(np.diff(values, axis=-1, prepend=nothing), axis=0, prepend=nothing)


def _summed(delta: NDArray[Any]) -> NDArray[np.generic]:
    return np.cumsum(np.cumsum(delta, axis=0, dtype=delta.dtype), axis=1, dtype=delta.dtype)


def _folded(values: NDArray[Any]) -> NDArray[Any]:
    """Integers with their sign in the lowest bit (0, -1, 1, -2 ... as 0, 1, 2, 3 ...), so that small ones have no high byte."""
    signed = values.view(f"i{values.itemsize}")
    folded = (signed << 1) ^ (signed >> (8 * values.itemsize - 1))
    return folded.view(values.dtype)


def _unfolded(values: NDArray[Any]) -> NDArray[Any]:
    whole = values.view(f"u{values.itemsize}")
    return ((whole >> 1) ^ (~(whole & 1) + whole.dtype.type(1))).view(values.dtype)


def _pictured(values: NDArray[Any]) -> bytes:
    """Integers as a lossless picture: green has the lowest byte, red the second, blue the third."""
    octets = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).view(np.uint8)
    octets = octets.reshape(*values.shape, values.itemsize)
    if max(values.shape) > WIDEST or octets[..., len(BYTES) :].any():
        raise ValueError(f"no picture of {values.shape[-1]} x {len(values)} integers up to {np.abs(values).max()}")
    planes = np.zeros((*values.shape, 3), np.uint8)
    for band, octet in zip(BYTES, np.moveaxis(octets, -1, 0), strict=False):
        planes[..., band] = octet
    out = io.BytesIO()
    Image.fromarray(planes).save(out, "WEBP", lossless=True, quality=75, method=4)
    return out.getvalue()


def _from_picture(picture: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    planes = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    octets = np.zeros((*planes.shape[:2], dtype.itemsize), np.uint8)
    for octet, band in zip(range(dtype.itemsize), BYTES, strict=False):
        octets[..., octet] = planes[..., band]
    return octets.view(dtype)[..., 0]


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
