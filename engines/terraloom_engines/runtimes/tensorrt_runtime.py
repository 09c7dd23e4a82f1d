"""`tensorrt` and `tensorrt-rtx`: plans on the first GPU."""

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from terraloom.errors import InternalError, UnavailableError
from terraloom_engines.runtimes import Array, Graph, Precision
from terraloom_engines.runtimes.cuda import devices
from terraloom_engines.runtimes.plans import PlanCache
from terraloom_engines.runtimes.tensorrt_plans import CURRENT, RTX_TARGETS, Library, LibraryName, PlanOrder, obtain_plan


def _checked(answer: tuple[Any, ...]) -> Any:
    """The results of a call of CUDA's runtime, whose first is its status. Raises InternalError for a bad one."""
    status, *results = answer
    if int(status):
        raise InternalError(f"CUDA says {status.name}")
    return results[0] if len(results) == 1 else results


class PlanGraph:
    """One plan, its buffers on the GPU, and a stream of its own."""

    def __init__(self, module: Any, runtime: Any, engine: Any) -> None:
        from cuda.bindings import runtime as cuda

        self._cuda, self._runtime, self._engine, self._context = cuda, runtime, engine, engine.create_execution_context()
        self._stream, self._lock = _checked(cuda.cudaStreamCreate()), threading.Lock()
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        shapes = {name: tuple(engine.get_tensor_shape(name)) for name in names}
        self._inputs = [name for name in names if engine.get_tensor_mode(name) == module.TensorIOMode.INPUT]
        (self._output,) = (name for name in names if name not in self._inputs)
        self._shape = shapes[self._output]
        self._buffers = {name: _checked(cuda.cudaMalloc(4 * int(np.prod(shape)))) for name, shape in shapes.items()}
        for name, address in self._buffers.items():
            self._context.set_tensor_address(name, address)

    def run(self, inputs: Mapping[str, Array]) -> Array:
        kinds, sample = self._cuda.cudaMemcpyKind, np.empty(self._shape, np.float32)
        given = {name: np.ascontiguousarray(inputs[name], np.float32) for name in self._inputs}
        with self._lock:
            for name, values in given.items():
                self._copy(self._buffers[name], values.ctypes.data, values.nbytes, kinds.cudaMemcpyHostToDevice)
            if not self._context.execute_async_v3(int(self._stream)):
                raise InternalError("TensorRT did not run the plan")
            self._copy(sample.ctypes.data, self._buffers[self._output], sample.nbytes, kinds.cudaMemcpyDeviceToHost)
            _checked(self._cuda.cudaStreamSynchronize(self._stream))
        return sample

    def _copy(self, to: int, source: int, count: int, kind: Any) -> None:
        _checked(self._cuda.cudaMemcpyAsync(to, source, count, kind, self._stream))


class TensorRtRuntime:
    """One of the two libraries on the first GPU, with plans out of a cache."""

    batches = (1,)
    """A plan for another batch may choose other kernels; that they give equal bits was never shown."""

    def __init__(self, name: LibraryName, precision: Precision = "fp32", cache: PlanCache | None = None) -> None:
        """Raises UnavailableError without a driver, a GPU or the package."""
        self._device = devices()[0]
        self._library, self._precision, self._cache = Library.open(name), precision, cache or PlanCache()
        named = f"sm{self._device.capability}"
        self._target = named if name == "tensorrt-rtx" and named in RTX_TARGETS else CURRENT
        self._digests: set[str] = set()

    @property
    def identity(self) -> str:
        plans = hashlib.sha256("".join(sorted(self._digests)).encode()).hexdigest()[:12]
        device = f"{self._device.name} CUDA {self._device.cuda}"
        return f"{self._library.name} {self._library.version} {device} {self._precision} plans {plans}"

    def load(self, model: bytes, side: int, batch: int = 1) -> Graph:
        order = PlanOrder(self._target, self._precision, side, batch, self._device.name)
        plan = obtain_plan(self._library, self._cache, model, order)
        trt = self._library.module
        runtime = trt.Runtime(self._library.logger())
        engine = runtime.deserialize_cuda_engine(plan.content)
        if engine is None:
            raise UnavailableError(f"{self._library.name} does not load the plan for {self._target}: {self._library.complaint()}")
        self._digests.add(plan.digest)
        return PlanGraph(trt, runtime, engine)
