"""An INT8 graph in the form that TensorRT takes: steps around zero, and biases in float32.

The INT8 graphs of a pack are for the CPU: activations are uint8 with zero points, biases int32. TensorRT
takes only int8 with zero points of 0, and float biases. What the activations span was calibrated on real
sound and is known from the scales: nothing is calibrated anew, and packs without weights can be built.
"""

import numpy as np
import onnx
from onnx import NodeProto

from engines.errors import EngineError
from offline.graphs.parts import checked_bytes, model_from_bytes, replace_nodes, stored_values

_LARGEST_UINT8, _LARGEST_INT8 = 255, 127
_QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear"})


def symmetric_graph(graph: bytes) -> bytes:
    """Convert a network's INT8 graph: its weights stay, its activations get steps up to twice as wide.

    Raises:
        EngineError: it is quantised in another way than `offline.graphs.quantise` does it.
    """
    model = model_from_bytes(graph)
    inner = model.graph
    values = stored_values(inner)
    nodes: list[NodeProto] = []
    for node in inner.node:
        if node.op_type in _QUANTISING:
            if not all(name in values for name in node.input[1:]) or len(node.input) != 3:
                raise _foreign(f"{node.name} has no fixed scale and zero point")
            stored = values.get(node.input[0])
            if stored is not None and stored.dtype == np.int32:
                values[node.output[0]] = (stored * values[node.input[1]].astype(np.float64)).astype(
                    np.float32
                )
                continue
            if node.op_type == "QuantizeLinear" and _begins_at_zero(values[node.input[2]]):
                nodes.append(_rectified(node))
            _make_symmetric(node, values)
        nodes.append(node)
    replace_nodes(inner, nodes, values)
    return checked_bytes(model, _foreign)


def _begins_at_zero(zero: np.ndarray) -> bool:
    return zero.dtype == np.uint8 and zero.ndim == 0 and not zero.any()


def _rectified(node: NodeProto) -> NodeProto:
    """Put back the ReLU that the quantiser left out, because uint8 cuts off what is negative by itself."""
    positive = f"{node.output[0]}_positive"
    activation = onnx.helper.make_node("Relu", [node.input[0]], [positive], name=f"{node.name}_relu")
    node.input[0] = positive
    return activation


def _make_symmetric(node: NodeProto, values: dict[str, np.ndarray]) -> None:
    """Give a node int8 steps that reach as far on both sides as its uint8 ones do on the longer side."""
    scale, zero = (values[name] for name in node.input[1:])
    if zero.dtype == np.uint8 and zero.ndim == 0:
        n_steps = max(int(zero), _LARGEST_UINT8 - int(zero))
        names = [f"{name}_symmetric" for name in node.input[1:]]
        values[names[0]] = np.asarray(scale * n_steps / _LARGEST_INT8, np.float32)
        values[names[1]] = np.zeros((), np.int8)
        node.input[1:] = names
    elif zero.dtype != np.int8 or zero.any():
        raise _foreign(f"{node.name} has zero points of {zero.dtype} that are not 0")


def _foreign(reason: str) -> EngineError:
    return EngineError(
        f"the INT8 graph cannot be converted for TensorRT: {reason}. "
        "Make it again with: breath-offline quantise"
    )
