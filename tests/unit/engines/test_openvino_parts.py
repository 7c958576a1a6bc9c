"""Where a model is cut, and that its parts together are the whole."""

import importlib.util

import numpy as np
import pytest

from engines.contract import WINDOW_SAMPLES
from engines.errors import EngineError
from engines.openvino_backend import import_openvino, only_core
from engines.openvino_parts import _cut_after, _cut_before, feature_parts, linked, network_parts
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


def read(stage):
    model = only_core().read_model(str(load_pack().graph_paths[stage]))
    model.reshape(
        {put: [1, *(axis.get_length() for axis in list(put.partial_shape)[1:])] for put in model.inputs}
    )
    return model


def test_a_network_looks_at_the_images_without_the_scalars():
    for network in ("cnn8", "vgg"):
        trunk, head = network_parts(read(network)).values()
        assert puts(trunk.inputs) == ["images"]
        assert len(shared_names(trunk, head)) == 1, "one vector of the image goes on"
        assert set(puts(head.inputs)) == {"scalars", *shared_names(trunk, head)}
        assert puts(head.outputs) == ["logit"]
        assert len(trunk.get_ops()) > 3 * len(head.get_ops()), "nearly all of the work is in the trunk"


def test_images_and_scalars_need_only_the_sound_to_begin():
    parts = feature_parts(read("features"))
    assert list(parts) == ["sound", "images", "early", "late"]
    sound, images, early, late = parts.values()
    assert puts(sound.inputs) == ["windows"]
    (low_passed,) = shared_names(sound, images)
    assert puts(images.inputs) == [low_passed]
    assert "images" in puts(images.outputs)
    assert set(puts(early.inputs)) == {low_passed, "ranked"}
    (rise,) = shared_names(images, late)
    assert rise in puts(late.inputs)
    assert puts(late.outputs) == ["scalars"]
    assert len(early.get_ops()) > 5 * len(late.get_ops()), "nearly all scalars need no image"


def test_the_largest_samples_are_for_somebody_else_to_find():
    parts = feature_parts(read("features"))
    unranked = parts["sound"].output("unranked").get_shape()
    ranked = parts["early"].input("ranked").get_shape()
    assert list(unranked) == [1, 2, WINDOW_SAMPLES]
    # The 90th percentile lies between the 1,600th and the 1,601st from above.
    assert list(ranked) == [1, 2, 1601]
    sizes = [
        node.get_input_partial_shape(0)[-1].get_length()
        for part in parts.values()
        for node in part.get_ordered_ops()
        if node.get_type_name() == "TopK"
    ]
    assert max(sizes) == 1601, "those of a spectrum stay, and the search for the two last of the ranked"


def ranking(openvino, kind):
    """A model of the features that ranks something, in one way or another."""
    ops = openvino.opset13
    windows = ops.parameter([1, WINDOW_SAMPLES], np.float32, name="windows")
    windows.output(0).set_names({"windows"})
    two = ops.constant(np.float32(2))
    doubled = ops.multiply(windows, two)
    ranked_of = {
        "the input itself": windows,
        "too few": ops.slice(doubled, *(ops.constant(np.array([n])) for n in (0, 100, 1, 1))),
    }.get(kind, doubled)
    mode, sort = "min" if kind == "the smallest" else "max", "value" if kind == "in order" else "none"
    ranked = ops.topk(ranked_of, ops.constant(np.int64(3)), 1, mode, sort)
    summed = ops.reduce_sum(ranked.output(0), ops.constant(np.array([1])), keep_dims=True)
    scalars = ops.add(summed, two)
    if kind == "its places":
        scalars = ops.add(scalars, ops.convert(ranked.output(1), np.float32))
    outputs = {
        "scalars": ranked.output(0) if kind == "the answer itself" else scalars.output(0),
        "images": (ops.multiply(summed, two) if kind == "for the images" else doubled).output(0),
    }
    results = [ops.result(output) for output in outputs.values()]
    for result, name in zip(results, outputs, strict=True):
        result.output(0).set_names({name})
    return openvino.Model(results, [windows], "features")


@pytest.mark.parametrize(
    "kind",
    [
        "too few",
        "in order",
        "the smallest",
        "its places",
        "the input itself",
        "for the images",
        "the answer itself",
    ],
)
def test_another_ranking_stays_where_it_is(openvino, kind):
    parts = feature_parts(ranking(openvino, kind))
    assert "ranked" not in {name for part in parts.values() for name in puts(part.inputs)}
    assert "sound" not in parts
    given = {name for part in parts.values() for put in part.outputs for name in put.get_names()}
    assert "unranked" not in given


def test_a_ranking_as_ours_is_taken_out(openvino):
    parts = feature_parts(ranking(openvino, "ours"))
    assert "ranked" in puts(parts["early"].inputs)
    assert any("unranked" in put.get_names() for put in parts["sound"].outputs)


def test_a_network_that_does_without_the_scalars_has_no_head(openvino):
    ops = openvino.opset13
    images, scalars = (ops.parameter([1, 3], np.float32, name=name) for name in ("images", "scalars"))
    for put in (images, scalars):
        put.output(0).set_names({put.get_friendly_name()})
    result = ops.result(ops.multiply(images, ops.constant(np.float32(2))))
    result.output(0).set_names({"logit"})
    assert list(network_parts(openvino.Model([result], [images, scalars], "network"))) == ["trunk"]


def test_what_is_cut_again_has_the_same_names():
    def names():
        parts = feature_parts(read("features")).values()
        return [[put.get_names() for put in (*part.inputs, *part.outputs)] for part in parts]

    assert names() == names()


def test_a_part_that_needs_what_nothing_gives_is_an_error(openvino):
    compiled = {"p": only_core().compile_model(diamond(openvino), "CPU")}
    given = {"a": openvino.Tensor(np.zeros(3, np.float32))}
    with pytest.raises(EngineError, match=r"made\.onnx needs 'b', which nothing gives"):
        linked("made.onnx", compiled, given)


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


@pytest.mark.parametrize(("cut", "name"), [(_cut_after, "p"), (_cut_before, {"b"})])
def test_inputs_and_constants_that_both_parts_need_are_in_both(openvino, cut, name):
    core = only_core()
    first, second = cut(diamond(openvino), name, "first")
    assert puts(first.inputs) == ["a"]
    assert set(puts(second.inputs)) == {"a", "b", *shared_names(first, second)}
    a, b = (np.array(values, np.float32) for values in ([1, 2, 3], [10, 20, 30]))
    requests = [core.compile_model(part, "CPU").create_infer_request() for part in (first, second)]
    requests[0].infer({"a": a})
    np.testing.assert_array_equal(requests[0].get_tensor("p").data, 2 * a + 1)
    handed_over = {name: requests[0].get_tensor(name) for name in shared_names(first, second)}
    requests[1].infer({"a": a, "b": b, **handed_over})
    np.testing.assert_array_equal(requests[1].get_tensor("q").data, (2 * a + 1 + b) * 2 - a)
