"""The runtimes by name, best first, and how each is opened. A choice is spelled NAME or NAME:PRECISION, such as `tensorrt-rtx:fp16`."""

from collections.abc import Callable
from dataclasses import dataclass

from terraloom.errors import InvalidArgumentError
from terraloom_engines.runtimes import Runtime

AUTO = "auto"
PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime and what its convolutions are computed in."""

    name: str
    precision: str = "fp32"

    def __str__(self) -> str:
        return self.name if self.precision == "fp32" else f"{self.name}:{self.precision}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One runtime: what opens it, given cores and precision; the precisions it has; whether `auto` may take it."""

    open: Callable[[int, str], Runtime]
    precisions: tuple[str, ...]
    automatic: bool
    summary: str


def _onnx_cuda(threads: int, precision: str) -> Runtime:
    from terraloom_engines.runtimes.onnx_cuda import OnnxCudaRuntime

    return OnnxCudaRuntime()


def _onnx_cpu(threads: int, precision: str) -> Runtime:
    from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime

    return OnnxCpuRuntime(threads)


def _torch(threads: int, precision: str) -> Runtime:
    from terraloom_engines.runtimes.torch_runtime import TorchRuntime

    return TorchRuntime(threads, precision)  # type: ignore[arg-type]  # `parse` checked it


RUNTIMES: dict[str, Entry] = {
    "onnx-cuda": Entry(_onnx_cuda, ("fp32",), True, "ONNX Runtime on a GPU"),
    "onnx-cpu": Entry(_onnx_cpu, ("fp32",), True, "ONNX Runtime on the CPU"),
    "torch": Entry(_torch, PRECISIONS, False, "PyTorch, the reference that training uses"),
}
"""Best first as far as `auto` goes; torch is slow to start and runs where it is asked for by name."""


def parse(text: str) -> Choice:
    """The choice that NAME or NAME:PRECISION spells. Raises InvalidArgumentError, which names what is allowed."""
    name, _, precision = text.partition(":")
    if name not in RUNTIMES:
        allowed = (AUTO, *RUNTIMES)
        raise InvalidArgumentError(f"runtime {name!r} is not known: allowed are {', '.join(allowed)}", field="runtime", allowed=allowed)
    known = RUNTIMES[name].precisions
    if (precision or "fp32") not in known:
        raise InvalidArgumentError(f"runtime {name} has no precision {precision!r}: allowed are {', '.join(known)}", allowed=known)
    return Choice(name, precision or "fp32")


def open_runtime(choice: Choice, threads: int = 2) -> Runtime:
    """The runtime of that name. Raises UnavailableError, in one line that says what is missing, where this machine does not have it."""
    return RUNTIMES[choice.name].open(threads, choice.precision)
