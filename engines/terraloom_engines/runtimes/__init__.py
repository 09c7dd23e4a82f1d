"""Runtimes: each runs one ONNX graph, with results that depend on the inputs alone."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Graph(Protocol):
    """One loaded network."""

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Evaluate the graph's one output; arrays are float32 with a leading batch of 1."""
        ...


class Runtime(Protocol):
    """A way of running ONNX graphs on this machine."""

    @property
    def identity(self) -> str:
        """Name, version and instruction set: part of every tile's identity, since results differ between them."""
        ...

    def load(self, model: bytes) -> Graph:
        """Prepare a serialised ONNX model."""
        ...
