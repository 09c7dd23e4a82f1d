"""`onnx-cpu`: ONNX Runtime's CPU execution provider, which is always there."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnxruntime

from terraloom_engines.runtimes import Array, Graph

FREE_AXES = ("rows", "columns")
"""Names of the axes of exported networks that are as long as the window's side."""


def instruction_set() -> str:
    """The widest vector instructions of this processor, by which ONNX Runtime picks its kernels."""
    features: dict[str, bool] = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    for name, flag in (("avx512", "AVX512_SKX"), ("avx2", "AVX2"), ("neon", "NEON")):
        if features.get(flag):
            return name
    return "scalar"


def session_options(side: int | None, threads: int) -> onnxruntime.SessionOptions:
    """What all our sessions share: windows of `side` pixels, so that every shape is known, and no thread that spins while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for axis in FREE_AXES if side is not None else ():
        options.add_free_dimension_override_by_name(axis, side)
    return options


class OnnxGraph:
    """A session of one model."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def run(self, inputs: Mapping[str, Array]) -> Array:
        outputs: list[Any] = self._session.run(None, dict(inputs))
        return cast(Array, outputs[0])


class OnnxCpuRuntime:
    """ONNX Runtime on `threads` cores."""

    batches = (1,)
    """More at a time is no faster, and its kernels divide a batch otherwise than a window."""

    def __init__(self, threads: int = 2) -> None:
        self.threads = threads

    @property
    def identity(self) -> str:
        return f"onnx-cpu {onnxruntime.__version__} {instruction_set()}"

    def load(self, model: bytes, side: int | None = None, batch: int = 1) -> Graph:
        """As every runtime does; without a side the graph takes windows of any, which tools that judge networks need."""
        assert batch in self.batches
        options = session_options(side, self.threads)
        return OnnxGraph(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
