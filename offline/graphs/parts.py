"""What every rewriting of an ONNX graph shares: reading it, nodes, their tensors, checks, differences."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from engines.errors import ConfigError, EngineError
from engines.pack import Pack

# Keys of a manifest's metrics: of the graphs that a pack holds, and of those only.
AGAINST_TORCH = "graphs_against_torch"
INT8_AGAINST_FLOAT = "int8_against_float"
FEATURES_AGAINST_BEFORE = "features_against_those_before"
_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class GraphDifference:
    """How far a graph is from torch, over the verification windows.

    Attributes:
        graph: name of the file.
        largest: largest difference: of P(exhale) or P(breath) for a network; for the features, of a pixel of
            an image.
        mean: mean absolute difference of the same.
    """

    graph: str
    largest: float
    mean: float

    @classmethod
    def of(cls, graph: str, gap: NDArray[np.float32]) -> Self:
        """From absolute differences of any shape."""
        return cls(graph, float(gap.max()), float(gap.mean()))

    def figures(self) -> dict[str, float]:
        """As a manifest has them."""
        return {"largest_difference": self.largest, "mean_difference": self.mean}


def check_has_graphs(pack: Pack) -> None:
    """See that a pack has its graphs.

    Raises:
        ConfigError: it has not.
    """
    if not pack.has_graphs:
        raise ConfigError(
            f"{pack.path} has no graphs yet; make them with: breath-offline export --pack {pack.path}"
        )


def model_from_bytes(graph: bytes) -> ModelProto:
    """Read a graph.

    Raises:
        EngineError: it is none.
    """
    try:
        return onnx.load_from_string(graph)
    except DecodeError as error:
        raise EngineError(f"that is no ONNX graph ({error}); fetch or export the pack again") from error


def affine_of_normalisation(
    node: NodeProto, values: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What a BatchNormalization multiplies each channel by, and what it adds then; (C,) float32 each."""
    gamma, beta, mean, variance = (values[name].astype(np.float64) for name in node.input[1:5])
    epsilon = next((field.f for field in node.attribute if field.name == "epsilon"), _DEFAULT_EPSILON)
    scale = gamma / np.sqrt(variance + epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def stored_values(graph: GraphProto) -> dict[str, np.ndarray]:
    """The tensors that are stored in a graph, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def replace_nodes(graph: GraphProto, nodes: Iterable[NodeProto], values: Mapping[str, np.ndarray]) -> None:
    """Give a graph other nodes, and those of the values that they use.

    Args:
        graph: changed in place.
        nodes: in an order in which they can run.
        values: by name; what no node uses is left out.
    """
    kept = list(nodes)
    used = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in values.items() if name in used
    )


def undo_half_storage(graph: GraphProto) -> None:
    """Give a graph its weights in float32 where it stores them in float16 and casts them, in place."""
    values = stored_values(graph)
    kept = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].astype(np.float32)
        else:
            kept.append(node)
    replace_nodes(graph, kept, values)


def checked_bytes(model: ModelProto, refusal: Callable[[str], EngineError]) -> bytes:
    """A model whose types have changed, checked from its inputs on, and serialised.

    Args:
        model: what was inferred of it before is dropped.
        refusal: the error to raise, from what is wrong.
    """
    del model.graph.value_info[:]
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise refusal(str(error)) from error
    serialised: bytes = model.SerializeToString()
    return serialised
