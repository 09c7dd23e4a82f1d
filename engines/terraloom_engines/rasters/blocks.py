"""Blocks of 2x2 pixels: rasters taken apart, thinned and doubled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["doubled", "paired", "quarters"]

Raster = NDArray[np.float32]


def quarters(raster: NDArray[Any]) -> NDArray[Any]:
    """A raster (..., 2H, 2W) as the four pixels of its blocks (4, ..., H, W): north-west, north-east, south-west, south-east."""
    return np.stack([raster[..., ::2, ::2], raster[..., ::2, 1::2], raster[..., 1::2, ::2], raster[..., 1::2, 1::2]])


def paired(raster: NDArray[Any]) -> NDArray[Any]:
    """A raster (..., H, W) with even sides; what is added is 0."""
    rows, columns = raster.shape[-2:]
    return np.pad(raster, [(0, 0)] * (raster.ndim - 2) + [(0, rows % 2), (0, columns % 2)])


def doubled(raster: Raster) -> Raster:
    """A raster (..., H, W) at twice the resolution, (..., 2H, 2W): linear between the centres of pixels, constant beyond the outermost."""
    near, far = np.float32(0.75), np.float32(0.25)
    for axis in (-2, -1):
        along = np.moveaxis(raster, axis, -1)
        before = np.concatenate([along[..., :1], along[..., :-1]], axis=-1)
        after = np.concatenate([along[..., 1:], along[..., -1:]], axis=-1)
        pairs = np.stack([along * near + before * far, along * near + after * far], axis=-1)
        raster = np.moveaxis(pairs.reshape(*along.shape[:-1], -1), -1, axis).astype(np.float32)
    return np.ascontiguousarray(raster)
