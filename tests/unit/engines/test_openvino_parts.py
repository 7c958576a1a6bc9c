"""Where a model is cut, and that its parts together are the whole."""

import importlib.util

import numpy as np
import pytest

from engines.openvino_backend import import_openvino, only_core
from engines.openvino_parts import cut_after, cut_before
from engines.pack import load_pack

if importlib.util.find_spec("openvino") is None:
    pytest.skip('openvino is not installed; pip install ".[openvino]"', allow_module_level=True)


@pytest.fixture(scope="module")
def openvino():
    return import_openvino()


def puts(puts):
    return [put.any_name for put in puts]


def shared_names(first, second):
    """What goes from the first part to the second."""
    return set(puts(second.inputs)) & {name for put in first.outputs for name in put.names}


def test_a_network_looks_at_the_images_without_the_scalars():
    for network in ("cnn8", "vgg"):
        model = only_core().read_model(str(load_pack().graph_paths[network]))
        first, second = cut_before(model, "scalars")
        assert puts(first.inputs) == ["images"]
        assert shared_names(first, second) == {"cut0"}, "one vector of the image goes on"
        assert set(puts(second.inputs)) == {"scalars", "cut0"}
        assert puts(second.outputs) == ["logit"]
        n_first, n_second = len(first.get_ops()), len(second.get_ops())
        assert n_first > 3 * n_second, "nearly all of the work is in the first part"


def test_the_images_do_not_wait_for_the_scalars():
    model = only_core().read_model(str(load_pack().graph_paths["features"]))
    first, second = cut_after(model, "images")
    assert puts(first.inputs) == ["windows"]
    assert puts(first.outputs)[0] == "images"
    assert puts(second.outputs) == ["scalars"]
    assert "images" not in puts(second.inputs)
    assert len(second.get_ops()) > 100


def diamond(openvino):
    """a and b go in; p = a * 2 + 1 and q = (p + b) * 2 - a come out, both with the same constant 2."""
    ops = openvino.opset13
    a, b = (ops.parameter([3], np.float32, name=name) for name in "ab")
    for put in (a, b):
        put.output(0).set_names({put.get_friendly_name()})
    two = ops.constant(np.float32(2))
    p = ops.add(ops.multiply(a, two), ops.constant(np.float32(1)))
    q = ops.subtract(ops.multiply(ops.add(p, b), two), a)
    results = [ops.result(node) for node in (p, q)]
    for result, name in zip(results, "pq", strict=True):
        result.output(0).set_names({name})
    return openvino.Model(results, [a, b], "diamond")


@pytest.mark.parametrize(("cut", "name"), [(cut_after, "p"), (cut_before, "b")])
def test_inputs_and_constants_that_both_parts_need_are_in_both(openvino, cut, name):
    core = only_core()
    first, second = cut(diamond(openvino), name)
    assert puts(first.inputs) == ["a"]
    assert set(puts(second.inputs)) == {"a", "b", *shared_names(first, second)}
    a, b = (np.array(values, np.float32) for values in ([1, 2, 3], [10, 20, 30]))
    requests = [core.compile_model(part, "CPU").create_infer_request() for part in (first, second)]
    requests[0].infer({"a": a})
    np.testing.assert_array_equal(requests[0].get_tensor("p").data, 2 * a + 1)
    handed_over = {name: requests[0].get_tensor(name) for name in shared_names(first, second)}
    requests[1].infer({"a": a, "b": b, **handed_over})
    np.testing.assert_array_equal(requests[1].get_tensor("q").data, (2 * a + 1 + b) * 2 - a)
