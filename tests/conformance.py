"""What every runtime promises, as tests: a runtime's own test subclasses `RuntimeConformance` and says which it is."""

import numpy as np
import pytest

from terraloom.errors import UnavailableError
from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.runtimes import Array, Runtime
from terraloom_engines.runtimes.catalogue import open_runtime, parse
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.self_test import CONDITIONS, SMALL, complete_probe, prove
from terraloom_engines.stages import StageSpec

SIDE = 68
"""Pixels of the windows: enough for every path through the networks, few enough to be quick."""
BUNDLE = Bundle.open(embedded_bundles()["earth"])


def opened(choice: str) -> Runtime:
    """A runtime of this machine; where it has none the test is skipped, and says why."""
    try:
        return open_runtime(parse(choice), 1)
    except UnavailableError as error:
        pytest.skip(str(error))


def spec_of(network: str) -> StageSpec:
    return StageSpec.from_manifest(BUNDLE.manifest["stages"][network])


def window(network: str, seed: int) -> dict[str, Array]:
    """Inputs that differ from seed to seed."""
    rng = np.random.default_rng(seed)
    fixed = complete_probe(network, spec_of(network), SIDE)
    return {name: values if values.shape[-1] == 1 else rng.normal(size=values.shape).astype(np.float32) for name, values in fixed.items()}


@pytest.mark.parametrize("network", CONDITIONS)
class RuntimeConformance:
    """Subclasses give their runtime's `choice`; `tolerance` is the ratio of norms that it may differ from onnx-cpu by."""

    choice: str
    tolerance = 1e-5

    @pytest.fixture
    def runtime(self) -> Runtime:
        return opened(self.choice)

    def test_an_overlap_of_two_windows_is_equal_bit_for_bit_and_what_onnx_cpu_computes(self, runtime: Runtime, network: str) -> None:
        model, spec = BUNDLE.model(network), spec_of(network)
        proof = prove(runtime.load(model, SIDE), OnnxCpuRuntime(1).load(model, SMALL), spec, network, SIDE)
        assert proof.seamless
        assert proof.departure <= self.tolerance

    def test_a_window_gives_the_same_bits_again_and_from_another_load(self, runtime: Runtime, network: str) -> None:
        first, second = (runtime.load(BUNDLE.model(network), SIDE) for _ in range(2))
        inputs = window(network, 1)
        sample = first.run(inputs)
        assert sample.dtype == np.float32 and sample.shape == (1, spec_of(network).channels, SIDE - 24, SIDE - 24)
        first.run(window(network, 2))
        assert np.array_equal(sample, first.run(inputs)) and np.array_equal(sample, second.run(inputs))

    def test_the_number_of_cores_changes_no_bit_or_the_identity_too(self, runtime: Runtime, network: str) -> None:
        model, inputs = BUNDLE.model(network), window(network, 3)
        alone, other = runtime.load(model, SIDE).run(inputs), open_runtime(parse(self.choice), 2)
        assert np.array_equal(alone, other.load(model, SIDE).run(inputs)) or runtime.identity != other.identity

    def test_neither_the_size_of_a_batch_nor_the_place_in_it_changes_a_bit(self, runtime: Runtime, network: str) -> None:
        windows = [window(network, seed) for seed in range(max(runtime.batches))]
        alone = runtime.load(BUNDLE.model(network), SIDE)
        expected = [alone.run(inputs) for inputs in windows]
        assert not np.array_equal(expected[0], expected[-1]) or len(windows) == 1
        for size in runtime.batches:
            graph = runtime.load(BUNDLE.model(network), SIDE, size)
            for order in (range(size), reversed(range(size))):
                chosen = list(order)
                stacked = {name: np.concatenate([windows[i][name] for i in chosen]) for name in windows[0]}
                assert np.array_equal(graph.run(stacked), np.concatenate([expected[i] for i in chosen]))

    def test_its_identity_names_it_and_does_not_change(self, runtime: Runtime, network: str) -> None:
        before = runtime.identity
        runtime.load(BUNDLE.model(network), SIDE)
        assert runtime.identity == before and before.split()[1][0].isdigit()
