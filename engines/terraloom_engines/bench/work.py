"""Floating-point operations of a network, counted by ONNX Runtime's profiler: it notes the shapes of all that it runs."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime

from terraloom_engines.runtimes.onnx_cpu import session_options
from terraloom_engines.self_test import complete_probe
from terraloom_engines.stages import StageSpec


def operations(model: bytes, network: str, spec: StageSpec, side: int) -> int:
    """Of one window: two for every product in its convolutions, which are nearly all of it."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(side, 1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # convolutions stay what they are called
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_prepacking", "1")  # a kernel that was packed beforehand has no shape to tell
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        session.run(None, complete_probe(network, spec, side))
        events = json.loads(Path(session.end_profiling()).read_text())
    return sum(_products(event["args"]) for event in events if event["name"].endswith("_kernel_time")) * 2


def _products(node: dict[str, Any]) -> int:
    if node.get("op_name") not in ("Conv", "ConvTranspose"):
        return 0
    values, kernel = (next(iter(shape.values())) for shape in node["input_type_shape"][:2])
    made = next(iter(node["output_type_shape"][0].values()))
    area = math.prod(kernel[2:])
    if node["op_name"] == "Conv":  # every output pixel looks at a kernel of input channels
        return math.prod(made) * kernel[1] * area
    return math.prod(values) * kernel[1] * area
