"""Rewrite a graph so that what lies between its convolutions can stay in INT8; the values are the same."""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from offline.graphs.parts import affine_of_normalisation, replace_nodes, stored_values


def with_convolved_normalisation(model: ModelProto) -> ModelProto:
    """Turn each normalisation after Conv -> ReLU into a 1x1 convolution of every channel by itself.

    A normalisation between a ReLU and a convolution can be folded into neither: what it adds must not reach
    the next one's padding. Left as it is, runtimes go back to float32, and to another layout of memory, for
    it and for the pooling behind it, at every layer. As a convolution it is quantised like its neighbours.
    Where no channel is turned round, the pooling comes first: of fewer values, the same maximum.

    Args:
        model: changed in place, and returned.
    """
    graph = model.graph
    values = stored_values(graph)
    makers = {output: node for node in graph.node for output in node.output}
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    nodes: list[NodeProto] = []
    postponed: dict[str, NodeProto] = {}
    for node in graph.node:
        if _follows_convolution(node, makers):
            scale, shift = affine_of_normalisation(node, values)
            after = users.get(node.output[0], [])
            if len(after) == 1 and after[0].op_type == "MaxPool" and (scale > 0).all():
                pool = after[0]
                pooled, pool.input[0] = pool.output[0], node.input[0]
                pool.output[0] = f"{pooled}_before_normalisation"
                postponed[pool.name] = _depthwise(values, node.name, pool.output[0], pooled, scale, shift)
            else:
                nodes.append(_depthwise(values, node.name, node.input[0], node.output[0], scale, shift))
        else:
            nodes.append(node)
        if node.name in postponed:
            nodes.append(postponed.pop(node.name))
    replace_nodes(graph, nodes, values)
    return model


def _follows_convolution(node: NodeProto, makers: dict[str, NodeProto]) -> bool:
    if node.op_type != "BatchNormalization":
        return False
    activation = makers.get(node.input[0])
    if activation is None or activation.op_type != "Relu":
        return False
    convolution = makers.get(activation.input[0])
    return convolution is not None and convolution.op_type == "Conv"


def _depthwise(
    values: dict[str, np.ndarray],
    name: str,
    source: str,
    target: str,
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> NodeProto:
    weight, bias = f"{name}_scale", f"{name}_shift"
    values |= {weight: scale.reshape(-1, 1, 1, 1), bias: shift}
    return helper.make_node(
        "Conv",
        [source, weight, bias],
        [target],
        name=f"{name}_depthwise",
        group=len(scale),
        kernel_shape=[1, 1],
    )
