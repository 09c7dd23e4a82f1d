"""The networks of a bundle on one runtime: loaded once, proven once, shared by all worlds of a process."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from terraloom.errors import InternalError, InvalidArgumentError, TerraloomError
from terraloom_engines.bundle import Bundle
from terraloom_engines.cascade import window_sides
from terraloom_engines.runtimes import Graph, Runtime
from terraloom_engines.runtimes.catalogue import AUTO, RUNTIMES, Choice, open_runtime, parse
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.self_test import SMALL, TOLERANCE, prove, sizes_agree
from terraloom_engines.stages import StageSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A runtime that `auto` did not take, and why, in one line."""

    runtime: str
    reason: str


class Networks:
    """Graphs and specifications by network. `lock` is held while a field is generated: one run uses every core the runtime was given."""

    def __init__(self, bundle: Bundle, runtime: Runtime, refused: tuple[Refusal, ...] = ()) -> None:
        """Loads and tests them. Raises UnavailableError when the runtime cannot run here, InternalError when its results cannot be used."""
        self.bundle_digest, self.refused = bundle.digest, refused
        self.lock = threading.Lock()
        self.specs = {network: StageSpec.from_manifest(entry) for network, entry in bundle.manifest["stages"].items()}
        self.sides = window_sides(self.specs["geometry"], self.specs["imagery"])
        self.graphs = {network: runtime.load(bundle.model(network), self.sides[network]) for network in self.specs}
        self.runtime_identity = runtime.identity
        for network in self.specs:
            self._prove(bundle, network)
        self._load_joined: Callable[[], dict[str, Graph] | None] | None = partial(self._loaded_joined, bundle, runtime)
        self._joined: dict[str, Graph] | None = None

    def joined(self) -> dict[str, Graph] | None:
        """The graphs for windows of four siblings, loaded and proven when first asked for; None where they would not give the same bits.

        Call it with `lock` held.
        """
        if self._load_joined is not None:
            self._joined, self._load_joined = self._load_joined(), None
        return self._joined

    def _loaded_joined(self, bundle: Bundle, runtime: Runtime) -> dict[str, Graph] | None:
        sides = window_sides(self.specs["geometry"], self.specs["imagery"], across=2)
        try:
            graphs = {network: runtime.load(bundle.model(network), sides[network]) for network in self.specs}
            for network, graph in graphs.items():
                if not sizes_agree(self.graphs[network], graph, self.specs[network], network, self.sides[network], sides[network]):
                    raise InternalError(f"larger windows give other results ({network})")
        except Exception as error:  # whatever a driver throws: tiles are made one by one, as they can be everywhere
            _log.warning("siblings are generated one by one on %s: %s", self.runtime_identity, error)
            return None
        return graphs

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
            return Networks(bundle, open_runtime(choice, threads))
        except TerraloomError as error:
            raise InvalidArgumentError(f"runtime {choice} cannot be used here: {error}", field="runtime", allowed=(AUTO,)) from error
    refused: list[Refusal] = []
    for name in (name for name, entry in RUNTIMES.items() if entry.automatic):
        try:
            return Networks(bundle, open_runtime(Choice(name), threads), tuple(refused))
        except Exception as error:  # whatever a driver or a library throws: the next one may work
            refused.append(Refusal(name, " ".join(str(error).split())))
    raise InternalError("; ".join(f"{refusal.runtime}: {refusal.reason}" for refusal in refused))
