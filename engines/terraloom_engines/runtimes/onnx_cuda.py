"""`onnx-cuda`: ONNX Runtime's CUDA execution provider, of the package onnxruntime-gpu."""

import onnxruntime

from terraloom.errors import UnavailableError
from terraloom_engines.runtimes import Graph
from terraloom_engines.runtimes.cuda import devices
from terraloom_engines.runtimes.onnx_cpu import OnnxGraph, session_options

PROVIDER = "CUDAExecutionProvider"
OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
"""Full fp32 products, and no choice of kernels by a stop-watch: it may end otherwise at the next start."""


class OnnxCudaRuntime:
    """ONNX Runtime on the first GPU, in fp32."""

    batches = (1,)

    def __init__(self) -> None:
        """Raises UnavailableError without a driver, a GPU or the package."""
        self._device = devices()[0]
        if PROVIDER not in onnxruntime.get_available_providers():
            raise UnavailableError("onnxruntime is the build for CPUs: pip uninstall onnxruntime, then pip install 'terraloom[server-gpu]'")
        onnxruntime.preload_dlls()  # CUDA's and cuDNN's libraries out of pip's packages, where they are installed so

    @property
    def identity(self) -> str:
        return f"onnx-cuda {onnxruntime.__version__} {self._device.name} fp32"

    def load(self, model: bytes, side: int, batch: int = 1) -> Graph:
        assert batch in self.batches
        options = session_options(side, 1)
        options.use_deterministic_compute = True
        session = onnxruntime.InferenceSession(model, options, providers=[(PROVIDER, OPTIONS)])
        if session.get_providers()[0] != PROVIDER:  # it falls back to the CPU without an error
            raise UnavailableError("the CUDA provider of onnxruntime does not start: cuDNN or CUDA's libraries are missing or too old")
        return OnnxGraph(session)
