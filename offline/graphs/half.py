"""A network's graph in float16, for runtimes that take the types of a graph as they are.

It is made from the float32 graph and not from a torch model, so that packs without weights have it too.
Inputs and output stay float32, and so do the scalars until they are standardised: raw, some of them lie
outside of what float16 can tell apart.
"""

import numpy as np
from onnx import NodeProto, TensorProto, helper

from engines.errors import EngineError
from offline.graphs.parts import (
    checked_bytes,
    model_from_bytes,
    replace_nodes,
    stored_values,
    undo_half_storage,
)

_ELEMENTWISE = frozenset({"Sub", "Add", "Mul", "Div", "Clip"})
_RAW_INPUT = "scalars"


def half_graph(graph: bytes) -> bytes:
    """Convert `images` and `scalars` -> `logit`, float32, to the same with float16 in between.

    The logits may be one per window, or several.

    Raises:
        EngineError: that is no graph, or the result is not a valid one.
    """
    model = model_from_bytes(graph)
    inner = model.graph
    undo_half_storage(inner)
    values = stored_values(inner)
    raw = {_RAW_INPUT}
    halves: dict[str, str] = {}
    converted: list[NodeProto] = []
    for node in inner.node:
        inputs = [name for name in node.input if name and name not in values]
        if inputs and set(inputs) <= raw and node.op_type in _ELEMENTWISE:
            raw.update(node.output)
            converted.append(node)
            continue
        for index, name in enumerate(node.input):
            is_float_input = name in raw or name in {graph_input.name for graph_input in inner.input}
            if is_float_input and name not in halves:
                halves[name] = f"{name}_as_half"
                converted.append(helper.make_node("Cast", [name], [halves[name]], to=TensorProto.FLOAT16))
            elif name in values and values[name].dtype == np.float32 and name not in halves:
                halves[name] = f"{name}_as_half"
                values[halves[name]] = values[name].astype(np.float16)
            node.input[index] = halves.get(name, name)
        _retarget_casts(node)
        converted.append(node)
    output = inner.output[0].name
    for node in converted:
        node.output[:] = [f"{name}_as_half" if name == output else name for name in node.output]
    converted.append(helper.make_node("Cast", [f"{output}_as_half"], [output], to=TensorProto.FLOAT))
    replace_nodes(inner, converted, values)
    return checked_bytes(model, _refusal)


def _refusal(reason: str) -> EngineError:
    return EngineError(
        f"the graph cannot be converted to float16: {reason}. Use --precision fp32, and please report it"
    )


def _retarget_casts(node: NodeProto) -> None:
    if node.op_type != "Cast":
        return
    for attribute in node.attribute:
        if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
