"""ONNX graphs as torch modules: an `fx` graph of torch's own functions, so that it can be compiled, captured and differentiated.

Knows the operators that the exported networks have after `lowering.lowered`. Only the runtime `torch` imports this module.
"""

from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.nn import functional

from terraloom.errors import InternalError

Constants = Mapping[str, Any]
"""Initialisers by name, as numpy arrays."""
_DTYPES = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16, onnx.TensorProto.BFLOAT16: torch.bfloat16}


def _slices(values: Tensor, parts: list[tuple[int, int, int, int]]) -> Tensor:
    for axis, start, end, step in parts:
        length = values.shape[axis]
        index = [slice(None)] * values.ndim
        index[axis] = slice(max(start + length, 0) if start < 0 else start, min(end, length) if end >= 0 else end + length, step)
        values = values[tuple(index)]
    return values


def _slice(node: NodeProto, constants: Constants, _: dict[str, Any]) -> tuple[Callable[..., Any], list[Any]]:
    starts, ends, *rest = (constants[name].tolist() for name in node.input[1:])
    axes = rest[0] if rest else list(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    return _slices, [list(zip(axes, starts, ends, steps, strict=True))]


def _unsqueeze(values: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes):
        values = values.unsqueeze(axis)
    return values


def _expand(values: Tensor, shape: list[int]) -> Tensor:
    return values.expand(torch.broadcast_shapes(values.shape, shape))


def _no_padding(attributes: dict[str, Any]) -> None:
    if any(attributes.get("pads", ())) or any(n != 1 for n in attributes.get("dilations", ())) or attributes.get("group", 1) != 1:
        raise InternalError(f"only unpadded, undilated, ungrouped convolutions are known; got {attributes}")


def _convolve(values: Tensor, weight: Tensor, bias: Tensor, stride: list[int]) -> Tensor:
    return functional.conv2d(values, weight, bias, stride)


def _convolve_back(values: Tensor, weight: Tensor, bias: Tensor, stride: list[int]) -> Tensor:
    return functional.conv_transpose2d(values, weight, bias, stride)


def _concatenate(*values: Any) -> Tensor:
    return torch.cat(values[:-1], dim=values[-1])


def _translate(node: NodeProto, constants: Constants) -> tuple[Callable[..., Any], int, list[Any]]:
    """A function, how many of the node's inputs are its tensors, and the arguments after them."""
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    simple: dict[str, Callable[..., Any]] = {
        "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Abs": torch.abs, "Exp": torch.exp,
    }  # fmt: skip
    everything = len(node.input)
    match node.op_type:
        case kind if kind in simple:
            return simple[kind], everything, []
        case "Conv" | "ConvTranspose" as kind:
            _no_padding(attributes)
            return _convolve if kind == "Conv" else _convolve_back, everything, [list(attributes["strides"])]
        case "LeakyRelu":
            return functional.leaky_relu, 1, [attributes["alpha"]]
        case "Concat":
            return _concatenate, everything, [attributes["axis"]]
        case "Slice":
            function, rest = _slice(node, constants, attributes)
            return function, 1, rest
        case "Unsqueeze":
            return _unsqueeze, 1, [constants[node.input[1]].tolist()]
        case "Expand":
            return _expand, 1, [constants[node.input[1]].tolist()]
        case "Reshape":
            return torch.reshape, 1, [constants[node.input[1]].tolist()]
        case "ReduceMean":
            return torch.mean, 1, [constants[node.input[1]].tolist(), bool(attributes.get("keepdims", 1))]
        case "Clip":
            return torch.clamp, 1, [float(constants[name]) for name in node.input[1:]]
        case "DepthToSpace":  # in the order of channels that torch has, CRD
            return functional.pixel_shuffle, 1, [attributes["blocksize"]]
        case "Cast":
            return torch.Tensor.to, 1, [_DTYPES[attributes["to"]]]
    raise InternalError(f"operator {node.op_type} of the network is not known to the torch runtime")


def module_from_onnx(model: ModelProto) -> GraphModule:
    """A module whose forward takes the model's inputs in order and returns its one output. Raises InternalError for an unknown operator."""
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    kinds = {entry.name: entry.data_type for entry in model.graph.initializer}
    root, graph, values = nn.Module(), Graph(), dict[str, Node]()

    def value(name: str) -> Node:
        if name not in values:
            target = f"constant_{len(values)}"
            widened = torch.from_numpy(constants[name].astype("float32").copy())
            root.register_buffer(target, widened.to(_DTYPES[kinds[name]]))
            values[name] = graph.get_attr(target)
        return values[name]

    for entry in model.graph.input:
        values[entry.name] = graph.placeholder(entry.name)
    for node in model.graph.node:
        function, count, rest = _translate(node, constants)
        values[node.output[0]] = graph.call_function(function, (*(value(name) for name in node.input[:count]), *rest))
    graph.output(values[model.graph.output[0].name])
    return GraphModule(root, graph)
