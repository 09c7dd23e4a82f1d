"""`torch`: PyTorch, the reference that training uses. Slow to start and large, so that it runs only where it is asked for by name."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from terraloom.errors import UnavailableError
from terraloom_engines.runtimes import Array, Precision


class TorchGraph:
    """One network as a torch module on a device."""

    def __init__(self, module: Any, names: list[str], device: str) -> None:
        self.module, self.names, self.device = module, names, device

    def run(self, inputs: Mapping[str, Array]) -> Array:
        import torch

        with torch.inference_mode():
            given = {name: torch.from_numpy(np.ascontiguousarray(inputs[name])).to(self.device) for name in self.names}
            out: Array = self.evaluate(given).cpu().numpy()
        return out

    def evaluate(self, inputs: Mapping[str, Any]) -> Any:
        """The output for tensors that are on the device, where it stays."""
        return self.module(*(inputs[name] for name in self.names)).float()


class TorchRuntime:
    """PyTorch on the first GPU where there is one, else on `threads` cores; eager, with deterministic kernels and full fp32 products."""

    batches = (1,)

    def __init__(self, threads: int = 2, precision: Precision = "fp32") -> None:
        """Raises UnavailableError where torch or onnx is not installed."""
        try:
            import onnx  # noqa: F401  # the graphs are read with it
            import torch
        except ImportError as error:
            raise UnavailableError(f"{error.name} is not installed: pip install 'terraloom[train]'") from None
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        self.device, self.precision = "cuda" if torch.cuda.is_available() else "cpu", precision
        on_cpu = f"{torch.backends.cpu.get_cpu_capability()} {threads} cores"  # by their number it divides sums
        place = torch.cuda.get_device_name() if self.device == "cuda" else on_cpu
        self.identity = f"torch {torch.__version__} {place} {precision}"

    def load(self, model: bytes, side: int, batch: int = 1) -> TorchGraph:
        from terraloom_engines.runtimes.lowering import lowered
        from terraloom_engines.runtimes.torch_module import module_from_onnx

        graph = lowered(model, side, batch, self.precision)
        module = module_from_onnx(graph).to(self.device).eval()
        return TorchGraph(module, [value.name for value in graph.graph.input], self.device)
