"""The networks of a bundle on one runtime: loaded once, proven once, shared by all worlds of a process."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from terraloom.errors import InternalError, InvalidArgumentError, TerraloomError
from terraloom_engines.bundle import Bundle
from terraloom_engines.cascade import Stages, Step, window_sides
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage
from terraloom_engines.runtimes import Graph, Runtime
from terraloom_engines.runtimes.catalogue import AUTO, RUNTIMES, Choice, open_runtime, parse
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.runtimes.torch_runtime import TorchGraph
from terraloom_engines.self_test import SMALL, TOLERANCE, prove, sizes_agree, steps_agree
from terraloom_engines.stages import StageSpec

StepMaker = Callable[[int], Step]
"""The step of a world by the seed of its noise."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A runtime that `auto` did not take, and why, in one line."""

    runtime: str
    reason: str


class Generator(Protocol):
    """What makes the steps of worlds; `Networks` are one. `lock` is held while a field is generated."""

    @property
    def bundle_digest(self) -> str:
        """Of the weights: part of every tile's identity."""
        ...

    @property
    def runtime_identity(self) -> str:
        """Of what computes: part of every tile's identity."""
        ...

    @property
    def lock(self) -> threading.Lock:
        """One for all worlds."""
        ...

    @property
    def step(self) -> StepMaker:
        """What makes a world's step by the seed of its noise."""
        ...

    def joined(self) -> StepMaker | None:
        """The same for four siblings; None where they are made one by one."""
        ...


class Networks:
    """Graphs and specifications by network. `lock` is held while a field is generated: one run uses every core the runtime was given."""

    def __init__(self, bundle: Bundle, runtime: Runtime, refused: tuple[Refusal, ...] = (), threads: int = 2) -> None:
        """Loads and tests them; with two `threads` or more, what numpy does with their samples runs on two cores.

        Raises UnavailableError when the runtime cannot run here, InternalError when its results cannot be used.
        """
        self.bundle_digest, self.refused = bundle.digest, refused
        self._aside = ThreadPoolExecutor(1, "terraloom-aside") if threads > 1 else None
        self.lock = threading.Lock()
        self.specs = {network: StageSpec.from_manifest(entry) for network, entry in bundle.manifest["stages"].items()}
        self.sides = window_sides(self.specs["geometry"], self.specs["imagery"])
        self.graphs = {network: runtime.load(bundle.model(network), self.sides[network]) for network in self.specs}
        self.runtime_identity = runtime.identity
        for network in self.specs:
            self._prove(bundle, network)
        self._kept: Any = None
        self.step: StepMaker = self._proven_maker(self.graphs)
        self._load_joined: Callable[[], StepMaker | None] | None = partial(self._loaded_joined, bundle, runtime)
        self._joined: StepMaker | None = None

    def joined(self) -> StepMaker | None:
        """What makes steps for four siblings, loaded and proven when first asked for; None where they would not give the same bits.

        Call it with `lock` held.
        """
        if self._load_joined is not None:
            self._joined, self._load_joined = self._load_joined(), None
        return self._joined

    def stages(self, graphs: Mapping[str, Graph], noise: int) -> Stages:
        """A step over graphs of these networks, whose samples numpy finishes on the host."""
        specs = self.specs
        lifting, imagery = (
            LiftingStage(graphs["geometry"], specs["geometry"], noise),
            ImageryStage(graphs["imagery"], specs["imagery"], noise),
        )
        return Stages(lifting, imagery, self._aside)

    def _maker(self, graphs: Mapping[str, Graph]) -> StepMaker:
        """What makes steps of these graphs: torch's are finished where they are."""
        there = {name: graph for name, graph in graphs.items() if isinstance(graph, TorchGraph)}
        if len(there) < len(graphs):
            return partial(self.stages, graphs)
        from terraloom_engines.device.program import Program
        from terraloom_engines.device.steps import DeviceFields, DeviceStep

        program = Program(there, self.specs)
        self._kept = self._kept or DeviceFields(program.device)
        return partial(DeviceStep, program, self._kept)

    def _proven_maker(self, graphs: Mapping[str, Graph]) -> StepMaker:
        """Raises InternalError where a device does not finish the samples of a network as numpy does."""
        maker, host = self._maker(graphs), self.stages(graphs, 0)
        if not isinstance(maker(0), Stages) and not steps_agree(maker(0), host):
            raise InternalError(f"runtime {self.runtime_identity} does not finish fields on its device as numpy does")
        return maker

    def _loaded_joined(self, bundle: Bundle, runtime: Runtime) -> StepMaker | None:
        sides = window_sides(self.specs["geometry"], self.specs["imagery"], across=2)
        try:
            graphs = {network: runtime.load(bundle.model(network), sides[network]) for network in self.specs}
            for network, graph in graphs.items():
                if not sizes_agree(self.graphs[network], graph, self.specs[network], network, self.sides[network], sides[network]):
                    raise InternalError(f"larger windows give other results ({network})")
            maker = self._maker(graphs)
            if not isinstance(maker(0), Stages) and not steps_agree(self.step(0), maker(0), 2):
                raise InternalError("a window of four siblings gives other fields on the device")
        except Exception as error:  # whatever a driver throws: tiles are made one by one, as they can be everywhere
            _log.warning("siblings are generated one by one on %s: %s", self.runtime_identity, error)
            return None
        return maker

    def _prove(self, bundle: Bundle, network: str) -> None:
        reference = OnnxCpuRuntime(1).load(bundle.model(network), SMALL)
        proof = prove(self.graphs[network], reference, self.specs[network], network, self.sides[network])
        if not proof.seamless:
            raise InternalError(
                f"runtime {self.runtime_identity} gives other results for shifted windows ({network}): tiles would show seams"
            )
        if not proof.departure <= TOLERANCE:
            raise InternalError(
                f"runtime {self.runtime_identity} is {proof.departure:.1%} off onnx-cpu ({network}): it computes something else"
            )


def open_networks(bundle: Bundle, runtime: str = AUTO, threads: int = 2) -> Networks:
    """The networks on the runtime that `runtime` names, or on the best that really works here (`auto`), with why the others do not.

    Raises InvalidArgumentError for an unknown runtime and for one that was asked for by name and does not work here: nothing else is put
    in its place.
    """
    if runtime != AUTO:
        choice = parse(runtime)
        try:
            return Networks(bundle, open_runtime(choice, threads), (), threads)
        except TerraloomError as error:
            raise InvalidArgumentError(f"runtime {choice} cannot be used here: {error}", field="runtime", allowed=(AUTO,)) from error
    refused: list[Refusal] = []
    for name in (name for name, entry in RUNTIMES.items() if entry.automatic):
        try:
            return Networks(bundle, open_runtime(Choice(name), threads), tuple(refused), threads)
        except Exception as error:  # whatever a driver or a library throws: the next one may work
            refused.append(Refusal(name, " ".join(str(error).split())))
    raise InternalError("; ".join(f"{refusal.runtime}: {refusal.reason}" for refusal in refused))
