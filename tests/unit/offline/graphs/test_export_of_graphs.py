"""Float graphs of packs that hold graphs only, as the shipped ones: whose weights they have, and the way."""

import json
import shlex
import shutil

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from engines.engine_cache import MANIFEST_NAME
from engines.ensemble import fuse, sigmoid
from engines.errors import ConfigError, EngineError, PackError
from engines.manifest import SplitDays
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack, save_pack
from offline.cli import main
from offline.graphs import export
from offline.graphs.export import export_pack
from offline.graphs.gate_reference import open_reference
from offline.graphs.weights import networks_to_go_on_with
from realtime.sound.demo import DemoSource

GRAPHS = {"features.onnx", "cnn8.onnx", "vgg.onnx"}

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def float_packs(tmp_path_factory, features_graph_once):
    """The shipped packs, with float graphs."""
    folder = tmp_path_factory.mktemp("packs")
    return {name: export_pack(load_pack(name), out=folder / name) for name in ("default", "clips")}


@pytest.fixture(scope="module")
def breathing():
    """(n, 16000) float32, cut from the demo breather."""
    blocks = DemoSource(20.0, seed=3, pace=None).blocks()
    sound = np.concatenate([block.samples.reshape(-1) for block in blocks])
    return np.stack([sound[first : first + 16_000] for first in range(0, 19 * 16_000, 12_000)])


def logits(engine, windows):
    """(n, networks, outputs)."""
    with engine:
        said = engine.infer(windows)
    parts = [part for part in (said.logits, said.presence_logits) if part is not None]
    return np.stack(parts, axis=-1)


@pytest.mark.parametrize("name", ["default", "clips"])
def test_float_graphs_of_a_shipped_pack_say_what_its_int8_graphs_say(float_packs, breathing, name):
    shipped, made = load_pack(name), float_packs[name]
    before, after = (logits(OnnxEngine(pack), breathing) for pack in (shipped, made))
    assert before.shape == after.shape
    prob_before, prob_after = sigmoid(before), sigmoid(after)
    assert 0 < np.abs(prob_before - prob_after).mean() < 0.015
    assert np.ptp(prob_before[..., 0]) > 0.2, "else it would be no feat"
    manifest = shipped.manifest
    phase = [fuse(said[..., 0], manifest.weights, manifest.temperature) for said in (before, after)]
    is_same = (phase[0] > 0.5) == (phase[1] > 0.5)
    assert np.mean(is_same | (np.abs(phase[0] - 0.5) < 0.02)) > 0.95


@pytest.mark.parametrize("name", ["default", "clips"])
def test_float_graphs_say_what_torch_says_with_the_weights_of_the_int8_graphs(float_packs, breathing, name):
    reference = open_reference(load_pack(name))
    assert reference.words == "torch float32, with the weights of the INT8 graphs"
    expected, found = logits(reference.engine, breathing), logits(OnnxEngine(float_packs[name]), breathing)
    np.testing.assert_allclose(sigmoid(found), sigmoid(expected), atol=2e-3)


def test_the_manifest_says_where_the_weights_come_from_and_what_that_moves(float_packs):
    shipped, made = load_pack(), float_packs["default"]
    assert set(made.manifest.files) == GRAPHS
    assert made.manifest.graph_precision == "float"
    assert made.manifest.provenance.settings["weights_from"] == {
        "graphs": "int8", "pack": "default", "pack_sha256": shipped.sha256,
    }  # fmt: skip
    moved = made.manifest.metrics["graphs_against_int8_graphs"]
    assert moved["n_windows"] == 7
    for network in ("cnn8.onnx", "vgg.onnx"):
        assert 0 < moved[network]["mean_difference"] < moved[network]["largest_difference"]
    kept, others = shipped.manifest, {"files", "metrics", "graph_precision", "provenance"}
    for field in set(kept.__struct_fields__) - others:
        assert getattr(made.manifest, field) == getattr(kept, field), field
    old = kept.provenance
    assert msgspec.structs.replace(made.manifest.provenance, settings=old.settings) == old


def test_the_decision_that_was_fitted_to_the_int8_graphs_is_kept(float_packs):
    """The log odds that it hears move by a small part of what they vary by; see `export_pack`."""
    assert float_packs["default"].manifest.emission == load_pack().manifest.emission is not None


