import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engines.onnx_backend import open_session
from offline.graphs.int8_form import with_convolved_normalisation
from offline.graphs.parts import undo_half_storage


def float_model(pack, network):
    model = onnx.load_from_string(pack.graph_paths[network].read_bytes())
    undo_half_storage(model.graph)
    return model


@pytest.fixture
def cnn8(exported_pack):
    return float_model(exported_pack, "cnn8")


def with_drawn_statistics(model, sign):
    """Normalisations as a training leaves them, some of whose scales have this sign."""
    rng = np.random.default_rng(5)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            for name, low, high in zip(node.input[1:], (0.5, -1, -1, 0.5), (1.5, 1, 1, 1.5), strict=True):
                drawn = rng.uniform(low, high, values[name].dims).astype(np.float32)
                if name == node.input[1]:
                    drawn[::3] *= sign
                values[name].CopyFrom(numpy_helper.from_array(drawn, name))
    return model


def kinds(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(("sign", "pooled_first"), [(1, True), (-1, False)])
def test_the_same_is_computed_border_included(cnn8, sign, pooled_first):
    before = with_drawn_statistics(cnn8, sign)
    after = onnx.ModelProto()
    after.CopyFrom(before)
    with_convolved_normalisation(after)
    onnx.checker.check_model(after, full_check=True)
    rng = np.random.default_rng(6)
    feed = {
        "images": rng.standard_normal((2, 9, 128, 63)).astype(np.float32),
        "scalars": rng.standard_normal((2, 39)).astype(np.float32),
    }
    one, other = (open_session(model.SerializeToString()).run(None, feed)[0] for model in (before, after))
    np.testing.assert_allclose(other, one, atol=1e-4)
    # What is left normalises the scalars and the head: matrices take no part.
    assert kinds(before).count("BatchNormalization") - kinds(after).count("BatchNormalization") == 8
    makers = {output: node.op_type for node in after.graph.node for output in node.output}
    pooled = [makers[node.input[0]] for node in after.graph.node if node.op_type == "MaxPool"]
    assert pooled == ["Relu" if pooled_first else "Conv"] * 2
    names = {name for node in after.graph.node for name in node.input}
    assert {tensor.name for tensor in after.graph.initializer} <= names


def test_a_graph_without_such_a_normalisation_stays_as_it_is(exported_pack):
    vgg = float_model(exported_pack, "vgg")
    before = kinds(vgg)
    assert kinds(with_convolved_normalisation(vgg)) == before
