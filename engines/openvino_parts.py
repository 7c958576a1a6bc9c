"""OpenVINO models taken apart, so that no part waits for what only another needs.

The networks need the scalars in their last layers only, the images are ready long before the scalars are, and
most scalars need the sound alone. Apart, a network looks at the images while another core computes scalars.
"""

from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

from engines.contract import WINDOW_SAMPLES
from engines.errors import EngineError

RANKED, UNRANKED = "ranked", "unranked"
SOUND, IMAGES, EARLY, LATE = FEATURE_PARTS = "sound", "images", "early", "late"
TRUNK, HEAD = NETWORK_PARTS = "trunk", "head"


def feature_parts(model: Any) -> dict[str, Any]:
    """The model of the features taken apart, in an order in which the parts can run; it is used up.

    Returns:
        `sound`: the low-passed sound, and what is to be ranked of it; `images`; `early`: what the scalars
        need of the sound alone; `late`: the scalars, of that and of what is left of the making of the images.
        What one hands to another has the same name in both. A part that would have nothing to do is absent.

        Somebody has to give `ranked` to the early part: the largest of `unranked` along its last axis, as
        many as there is room for, in any order.
    """
    sound, rest = _cut_after(model, UNRANKED, SOUND) if _take_out_ranking(model) else (None, model)
    images, scalars = _cut_after(rest, "images", IMAGES)
    handed_over = {name for put in images.outputs for name in put.get_names()} - {"images"}
    early, late = _cut_before(scalars, handed_over, EARLY)
    return _without_none(zip(FEATURE_PARTS, (sound, images, early, late), strict=True))


def network_parts(model: Any) -> dict[str, Any]:
    """The model of a network taken apart; it is used up.

    Returns:
        `trunk`: what does without the scalars; `head`: the rest. One with nothing to do is absent.
    """
    return _without_none(zip(NETWORK_PARTS, _cut_before(model, {"scalars"}, TRUNK), strict=True))


def linked(
    path: Path, compiled: dict[str, Any], tensors: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inference requests that read where what they need is written; and all that is written, by name.

    Args:
        path: of the graph.
        compiled: its parts.
        tensors: what the graph is given, by name.

    Raises:
        EngineError: a part needs what nothing gives.
    """
    given, requests = dict(tensors), {}
    outputs: dict[str, Any] = {}
    for name, part in compiled.items():
        request = part.create_infer_request()
        for put in part.inputs:
            if put.any_name == RANKED and RANKED not in given:
                # Written by whoever ranks.
                outputs[RANKED] = given[RANKED] = request.get_tensor(RANKED)
            if put.any_name not in given:
                raise EngineError(
                    f"{path} needs {put.any_name!r}, which nothing gives; use --engine onnxruntime"
                )
            request.set_tensor(put.any_name, given[put.any_name])
        outputs |= {name: request.get_tensor(name) for put in part.outputs for name in put.names}
        given |= outputs
        requests[name] = request
    return requests, outputs


def _without_none(parts: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: part for name, part in parts if part is not None}


def _take_out_ranking(model: Any) -> bool:
    """Put a result and an input in the place of the ranking of all samples of a window; whether there is one.

    It is the one node that another library does better by far: NumPy (2.4) takes 0.03 ms for what takes
    OpenVINO's TopK 0.8 (2026.4.1; a processor with AVX-512).
    """
    from openvino import opset13

    of_images = _needed_by([_result(model, "images")])
    for node in model.get_ordered_ops():
        if node.get_type_name() != "TopK" or _name(node) in of_images or not _ranks_samples(node):
            continue
        unranked = opset13.result(node.input_value(0))
        node.input_value(0).add_names({UNRANKED})
        ranked = opset13.parameter(node.get_output_partial_shape(0), node.get_output_element_type(0), RANKED)
        ranked.output(0).set_names({RANKED})
        for put in node.output(0).get_target_inputs():
            put.replace_source_output(ranked.output(0))
        model.add_results([unranked])
        model.add_parameters([ranked])
        return True
    return False


def _ranks_samples(node: Any) -> bool:
    """Whether it gives the largest of all samples of a window, in any order and without their places."""
    wanted = {"axis": node.get_input_partial_shape(0).rank.get_length() - 1, "mode": "max", "sort": "none"}
    said = node.get_attributes()
    users = [put.get_node().get_type_name() for put in node.output(0).get_target_inputs()]
    return (
        {name: said[name] for name in wanted} == wanted
        and node.get_input_partial_shape(0)[wanted["axis"]] == WINDOW_SAMPLES
        and node.get_output_partial_shape(0).is_static
        and not node.output(1).get_target_inputs()
        and "Result" not in users
        and node.input_value(0).get_node().get_type_name() != "Parameter"
    )


def _cut_after(model: Any, output: str, label: str) -> tuple[Any, Any]:
    """What an output needs, and everything else."""
    return _cut(model, _needed_by([_result(model, output)]), label)


def _cut_before(model: Any, parameters: Set[str], label: str) -> tuple[Any, Any]:
    """What does without some inputs, and everything else."""
    nodes = [node for node in model.get_parameters() if not parameters.isdisjoint(node.output(0).get_names())]
    return _cut(model, {_name(node) for node in model.get_ordered_ops()} - _needing(model, nodes), label)


def _result(model: Any, output: str) -> Any:
    (result,) = (node for node in model.get_results() if output in node.output(0).get_names())
    return result


def _cut(model: Any, first: Set[str], label: str) -> tuple[Any, Any]:
    """Two models, of the nodes that are first and of those that are not; None where one has no output.

    What the first hands to the second is named by the label and a number, alike whenever the same is cut.
    """
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
                name = f"of-{label}-{len(stand_ins)}"
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
        given = [node for node in inputs if _name(node) in needed]
        parts.append(Model(ends, given, "part") if ends else None)
    first_part, second_part = parts
    return first_part, second_part


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
