"""OpenVINO against ONNX Runtime on the same graphs, float and INT8, and what its cache does to a start."""

import gc
import importlib.machinery
import importlib.util
import shutil
import signal
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

import engines.openvino_backend
from engines.contract import WINDOW_SAMPLES
from engines.ensemble import sigmoid
from engines.errors import EngineError, EngineMissingError
from engines.onnx_backend import OnnxEngine
from engines.openvino_backend import OpenVinoEngine
from engines.pack import load_pack
from realtime.engine import open_engine

# Not imported here: the engine's import is the one that keeps OpenVINO from reporting to its maker.
if importlib.util.find_spec("openvino") is None:
    pytest.skip('openvino is not installed; pip install ".[openvino]"', allow_module_level=True)


@pytest.fixture(scope="module")
def int8_pack():
    return load_pack()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def engine(int8_pack, root):
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=root) as opened:
        yield opened


@pytest.fixture
def own_root(engine, root, tmp_path):
    """A cache as the first start left it."""
    shutil.copytree(root, tmp_path / "cache")
    return tmp_path / "cache"


def test_int8_graphs_answer_as_in_onnx_runtime(engine, int8_pack, probe_windows):
    assert int8_pack.manifest.graph_precision == "int8"
    with OnnxEngine(int8_pack, n_threads=1) as other:
        expected = other.infer(probe_windows)
    said = engine.infer(probe_windows)
    assert said.logits.dtype == np.float32
    assert said.logits.shape == expected.logits.shape == (len(probe_windows), 2)
    assert (said.presence_logits is None) == (expected.presence_logits is None)
    # A value that lies between two steps of INT8 may be rounded to either.
    np.testing.assert_allclose(sigmoid(said.logits), sigmoid(expected.logits), atol=0.03)
    assert np.ptp(sigmoid(expected.logits), axis=0).min() > 0.1, "networks that answer alike prove nothing"


def test_float_graphs_with_two_outputs_answer_as_in_onnx_runtime(presence_pack, tmp_path, probe_windows):
    with (
        OnnxEngine(presence_pack, n_threads=1) as other,
        OpenVinoEngine(presence_pack, n_threads=1, cache_root=tmp_path) as engine,
    ):
        expected, said = other.infer(probe_windows), engine.infer(probe_windows)
    for logits, wanted in (
        (said.logits, expected.logits),
        (said.presence_logits, expected.presence_logits),
    ):
        assert logits.dtype == np.float32
        assert logits.shape == wanted.shape == (len(probe_windows), 2)
        np.testing.assert_allclose(sigmoid(logits), sigmoid(wanted), atol=5e-3)
    assert np.abs(said.logits - said.presence_logits).max() > 0.05, "the two must differ"


def test_an_answer_does_not_depend_on_the_batch_and_is_not_overwritten(engine, probe_windows):
    together = engine.infer(probe_windows).logits
    alone = [engine.infer(probe_windows[row : row + 1]).logits[0] for row in range(len(probe_windows))]
    np.testing.assert_array_equal(alone, together)


def test_the_time_of_each_stage_is_told_in_the_packs_order(engine, int8_pack):
    engine.warm_up()
    stages_s = engine.infer(np.zeros((2, WINDOW_SAMPLES), np.float32)).stages_s
    assert list(stages_s) == list(int8_pack.graph_paths)
    assert min(stages_s.values()) > 0


