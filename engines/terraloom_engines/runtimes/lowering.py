"""An exported network made ready for a compiler: every shape fixed, shape arithmetic folded away, convolutions in a precision.

ONNX Runtime folds; package `onnx` rewrites. Both runtimes that compile (torch, TensorRT) start from the result.
"""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from terraloom_engines.runtimes import Precision

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
    if precision == "fp32":
        return folded
    if precision == "bf16":  # TensorRT for RTX 1.7 has no transposed convolution in it
        _shuffle_pixels(folded)
    return _cast_body(folded, _TYPES[precision])


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


def _shuffle_pixels(model: ModelProto) -> None:
    """Transposed convolutions whose stride is their kernel's size become convolutions of 1 x 1 and a shuffle of channels into pixels."""
    graph, weights = model.graph, {entry.name: entry for entry in model.graph.initializer}
    for index, node in enumerate(list(graph.node)):
        if node.op_type != "ConvTranspose":
            continue
        kernel, bias = (numpy_helper.to_array(weights[name]) for name in node.input[1:])
        inputs, outputs, size, _ = kernel.shape
        spread = kernel.transpose(1, 2, 3, 0).reshape(outputs * size * size, inputs, 1, 1)
        for name, values in zip(node.input[1:], (spread, bias.repeat(size * size)), strict=True):
            weights[name].CopyFrom(numpy_helper.from_array(values, name))
        wide = f"{node.output[0]}_wide"
        shuffle = helper.make_node("DepthToSpace", [wide], list(node.output), blocksize=size, mode="CRD")
        node.CopyFrom(helper.make_node("Conv", list(node.input), [wide], kernel_shape=[1, 1], strides=[1, 1]))
        graph.node[index].CopyFrom(node)
        graph.node.insert(index + 1, shuffle)


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
