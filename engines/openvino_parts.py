"""An OpenVINO model taken apart in two, so that the first part need not wait for what only the second needs.

The networks need the scalars in their last layers only, and the images are ready long before the scalars are.
Apart, a network looks at the images while the scalars are still being computed.
"""

from collections.abc import Iterable, Set
from typing import Any, NamedTuple

_CUT = "cut"


class Parts(NamedTuple):
    """Two models, or what was made of them; what the first hands to the second has the same names in both."""

    first: Any
    second: Any


def cut_after(model: Any, output: str) -> Parts:
    """What an output needs, and everything else; the model is used up."""
    (result,) = (node for node in model.get_results() if output in node.output(0).get_names())
    return _cut(model, _needed_by([result]))


def cut_before(model: Any, parameter: str) -> Parts:
    """What does without an input, and everything else; the model is used up."""
    (node,) = (node for node in model.get_parameters() if parameter in node.output(0).get_names())
    return _cut(model, {_name(node) for node in model.get_ordered_ops()} - _needing(model, [node]))


def _cut(model: Any, first: Set[str]) -> Parts:
    from openvino import Model, opset13

    parameters, results = model.get_parameters(), model.get_results()
    # What needs no input is a constant, and goes with whoever uses it; the inputs go into both parts.
    handed_over = first & _needing(model, parameters) - {_name(node) for node in parameters}
    stand_ins: dict[tuple[str, int], Any] = {}
    outs = [result for result in results if _name(result) in first]
    for node in model.get_ordered_ops():
        for put in node.inputs() if _name(node) not in first else ():
            source = put.get_source_output()
            key = (_name(source.get_node()), source.get_index())
            if key[0] not in handed_over:
                continue
            if key not in stand_ins:
                name = f"{_CUT}{len(stand_ins)}"
                source.add_names({name})
                outs.append(opset13.result(source))
                stand_ins[key] = opset13.parameter(source.partial_shape, source.element_type, name)
                stand_ins[key].output(0).set_names({name})
            put.replace_source_output(stand_ins[key].output(0))
    rest = [result for result in results if _name(result) not in first]
    inputs = [*parameters, *stand_ins.values()]
    parts = []
    for ends in (outs, rest):
        needed = _needed_by(ends)
        parts.append(Model(ends, [node for node in inputs if _name(node) in needed], "part"))
    return Parts(*parts)


def _needing(model: Any, nodes: Iterable[Any]) -> set[str]:
    """Names of the nodes, and of all that depend on one of them."""
    needing = {_name(node) for node in nodes}
    for node in model.get_ordered_ops():
        if not needing.isdisjoint(_name(put.get_source_output().get_node()) for put in node.inputs()):
            needing.add(_name(node))
    return needing


def _needed_by(nodes: Iterable[Any]) -> set[str]:
    """Names of the nodes, and of all that they depend on."""
    needed: set[str] = set()
    left = list(nodes)
    while left:
        node = left.pop()
        if _name(node) not in needed:
            needed.add(_name(node))
            left += [put.get_source_output().get_node() for put in node.inputs()]
    return needed


def _name(node: Any) -> str:
    """Unique within a model; nodes themselves are wrapped anew whenever they are asked for."""
    name: str = node.get_friendly_name()
    return name
