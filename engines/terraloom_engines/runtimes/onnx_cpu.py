"""`onnx-cpu`: ONNX Runtime's CPU execution provider, the default runtime."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from terraloom_engines.runtimes import Graph


def instruction_set() -> str:
    """The widest vector instructions of this processor, by which ONNX Runtime picks its kernels."""
    features: dict[str, bool] = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    for name, flag in (("avx512", "AVX512_SKX"), ("avx2", "AVX2"), ("neon", "NEON")):
        if features.get(flag):
            return name
    return "scalar"


class OnnxCpuGraph:
    """A session of one model."""

    def __init__(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        outputs: list[Any] = self._session.run(None, dict(inputs))
        return cast(NDArray[np.float32], outputs[0])


class OnnxCpuRuntime:
    """ONNX Runtime on `threads` cores."""

    def __init__(self, threads: int = 2) -> None:
        self.threads = threads

    @property
    def identity(self) -> str:
        return f"onnx-cpu {onnxruntime.__version__} {instruction_set()}"

    def load(self, model: bytes) -> Graph:
        return OnnxCpuGraph(model, self.threads)
