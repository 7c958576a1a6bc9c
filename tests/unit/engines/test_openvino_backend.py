"""OpenVINO against ONNX Runtime on the same graphs, float and INT8, and what its cache does to a start."""

import hashlib
import importlib.util
import shutil
import sys

import numpy as np
import pytest

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
    with pytest.raises(EngineError, match="OpenVINO failed in features"):
        engine.infer(silence[:, :100])
    np.testing.assert_array_equal(engine.infer(silence).logits, expected)


def test_a_closed_engine_says_so(int8_pack, root):
    with OpenVinoEngine(int8_pack, cache_root=root) as engine:
        pass
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up()
    engine.close()


def test_nothing_is_reported_to_anybody(engine):
    assert sys.modules["openvino_telemetry"] is None


def test_it_runs_where_it_is_asked_for_and_only_there(int8_pack, root, monkeypatch):
    monkeypatch.setattr("engines.openvino_backend.default_root", lambda: root)
    asked, choice = open_engine(int8_pack, "openvino", n_threads=1)
    with asked:
        assert asked.name == choice.name == "openvino"
    automatic, choice = open_engine(int8_pack)
    with automatic:
        assert choice.name == "onnxruntime"


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


def foreign(_whole):
    other = b"compiled by something else"
    return hashlib.sha256(other).digest() + other


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], foreign], ids=["cut off", "foreign"]
)
def test_a_broken_cache_does_not_keep_it_from_starting_and_is_mended(engine, int8_pack, own_root, damage):
    path = next(own_root.glob("*/cnn8.blob"))
    path.write_bytes(damage(path.read_bytes()))
    broken = path.read_bytes()
    silence = np.zeros((1, WINDOW_SAMPLES), np.float32)
    with OpenVinoEngine(int8_pack, n_threads=1, cache_root=own_root) as again:
        np.testing.assert_array_equal(again.infer(silence).logits, engine.infer(silence).logits)
    assert len(path.read_bytes()) > len(broken)


def test_graphs_that_went_missing_or_are_none(int8_pack, root, tmp_path):
    shutil.copytree(int8_pack.path, tmp_path / "pack")
    pack = load_pack(tmp_path / "pack")
    (pack.path / "vgg.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match=r"OpenVINO cannot load .*vgg\.onnx"):
        OpenVinoEngine(pack, cache_root=tmp_path / "cache")
    (pack.path / "vgg.onnx").unlink()
    with pytest.raises(EngineMissingError, match=r"vgg\.onnx is missing; make it with: breath-offline"):
        OpenVinoEngine(pack, cache_root=root)
