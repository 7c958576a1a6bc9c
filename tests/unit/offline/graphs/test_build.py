"""Engines of TensorRT-RTX, really built, without a GPU; and every way in which building can be refused."""

import json
import os
import shlex
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from engines.backend import Inference
from engines.engine_cache import MANIFEST_NAME, BatchProfile, EngineKey, build_command, read_plans
from engines.errors import (
    BackendUnavailableError,
    ConfigError,
    EngineError,
    EngineMismatchError,
    OutputError,
)
from engines.gpu import Gpu
from engines.onnx_backend import open_session
from engines.pack import load_pack
from engines.tensorrt_api import TensorRtApi, load_api
from offline.cli import main
from offline.graphs import build as building
from offline.graphs.build import build_engine
from offline.graphs.half import half_graph
from offline.graphs.parity import TOLERANCES, Parity, Probs, compare, judged
from offline.graphs.probes import Windows
from offline.graphs.tensorrt_builder import build_plan

ONE = BatchProfile(1, 1, 1)
NETWORKS = ("cnn8", "vgg")
N_CONVOLUTIONS = {"cnn8": 8, "vgg": 13}
TYPES = {"fp32": "FLOAT", "fp16": "HALF"}


@pytest.fixture(scope="module")
def needs_rtx():
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed; it is part of breath[rtx]"
    )


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    """These tests are about machines without one, wherever they run."""

    def absent():
        raise BackendUnavailableError("no usable GPU: no NVIDIA driver")

    monkeypatch.setattr(building, "usable_gpu", absent)


