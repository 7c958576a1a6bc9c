import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.backend import choose, inference_from_outputs
from engines.contract import WINDOW_SAMPLES
from engines.ensemble import fuse, sigmoid
from engines.errors import BackendUnavailableError, ConfigError, EngineError, EngineMissingError, PackError
from engines.onnx_backend import OnnxEngine, open_session
from engines.pack import load_pack, save_pack
from realtime.engine import open_engine

PROJECT = Path(__file__).resolve().parents[3]
BOTH = pytest.mark.parametrize("name", ["onnxruntime", "torch"])

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def engines(exported_pack):
    opened = {name: open_engine(exported_pack, name, n_threads=1)[0] for name in ("onnxruntime", "torch")}
    yield opened
    for engine in opened.values():
        engine.close()


def test_torch_and_onnx_agree_on_edge_cases_and_noise(engines, exported_pack, probe_windows):
    logits = {name: engine.infer(probe_windows).logits for name, engine in engines.items()}
    assert logits["torch"].shape == logits["onnxruntime"].shape == (len(probe_windows), 2)
    assert np.ptp(logits["torch"], axis=0).min() > 0.1, "networks that answer everything alike prove nothing"
    np.testing.assert_allclose(sigmoid(logits["onnxruntime"]), sigmoid(logits["torch"]), atol=5e-3)
    fused = [fuse(values, exported_pack.manifest.weights) for values in logits.values()]
    np.testing.assert_allclose(fused[0], fused[1], atol=5e-3)


@BOTH
def test_an_answer_does_not_depend_on_the_batch(engines, name, probe_windows):
    together = engines[name].infer(probe_windows).logits
    for row in (0, 3, len(probe_windows) - 1):
        alone = engines[name].infer(probe_windows[row : row + 1]).logits
        np.testing.assert_allclose(sigmoid(alone[0]), sigmoid(together[row]), atol=2e-3)


@BOTH
def test_an_answer_comes_in_the_packs_order_with_the_time_of_each_stage(engines, name):
    engines[name].warm_up()
    inference = engines[name].infer(np.zeros((1, WINDOW_SAMPLES), np.float32))
    assert inference.logits.dtype == np.float32
    assert inference.logits.shape == (1, 2)
    assert list(inference.stages_s) == ["features", "cnn8", "vgg"]
    assert all(duration_s >= 0 for duration_s in inference.stages_s.values())


def test_networks_with_one_output_say_nothing_of_presence(engines, probe_windows):
    assert all(engine.infer(probe_windows[:1]).presence_logits is None for engine in engines.values())


def test_networks_with_two_outputs_answer_both_and_torch_and_onnx_agree(presence_pack, probe_windows):
    import torch

    from engines.torch_backend import load_networks
    from realtime.features.stack import FeatureStack

    said = []
    for name in ("onnxruntime", "torch"):
        with open_engine(presence_pack, name, n_threads=1)[0] as engine:
            said.append(engine.infer(probe_windows))
    networks = load_networks(presence_pack)
    with torch.inference_mode():
        inputs = FeatureStack(presence_pack.manifest.feature_spec).eval()(torch.from_numpy(probe_windows))
        outputs = np.stack([network(*inputs).numpy() for network in networks.values()], axis=1)
    for inference in said:
        for logits, expected in (
            (inference.logits, outputs[..., 0]),
            (inference.presence_logits, outputs[..., 1]),
        ):
            assert logits.dtype == np.float32
            assert logits.shape == (len(probe_windows), 2)
            np.testing.assert_allclose(sigmoid(logits), sigmoid(expected), atol=5e-3)
    assert np.abs(sigmoid(outputs[..., 0]) - sigmoid(outputs[..., 1])).max() > 0.05, "the two must differ"


@pytest.mark.parametrize(
    "shapes", [[(3,), (3, 2)], [(3, 2), (3,)], [(3, 1), (3, 1)], [(3, 3), (3, 3)], [(3, 2, 1), (3, 2, 1)]]
)
def test_outputs_that_no_pack_has_are_an_error_of_the_engine(shapes):
    with pytest.raises(EngineError, match="must all be"):
        inference_from_outputs([np.zeros(shape, np.float32) for shape in shapes], {})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_no_answer(value):
    with pytest.raises(EngineError, match="logits that are no numbers"):
        inference_from_outputs([np.zeros(2, np.float32), np.array([0, value], np.float32)], {})


@BOTH
def test_a_view_that_must_not_be_written_to_is_read(engines, name, probe_windows):
    stream = np.concatenate([probe_windows[4], probe_windows[5]])
    stream.flags.writeable = False
    views = np.lib.stride_tricks.sliding_window_view(stream, WINDOW_SAMPLES)[::8000]
    answers = engines[name].infer(views).logits
    np.testing.assert_allclose(answers[0], engines[name].infer(probe_windows[4:5]).logits[0], atol=1e-4)


@BOTH
def test_a_wrong_shape_is_an_error_of_the_engine(engines, name):
    with pytest.raises(EngineError, match="failed in features"):
        engines[name].infer(np.zeros((1, 100), np.float32))


@BOTH
def test_a_closed_engine_says_so(exported_pack, name):
    engine, _ = open_engine(exported_pack, name)
    with engine as entered:
        assert entered is engine
    with pytest.raises(EngineError, match="closed"):
        engine.infer(np.zeros((1, WINDOW_SAMPLES), np.float32))
    engine.close()


