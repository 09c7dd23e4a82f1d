"""Building plans: one code for `tensorrt` and `tensorrt-rtx`, whose Python packages differ in their name and in what they can aim at.

TensorRT for RTX compiles ahead of time, on any machine, for the architectures of `RTX_TARGETS`; the rest is compiled when a plan is loaded.
TensorRT measures kernels on the GPU at hand while it builds, so it aims at nothing else, and two plans of one network may differ.
"""

import hashlib
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, get_args

from terraloom.errors import InternalError, InvalidArgumentError, UnavailableError
from terraloom_engines.runtimes import Precision
from terraloom_engines.runtimes.plans import Plan, PlanCache, PlanKey

LibraryName = Literal["tensorrt", "tensorrt-rtx"]
LIBRARIES: tuple[LibraryName, ...] = get_args(LibraryName)
RTX_TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""Turing, Ampere for datacentres and for desks, Ada, Blackwell for desks and GB10."""
CURRENT = "current"
"""The GPU at hand."""
_EXTRAS: dict[str, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}


@dataclass(frozen=True, slots=True)
class Library:
    """An imported TensorRT."""

    name: LibraryName
    module: Any
    errors: list[str]
    """What it last complained of."""

    @classmethod
    def open(cls, name: LibraryName) -> "Library":
        """Raises UnavailableError where it is not installed."""
        module_name = name.replace("-", "_")
        for needed in (module_name, "onnx", "cuda"):
            if find_spec(needed) is None:
                raise UnavailableError(f"{needed} is not installed: pip install 'terraloom[{_EXTRAS[name]}]'")
        try:
            return cls(name, import_module(module_name), [])
        except (ImportError, OSError) as error:  # its libraries do not load
            raise UnavailableError(f"{module_name} does not start: {error}") from error

    @property
    def version(self) -> str:
        """As the package has it."""
        return str(self.module.__version__)

    def logger(self) -> Any:
        """Keeps errors for our own message and lets the rest go."""
        errors, error = self.errors, (self.module.ILogger.Severity.ERROR, self.module.ILogger.Severity.INTERNAL_ERROR)

        base: Any = self.module.ILogger

        class Logger(base):  # type: ignore[misc]  # the package has no types
            def log(self, severity: Any, message: str) -> None:
                if severity in error:
                    errors.append(" ".join(message.split()))

        return Logger()

    def complaint(self) -> str:
        """Its first error since the last time, in one line; the later ones follow from it."""
        first = self.errors[0] if self.errors else "no reason given"
        self.errors.clear()
        return first


def check_target(name: LibraryName, target: str) -> str:
    """`target` if that library can aim at it. Raises InvalidArgumentError, which names what is allowed."""
    allowed = (CURRENT, *RTX_TARGETS) if name == "tensorrt-rtx" else (CURRENT,)
    if target not in allowed:
        raise InvalidArgumentError(f"{name} cannot aim at {target!r}: allowed are {', '.join(allowed)}", field="target", allowed=allowed)
    return target


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """Which plan: for windows of `side` pixels, `batch` at a time; `place` says in the key what GPU `current` means."""

    target: str
    precision: Precision
    side: int
    batch: int = 1
    place: str = ""


def obtain_plan(library: Library, cache: PlanCache, model: bytes, order: PlanOrder) -> Plan:
    """The plan of a serialised ONNX model, out of the cache or built. Raises InternalError when TensorRT cannot build it."""
    check_target(library.name, order.target)
    target = order.place if order.target == CURRENT else order.target
    network = hashlib.sha256(model).hexdigest()
    key = PlanKey(library.name, library.version, target, order.precision, network, order.side, order.batch)
    return cache.obtain(key, lambda: build_plan(library, model, order))


def build_plan(library: Library, model: bytes, order: PlanOrder) -> bytes:
    """Compiles; seconds for tensorrt-rtx."""
    from terraloom_engines.runtimes.lowering import lowered

    trt, logger = library.module, library.logger()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))  # the graph says what is cast
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(lowered(model, order.side, order.batch, order.precision).SerializeToString()):
        raise InternalError(f"{library.name} does not understand the network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if order.target != CURRENT:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, order.target.upper()), 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InternalError(f"{library.name} cannot build a plan for {order.target}: {library.complaint()}")
    return bytes(plan)
