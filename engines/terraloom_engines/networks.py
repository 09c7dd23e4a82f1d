"""The networks of a bundle on one runtime: loaded once, proven once, shared by all worlds of a process."""

import threading

from terraloom.errors import InternalError
from terraloom_engines.bundle import Bundle
from terraloom_engines.cascade import window_sides
from terraloom_engines.runtimes import Runtime
from terraloom_engines.self_test import shifted_windows_agree
from terraloom_engines.stages import StageSpec


class Networks:
    """Graphs and specifications by network. `lock` is held while a field is generated: one run uses every core the runtime was given."""

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        """Loads and tests them. Raises InternalError when the runtime does not treat every pixel of a window alike."""
        self.runtime_identity, self.bundle_digest = runtime.identity, bundle.digest
        self.lock = threading.Lock()
        self.specs = {network: StageSpec.from_manifest(entry) for network, entry in bundle.manifest["stages"].items()}
        self.graphs = {network: runtime.load(bundle.model(network)) for network in self.specs}
        sides = window_sides(self.specs["geometry"], self.specs["imagery"])
        for network, graph in self.graphs.items():
            if not shifted_windows_agree(graph, self.specs[network], network, sides[network]):
                raise InternalError(
                    f"runtime {runtime.identity} gives other results for shifted windows ({network}): tiles would show seams"
                )
