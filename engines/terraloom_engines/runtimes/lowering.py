"""An exported network made ready for a compiler: every shape fixed, shape arithmetic folded away, convolutions in a precision.

ONNX Runtime folds; package `onnx` rewrites. Both runtimes that compile (torch, TensorRT) start from the result.
"""

import tempfile
from pathlib import Path
from typing import Literal, get_args

import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
_TYPES: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_CONVOLUTIONS = ("Conv", "ConvTranspose")


def lowered(model: bytes, side: int, batch: int = 1, precision: Precision = "fp32") -> ModelProto:
    """The network for `batch` windows of `side` pixels, inputs and output in fp32 whatever the precision of what lies between.

    Only what is between the first and the last convolution is cast: the preprocessing takes differences of elevations in metres, of
    which fp16 knows 4 m at most heights of mountains and bf16 32 m.
    """
    fixed = onnx.load_from_string(model)
    for value in fixed.graph.input:
        axes = value.type.tensor_type.shape.dim
        axes[0].dim_value = batch
        for axis in axes:
            if axis.dim_param:
                axis.dim_value = side
    fixed.graph.output[0].type.tensor_type.shape.dim[0].dim_value = batch
    folded = _folded(fixed)
    return folded if precision == "fp32" else _cast_body(folded, _TYPES[precision])


def _folded(model: ModelProto) -> ModelProto:
    """The same function with all that depends on shapes alone computed; standard operators only."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3  # it warns that the model is for machines like this one: basic optimisations are not
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def _body(nodes: list[NodeProto]) -> list[NodeProto]:
    """What lies on a path from the first convolution to the last, both included."""
    convolutions = [node for node in nodes if node.op_type in _CONVOLUTIONS]
    after: set[str] = set(convolutions[0].output)
    for node in nodes:
        if after & set(node.input):
            after |= set(node.output)
    before: set[str] = set(convolutions[-1].output)
    for node in reversed(nodes):
        if before & set(node.output):
            before |= set(node.input)
    return [node for node in nodes if set(node.output) & after & before]


def _cast_body(model: ModelProto, kind: int) -> ModelProto:
    graph = model.graph
    body = _body(list(graph.node))
    inside, weights = {name for node in body for name in node.output}, {entry.name: entry for entry in graph.initializer}
    taken = {name for node in body for name in node.input if name and name not in inside}
    floats = [name for name in sorted(taken & weights.keys()) if weights[name].data_type == TensorProto.FLOAT]
    for name in floats:
        values = numpy_helper.to_array(weights[name]).astype(helper.tensor_dtype_to_np_dtype(kind))
        weights[name].CopyFrom(numpy_helper.from_array(values, name))
    entering = sorted(taken - weights.keys())
    leaving = list(body[-1].output)
    for node in body:
        for i, name in enumerate(node.input):
            if name in entering:
                node.input[i] = f"{name}_cast"
        for i, name in enumerate(node.output):
            if name in leaving:
                node.output[i] = f"{name}_uncast"
    casts = [helper.make_node("Cast", [name], [f"{name}_cast"], to=kind) for name in entering]
    casts += [helper.make_node("Cast", [f"{name}_uncast"], [name], to=TensorProto.FLOAT) for name in leaving]
    ordered = _ordered([*graph.node, *casts], {value.name for value in graph.input} | weights.keys())
    del graph.node[:], graph.value_info[:]
    graph.node.extend(ordered)
    return model


def _ordered(nodes: list[NodeProto], known: set[str]) -> list[NodeProto]:
    """Nodes, each after those that make its inputs."""
    out, waiting = [], nodes
    while waiting:
        ready = [node for node in waiting if all(not name or name in known for name in node.input)]
        known = known | {name for node in ready for name in node.output}
        out += ready
        waiting = [node for node in waiting if not any(node is other for other in ready)]
    return out
