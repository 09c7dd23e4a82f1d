"""`openvino`: OpenVINO on the processor. Runs where it is asked for by name; in bf16 it is the fastest where the processor has that."""

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from terraloom.errors import UnavailableError
from terraloom_engines.runtimes import Array, Graph, Precision
from terraloom_engines.runtimes.openvino_parts import OUTPUT, Part, cut, whole_part

_DEVICE = "CPU"
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
_REPORTER = "openvino_telemetry"


def _library() -> Any:
    """The package, which would report its import over the network to its makers: without its reporter it has a stub for that.

    Raises UnavailableError where it is not installed.
    """
    kept = sys.modules.get(_REPORTER)
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # as good as not installed
    try:
        import openvino
    except ImportError as error:
        if error.name == "openvino":
            raise UnavailableError("openvino is not installed: pip install 'terraloom[openvino]'") from None
        raise UnavailableError(f"openvino does not start: {error}") from error
    finally:
        del sys.modules[_REPORTER]
        if kept is not None:
            sys.modules[_REPORTER] = kept
    return openvino


class _Step:
    """One compiled part and its request."""

    def __init__(self, part: Part, compiled: Any) -> None:
        self._part, self._request = part, compiled.create_infer_request()

    def run(self, values: dict[str, Array]) -> None:
        """Adds what the part makes, in the request's memory, where it lies until the next run."""
        made = self._request.infer([values[key] for key in self._part.takes], share_inputs=True, share_outputs=True)
        for i, key in enumerate(self._part.makes):
            values[key] = made[i]


class OpenVinoGraph:
    """One network in one or three parts, one after the other."""

    def __init__(self, steps: Sequence[_Step], names: Sequence[str]) -> None:
        self._steps, self._names, self._lock = steps, names, threading.Lock()

    def run(self, inputs: Mapping[str, Array]) -> Array:
        values = {name: np.ascontiguousarray(inputs[name], np.float32) for name in self._names}
        with self._lock:
            for step in self._steps:
                step.run(values)
            return values[OUTPUT].copy()


class OpenVinoRuntime:
    """OpenVINO's plugin for processors on `threads` cores.

    Told to use bf16, it takes differences of elevations in it too, of which bf16 knows 16 m at 4000 m. So networks are cut,
    and the part with the convolutions alone is given to it in bf16.
    """

    batches = (1,)

    def __init__(self, threads: int = 2, precision: Precision = "fp32") -> None:
        """Raises UnavailableError where openvino is not installed, or the processor does not have the precision."""
        library = _library()
        self._core, self._threads, self._precision = library.Core(), threads, precision
        if precision == "bf16" and "BF16" not in self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
            raise UnavailableError("this processor does not compute in bf16: openvino has fp32 alone here")
        self.identity = f"openvino {library.__version__.partition('-')[0]} {self._kernel(library)} {precision}"

    def load(self, model: bytes, side: int, batch: int = 1) -> Graph:
        assert batch in self.batches
        try:
            network = self._core.read_model(model)
            network.reshape({value.any_name: [side if axis.is_dynamic else axis.get_length() for axis in value.partial_shape]
                             for value in network.inputs})  # fmt: skip
            parts = [whole_part(network)] if self._precision == "fp32" else [*cut(network)]
            precisions = [self._precision if part is parts[len(parts) // 2] else "fp32" for part in parts]
            steps = [_Step(part, self._compiled(part.model, precision)) for part, precision in zip(parts, precisions, strict=True)]
        except RuntimeError as error:
            raise UnavailableError(f"openvino does not compile the network: {' '.join(str(error).split())}") from error
        return OpenVinoGraph(steps, parts[0].takes)

    def _compiled(self, model: Any, precision: Precision) -> Any:
        """Left alone, the plugin computes in bf16 wherever the processor can, and binds its threads to the first cores."""
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        return self._core.compile_model(model, _DEVICE, options)

    def _kernel(self, library: Any) -> str:
        """What the plugin convolves with here, instruction set included, such as brgconv_avx512_f32: that of a small convolution."""
        from openvino import opset13

        image, weights = opset13.parameter([1, 32, 16, 16], np.float32), opset13.constant(np.ones((32, 32, 3, 3), np.float32))
        made = opset13.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        compiled = self._compiled(library.Model([made], [image]), self._precision)
        notes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        return next(note["primitiveType"].astype(str) for note in notes if note["layerType"].astype(str) == "Convolution")