def test_a_view_that_must_not_be_written_to_is_read(engine, probe_windows):
    stream = np.concatenate([probe_windows[4], probe_windows[5]])
    stream.flags.writeable = False
    views = np.lib.stride_tricks.sliding_window_view(stream, WINDOW_SAMPLES)[:: WINDOW_SAMPLES // 2]
    expected = engine.infer(probe_windows[4:6]).logits
    np.testing.assert_array_equal(engine.infer(views).logits[[0, 2]], expected)


def test_a_wrong_shape_is_an_error_of_the_engine_and_not_its_end(engine):
    silence = np.zeros((1, WINDOW_SAMPLES), np.float32)
    expected = engine.infer(silence).logits
    with pytest.raises(EngineError, match=r"shape \(1, 100\) instead of \(B, 16000\)"):
        engine.infer(silence[:, :100])
    np.testing.assert_array_equal(engine.infer(silence).logits, expected)


def test_a_closed_engine_says_so(int8_pack, root):
    with OpenVinoEngine(int8_pack, cache_root=root) as engine:
        pass
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up()
    engine.close()


def test_ctrl_c_finds_a_stack_after_engines_that_ended_in_any_order(int8_pack, root):
    script = """
import faulthandler, os, signal, sys, time
from pathlib import Path
from engines.openvino_backend import OpenVinoEngine
from engines.pack import load_pack

# As pytest and many services do: signals are handled on a stack of their own.
faulthandler.enable()
engines = [OpenVinoEngine(load_pack(), 1, Path(sys.argv[1])) for _ in range(3)]
for engine in engines:
    engine.warm_up()
for number in (1, 0, 2):
    engines[number].close()
    engines[number] = None
del engine
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, root], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("interrupted\n", "", 0)


def test_nothing_is_reported_to_anybody(engine):
    assert sys.modules["openvino_telemetry"] is None


@pytest.mark.parametrize("has_tiles", [True, False])
def test_it_runs_where_it_is_asked_for_and_where_the_processor_has_tiles(
    int8_pack, root, monkeypatch, has_tiles
):
    monkeypatch.setattr("engines.openvino_backend.default_root", lambda: root)
    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: has_tiles)
    asked, choice = open_engine(int8_pack, "openvino", n_threads=1)
    with asked:
        assert asked.name == choice.name == "openvino"
    automatic, choice = open_engine(int8_pack)
    with automatic:
        assert automatic.name == choice.name == ("openvino" if has_tiles else "onnxruntime")
        assert "openvino" not in choice.reason


def test_tiles_are_of_no_use_to_float_graphs(exported_pack, monkeypatch):
    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: True)
    automatic, choice = open_engine(exported_pack)
    with automatic:
        assert choice.name == "onnxruntime"


def test_where_it_cannot_be_opened_onnx_runtime_goes_on_unless_it_was_asked_for(int8_pack, root, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr("engines.openvino_backend.default_root", lambda: root / "other")
    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: True)
    monkeypatch.setattr("openvino.Core.compile_model", refuse)
    automatic, choice = open_engine(int8_pack)
    with automatic:
        assert automatic.name == choice.name == "onnxruntime"
    assert "openvino passed over: OpenVINO cannot load" in choice.reason
    with pytest.raises(EngineError, match="no such instruction"):
        open_engine(int8_pack, "openvino")


@pytest.mark.parametrize("pack_name", ["int8_pack", "presence_pack"])
def test_side_by_side_it_says_what_it_says_one_after_another(request, root, probe_windows, pack_name):
    pack = request.getfixturevalue(pack_name)
    with OpenVinoEngine(pack, n_threads=1, cache_root=root) as alone:
        expected = alone.infer(probe_windows)
    for n_threads in (2, 3):
        with OpenVinoEngine(pack, n_threads, cache_root=root) as engine:
            said = engine.infer(probe_windows)
        np.testing.assert_allclose(said.logits, expected.logits, atol=1e-4)
        assert list(said.stages_s) == [*expected.stages_s, "inference"]
        assert 0 < max(said.stages_s["cnn8"], said.stages_s["vgg"]) < said.stages_s["inference"]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_graph_that_ranks_nothing_and_uses_its_input_twice_answers_as_in_onnx_runtime(
    tiny_pack, tmp_path, probe_windows, n_threads
):
    pack = load_pack(tiny_pack)
    with OnnxEngine(pack, n_threads=1) as other:
        expected = other.infer(probe_windows)
    with OpenVinoEngine(pack, n_threads, cache_root=tmp_path) as engine:
        parts = engine._requests["features"]
        assert "sound" not in parts
        assert "windows" in inputs_of(parts["images"]) & inputs_of(parts["early"])
        np.testing.assert_allclose(engine.infer(probe_windows).logits, expected.logits, atol=1e-4)


def inputs_of(request):
    return {put.any_name for put in request.model_inputs}


def test_no_windows_get_no_answers(engine):
    assert engine.infer(np.empty((0, WINDOW_SAMPLES), np.float32)).logits.shape == (0, 2)


class Recorded:
    """A request that tells when it runs and on which thread, and fails where it should."""

    def __init__(self, name, request, log, error=None):
        self.name, self.request, self.log, self.error = name, request, log, error

    def __getattr__(self, attribute):
        return getattr(self.request, attribute)

    def infer(self, **given):
        self.log.append((self.name, threading.current_thread().name))
        error, self.error = self.error, None
        self.request.infer(**given)
        if error:
            raise error


def recorded(engine, **errors):
    """All parts of an engine recorded; `errors`: what a part of a stage fails with, once."""
    log = []
    for stage, parts in engine._requests.items():
        for part, request in parts.items():
            parts[part] = Recorded(f"{stage} {part}", request, log, errors.get(f"{stage}_{part}"))
    return log


BESIDE = ["features early", "features late", "cnn8 trunk", "cnn8 head"]


def test_the_largest_network_runs_beside_the_scalars_and_the_others(int8_pack, root, probe_windows):
    with OpenVinoEngine(int8_pack, n_threads=2, cache_root=root) as engine:
        log = recorded(engine)
        engine.infer(probe_windows[:1])
    here = threading.current_thread().name
    alone = [name for name, thread in log if thread == here]
    assert alone == ["features sound", "features images", "vgg trunk", "vgg head"]
    assert [name for name, thread in log if thread == "inference"] == BESIDE
    begun = [name for name, _ in log]
    assert begun.index("features late") > begun.index("features images")


def test_one_thread_runs_all_parts(int8_pack, root, probe_windows):
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=root) as engine:
        log = recorded(engine)
        engine.infer(probe_windows[:1])
    assert {thread for _, thread in log} == {threading.current_thread().name}
    sound, early, images, *others = (name for name, _ in log)
    assert [sound, early, images] == ["features sound", "features early", "features images"]
    assert others == [*BESIDE[1:], "vgg trunk", "vgg head"]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "part",
    [
        "features_sound",
        "features_images",
        "features_early",
        "features_late",
        "cnn8_trunk",
        "cnn8_head",
        "vgg_trunk",
        "vgg_head",
    ],
)
def test_a_part_that_fails_is_named_and_the_engine_goes_on(int8_pack, root, probe_windows, part, n_threads):
    with OpenVinoEngine(int8_pack, n_threads, cache_root=root) as engine:
        expected = engine.infer(probe_windows[:1]).logits
        recorded(engine, **{part: RuntimeError("out of memory")})
        with pytest.raises(EngineError, match=f"failed in {part.partition('_')[0]}: out of memory"):
            engine.infer(probe_windows[1:2])
        np.testing.assert_array_equal(engine.infer(probe_windows[:1]).logits, expected)


class Held:
    """A request that ends only when it may, and tells when it has."""

    def __init__(self, request):
        self.request = request
        self.may_end, self.has_ended = threading.Event(), threading.Event()

    def __getattr__(self, attribute):
        return getattr(self.request, attribute)

    def infer(self, **given):
        self.may_end.wait(10)
        self.request.infer(**given)
        self.has_ended.set()


@pytest.mark.parametrize("part", ["features_images", "vgg_trunk"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_whatever_comes_between_nothing_runs_on(int8_pack, root, probe_windows, part, error):
    with OpenVinoEngine(int8_pack, n_threads=2, cache_root=root) as engine:
        expected = engine.infer(probe_windows[:1]).logits
        recorded(engine, **{part: error})
        held = engine._requests["features"]["early"] = Held(engine._requests["features"]["early"])
        threading.Timer(0.2, held.may_end.set).start()
        with pytest.raises((KeyboardInterrupt, EngineError)):
            engine.infer(probe_windows[1:2])
        assert held.has_ended.is_set()
        np.testing.assert_array_equal(engine.infer(probe_windows[:1]).logits, expected)


def test_ctrl_c_while_another_thread_is_at_work_waits_for_it(int8_pack, root, probe_windows):
    with OpenVinoEngine(int8_pack, n_threads=2, cache_root=root) as engine:
        held = engine._requests["cnn8"]["head"] = Held(engine._requests["cnn8"]["head"])

        def interrupt():
            # To the thread that waits, which wakes by it.
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            threading.Timer(0.3, held.may_end.set).start()

        # By then this thread has done its own work, and waits.
        threading.Timer(0.3, interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            engine.infer(probe_windows[:1])
        assert held.has_ended.is_set()


def test_one_thread_is_interrupted_at_once(int8_pack, root, probe_windows):
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=root) as engine:
        log = recorded(engine, features_early=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            engine.infer(probe_windows[:1])
    assert [name for name, _ in log] == ["features sound", "features early"]


def test_its_thread_ends_with_it(int8_pack, root, probe_windows):
    engine = OpenVinoEngine(int8_pack, n_threads=2, cache_root=root)
    engine.infer(probe_windows[:1])
    beside = engine._beside._thread
    engine.close()
    beside.join(timeout=10)
    assert not beside.is_alive()
    forgotten = OpenVinoEngine(int8_pack, n_threads=2, cache_root=root)
    forgotten.infer(probe_windows[:1])
    beside = forgotten._beside._thread
    del forgotten
    gc.collect()
    beside.join(timeout=10)
    assert not beside.is_alive()


def test_what_calls_itself_openvino_and_is_not_is_passed_over(int8_pack, monkeypatch):
    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: True)
    other = types.ModuleType("openvino")
    other.__spec__ = importlib.machinery.ModuleSpec("openvino", None)
    monkeypatch.setitem(sys.modules, "openvino", other)
    monkeypatch.setattr("engines.openvino_backend.only_core", engines.openvino_backend.only_core.__wrapped__)
    automatic, choice = open_engine(int8_pack)
    with automatic:
        assert choice.name == "onnxruntime"
    assert "openvino passed over: OpenVINO cannot be loaded" in choice.reason


def test_what_was_refused_without_a_word_is_not_tried_for_ever(int8_pack, monkeypatch):
    def refuse(*_):
        raise EngineError("")

    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: True)
    monkeypatch.setattr("engines.openvino_backend.OpenVinoEngine.__init__", refuse)
    automatic, choice = open_engine(int8_pack)
    with automatic:
        assert "openvino passed over: EngineError" in choice.reason


def test_layers_that_are_not_int8_are_rounded_only_where_there_are_tiles(
    int8_pack, tmp_path, monkeypatch, presence_pack
):
    def precisions(pack, has_tiles):
        monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: has_tiles)
        asked = []

        def compile_graphs(core, stage, path, settings, n_threads, kept):
            asked.append((stage, settings["INFERENCE_PRECISION_HINT"]))
            return compiled(core, stage, path, settings, n_threads, kept)

        compiled = engines.openvino_backend._compiled
        with monkeypatch.context() as patched:
            patched.setattr("engines.openvino_backend._compiled", compile_graphs)
            OpenVinoEngine(pack, cache_root=tmp_path).close()
        return dict(asked)

    assert precisions(int8_pack, True) == {"features": "f32", "cnn8": "bf16", "vgg": "bf16"}
    assert set(precisions(int8_pack, False).values()) == {"f32"}
    assert set(precisions(presence_pack, True).values()) == {"f32"}


def test_a_second_start_compiles_nothing_and_answers_the_same(
    engine, int8_pack, own_root, probe_windows, monkeypatch
):
    def never(*_):
        raise AssertionError("a graph was compiled again")

    monkeypatch.setattr("openvino.Core.compile_model", never)
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=own_root) as again:
        np.testing.assert_array_equal(
            again.infer(probe_windows[:3]).logits, engine.infer(probe_windows[:3]).logits
        )


def test_a_broken_cache_does_not_keep_it_from_starting_and_is_mended(engine, int8_pack, own_root):
    path = own_root / engine.kept.folder.name / "cnn8-trunk.blob"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    silence = np.zeros((1, WINDOW_SAMPLES), np.float32)
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=own_root) as again:
        np.testing.assert_array_equal(again.infer(silence).logits, engine.infer(silence).logits)
    assert len(path.read_bytes()) > len(whole) // 2


def test_what_openvino_does_not_take_back_is_compiled_again(engine, int8_pack, own_root, monkeypatch, caplog):
    # Its parser trusts what it reads: a real foreign content breaks more than this test.
    def refuse(*_):
        raise RuntimeError("of another version")

    monkeypatch.setattr("openvino.Core.import_model", refuse)
    silence = np.zeros((1, WINDOW_SAMPLES), np.float32)
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=own_root) as again:
        np.testing.assert_array_equal(again.infer(silence).logits, engine.infer(silence).logits)
    assert "does not take back what it compiled of cnn8: of another version" in caplog.text


def test_graphs_that_went_missing_or_are_none(int8_pack, root, tmp_path):
    shutil.copytree(int8_pack.path, tmp_path / "pack")
    pack = load_pack(tmp_path / "pack")
    (pack.path / "vgg.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match=r"OpenVINO cannot load .*vgg\.onnx"):
        OpenVinoEngine(pack, cache_root=tmp_path / "cache")
    (pack.path / "vgg.onnx").unlink()
    with pytest.raises(EngineMissingError, match=r"vgg\.onnx is missing; make it with: breath-offline"):
        OpenVinoEngine(pack, cache_root=root)
