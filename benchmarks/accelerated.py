"""What `make bench-gpu` asks of torch alone: ways of running a network, batches, memory, and the stages of the paper's size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from terraloom_engines.bench.ceilings import best_seconds
from terraloom_engines.bench.work import operations
from terraloom_engines.bundle import Bundle
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.cascade import window_sides
from terraloom_engines.device.program import recorded
from terraloom_engines.networks import Networks
from terraloom_engines.runtimes import PRECISIONS
from terraloom_engines.runtimes.torch_runtime import TorchGraph, TorchRuntime
from terraloom_engines.self_test import complete_probe
from terraloom_engines.stages import StageSpec
from terraloom_engines.tiling import tile_from_lonlat

BATCHES = (1, 2, 4, 8)
Run = Callable[[Sequence[Tensor]], Tensor]


def torch_figures(bundle: Bundle, repeats: int) -> dict[str, Any]:
    """By precision and network: milliseconds and operations a second of every way of running it, and of batches."""
    specs = {name: StageSpec.from_manifest(entry) for name, entry in bundle.manifest["stages"].items()}
    sides, found = window_sides(specs["geometry"], specs["imagery"]), {}
    for precision in PRECISIONS:
        runtime = TorchRuntime(2, precision)
        for network, spec in specs.items():
            model, side = bundle.model(network), sides[network]
            work = operations(model, network, spec, side)
            inputs = complete_probe(network, spec, side)
            graph = runtime.load(model, side)
            ways = {name: _timed(run, given, repeats) for name, run, given in _ways(graph, inputs)}
            batches = {size: _batch(runtime, model, inputs, size, repeats) for size in BATCHES}
            found[f"{network} {precision}"] = {
                "ways": {name: {"ms": 1e3 * seconds, "gflops": work / seconds / 1e9} for name, seconds in ways.items()},
                "batches": {size: entry | {"gflops": size * work / entry["ms"] / 1e6} for size, entry in batches.items()},
            }
    return found


def _ways(graph: TorchGraph, inputs: Mapping[str, Any]) -> list[tuple[str, Run, list[Tensor]]]:
    """Eager, compiled where that works, and on a GPU as a CUDA graph; with the inputs on the device."""
    given = [torch.from_numpy(np.ascontiguousarray(inputs[name])).to(graph.device) for name in graph.names]
    compiled = torch.compile(graph.module)

    def eager(values: Sequence[Tensor]) -> Tensor:
        return graph.module(*values)

    ways: list[tuple[str, Run, list[Tensor]]] = [("eager", eager, given), ("compiled", lambda values: compiled(*values), given)]
    if graph.device == "cuda":
        with torch.inference_mode():
            ways.append(("cuda graph", recorded(eager, [torch.empty_like(each) for each in given], given), given))
    return ways


def _timed(run: Run, given: list[Tensor], repeats: int) -> float:
    """Best of several, waited for."""

    def once() -> None:
        with torch.inference_mode():
            run(given)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return best_seconds(once, repeats)


def _batch(runtime: TorchRuntime, model: bytes, inputs: Mapping[str, Any], size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of a batch in all, and whether each of its windows has the bits that it has alone."""
    graph, alone = runtime.load(model, inputs["noise"].shape[-1], size), runtime.load(model, inputs["noise"].shape[-1])
    stacked = {name: np.concatenate([np.roll(values, turn, axis=-1) for turn in range(size)]) for name, values in inputs.items()}
    together = graph.run(stacked)
    single = [alone.run({name: values[turn : turn + 1] for name, values in stacked.items()}) for turn in range(size)]
    given = [torch.from_numpy(stacked[name]).to(graph.device) for name in graph.names]
    seconds = _timed(lambda values: graph.module(*values), given, repeats)
    return {"ms": 1e3 * seconds, "ms_per_window": 1e3 * seconds / size, "same_bits": bool(np.array_equal(together, np.concatenate(single)))}


def paper_figures(repeats: int) -> dict[str, Any]:
    """The networks of the paper's size with random weights: milliseconds, operations and memory of one call on one window."""
    from terraloom_engines.paper.models import build, count, shipped_folder

    on_gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    found: dict[str, Any] = {"dtype": str(dtype), "device": device}
    shapes: dict[str, Callable[[Any], tuple[dict[str, Any], Callable[[Any, dict[str, Any]], Any]]]] = {
        "imagery/encoder": lambda _: ({"image": (1, 3, 128, 128)}, lambda model, given: model(given["image"])),
        "imagery/unet": lambda config: (
            {"sample": (1, config.in_channels, config.sample_size, config.sample_size)},
            lambda model, given: model(given["sample"], 500, class_labels=torch.tensor([300.0], device=device, dtype=dtype)).sample),
        "geometry/unet": lambda config: (
            {"sample": (1, 8, config.sample_size, config.sample_size), "prompt": (1, 77, config.cross_attention_dim)},
            lambda model, given: model(given["sample"], 500, encoder_hidden_states=given["prompt"]).sample),
        "geometry/vae": lambda config: (
            {"image": (1, 3, config.sample_size, config.sample_size)},
            lambda model, given: model.decode(model.encode(given["image"]).latent_dist.mode()).sample),
    }  # fmt: skip
    for part, asked in shapes.items():
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        model = build(shipped_folder(), part).to(device, dtype).eval()
        wanted, call = asked(model.config)
        given = {name: torch.randn(shape, device=device, dtype=dtype) for name, shape in wanted.items()}
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            call(model, given)
        seconds = _timed(lambda _, model=model, given=given, call=call: call(model, given), [], repeats)  # type: ignore[misc]
        work = counter.get_total_flops()
        found[part] = {"parameters": count(model), "ms": 1e3 * seconds, "gflop": work / 1e9, "gflops": work / seconds / 1e9}
        if on_gpu:
            found[part]["peak_bytes"] = torch.cuda.max_memory_allocated()
        del model
    return found


def step_peak_bytes(bundle: Bundle) -> dict[str, int]:
    """The most that tensors take in a step for four siblings, weights and kept fields apart: asked of CUDA, else counted."""
    networks, found = Networks(bundle, TorchRuntime(2)), {}
    parent = EarthBase(bundle.folder).field(tile_from_lonlat(4, 8.0, 46.5), 2 * networks.step(0).loss)
    with networks.lock:
        joined = networks.joined()
    for name, maker, children in (("alone", networks.step, parent.tile.children[:1]), ("siblings", joined, parent.tile.children)):
        if maker is not None:
            found[name] = _peak(lambda maker=maker, children=children: maker(0).fields(parent, children, None))  # type: ignore[misc]
    return found


def _peak(run: Callable[[], object]) -> int:
    run()
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return int(torch.cuda.max_memory_allocated()) - before
    with _LiveTensors() as live:
        run()
    return live.most


class _LiveTensors(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of the tensors that live at a time, as they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self._known = 0, dict[int, tuple[Any, int]]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._known.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self._known = {key: entry for key, entry in self._known.items() if not entry[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._known.values()))
        return made
