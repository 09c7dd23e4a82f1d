"""Verification: what it finds of a runtime that is right, and of one that is not."""

import copy

import numpy as np
import pytest

from conformance import BUNDLE, opened
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.networks import Networks, open_networks
from terraloom_engines.runtimes import Array
from terraloom_engines.verification import LevelDifference, verify

ALPS = (8.0, 46.5)


@pytest.fixture(scope="module")
def reference() -> Networks:
    return open_networks(BUNDLE, "onnx-cpu", 1)


def found(reference: Networks, candidate: Networks) -> LevelDifference:
    (difference,) = verify(EarthBase(BUNDLE.folder), reference, candidate, [6], [ALPS])
    return difference


def test_the_reference_differs_from_itself_in_nothing(reference: Networks) -> None:
    same = found(reference, reference)
    assert same.relative_error == {"geometry": 0.0, "imagery": 0.0}
    assert set(same.changed.values()) == {0.0} and set(same.largest.values()) == {0}


def test_torch_differs_by_rounding_alone(reference: Networks) -> None:
    difference = found(reference, Networks(BUNDLE, opened("torch")))
    assert 0 < difference.relative_error["geometry"] < 1e-5 and 0 < difference.relative_error["imagery"] < 1e-5
    assert 0 < difference.changed["elevation"] < 0.01 and max(difference.largest.values()) < 200
    assert difference.changed["water"] == 0


def test_openvino_keeps_heights_of_mountains_in_fp32_where_its_convolutions_are_in_bf16(reference: Networks) -> None:
    difference = found(reference, Networks(BUNDLE, opened("openvino:bf16")))
    assert 1e-4 < difference.relative_error["geometry"] < 0.01, "all in bf16 it is 0.05 off here"
    assert 1e-4 < difference.relative_error["imagery"] < 0.01


def test_a_runtime_that_computes_something_else_is_seen_in_what_it_computes(reference: Networks) -> None:
    class Louder:
        def run(self, inputs: dict[str, Array]) -> Array:
            return reference.graphs["geometry"].run(inputs) * np.float32(1.1)

    candidate = copy.copy(reference)  # opened, it would be refused
    candidate.graphs = reference.graphs | {"geometry": Louder()}
    difference = found(reference, candidate)
    assert difference.relative_error["geometry"] == pytest.approx(0.1, rel=1e-4)
    assert difference.changed["elevation"] > 0.5 and difference.largest["elevation"] > 10
