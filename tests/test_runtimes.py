"""Runtimes: what each promises, which one is taken, and how the absence of the others is told."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from conformance import BUNDLE, SIDE, RuntimeConformance, opened, spec_of, window
from terraloom.errors import InternalError, InvalidArgumentError, UnavailableError
from terraloom_engines.networks import Networks, open_networks
from terraloom_engines.runtimes import Array, Graph
from terraloom_engines.runtimes.catalogue import RUNTIMES, Choice, parse
from terraloom_engines.runtimes.cuda import devices
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.self_test import SMALL, prove


def has_gpu() -> bool:
    try:
        return bool(devices())
    except UnavailableError:
        return False


class TestOnnxCpu(RuntimeConformance):
    choice = "onnx-cpu"


class TestOpenVino(RuntimeConformance):
    choice = "openvino"


class TestOpenVinoInBf16(RuntimeConformance):
    choice = "openvino:bf16"
    tolerance = 0.01


class TestTorch(RuntimeConformance):
    choice = "torch"


class TestOnnxCuda(RuntimeConformance):
    choice = "onnx-cuda"
    tolerance = 1e-3


class Faulty:
    """A runtime that is right but for one fault, as a driver's may be."""

    identity, batches = "faulty 1", (1,)

    def __init__(self, fault: str) -> None:
        self._fault, self._sound = fault, OnnxCpuRuntime(1)

    def load(self, model: bytes, side: int, batch: int = 1) -> Graph:
        return FaultyGraph(self._sound.load(model, side, batch), self._fault)


class FaultyGraph:
    def __init__(self, graph: Graph, fault: str) -> None:
        self._graph, self._fault = graph, fault

    def run(self, inputs: dict[str, Array]) -> Array:
        sample = self._graph.run(inputs).copy()
        if self._fault == "position":
            sample[..., 7] += 1e-6
        elif self._fault == "value":
            sample *= np.float32(1.1)
        elif self._fault == "nan":
            sample[:] = np.nan
        return sample


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [("position", "other results for shifted windows"), ("value", "10.0% off onnx-cpu"), ("nan", "other results for shifted windows")],
)
def test_a_runtime_whose_results_cannot_be_used_is_refused(fault: str, complaint: str) -> None:
    with pytest.raises(InternalError, match=complaint):
        Networks(BUNDLE, Faulty(fault))


@pytest.mark.parametrize("choice", ["torch:fp16", "torch:bf16", "openvino:bf16"])
def test_a_lower_precision_changes_the_convolutions_alone(choice: str) -> None:
    runtime = opened(choice)
    model = BUNDLE.model("geometry")
    proof = prove(runtime.load(model, SMALL), OnnxCpuRuntime(1).load(model, SMALL), spec_of("geometry"), "geometry", SMALL)
    assert proof.seamless
    assert 1e-5 < proof.departure < 0.01, "fp32 would be closer, elevations in half precision much further off"


@pytest.mark.parametrize("network", ["geometry", "imagery"])
def test_a_graph_for_several_windows_at_once_computes_each_of_them(network: str) -> None:
    runtime, windows = opened("torch"), [window(network, seed) for seed in range(3)]
    stacked = {name: np.concatenate([inputs[name] for inputs in windows]) for name in windows[0]}
    made = runtime.load(BUNDLE.model(network), SIDE, len(windows)).run(stacked)
    alone = OnnxCpuRuntime(1).load(BUNDLE.model(network), SIDE)
    np.testing.assert_allclose(made, np.concatenate([alone.run(inputs) for inputs in windows]), rtol=0, atol=1e-4)


def test_a_choice_is_a_name_with_perhaps_a_precision() -> None:
    assert parse("onnx-cpu") == Choice("onnx-cpu", "fp32") and str(parse("torch:bf16")) == "torch:bf16"
    with pytest.raises(InvalidArgumentError, match="runtime 'cuda' is not known: allowed are auto, .*onnx-cpu"):
        parse("cuda")
    with pytest.raises(InvalidArgumentError, match="runtime onnx-cpu has no precision 'fp16': allowed are fp32"):
        parse("onnx-cpu:fp16")


def test_auto_takes_the_first_that_works_and_says_in_one_line_each_why_those_before_it_do_not() -> None:
    networks = open_networks(BUNDLE)
    automatic = [name for name, entry in RUNTIMES.items() if entry.automatic]
    taken = networks.runtime_identity.split()[0]
    assert [refusal.runtime for refusal in networks.refused] == automatic[: automatic.index(taken)]
    assert all(refusal.reason and "\n" not in refusal.reason for refusal in networks.refused)
    if not has_gpu():
        assert taken == "onnx-cpu" and all("NVIDIA driver" in refusal.reason for refusal in networks.refused)


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_a_runtime_asked_for_by_name_is_never_replaced_by_another() -> None:
    with pytest.raises(InvalidArgumentError, match="runtime onnx-cuda cannot be used here: there is no NVIDIA driver"):
        open_networks(BUNDLE, "onnx-cuda")


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terraloom_engines.cli", "serve", "--port", "0", "--no-http", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment)


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_serve_ends_with_2_and_one_line_without_the_runtime_that_it_was_told_to_use() -> None:
    for result in (serve("--runtime", "onnx-cuda"), serve(TERRALOOM_RUNTIME="onnx-cuda")):
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("error: runtime onnx-cuda cannot be used here: there is no NVIDIA driver")
        assert result.stderr.count("\n") == 1


def test_a_torch_that_is_not_installed_is_told_with_the_remedy() -> None:
    code = """
import sys
import tomllib
from pathlib import Path
sys.modules["torch"] = None  # as good as not installed
from terraloom_engines.runtimes.catalogue import open_runtime, parse
open_runtime(parse("torch"))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1].endswith("UnavailableError: torch is not installed: pip install 'terraloom[train]'")


def in_a_process(code: str, home: Path) -> list[str]:
    """Lines that Python code prints in a process of its own, the last of its traceback among them; `home` is its user's folder."""
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "TF_BUILD", "JENKINS_URL"}}
    command, environment = [sys.executable, "-c", code], environment | {"HOME": str(home)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    return (result.stdout + result.stderr).splitlines()


def test_an_openvino_that_is_not_installed_is_told_with_the_remedy(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["openvino"] = None  # as good as not installed
from terraloom_engines.runtimes.catalogue import open_runtime, parse
open_runtime(parse("openvino"))
"""
    assert in_a_process(code, tmp_path)[-1].endswith("UnavailableError: openvino is not installed: pip install 'terraloom[openvino]'")


def test_openvino_reports_to_nobody_that_it_was_imported(tmp_path: Path) -> None:
    opened("openvino")
    code = """
import sys
from terraloom_engines.runtimes.catalogue import open_runtime, parse
open_runtime(parse("openvino"))
print([name for name in sys.modules if name.startswith("openvino_telemetry")])
"""
    assert in_a_process(code, tmp_path) == ["[]"]
    assert not any(tmp_path.iterdir()), "the reporter keeps its number for this user there"


def test_the_extras_for_cpus_and_for_gpus_differ_in_onnxruntime_alone() -> None:
    extras = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["server-gpu"] == [line.replace("onnxruntime", "onnxruntime-gpu") for line in extras["server"]]
