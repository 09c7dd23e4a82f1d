"""Runtimes: each runs ONNX graphs of fixed shape, with results that depend on the inputs alone.

`catalogue.py` lists them by name and opens one; what a runtime needs beyond the extra `server` is imported when it is opened.
"""

from collections.abc import Mapping
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Precision = Literal["fp32", "fp16", "bf16"]
"""What convolutions are computed in; inputs and outputs are fp32 always."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Graph(Protocol):
    """One loaded network."""

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """Evaluate the graph's one output; arrays are float32, with the leading batch and the side that the graph was loaded for."""
        ...


class Runtime(Protocol):
    """A way of running ONNX graphs on this machine. A new one subclasses `RuntimeConformance` of tests/conformance.py in its test."""

    @property
    def identity(self) -> str:
        """Name, version, device and precision: part of every tile's identity, since results differ between them.

        Final once all networks are loaded: a runtime that measures while it builds adds the digest of what came out.
        """
        ...

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes that may be mixed: neither size nor position changes a bit of a window's result.

        (1,) where that is not so, or was never shown.
        """
        ...

    def load(self, model: bytes, side: int, batch: int = 1) -> Graph:
        """Prepare a serialised ONNX model for windows of `side` pixels and `batch` windows at a time.

        Raises UnavailableError, in one line, when this machine cannot run it.
        """
        ...