@pytest.fixture(scope="module")
def cache(needs_rtx, exported_pack, tmp_path_factory):
    """A cache with an engine of both precisions, as the first build left it."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "usable_gpu", lambda: (_ for _ in ()).throw(BackendUnavailableError("none")))
        for precision in TYPES:
            assert build_engine(exported_pack, "tensorrt-rtx", precision, ONE, root=root).is_new
    return root


@pytest.fixture
def own_cache(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize("precision", TYPES)
def test_everything_is_built_the_networks_in_the_precision_that_was_asked_for(
    cache, exported_pack, precision
):
    built = build_engine(exported_pack, "tensorrt-rtx", precision, ONE, root=cache)
    assert not built.is_new
    manifest = built.engine.manifest
    plans = read_plans(built.engine, wanted=manifest.key, pack_path=exported_pack.path)
    assert manifest.key.gpu == "any"
    for network in NETWORKS:
        layers = manifest.plans[network].layers
        assert layers["CONVOLUTION"] == {TYPES[precision]: N_CONVOLUTIONS[network]}
        assert set(layers["MATRIX_MULTIPLY"]) == {TYPES[precision]}
        assert len(plans[network]) > 1e6
    features = manifest.plans["features"].layers
    assert set(features["MATRIX_MULTIPLY"]) == set(features["REDUCE"]) == {"FLOAT"}, "whatever was asked for"
    assert manifest.parity["verdict"] == "not run here"


def test_float16_is_half_the_size(cache):
    sizes = {
        content["key"]["precision"]: {name: plan["n_bytes"] for name, plan in content["plans"].items()}
        for content in (json.loads(path.read_text()) for path in cache.glob(f"*/{MANIFEST_NAME}"))
    }
    for network in NETWORKS:
        assert sizes["fp16"][network] < 0.65 * sizes["fp32"][network]


def test_two_builds_of_a_network_are_the_same_to_the_byte(cache, exported_pack, tmp_path):
    """With one batch size; else, and in the features, inner names are numbered as the threads come along."""
    again = build_engine(exported_pack, "tensorrt-rtx", "fp16", ONE, root=tmp_path).engine
    for name in (f"{network}.engine" for network in NETWORKS):
        assert (again.path / name).read_bytes() == (cache / again.path.name / name).read_bytes(), name


@pytest.mark.parametrize("damage", ["truncated", "foreign", "no manifest"])
def test_a_cached_engine_that_is_damaged_is_built_anew(own_cache, exported_pack, damage):
    (place,) = (path.parent for path in own_cache.glob(f"*fp16*/{MANIFEST_NAME}"))
    plan = place / "cnn8.engine"
    whole = plan.read_bytes()
    if damage == "truncated":
        plan.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        text = (place / MANIFEST_NAME).read_text()
        (place / MANIFEST_NAME).write_text(text.replace(exported_pack.sha256, "0" * 64))
    else:
        (place / MANIFEST_NAME).write_text("{")
    told = []
    built = build_engine(exported_pack, "tensorrt-rtx", "fp16", ONE, root=own_cache, tell=told.append)
    assert built.is_new
    assert told[0].startswith("built anew: ")
    assert plan.read_bytes() == whole


def test_who_builds_at_the_same_time_waits_and_finds_it_done(exported_pack, tmp_path, monkeypatch):
    n_builds = []
    is_building, may_go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        n_builds.append(1)
        is_building.set()
        assert may_go_on.wait(60)
        return {name: building.Plan(name.encode(), {}, b"") for name in NETWORKS}

    monkeypatch.setattr(building, "load_api", lambda flavour: FakeApi())
    monkeypatch.setattr(building, "_build_plans", slow)
    results = {}

    def build(who, tell):
        results[who] = build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path, tell=tell)

    first = threading.Thread(target=build, args=("first", lambda _: None))
    first.start()
    assert is_building.wait(60)
    second = threading.Thread(target=build, args=("second", lambda _: may_go_on.set()))
    second.start()
    first.join(60)
    second.join(60)
    assert len(n_builds) == 1
    assert (results["first"].is_new, results["second"].is_new) == (True, False)


def test_a_whole_engine_is_built_again_only_where_that_is_asked_for(exported_pack, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "load_api", lambda flavour: FakeApi())
    plans = {name: building.Plan(name.encode(), {}, b"") for name in NETWORKS}
    monkeypatch.setattr(building, "_build_plans", lambda *arguments: plans)

    def build(**how):
        return build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path, **how).is_new

    assert [build(), build(), build(is_rebuilt=True)] == [True, False, True]


class FakeApi:
    flavour, version, is_rtx = "tensorrt-rtx", "1.0", True

    def __init__(self, refusal=None):
        self.refusal = refusal

    def gpu_scope(self, gpu):
        return "any" if self.is_rtx else gpu.label

    def engine_from_plan(self, stage, plan):
        assert (stage, plan) == (NETWORKS[0], NETWORKS[0].encode())
        if self.refusal is not None:
            raise self.refusal


def test_a_build_that_fails_leaves_nothing(exported_pack, tmp_path, monkeypatch):
    def broken(*arguments):
        raise EngineError("out of memory")

    monkeypatch.setattr(building, "load_api", lambda flavour: FakeApi())
    monkeypatch.setattr(building, "_build_plans", broken)
    with pytest.raises(EngineError, match="out of memory"):
        build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_tensorrt_without_a_gpu_is_refused_before_it_is_imported(exported_pack, tmp_path, monkeypatch):
    def never(flavour):
        raise AssertionError

    monkeypatch.setattr(building, "load_api", never)
    with pytest.raises(BackendUnavailableError, match=r"no NVIDIA driver.*--engine tensorrt-rtx"):
        build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path)


def test_a_cache_that_cannot_be_written(exported_pack, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "load_api", lambda flavour: FakeApi())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--out"):
        build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path / "file" / "cache")


class Shifted:
    """An engine that is off by something."""

    name = "tensorrt"

    def __init__(self, inner, shift):
        self.inner, self.shift = inner, shift

    def infer(self, windows):
        result = self.inner.infer(windows)
        return Inference(result.logits + np.float32(self.shift), result.stages_s, result.presence_logits)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def few_windows(probe_windows):
    return Windows(probe_windows[-2:], np.array([-1, -1]))


@pytest.fixture
def with_gpu(monkeypatch, exported_pack):
    """A machine on which an engine runs whose logits are off by a given amount.

    With `shift_by_engine` torch is on the GPU, and they are off by that where an engine makes the features.
    With `refusal` the library takes no engine; where `shift` is an error, what runs one fails with it.
    """
    from engines.onnx_backend import OnnxEngine

    def make(shift=0.0, is_rtx=False, shift_by_engine=None, refusal=None):
        api = FakeApi(refusal)
        api.is_rtx = is_rtx
        monkeypatch.setattr(building, "usable_gpu", lambda: Gpu("NVIDIA L4", (8, 9)))
        monkeypatch.setattr(building, "load_api", lambda flavour: api)
        plans = {name: building.Plan(name.encode(), {}, b"") for name in NETWORKS}
        monkeypatch.setattr(building, "_build_plans", lambda *arguments: plans)

        def open_plans(*arguments, has_torch_features):
            if isinstance(shift, Exception):
                raise shift
            by = shift_by_engine if not has_torch_features and shift_by_engine is not None else shift
            return Shifted(OnnxEngine(exported_pack), by)

        monkeypatch.setattr(building, "open_plans", open_plans)
        monkeypatch.setattr(building, "has_torch_with_cuda", lambda: shift_by_engine is not None)
        monkeypatch.setattr(building, "require_memory", lambda: None)

    return make


def test_an_engine_that_is_near_enough_is_kept_with_its_figures(
    with_gpu, exported_pack, tmp_path, few_windows
):
    with_gpu(0.001)
    built = build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path, windows=few_windows)
    parity = built.engine.manifest.parity
    assert parity["verdict"] == "passed"
    assert parity["against"] == "torch float32"
    assert 0 < parity["mean"] <= parity["largest"] < 0.01


def test_the_gate_judges_the_features_of_torch_and_those_of_the_engine(
    with_gpu, exported_pack, tmp_path, few_windows
):
    with_gpu(0.001, shift_by_engine=0.005)
    built = build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path / "near", windows=few_windows)
    worse = built.engine.manifest.parity["mean"]
    with_gpu(0.001)
    alone = build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path / "one", windows=few_windows)
    assert worse > 3 * alone.engine.manifest.parity["mean"], "the worse of the two is kept"
    with_gpu(0.001, shift_by_engine=3.0)
    with pytest.raises(EngineError, match="parity failed"):
        build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path / "far", windows=few_windows)


@pytest.mark.parametrize("shift", [3.0, float("nan")])
def test_an_engine_that_is_too_far_off_is_not_kept(with_gpu, exported_pack, tmp_path, few_windows, shift):
    with_gpu(shift)
    with pytest.raises(EngineError, match=r"parity failed|no numbers"):
        build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path, windows=few_windows)
    assert not list(tmp_path.glob(f"*/{MANIFEST_NAME}"))


def test_a_gpu_that_rtx_does_not_know_is_no_verdict_but_for_tensorrt_it_is_an_error(
    with_gpu, exported_pack, tmp_path
):
    refusal = EngineMismatchError("no kernel for this GPU")
    with_gpu(refusal=refusal, is_rtx=True)
    parity = build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path).engine.manifest.parity
    assert parity["verdict"] == "not run here"
    assert "NVIDIA L4" in parity["reason"]
    with_gpu(refusal=refusal)
    with pytest.raises(EngineMismatchError):
        build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path)


def test_an_engine_of_rtx_that_the_library_takes_and_that_fails_then_is_not_kept(
    with_gpu, exported_pack, tmp_path
):
    with_gpu(EngineMismatchError("the engine of cnn8 has the tensors x"), is_rtx=True)
    with pytest.raises(EngineMismatchError, match="has the tensors x"):
        build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_what_could_not_own_the_memory_is_told_before_tensorrt_builds(
    with_gpu, exported_pack, tmp_path, monkeypatch
):
    def absent():
        raise BackendUnavailableError("neither torch with CUDA nor pycuda is there")

    with_gpu()
    monkeypatch.setattr(building, "require_memory", absent)
    monkeypatch.setattr(building, "_build_plans", lambda *_: pytest.fail("it was built first"))
    with pytest.raises(BackendUnavailableError, match="nor pycuda"):
        build_engine(exported_pack, "tensorrt", "fp32", ONE, root=tmp_path)
    with_gpu(is_rtx=True)
    monkeypatch.setattr(building, "require_memory", absent)
    parity = build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=tmp_path).engine.manifest.parity
    assert (parity["verdict"], "nor pycuda" in parity["reason"]) == ("not run here", True)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_graph_in_float16_says_nearly_the_same(exported_pack, network, one_thread, probe_windows):
    graph = exported_pack.graph_paths[network].read_bytes()
    features = open_session(exported_pack.graph_paths["features"])
    images, scalars = features.run(None, {"windows": probe_windows[-4:]})
    feed = {"images": images, "scalars": scalars}
    logits = [open_session(content).run(None, feed)[0] for content in (graph, half_graph(graph))]
    assert logits[1].dtype == np.float32
    prob = [1 / (1 + np.exp(-logit.astype(np.float64))) for logit in logits]
    assert np.abs(prob[0] - prob[1]).max() < 0.02


def test_two_outputs_stay_two_in_float16_and_in_a_plan(needs_rtx, presence_pack, one_thread, probe_windows):
    graph = presence_pack.graph_paths["cnn8"].read_bytes()
    features = open_session(presence_pack.graph_paths["features"])
    images, scalars = features.run(None, {"windows": probe_windows[-2:]})
    feed = {"images": images, "scalars": scalars}
    before, after = (open_session(content).run(None, feed)[0] for content in (graph, half_graph(graph)))
    assert after.shape == (2, 2)
    np.testing.assert_allclose(1 / (1 + np.exp(-after)), 1 / (1 + np.exp(-before)), atol=0.02)
    assert build_plan(load_api("tensorrt-rtx"), "cnn8", half_graph(graph), ONE, b"", lambda *_: None).content


def test_a_pack_of_two_outputs_is_compared_in_both(presence_pack, few_windows):
    from engines.onnx_backend import OnnxEngine

    with OnnxEngine(presence_pack, n_threads=1) as engine:
        parity = compare(engine, presence_pack, "fp32", few_windows)
    assert parity.verdict == "passed"
    assert 0 < parity.mean_of_breath <= parity.largest_of_breath < 5e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_in_float16_only_the_ends_and_the_standardisation_are_float32(exported_pack, network):
    model = onnx.shape_inference.infer_shapes(
        onnx.load_from_string(half_graph(exported_pack.graph_paths[network].read_bytes()))
    )
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    in_float = {
        node.op_type for node in model.graph.node if types.get(node.output[0]) == onnx.TensorProto.FLOAT
    }
    assert in_float == {"Sub", "Div", "Clip"}
    assert {
        tensor.data_type for tensor in model.graph.initializer if tensor.dims and len(tensor.dims) > 1
    } == {onnx.TensorProto.FLOAT16}


def test_a_graph_that_is_none_is_said_to_be(needs_rtx):
    with pytest.raises(EngineError, match=r"tensorrt-rtx .* does not take the graph of cnn8"):
        build_plan(load_api("tensorrt-rtx"), "cnn8", b"no graph", ONE, b"", lambda *_: None)


def test_an_interruption_ends_the_build_and_is_passed_on(needs_rtx, exported_pack):
    def interrupt(phase, n_done, n_all):
        raise KeyboardInterrupt

    graph = exported_pack.graph_paths["cnn8"].read_bytes()
    with pytest.raises(KeyboardInterrupt):
        build_plan(load_api("tensorrt-rtx"), "cnn8", graph, ONE, b"", interrupt)


def test_ctrl_c_ends_the_build_whatever_the_library_was_doing(needs_rtx, exported_pack):
    is_sent = threading.Event()

    def press(phase, n_done, n_all):
        if not is_sent.is_set():
            is_sent.set()
            os.kill(os.getpid(), signal.SIGINT)

    graph = exported_pack.graph_paths["cnn8"].read_bytes()
    with pytest.raises(KeyboardInterrupt):
        build_plan(load_api("tensorrt-rtx"), "cnn8", graph, ONE, b"", press)


def test_progress_counts_up_to_the_end(needs_rtx, exported_pack):
    steps = []
    graph = exported_pack.graph_paths["cnn8"].read_bytes()
    build_plan(load_api("tensorrt-rtx"), "cnn8", graph, ONE, b"", lambda *step: steps.append(step))
    assert steps[0][1] == 0
    assert steps[-1][1] == steps[-1][2] > 0
    assert [n_done for _, n_done, _ in steps] == sorted(n_done for _, n_done, _ in steps)


@pytest.mark.filterwarnings("ignore:.*[Tt]iming cache:DeprecationWarning")
def test_the_timings_of_tensorrt_go_in_and_come_out(needs_rtx, exported_pack):
    """TensorRT's way of keeping timings, on RTX's builder: it has the same calls, and measures nothing."""
    api = load_api("tensorrt-rtx")
    pretending = TensorRtApi("tensorrt-rtx", api.module)
    pretending.is_rtx = False
    pretending.version = "11.0"
    graph = exported_pack.graph_paths["cnn8"].read_bytes()
    plan = build_plan(pretending, "cnn8", graph, ONE, b"", lambda *_: None)
    assert plan.timings
    again = build_plan(pretending, "cnn8", graph, ONE, plan.timings, lambda *_: None)
    assert again.content == plan.content


NEAR = np.array([0.1, 0.2, 0.8, 0.9], np.float32)
LABELS = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (NEAR + np.array([0.3, 0, 0, 0]), "the largest difference and the mean"),
        (NEAR[::-1], "the phase and the AUC"),
        (NEAR * np.nan, "the largest difference"),
    ],
)
def test_what_is_too_far_is_named(found, reason):
    parity = judged(Probs(NEAR), Probs(np.asarray(found, np.float32)), LABELS, "fp16", "torch float32")
    assert parity.verdict == "failed"
    assert reason in parity.reason


def test_an_engine_in_int8_has_more_room_than_the_same_graphs_on_another_cpu():
    found = Probs(NEAR + np.float32(0.015))
    assert judged(Probs(NEAR), found, LABELS, "symmetric int8", "x").verdict == "passed"
    assert judged(Probs(NEAR), found, LABELS, "int8", "x").verdict == "failed"


def test_float16_has_more_room_than_float32():
    found = Probs(NEAR + np.float32(0.004))
    assert judged(Probs(NEAR), found, LABELS, "fp16", "x").verdict == "passed"
    assert judged(Probs(NEAR), found, LABELS, "fp32", "x").verdict == "failed"


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "passed"), (0.004, "failed"), (np.nan, "failed")])
def test_presence_is_held_to_the_same_differences(shift, verdict):
    found = Probs(NEAR, NEAR + np.float32(shift))
    parity = judged(Probs(NEAR, NEAR), found, LABELS, "fp32", "torch float32")
    assert parity.verdict == verdict
    assert parity.reason == ("" if verdict == "passed" else "P(breath) too far off")
    assert "P(breath) by" in str(parity)
    assert parity.mean_of_breath == pytest.approx(shift, nan_ok=True, abs=1e-6)


@pytest.mark.parametrize("order", [1, -1])
def test_an_engine_and_a_reference_of_which_one_knows_presence(order):
    with pytest.raises(EngineError, match=r"one gives P\(breath\) and the other does not"):
        judged(*[Probs(NEAR), Probs(NEAR, NEAR)][::order], LABELS, "fp32", "torch float32")


def test_without_labels_there_is_no_auc():
    parity = judged(Probs(NEAR), Probs(NEAR), np.full(4, -1), "fp32", "torch float32")
    assert parity.auc_lost is None
    assert "AUC" not in str(parity)
    assert "P(breath)" not in str(parity)


def test_not_run_here_says_neither_passed_nor_failed():
    text = str(Parity("not run here", "no usable GPU", against=""))
    assert text == "parity: not run here (no usable GPU)"


def test_a_pack_of_which_torch_knows_no_weights_is_compared_with_its_graphs(toy_pack, loudness_engine):
    windows = Windows(np.zeros((3, 16_000), np.float32), np.full(3, -1), "three silences")
    parity = compare(loudness_engine, toy_pack, "fp32", windows)
    assert parity.against == "ONNX Runtime with the float graphs (the pack holds no weights for torch)"
    assert parity.verdict == "passed"
    assert ", on three silences: P differs by" in str(parity)


class Shouting:
    """Says exhale, of everything or of edge cases alone."""

    name = "shouting"

    def __init__(self, inner, of):
        self.inner, self.of, self.n_heard = inner, of, 0

    def infer(self, windows):
        said = self.inner.infer(windows)
        is_meant = np.isin(np.arange(self.n_heard, self.n_heard + len(windows)), self.of)
        self.n_heard += len(windows)
        return Inference(said.logits + np.float32(9) * is_meant[:, None], {})


@pytest.mark.parametrize(
    ("of", "verdict", "n_windows", "words"),
    [
        ((), "passed", 3, "three silences (and 2 made-up edge cases pass)"),
        ((0,), "failed", 2, "2 made-up edge cases"),
        ((4,), "failed", 3, "three silences (and 2 made-up edge cases pass)"),
    ],
)
def test_edge_cases_are_judged_apart_from_real_sound(
    toy_pack, loudness_engine, of, verdict, n_windows, words
):
    windows = Windows(np.zeros((5, 16_000), np.float32), np.full(5, -1), "three silences", n_made_up=2)
    parity = compare(Shouting(loudness_engine, of), toy_pack, "fp32", windows)
    assert (parity.verdict, parity.n_windows, parity.windows) == (verdict, n_windows, words)


def test_one_of_a_few_windows_may_change_places_by_the_rounding_to_int8():
    few = np.linspace(0.3, 0.7, 20).astype(np.float32)
    labels = np.tile([0, 1], 10)
    swapped = few.copy()
    swapped[[9, 10]] = few[[10, 9]]

    def reason(precision, times=1):
        expected, found, known = (np.tile(column, times) for column in (swapped, few, labels))
        parity = judged(Probs(expected), Probs(found), known, precision, "x")
        assert parity.auc_lost == pytest.approx(0.01)
        return parity.reason

    assert TOLERANCES["int8 against float32"].auc_lost < 0.01
    assert "the AUC" not in reason("int8 against float32")
    assert "the AUC" in reason("int8 against float32", times=100), (
        "two hundred of two thousand are not chance"
    )
    assert "the AUC" in reason("fp16")


def run(*arguments):
    return CliRunner().invoke(main, ["build", *map(str, arguments)], prog_name="breath-offline")


def test_the_command_shows_what_was_built_and_that_nobody_looked(cache, exported_pack):
    done = run("--pack", exported_pack.path, "--engine", "tensorrt-rtx", "--batch", ONE, "--out", cache)
    assert done.exit_code == 0, done.output
    assert "in the cache already: " in done.stdout
    assert "8 convolution layers in FLOAT" in done.stdout
    assert "parity: not run here (" in done.stdout
    assert "passed" not in done.stdout


def test_onnx_runtime_has_nothing_to_build_but_is_held_to_torch(exported_pack):
    done = run("--pack", exported_pack.path, "--engine", "onnxruntime")
    assert done.exit_code == 0, done.output
    assert "nothing to build" in done.stdout
    assert (
        "parity passed; against torch float32, on 7 made-up edge cases and no real sound "
        "(--data or --streams give some): P differs by" in done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ("--engine", "tensorrt-rtx", "--precision", "int8"),
            2,
            "are float; make such graphs, and build those: ",
        ),
        (("--engine", "onnxruntime", "--precision", "fp16"), 2, "fp16 is no faster"),
        (("--engine", "openvino", "--rebuild"), 2, "--rebuild has no meaning for openvino"),
        (("--engine", "onnxruntime", "--batch", "64"), 2, "--batch has no meaning for onnxruntime"),
        (("--engine", "onnxruntime", "--out", "never"), 2, "--out has no meaning for onnxruntime"),
        (("--engine", "openvino", "--precision", "int8"), 2, "breath-offline quantise"),
        (("--engine", "tensorrt-rtx", "--batch", "4:1:1"), 2, "not in order"),
        (("--engine", "tensorrt"), 4, "TensorRT builds only on the GPU"),
        (("--engine", "tensorrt-rtx", "--pack", "nowhere"), 4, "no model pack at nowhere"),
    ],
)
def test_what_cannot_be_built_says_why(toy_pack, arguments, code, words):
    done = run("--pack", toy_pack.path, *arguments)
    assert done.exit_code == code
    assert words in done.stderr


def test_the_command_that_mends_is_this_one(exported_pack):
    key = EngineKey("a" * 64, "tensorrt-rtx", "1.0", "any", "fp16", BatchProfile(1, 2, 4))
    command = shlex.split(build_command(Path("a pack"), "tensorrt-rtx", key, is_anew=True))
    assert command[:2] == ["breath-offline", "build"]
    parsed = main.commands["build"].make_context("build", command[2:])
    wanted = {
        "pack": "a pack",
        "engine": "tensorrt-rtx",
        "precision": "fp16",
        "batch": "1:2:4",
        "rebuild": True,
    }
    assert parsed.params == parsed.params | wanted


def test_a_pack_without_graphs_is_sent_to_export(weights_pack):
    done = run("--pack", weights_pack.path, "--engine", "tensorrt-rtx")
    assert done.exit_code == 4
    assert "breath-offline export" in done.stderr


@pytest.mark.parametrize(
    ("precision", "found"),
    [
        ("fp16", {"FLOAT": 1, "HALF": 7}),
        ("int8", {"FLOAT": 8}),
        ("int8", {"FLOAT": 1}),
        ("int8", {"FLOAT": 2, "INT8": 6}),
    ],
)
def test_layers_of_another_type_are_refused(precision, found):
    plan = building.Plan(b"", {"CONVOLUTION": found}, b"")
    with pytest.raises(EngineError, match=f"was to be {precision}, but has convolution layers of FLOAT"):
        building._require_types("cnn8", plan, precision)


def test_the_shipped_pack_is_built_in_int8_without_asking_for_it(needs_rtx, tmp_path):
    done = run("--engine", "tensorrt-rtx", "--batch", ONE, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob(f"*/{MANIFEST_NAME}")
    manifest = json.loads(path.read_text())
    assert manifest["key"]["precision"] == "int8"
    assert set(manifest["plans"]) == {"features", *NETWORKS}
    for network in NETWORKS:
        plan = manifest["plans"][network]
        nodes = onnx.load(load_pack().graph_paths[network]).graph.node
        n_convolutions = [node.op_type for node in nodes].count("Conv")
        assert plan["layers"]["CONVOLUTION"] == {"FLOAT": 1, "INT8": n_convolutions - 1}
    assert " convolution layers in INT8" in done.stdout
    assert "parity: not run here (" in done.stdout


def test_int8_is_smaller_than_float32(cache, exported_pack, needs_rtx, tmp_path):
    shipped = build_engine(load_pack(), "tensorrt-rtx", "int8", ONE, root=tmp_path).engine.manifest.plans
    exact = build_engine(exported_pack, "tensorrt-rtx", "fp32", ONE, root=cache).engine.manifest.plans
    for network in NETWORKS:
        assert shipped[network].n_bytes < 0.9 * exact[network].n_bytes


def test_float_is_not_built_from_int8_graphs(tmp_path):
    with pytest.raises(ConfigError, match=r"builds fp16 from float graphs.*leave --precision out") as caught:
        build_engine(load_pack(), "tensorrt-rtx", "fp16", ONE, root=tmp_path)
    assert not list(tmp_path.iterdir())
    mend = f"breath-offline export --pack {shlex.quote(str(load_pack().path))} --out FLOAT"
    assert str(caught.value).endswith(f"and build those: {mend}")


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("int8", "made with: breath-offline export"),
        ("fp16", "use --precision fp32"),
        ("fp32", "please report"),
    ],
)
def test_who_built_what_is_too_far_off_is_told_another_way_than_the_same(exported_pack, precision, words):
    way = building._other_way(exported_pack, precision)
    assert words in way
    assert f"--precision {precision}" not in way


def test_a_parity_can_be_written_and_read(tmp_path):
    parity = judged(Probs(NEAR), Probs(NEAR, None), LABELS, "fp32", "torch float32")
    assert Parity(**json.loads(json.dumps(parity.to_json()))) == replace(parity)


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_window_on_the_brink_may_fall_on_either_side(precision):
    said = np.array([0.4996, 0.9, 0.1], np.float32)
    either = judged(Probs(said), Probs(said + np.float32(0.0006)), np.full(3, -1), precision, "x")
    assert (either.verdict, either.phase_agreement) == ("passed", 1.0)
    decided = np.array([0.44, 0.9, 0.1], np.float32)
    other = judged(Probs(decided), Probs(decided + np.float32(0.07)), np.full(3, -1), precision, "x")
    assert "the phase" in other.reason
