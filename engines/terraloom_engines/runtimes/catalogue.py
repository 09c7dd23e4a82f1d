"""The runtimes by name, best first, and how each is opened. A choice is spelled NAME or NAME:PRECISION, such as `tensorrt-rtx:fp16`."""

from collections.abc import Callable
from dataclasses import dataclass

from terraloom.errors import InvalidArgumentError, UnavailableError
from terraloom_engines.runtimes import PRECISIONS, Precision, Runtime
from terraloom_engines.runtimes.cuda import devices

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime and what its convolutions are computed in."""

    name: str
    precision: Precision = "fp32"

    def __str__(self) -> str:
        return self.name if self.precision == "fp32" else f"{self.name}:{self.precision}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One runtime: what opens it, given cores and precision; the precisions it has; whether `auto` may take it."""

    open: Callable[[int, Precision], Runtime]
    precisions: tuple[Precision, ...]
    automatic: bool
    summary: str


def _onnx_cuda(threads: int, precision: Precision) -> Runtime:
    from terraloom_engines.runtimes.onnx_cuda import OnnxCudaRuntime

    return OnnxCudaRuntime()


def _onnx_cpu(threads: int, precision: Precision) -> Runtime:
    from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime

    return OnnxCpuRuntime(threads)


def _openvino(threads: int, precision: Precision) -> Runtime:
    from terraloom_engines.runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(threads, precision)


def _torch(threads: int, precision: Precision) -> Runtime:
    from terraloom_engines.runtimes.torch_runtime import TorchRuntime

    return TorchRuntime(threads, precision)


def _tensorrt(threads: int, precision: Precision) -> Runtime:
    from terraloom_engines.runtimes.tensorrt_runtime import TensorRtRuntime

    return TensorRtRuntime("tensorrt", precision)


def _tensorrt_rtx(threads: int, precision: Precision) -> Runtime:
    from terraloom_engines.runtimes.tensorrt_runtime import TensorRtRuntime

    return TensorRtRuntime("tensorrt-rtx", precision)


RUNTIMES: dict[str, Entry] = {
    "tensorrt": Entry(_tensorrt, PRECISIONS, True, "plans of TensorRT, for datacentre GPUs"),
    "tensorrt-rtx": Entry(_tensorrt_rtx, PRECISIONS, True, "plans of TensorRT for RTX, for RTX cards"),
    "onnx-cuda": Entry(_onnx_cuda, ("fp32",), True, "ONNX Runtime on a GPU"),
    "onnx-cpu": Entry(_onnx_cpu, ("fp32",), True, "ONNX Runtime on the CPU"),
    "openvino": Entry(_openvino, ("fp32", "bf16"), False, "OpenVINO on the CPU"),
    "torch": Entry(_torch, PRECISIONS, False, "PyTorch, the reference that training uses"),
}
"""Best first as far as `auto` goes. openvino gains little in fp32 and torch is slow to start: they run where they are asked for by name."""


def parse(text: str) -> Choice:
    """The choice that NAME or NAME:PRECISION spells. Raises InvalidArgumentError, which names what is allowed."""
    name, _, precision = text.partition(":")
    if name not in RUNTIMES:
        allowed = (AUTO, *RUNTIMES)
        raise InvalidArgumentError(f"runtime {name!r} is not known: allowed are {', '.join(allowed)}", field="runtime", allowed=allowed)
    known = {str(precision): precision for precision in RUNTIMES[name].precisions}
    if (precision or "fp32") not in known:
        raise InvalidArgumentError(f"runtime {name} has no precision {precision!r}: allowed are {', '.join(known)}", allowed=(*known,))
    return Choice(name, known[precision or "fp32"])


def choices() -> list[Choice]:
    """What is worth trying on this machine: every runtime in fp32 and, where there is a GPU, in all its precisions."""
    try:
        gpu = bool(devices())
    except UnavailableError:
        gpu = False
    return [Choice(name, precision) for name, entry in RUNTIMES.items() for precision in entry.precisions if gpu or precision == "fp32"]


def open_runtime(choice: Choice, threads: int = 2) -> Runtime:
    """The runtime of that name. Raises UnavailableError, in one line that says what is missing, where this machine does not have it."""
    return RUNTIMES[choice.name].open(threads, choice.precision)
