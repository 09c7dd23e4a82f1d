"""Re-sharpen the base where its source is blurred: level 4 is generated from level 3 by the geometry network itself.

ETOPO5 is a mean over 20 to 40 km in Tibet, the Andes and much of Africa and Asia. The cascade conserves its base, so valleys of 10 to
40 km would be missing there for ever. Where the relief between the four level-4 pixels of a block is much less than the relief prior
expects, the four are replaced by a draw of the network below their mean; the mean stays what ETOPO5 says, the relief inside them what the
prior does.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from terraloom_engines.conservation import block_details, interleave
from terraloom_engines.field import LAND_FULL, LOG_UNIT
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.stages import StageSpec, Window

SEED = 5
"""The base is the same in every world: its own seed."""
BETWEEN = 0.6
"""Variance between the four children over the variance inside each, at 10 km on real land: 0.5 to 0.7 by its relief (135 SRTM cells)."""
BLURRED = 0.7
"""A region counts as blurred where it has less than this part of the variance expected between children."""
CORE = 200
Stored = NDArray[np.int32]


def blurred_blocks(elevation: NDArray[np.float32], relief: NDArray[np.float32], land: Stored) -> NDArray[np.bool_]:
    """Blocks (H/2, W/2) of pure land whose region lacks relief between pixels: elevation in metres, relief log2 metres, (H, W)."""
    between = (block_details(_unshuffle(elevation)) ** 2).sum(axis=0)
    expected = BETWEEN * np.exp2(2 * _unshuffle(relief)).mean(axis=0)
    region = {"sigma": 4, "mode": ("nearest", "wrap")}
    ratio = ndimage.gaussian_filter(between, **region) / ndimage.gaussian_filter(expected, **region)
    pure = (_unshuffle(land) == LAND_FULL).all(axis=0)
    return (ratio < BLURRED) & pure & (expected > 40.0**2)


def sharpened(stage: LiftingStage, elevation: NDArray[np.float32], relief: NDArray[np.float32]) -> Stored:
    """Generated level-4 elevation (1/64 m) below the whole of level 3, from its block means."""
    halo = stage.spec.halo
    parent = np.rint(_unshuffle(elevation).mean(axis=0) * 64).astype(np.int32)
    inside = np.exp2(2 * _unshuffle(relief)).mean(axis=0)
    spread = np.rint(0.5 * np.log2(inside * (1 + BETWEEN)) / LOG_UNIT).astype(np.int32)
    size = len(parent)
    pad = [(halo, CORE + halo)] * 2
    rasters = [np.pad(raster, pad, mode="edge") for raster in (parent, spread)]
    out = np.zeros((2 * (size + CORE), 2 * (size + CORE)), np.int32)
    for top in range(0, size, CORE):
        for left in range(0, size, CORE):
            side = CORE + 2 * halo
            window = Window(3, left - halo, top - halo, side)
            cut = [np.ascontiguousarray(raster[top : top + side, left : left + side]) for raster in rasters]
            dry = Waters(np.full((side, side), LAND_FULL, np.int32), np.zeros((side, side), np.int32), None)
            children = stage.refine(window, cut[0], cut[1], dry, None)
            out[2 * top : 2 * (top + CORE), 2 * left : 2 * (left + CORE)] = interleave(children.elevation)
    return out[: 2 * size, : 2 * size]


def sharpen(model: Path, spec: StageSpec, elevation: NDArray[np.int16], relief: NDArray[np.float32], land: Stored) -> NDArray[np.int16]:
    """Elevation (m) with the blurred blocks replaced; `relief` is log2 m. Prints how much land that is."""
    metres = elevation.astype(np.float32)
    blocks = blurred_blocks(metres, relief, land)
    made = sharpened(LiftingStage(OnnxCpuRuntime(2).load(model.read_bytes()), spec, SEED), metres, relief)
    chosen = np.kron(blocks, np.ones((2, 2), bool))
    print(f"sharpened {chosen[land == LAND_FULL].mean():.1%} of the land's pixels", flush=True)
    return np.where(chosen, np.maximum(np.rint(made / 64), 1), elevation).astype(np.int16)


def _unshuffle(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """(H, W) to (4, H/2, W/2): north-west, north-east, south-west, south-east."""
    wide = values.astype(np.float32)
    return np.stack([wide[::2, ::2], wide[::2, 1::2], wide[1::2, ::2], wide[1::2, 1::2]])