def test_weights_can_be_taken_back_from_float_graphs_once_more(float_packs, breathing):
    pack = float_packs["clips"]
    reference = open_reference(pack)
    assert reference.words == "torch float32, with the weights of the float graphs"
    expected, found = logits(reference.engine, breathing), logits(OnnxEngine(pack), breathing)
    np.testing.assert_allclose(sigmoid(found), sigmoid(expected), atol=2e-3)


def test_the_same_graphs_are_made_of_weights_and_of_the_graphs_that_were_made_of_them(
    exported_pack, features_graph_once, tmp_path
):
    """Normalisations with statistics of their own, in and out again."""
    files = {name: (exported_pack.path / name).read_bytes() for name in GRAPHS}
    bare = save_pack(tmp_path / "bare", exported_pack.manifest, files)
    again = export_pack(bare, out=tmp_path / "again")
    moved = again.manifest.metrics["graphs_against_float_graphs"]
    assert all(moved[f"{name}.onnx"]["largest_difference"] < 1e-3 for name in ("cnn8", "vgg"))
    images, scalars = torch.rand(2, 9, 128, 63), torch.rand(2, 39)
    for name, network in networks_to_go_on_with(exported_pack).items():
        taken = networks_to_go_on_with(again)[name]
        with torch.inference_mode():
            np.testing.assert_allclose(taken(images, scalars), network(images, scalars), atol=5e-3)


@pytest.mark.parametrize("keep_weights", [True, False])
def test_a_pack_does_not_lose_the_graphs_that_hold_its_weights(tmp_path, keep_weights):
    shutil.copytree(load_pack("clips").path, tmp_path / "pack")
    pack = load_pack(tmp_path / "pack")
    for out in (None, pack.path, tmp_path / "." / "pack"):
        with pytest.raises(ConfigError, match="would lose its graphs, which hold its only weights"):
            export_pack(pack, out=out, keep_weights=keep_weights)
    assert load_pack(tmp_path / "pack") == pack


def test_a_pack_of_neither_weights_nor_graphs_gives_none(make_pack, tmp_path):
    with pytest.raises(PackError, match="neither all weights nor all graphs"):
        export_pack(make_pack(SplitDays()), out=tmp_path / "out")


def test_graphs_of_other_networks_give_none(toy_pack, tmp_path):
    with pytest.raises(PackError, match=r"no graph that weights can be taken back from .* pack with weights"):
        export_pack(toy_pack, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_say_something_else_than_their_graphs_are_not_kept(
    tmp_path, monkeypatch, features_graph_once
):
    def networks_of_something_else(pack):
        networks = networks_to_go_on_with(pack)
        with torch.no_grad():
            networks["vgg"].head[-1].bias += 1
        return networks

    monkeypatch.setattr(export, "networks_to_go_on_with", networks_of_something_else)
    with pytest.raises(EngineError, match=r"vgg\.onnx say something else: P moves by 0\.\d+"):
        export_pack(load_pack(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def run(command):
    words = shlex.split(command)
    assert words[0] == "breath-offline"
    return CliRunner().invoke(main, words[1:], prog_name="breath-offline")


def test_the_way_to_float16_from_the_shipped_pack_is_what_the_messages_say(
    tmp_path, monkeypatch, features_graph_once
):
    """Each command is the one that the message before it named."""
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed; it is part of breath[rtx]"
    )
    monkeypatch.chdir(tmp_path)
    build = "breath-offline build --engine tensorrt-rtx --precision fp16 --batch 1:1:1 --out engines"
    refused = run(build)
    assert refused.exit_code == 2
    mend = refused.stderr[refused.stderr.index("breath-offline export") :].strip()
    into_itself = run(mend.replace(" --out FLOAT", ""))
    assert into_itself.exit_code == 2
    assert "give another --out" in into_itself.stderr
    exported = run(mend)
    assert exported.exit_code == 0, exported.output
    assert "graphs in FLOAT" in exported.stdout
    built = run(f"{build} --pack FLOAT")
    assert built.exit_code == 0, built.output
    assert "8 convolution layers in HALF" in built.stdout
    (manifest,) = (tmp_path / "engines").glob(f"*/{MANIFEST_NAME}")
    assert json.loads(manifest.read_text())["key"]["precision"] == "fp16"
    assert f"BREATH_ENGINE_CACHE={tmp_path / 'engines'}" in built.stdout
