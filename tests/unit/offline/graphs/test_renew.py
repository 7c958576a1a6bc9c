"""The graph of the features alone made anew: the networks' graphs and what was fitted to them stay."""

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from engines.errors import ConfigError, EngineError, OutputError
from engines.onnx_backend import OnnxEngine
from engines.pack import load_pack, save_pack
from offline.cli import main
from offline.graphs import export, renew
from offline.graphs.quantise import _metrics_of_int8
from offline.graphs.renew import renew_features

GRAPHS = {"features.onnx", "cnn8.onnx", "vgg.onnx"}

pytestmark = [pytest.mark.usefixtures("one_thread", "same_graph"), pytest.mark.timeout(600)]


@pytest.fixture
def same_graph(features_graph_once, monkeypatch):
    monkeypatch.setattr(renew, "features_graph", lambda features: export.features_graph(features))


@pytest.fixture
def earlier_pack(tmp_path):
    """The shipped pack, as an earlier version may have written it: its features differ in the last digits."""
    shipped = load_pack("default")
    files = {name: (shipped.path / name).read_bytes() for name in shipped.manifest.files}
    files["features.onnx"] = with_scaled_images(files["features.onnx"], 1.000001)
    return save_pack(tmp_path / "earlier", shipped.manifest, files | {"CREDITS.txt": b"thanks"})


def with_scaled_images(graph, factor):
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = ["unscaled" if name == "images" else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(factor), "factor"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["unscaled", "factor"], ["images"]))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_only_the_features_are_others_and_the_manifest_says_what_that_moves(earlier_pack, probe_windows):
    graphs = {name: (earlier_pack.path / name).read_bytes() for name in GRAPHS}
    with OnnxEngine(earlier_pack) as engine:
        before = engine.infer(probe_windows)
    renewed = renew_features(earlier_pack)
    assert renewed.path == earlier_pack.path
    others = set(earlier_pack.manifest.files) - {"features.onnx"}
    assert all(renewed.manifest.files[name] == earlier_pack.manifest.files[name] for name in others)
    assert (renewed.path / "features.onnx").read_bytes() != graphs["features.onnx"]
    metrics, metrics_before = renewed.manifest.metrics, earlier_pack.manifest.metrics
    moves = metrics["features_against_those_before"]
    assert moves["pack_sha256"] == earlier_pack.sha256
    assert moves["n_windows"] == 7
    for name in ("cnn8.onnx", "vgg.onnx"):
        assert 0 <= moves[name]["mean_difference"] <= moves[name]["largest_difference"] < 0.05
    assert metrics["graphs_against_torch"]["features.onnx"]["n_windows"] == 7
    assert metrics["int8_against_float"] == metrics_before["int8_against_float"]
    as_before = {"files": earlier_pack.manifest.files, "metrics": metrics_before}
    assert msgspec.structs.replace(renewed.manifest, **as_before) == earlier_pack.manifest
    with OnnxEngine(renewed) as engine:
        np.testing.assert_allclose(engine.infer(probe_windows).logits, before.logits, atol=0.2)


def test_features_that_the_networks_do_not_know_are_refused(earlier_pack):
    graph = (load_pack("default").path / "features.onnx").read_bytes()
    files = {name: (earlier_pack.path / name).read_bytes() for name in earlier_pack.manifest.files}
    strange = files | {"features.onnx": with_scaled_images(graph, 1.5)}
    pack = save_pack(earlier_pack.path, earlier_pack.manifest, strange)
    with pytest.raises(EngineError, match=r"says something else with the features of this version"):
        renew_features(pack)
    assert load_pack(pack.path).sha256 == pack.sha256


def test_a_pack_without_graphs_and_another_folder_are_refused(weights_pack, earlier_pack, tmp_path):
    with pytest.raises(ConfigError, match=r"has no graphs yet.*breath-offline export"):
        renew_features(weights_pack)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "precious.txt").write_text("")
    with pytest.raises(OutputError, match=r"precious\.txt"):
        renew_features(earlier_pack, out=tmp_path / "thesis")


def test_what_is_of_this_version_already_stays_as_it_is(earlier_pack):
    renewed = renew_features(earlier_pack)
    assert renew_features(renewed) is renewed
    assert load_pack(renewed.path) == renewed


def test_a_shipped_pack_is_not_changed_where_it_is_installed(tmp_path):
    with pytest.raises(ConfigError, match=r"shipped pack.*--out"):
        renew_features(load_pack("default"))
    assert renew_features(load_pack("default"), out=tmp_path / "mine").path == tmp_path / "mine"


def test_other_graphs_are_not_said_to_be_those_it_was_measured_on(earlier_pack):
    renewed = renew_features(earlier_pack)
    assert "features_against_those_before" not in _metrics_of_int8(renewed, {})
    assert "features_against_those_before" not in export._with_differences(renewed.manifest, (), 1).metrics


def test_the_command_says_how_far_p_moves(earlier_pack, tmp_path):
    out = tmp_path / "renewed"
    args = ["export", "--pack", str(earlier_pack.path), "--features-only", "--out", str(out)]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    *moved, last = done.output.splitlines()
    assert [line.partition(":")[0] for line in moved] == ["cnn8.onnx", "vgg.onnx"]
    assert all("P moves by" in line for line in moved)
    assert last == f"features in {out}"
    assert load_pack(out).manifest.networks == earlier_pack.manifest.networks
    again = CliRunner().invoke(main, ["export", "--pack", str(out), "--features-only"])
    assert again.output == f"the features of {out} are those of this version already\n"
    both = CliRunner().invoke(main, [*args, "--graphs-only"])
    assert both.exit_code == 2
    assert "exclude each other" in both.output