def test_a_graph_that_went_missing_since_the_pack_was_loaded(exported_pack, tmp_path):
    shutil.copytree(exported_pack.path, tmp_path / "pack")
    pack = load_pack(tmp_path / "pack")
    (pack.path / "vgg.onnx").unlink()
    with pytest.raises(EngineMissingError, match=r"vgg\.onnx is missing; make it with: breath-offline"):
        OnnxEngine(pack)


def test_a_graph_that_is_none():
    with pytest.raises(EngineError, match="cannot load the graph"):
        open_session(b"no graph")


def test_weights_of_another_network_are_refused(weights_pack, tmp_path):
    files = {path.name: path.read_bytes() for path in weights_pack.weight_paths.values()}
    swapped = files | {"vgg.safetensors": files["cnn8.safetensors"]}
    pack = save_pack(tmp_path / "swapped", weights_pack.manifest, swapped)
    with pytest.raises(PackError, match=r"vgg\.safetensors holds weights of another network"):
        open_engine(pack, "torch")


def test_weights_of_another_number_of_outputs_are_refused(weights_pack, presence_weights_pack, tmp_path):
    files = {path.name: path.read_bytes() for path in weights_pack.weight_paths.values()}
    pack = save_pack(tmp_path / "other", presence_weights_pack.manifest, files)
    with pytest.raises(PackError, match=r"cnn8\.safetensors holds weights of another network"):
        open_engine(pack, "torch")


def test_weights_that_are_no_safetensors_are_refused(weights_pack, tmp_path):
    files = dict.fromkeys(("cnn8.safetensors", "vgg.safetensors"), b"no weights")
    pack = save_pack(tmp_path / "broken", weights_pack.manifest, files)
    with pytest.raises(PackError, match="not a safetensors file"):
        open_engine(pack, "torch")


def test_auto_takes_onnx_runtime_and_says_why(exported_pack):
    engine, choice = open_engine(exported_pack)
    with engine:
        assert engine.name == choice.name == "onnxruntime"
    assert choice.reason.startswith("tensorrt")
    assert "passed over: " in choice.reason


def test_auto_falls_back_to_torch_and_says_why(weights_pack):
    engine, choice = open_engine(weights_pack)
    with engine:
        assert engine.name == choice.name == "torch"
    assert "onnxruntime passed over: the pack holds no ONNX graphs" in choice.reason
    assert "breath-offline export" in choice.reason


def test_an_engine_is_taken_as_asked_for():
    assert choose("torch", has_onnx_graphs=True, has_weights=True).reason == "as asked for"


def test_an_unknown_engine_is_an_error_of_usage(exported_pack):
    with pytest.raises(ConfigError, match="unknown engine 'coreml'; choose auto, tensorrt, tensorrt-rtx"):
        open_engine(exported_pack, "coreml")


@pytest.mark.parametrize(
    ("requested", "has_graphs", "has_weights", "words"),
    [
        ("onnxruntime", False, True, "the pack holds no ONNX graphs"),
        ("torch", True, False, "the pack holds no weights for torch"),
        ("tensorrt", True, True, "not considered here"),
        (
            "auto",
            False,
            False,
            "no engine can run this pack: tensorrt: .*; tensorrt-rtx: .*; onnxruntime: .*; torch: ",
        ),
    ],
)
def test_what_cannot_run_says_what_is_missing(requested, has_graphs, has_weights, words):
    with pytest.raises(BackendUnavailableError, match=words):
        choose(requested, has_onnx_graphs=has_graphs, has_weights=has_weights)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("onnxruntime", "torchaudio") else find(name),
    )
    with pytest.raises(BackendUnavailableError, match="onnxruntime is not installed; pip install onnx"):
        choose("onnxruntime", has_onnx_graphs=True, has_weights=True)
    with pytest.raises(BackendUnavailableError, match=r"torchaudio not installed; .*\.\[train\]"):
        choose("torch", has_onnx_graphs=True, has_weights=True)


def test_a_machine_without_torch_runs_the_graphs(exported_pack):
    script = """
import json, sys
sys.modules["torch"] = None
import numpy as np
from engines.errors import BackendUnavailableError
from engines.pack import load_pack
from realtime.engine import open_engine

pack = load_pack(sys.argv[1])
engine, choice = open_engine(pack)
with engine:
    engine.warm_up()
    logits = engine.infer(np.zeros((2, 16000), np.float32)).logits
try:
    open_engine(pack, "torch")
    refusal = ""
except BackendUnavailableError as error:
    refusal = str(error)
print(json.dumps({"name": choice.name, "shape": logits.shape, "refusal": refusal}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(exported_pack.path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["name"] == "onnxruntime"
    assert said["shape"] == [2, 2]
    assert 'torch not installed; pip install ".[train]"' in said["refusal"]


@pytest.mark.parametrize(("given", "left"), [(None, "1"), ("0", "0")])
def test_onnx_runtime_reports_nothing_unless_asked_to(given, left, tmp_path):
    """Its reports begin with an identifier in the user's cache folder."""
    script = """
import os, time
from engines.onnx_backend import open_session
from engines.pack import load_pack
open_session(load_pack("default").graph_paths["cnn8"])
time.sleep(1)
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""
    environment = dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path))
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    if given is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.stdout.split() == [left], ran.stderr
    if given is None:
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
