"""A network of OpenVINO cut in three: what is before its convolutions, what lies between the first and the last of them, what is after.

Only the runtime `openvino` calls this, once it has imported the package.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

OUTPUT = "output"
"""Key of what the whole network gives."""
_CONVOLUTIONS = ("Convolution", "ConvolutionBackpropData")


@dataclass(frozen=True, slots=True)
class Part:
    """A model, with a key for every value that it takes and makes, in order; parts that share a key share the value."""

    model: Any
    takes: list[str]
    makes: list[str]


def whole_part(model: Any) -> Part:
    """The network in one piece. Inputs have their names as keys."""
    return Part(model, [value.any_name for value in model.inputs], [OUTPUT])


def cut(model: Any) -> tuple[Part, Part, Part]:
    """The three parts of a network whose shapes are fixed, in the order in which they run; `model` is used up."""
    from openvino import Model
    from openvino.passes import ConstantFolding, Manager

    passes = Manager()
    passes.register_pass(ConstantFolding())  # what depends on shapes alone crosses no border then
    passes.run_passes(model)
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    after, before = _reached(nodes, _sources), _reached(reversed(nodes), _users)
    body = _opened([node for node in nodes if node.get_name() in after & before])
    tail = _opened([node for node in nodes if node.get_name() in after - before])
    of_body = {key: value for key, (value, _) in tail.items() if value.get_node().get_name() in after}
    of_head = {key: value for key, (value, _) in (body | tail).items() if key not in of_body}
    return (
        Part(Model(list(of_head.values()), model.get_parameters()), whole_part(model).takes, list(of_head)),
        Part(Model(list(of_body.values()), [entry for _, entry in body.values()]), list(body), list(of_body)),
        Part(Model(model.get_results(), [entry for _, entry in tail.values()]), list(tail), [OUTPUT]),
    )


def _sources(node: Any) -> list[Any]:
    return [value.get_source_output().get_node() for value in node.inputs()]


def _users(node: Any) -> list[Any]:
    return [user.get_node() for value in node.outputs() for user in value.get_target_inputs()]


def _reached(nodes: Iterable[Any], neighbours: Callable[[Any], list[Any]]) -> set[str]:
    """Names of the convolutions among `nodes`, and of those that have one found before them as a neighbour."""
    found: set[str] = set()
    for node in nodes:
        if node.get_type_name() in _CONVOLUTIONS or any(other.get_name() in found for other in neighbours(node)):
            found.add(node.get_name())
    return found


def _opened(nodes: list[Any]) -> dict[str, tuple[Any, Any]]:
    """Puts parameters in the place of what enters these nodes: by key, the value that entered and its parameter."""
    from openvino import opset13

    inside, found = {node.get_name() for node in nodes}, dict[str, tuple[Any, Any]]()
    for entry in (entry for node in nodes for entry in node.inputs()):
        value = entry.get_source_output()
        source = value.get_node()
        if source.get_type_name() == "Constant" or source.get_name() in inside:
            continue
        key = f"{source.get_name()}:{value.get_index()}"
        if key not in found:
            found[key] = value, opset13.parameter(value.get_shape(), value.get_element_type())
        entry.replace_source_output(found[key][1].output(0))
    return found
