"""What the machine could do at most, measured in the same run: a large matrix product and a large copy.

On the CPU by numpy, on the cores that generation may use; `torch_ceilings.py` has those of a GPU.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

SIDE = 1536
"""Of the matrices on the CPU, whose product takes some tens of milliseconds a core."""
COPIED = 128 << 20
"""Bytes, several times the caches."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Fp32 operations and bytes (read and written) a second; NaN where nothing here could measure them."""

    gflops: float
    gbytes: float
    measured_by: str


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """The least of several times, after one that warms up."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def cpu_ceilings(threads: int, repeats: int = 5) -> Ceilings:
    """One product a core, side by side, so that it does not matter how many threads a library's own product takes."""
    rng = np.random.default_rng(0)
    factors = [rng.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(2)]
    parts = [np.zeros(COPIED // threads, np.uint8) for _ in range(2 * threads)]
    with ThreadPoolExecutor(threads) as pool:
        product = best_seconds(lambda: list(pool.map(lambda _: factors[0] @ factors[1], range(threads))), repeats)
        copy = best_seconds(lambda: list(pool.map(np.copyto, parts[:threads], parts[threads:])), repeats)
    moved = 2 * sum(part.nbytes for part in parts[:threads])
    return Ceilings(threads * 2 * SIDE**3 / product / 1e9, moved / copy / 1e9, f"numpy {np.__version__} on {threads} cores")
