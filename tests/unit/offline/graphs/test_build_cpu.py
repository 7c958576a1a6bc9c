"""`breath-offline build` for engines of the CPU: what is compiled, and what the parity gate says of it."""

import importlib.util
import sys

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from engines.backend import Inference
from engines.errors import BackendUnavailableError, ConfigError, EngineError, OutputError
from engines.openvino_backend import OpenVinoEngine
from engines.pack import Pack, load_pack
from offline.cli import main
from offline.graphs import build_cpu
from offline.graphs.build_cpu import build_on_cpu, check_precision
from offline.graphs.probes import Windows


@pytest.fixture(scope="module")
def needs_openvino():
    if importlib.util.find_spec("openvino") is None:
        pytest.skip('openvino is not installed; pip install ".[openvino]"')


@pytest.fixture(scope="module")
def int8_pack():
    return load_pack()


@pytest.fixture
def few_windows(probe_windows):
    return Windows(probe_windows[-2:], np.array([-1, -1]))


def run(*arguments):
    return CliRunner().invoke(main, ["build", *map(str, arguments)], prog_name="breath-offline")


def test_the_command_compiles_for_openvino_and_holds_it_to_onnx_runtime_and_torch(
    needs_openvino, int8_pack, tmp_path
):
    done = run("--engine", "openvino", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    (folder,) = (tmp_path / "openvino").iterdir()
    # All graphs of the pack, in parts.
    kept = {path.stem.partition("-")[0] for path in folder.iterdir()}
    assert kept == set(int8_pack.graph_paths)
    assert f"compiled: {folder}" in done.stdout
    assert "parity passed; against ONNX Runtime with the INT8 graphs (the same graphs), on 7" in done.stdout
    assert "parity passed; against torch float32, with the weights of the INT8 graphs, on 7" in done.stdout


def test_a_pack_with_weights_is_held_to_torch(needs_openvino, presence_pack, few_windows, tmp_path):
    built = build_on_cpu(presence_pack, "openvino", few_windows, root=tmp_path)
    (parity,) = built.parities
    assert parity.verdict == "passed"
    assert parity.against == "torch float32"
    assert built.path.parent == tmp_path / "openvino"
    assert built.n_bytes == sum(path.stat().st_size for path in built.path.iterdir())


@pytest.mark.parametrize("name", ["default", "clips"])
def test_a_shipped_pack_in_onnx_runtime_is_held_to_torch_with_its_weights(name, few_windows):
    built = build_on_cpu(load_pack(name), "onnxruntime", few_windows)
    (parity,) = built.parities
    assert (built.path, parity.verdict) == (None, "passed")
    assert parity.against == "torch float32, with the weights of the INT8 graphs"
    assert 0 < parity.mean <= parity.largest


def test_where_there_is_no_torch_onnx_runtime_is_not_held_to_itself(int8_pack, few_windows, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torchaudio" else find_spec(name)
    )
    (parity,) = build_on_cpu(int8_pack, "onnxruntime", few_windows).parities
    assert parity.verdict == "not run here"
    assert "nothing to hold ONNX Runtime to but itself" in parity.reason
    assert "torchaudio not installed; pip install" in parity.reason


def test_where_there_is_no_torch_openvino_is_held_to_onnx_runtime(
    needs_openvino, int8_pack, few_windows, monkeypatch, tmp_path
):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    (parity,) = build_on_cpu(int8_pack, "openvino", few_windows, root=tmp_path).parities
    assert parity.verdict == "passed"
    assert parity.against.startswith("ONNX Runtime with the INT8 graphs (torch not installed; ")
    assert parity.mean < 2e-3


def test_weights_that_nothing_here_can_read_are_no_reference(exported_pack, few_windows, monkeypatch):
    """On a machine for engines of TensorRT, which has torch alone."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "safetensors" else find_spec(name)
    )
    (parity,) = build_on_cpu(exported_pack, "onnxruntime", few_windows).parities
    assert "with the float graphs (safetensors not installed; " in parity.reason


class ShiftedEngine(OpenVinoEngine):
    shift = 3.0

    def infer(self, windows):
        said = super().infer(windows)
        return Inference(said.logits + np.float32(self.shift), said.stages_s, said.presence_logits)


# Two hundredths of P are nothing beside torch, and too much beside the same graphs.
@pytest.mark.parametrize("shift", [3.0, 0.1, float("nan")])
def test_what_is_too_far_off_is_not_kept(
    needs_openvino, int8_pack, few_windows, tmp_path, monkeypatch, shift
):
    monkeypatch.setattr(ShiftedEngine, "shift", shift)
    monkeypatch.setattr(build_cpu, "OpenVinoEngine", ShiftedEngine)
    with pytest.raises(EngineError, match=r"parity failed|no numbers"):
        build_on_cpu(int8_pack, "openvino", few_windows, root=tmp_path)
    assert not list((tmp_path / "openvino").iterdir())


def test_a_cache_that_cannot_be_written(needs_openvino, int8_pack, few_windows, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--out"):
        build_on_cpu(int8_pack, "openvino", few_windows, root=tmp_path / "file")


def test_without_the_package_the_command_says_how_to_get_it(int8_pack, few_windows, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"\.\[openvino\]"):
        build_on_cpu(int8_pack, "openvino", few_windows, root=tmp_path)


@pytest.mark.parametrize(
    ("graphs", "precision", "words"),
    [
        ("float", "fp16", "fp16 is no faster"),
        ("int8", "fp16", "fp16 is no faster; leave --precision out"),
        ("float", "int8", "breath-offline quantise"),
        (
            "int8",
            "fp32",
            "are INT8; leave --precision out, or .*: breath-offline export --pack .* --out FLOAT",
        ),
    ],
)
def test_graphs_of_another_precision_are_refused(int8_pack, graphs, precision, words):
    manifest = msgspec.structs.replace(int8_pack.manifest, graph_precision=graphs)
    with pytest.raises(ConfigError, match=words):
        check_precision(Pack(int8_pack.path, manifest, int8_pack.sha256), "openvino", precision)


@pytest.mark.parametrize(("graphs", "precision"), [("float", "fp32"), ("int8", "int8"), ("int8", None)])
def test_graphs_that_are_what_was_asked_for_are_taken(int8_pack, graphs, precision):
    manifest = msgspec.structs.replace(int8_pack.manifest, graph_precision=graphs)
    check_precision(Pack(int8_pack.path, manifest, int8_pack.sha256), "openvino", precision)
