"""INT8 graphs for TensorRT: what they say, what is in them, and that TensorRT-RTX builds them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.engine_cache import BatchProfile
from engines.ensemble import sigmoid
from engines.errors import EngineError
from engines.onnx_backend import open_session
from engines.pack import load_pack
from engines.tensorrt_api import load_api
from offline.graphs.parity import Probs, judged
from offline.graphs.quantise import int8_graph
from offline.graphs.symmetric import symmetric_graph
from offline.graphs.tensorrt_builder import build_plan

NETWORKS = ("cnn8", "vgg")


@pytest.fixture(scope="module")
def shipped():
    pack = load_pack()
    assert pack.manifest.graph_precision == "int8"
    return pack


@pytest.fixture(scope="module")
def features(shipped, probe_windows):
    images, scalars = open_session(shipped.graph_paths["features"]).run(None, {"windows": probe_windows})
    return {"images": images, "scalars": scalars}


def tensors_of(graph):
    model = onnx.load_from_string(graph)
    return model, {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_the_shipped_networks_say_nearly_the_same(shipped, features):
    graphs = [shipped.graph_paths[network].read_bytes() for network in NETWORKS]
    before, after = (
        Probs(*np.mean([sigmoid(open_session(graph).run(None, features)[0]) for graph in them], axis=0).T)
        for them in (graphs, [symmetric_graph(graph) for graph in graphs])
    )
    unknown = np.full(len(before.exhale), -1)
    assert judged(before, after, unknown, "symmetric int8", "the CPU's graph").verdict == "passed"
    assert not np.array_equal(after.exhale, before.exhale)


@pytest.mark.parametrize("network", NETWORKS)
def test_nothing_is_left_that_tensorrt_refuses(shipped, network):
    graph = shipped.graph_paths[network].read_bytes()
    model, tensors = tensors_of(symmetric_graph(graph))
    assert {tensor.dtype.name for tensor in tensors.values()} <= {"float32", "int8", "int64"}
    zeros = [
        tensors[node.input[2]]
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)


def test_the_weights_stay_as_they_are_to_the_byte(shipped):
    graph = shipped.graph_paths["vgg"].read_bytes()
    before, after = (
        {name: tensor for name, tensor in tensors_of(content)[1].items() if tensor.dtype == np.int8}
        for content in (graph, symmetric_graph(graph))
    )
    kernels = [name for name, tensor in before.items() if tensor.ndim == 4]
    assert len(kernels) == 12
    for name in kernels:
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_all_convolutions_but_the_first_are_built_in_int8(exported_pack, probe_windows, name):
    """Of graphs that were quantised just now; the shipped ones may be older."""
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed; it is part of breath[rtx]"
    )
    few = open_session(exported_pack.graph_paths["features"]).run(None, {"windows": probe_windows[-2:]})
    graph = symmetric_graph(int8_graph(exported_pack.graph_paths[name].read_bytes(), tuple(few)))
    n_convolutions = [node.op_type for node in onnx.load_from_string(graph).graph.node].count("Conv")
    plan = build_plan(load_api("tensorrt-rtx"), name, graph, BatchProfile(1, 1, 4), b"", lambda *_: None)
    assert plan.layers["CONVOLUTION"] == {"FLOAT": 1, "INT8": n_convolutions - 1}
    assert set(plan.layers["MATRIX_MULTIPLY"]) == {"FLOAT"}


@pytest.mark.parametrize(("zero", "span"), [(0, 255), (128, 128), (255, 255), (40, 215)])
def test_steps_reach_as_far_as_before(zero, span):
    model, tensors = tensors_of(symmetric_graph(quantising(np.array(zero, np.uint8))))
    *before, node, _ = model.graph.node
    assert tensors[node.input[1]] * 127 == pytest.approx(span)
    # Where uint8 began at zero, it had cut off what is negative.
    assert [activation.op_type for activation in before] == ["Relu"] * (zero == 0)


@pytest.mark.parametrize(
    ("zero", "words"),
    [
        (np.array(3, np.int8), "zero points of int8 that are not 0"),
        (np.array(0, np.uint16), "zero points of uint16"),
        (None, "no fixed scale and zero point"),
    ],
)
def test_what_was_quantised_in_another_way_is_refused(zero, words):
    with pytest.raises(EngineError, match=rf"{words}.*breath-offline quantise"):
        symmetric_graph(quantising(zero))


def quantising(zero):
    """A graph that rounds its input to steps of 1; its zero point may be absent."""
    parameters = ["step"] if zero is None else ["step", "zero"]
    constants = [numpy_helper.from_array(np.array(1, np.float32), "step")]
    if zero is not None:
        constants.append(numpy_helper.from_array(zero, "zero"))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *parameters], ["steps"], name="there"),
        helper.make_node("DequantizeLinear", ["steps", *parameters], ["y"], name="back"),
    ]
    graph = helper.make_graph(nodes, "rounding", infos[:1], infos[1:], constants)
    opset = [helper.make_opsetid("", 21)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
