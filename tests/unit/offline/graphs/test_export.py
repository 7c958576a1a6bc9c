import copy
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from engines.errors import ConfigError, EngineError, OutputError
from engines.onnx_backend import open_session
from engines.pack import load_pack, save_pack
from engines.torch_backend import load_networks
from offline.graphs import export
from offline.graphs.export import export_pack, verify_graphs
from realtime.features.stack import FeatureStack

PROJECT = Path(__file__).resolve().parents[4]
GRAPHS = ("features.onnx", "cnn8.onnx", "vgg.onnx")

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def parts(exported_pack):
    """The graphs' bytes, and the torch modules that they were made from."""
    files = {name: (exported_pack.path / name).read_bytes() for name in GRAPHS}
    features = FeatureStack(exported_pack.manifest.feature_spec).eval()
    return files, features, load_networks(exported_pack)


def test_a_pack_gets_three_graphs_and_keeps_its_weights(exported_pack, weights_pack):
    assert exported_pack.has_graphs
    assert exported_pack.has_weights
    for name, digest in weights_pack.manifest.files.items():
        assert exported_pack.manifest.files[name] == digest
    for graph in exported_pack.graph_paths.values():
        onnx.checker.check_model(onnx.load(graph), full_check=True)


def test_the_manifest_says_how_far_the_graphs_are_from_torch(exported_pack):
    figures = exported_pack.manifest.metrics["graphs_against_torch"]
    assert figures["n_windows"] == 7
    assert set(figures) == {"n_windows", *GRAPHS}
    for name in GRAPHS:
        assert 0 <= figures[name]["mean_difference"] <= figures[name]["largest_difference"]


@pytest.mark.parametrize("n", [1, 3, 7])
def test_the_batch_is_dynamic_and_every_row_is_that_of_torch(parts, probe_windows, n):
    files, features, networks = parts
    windows = probe_windows[-n:]
    with torch.inference_mode():
        images, scalars = features(torch.from_numpy(windows))
        expected = {name: network(images, scalars).numpy() for name, network in networks.items()}
    graph_images, graph_scalars = open_session(files["features.onnx"]).run(None, {"windows": windows})
    assert graph_images.shape == (n, 9, 128, 63)
    assert graph_scalars.shape == (n, 39)
    assert np.abs(graph_images - images.numpy()).mean() < 1e-3
    np.testing.assert_allclose(graph_scalars, scalars.numpy(), rtol=1e-2, atol=1e-2)
    for name, logits in expected.items():
        feed = {"images": images.numpy(), "scalars": scalars.numpy()}
        (logit,) = open_session(files[f"{name}.onnx"]).run(None, feed)
        assert logit.shape == (n,)
        np.testing.assert_allclose(logit, logits, atol=2e-2)


def test_inputs_and_outputs_have_their_names(parts):
    names = {
        name: [[value.name for value in side] for side in (model.graph.input, model.graph.output)]
        for name, model in ((name, onnx.load_from_string(content)) for name, content in parts[0].items())
    }
    network = [["images", "scalars"], ["logit"]]
    assert names == {
        "features.onnx": [["windows"], ["images", "scalars"]],
        "cnn8.onnx": network,
        "vgg.onnx": network,
    }


@pytest.mark.parametrize(("name", "n_parameters"), [("cnn8", 2_433_665), ("vgg", 8_146_561)])
def test_matrices_of_a_network_are_kept_in_half_and_vectors_whole(parts, name, n_parameters):
    content = parts[0][f"{name}.onnx"]
    kinds = {
        tensor.data_type
        for tensor in onnx.load_from_string(content).graph.initializer
        if len(tensor.dims) > 1
    }
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert 2 * n_parameters < len(content) < 2.1 * n_parameters


def test_raw_scalars_are_standardised_inside(parts):
    files, _, networks = parts
    images = np.zeros((2, 9, 128, 63), np.float32)
    scalars = np.stack([np.full(39, 1e6, np.float32), np.full(39, 1e7, np.float32)])
    (logit,) = open_session(files["cnn8.onnx"]).run(None, {"images": images, "scalars": scalars})
    assert logit[0] == pytest.approx(logit[1], abs=1e-5), "both are cut at ten deviations"
    with torch.inference_mode():
        expected = networks["cnn8"](torch.from_numpy(images), torch.from_numpy(scalars)).numpy()
    np.testing.assert_allclose(logit, expected, atol=1e-2)


def test_the_graphs_say_nothing_of_this_machine(parts):
    local = {
        str(PROJECT), str(Path.home()), sys.prefix, tempfile.gettempdir(), sysconfig.get_path("purelib"),
        "site-packages", "/tmp", "/home/", "/Users/", "pkg.torch", "stack_trace", "Traceback",
    }  # fmt: skip
    for name, content in parts[0].items():
        model = onnx.load_from_string(content)
        for tensor in model.graph.initializer:
            tensor.ClearField("raw_data")  # megabytes of numbers may spell anything
        text = model.SerializeToString()
        for words in local:
            # A folder as short as "/" is part of the names of operators.
            assert len(words) < 4 or words.encode() not in text, f"{name} says {words}"


def test_the_graphs_carry_no_notes(parts):
    for content in parts[0].values():
        model = onnx.load_from_string(content)
        graph = model.graph
        values = (*graph.input, *graph.output, *graph.value_info)
        elements = (model, graph, *graph.node, *graph.initializer, *values)
        assert all(not element.doc_string for element in elements)
        assert all(not element.metadata_props for element in elements)
        assert not model.functions


def test_a_graph_of_other_weights_is_not_passed(parts, probe_windows):
    files, features, networks = parts
    other = {name: type(network)().eval() for name, network in networks.items()}
    with pytest.raises(EngineError, match=r"cnn8\.onnx differs from torch by .* in P\(exhale\)"):
        verify_graphs(files, features, other, probe_windows[:3])


@pytest.fixture(scope="module")
def presence_parts(presence_pack):
    files = {name: (presence_pack.path / name).read_bytes() for name in GRAPHS}
    return files, FeatureStack(presence_pack.manifest.feature_spec).eval(), load_networks(presence_pack)


@pytest.mark.parametrize("n", [1, 3])
def test_two_outputs_are_one_tensor_and_both_are_those_of_torch(presence_parts, probe_windows, n):
    files, features, networks = presence_parts
    with torch.inference_mode():
        images, scalars = features(torch.from_numpy(probe_windows[-n:]))
        expected = {name: network(images, scalars).numpy() for name, network in networks.items()}
    for name, logits in expected.items():
        feed = {"images": images.numpy(), "scalars": scalars.numpy()}
        (logit,) = open_session(files[f"{name}.onnx"]).run(None, feed)
        assert logit.shape == (n, 2)
        np.testing.assert_allclose(logit, logits, atol=2e-2)


@pytest.mark.parametrize(("output", "meaning"), [(0, "exhale"), (1, "breath")])
def test_every_output_is_verified(presence_parts, probe_windows, output, meaning):
    files, features, networks = presence_parts
    other = copy.deepcopy(networks)
    with torch.no_grad():
        other["vgg"].head[-1].bias[output] += 1
    with pytest.raises(EngineError, match=rf"vgg\.onnx differs from torch by .* in P\({meaning}\)"):
        verify_graphs(files, features, other, probe_windows[:3])


def test_a_graph_of_another_number_of_outputs_is_not_passed(parts, presence_parts, probe_windows):
    for given, others in ((parts, presence_parts), (presence_parts, parts)):
        with pytest.raises(EngineError, match=r"cnn8\.onnx gives out \(3.*, torch \(3"):
            verify_graphs(given[0], given[1], others[2], probe_windows[:3])


def test_a_graph_of_other_features_is_not_passed(parts, probe_windows):
    files, _, networks = parts
    with pytest.raises(EngineError, match=r"features\.onnx differs from torch: mean"):
        verify_graphs(files, FeatureStack().eval(), networks, probe_windows[:3])


def test_windows_that_are_no_numbers_are_not_passed(parts):
    with pytest.raises(EngineError, match=r"features\.onnx differs from torch"):
        verify_graphs(*parts, np.full((1, 16_000), np.nan, np.float32))


def test_a_pack_to_ship_has_graphs_alone_and_verifies_on_clips(weights_pack, clips, tmp_path):
    weights = {path.name: path.read_bytes() for path in weights_pack.weight_paths.values()}
    with_note = save_pack(
        tmp_path / "noted", weights_pack.manifest, weights | {"CREDITS.txt": b"thanks to all"}
    )
    shipped = export_pack(with_note, clips, out=tmp_path / "shipped", keep_weights=False)
    assert set(shipped.manifest.files) == {*GRAPHS, "CREDITS.txt"}
    assert shipped.manifest.metrics["graphs_against_torch"]["n_windows"] == 7 + len(clips)
    assert with_note.has_weights
    kept, made = with_note.manifest, shipped.manifest
    assert msgspec.structs.replace(made, files=kept.files, metrics=kept.metrics) == kept


def test_a_pack_does_not_lose_its_only_weights(weights_pack):
    with pytest.raises(ConfigError, match="would lose its weights"):
        export_pack(weights_pack, keep_weights=False)
    with pytest.raises(ConfigError, match="would lose its weights"):
        export_pack(weights_pack, out=weights_pack.path / ".." / weights_pack.path.name, keep_weights=False)
    assert weights_pack.weight_paths["vgg"].is_file()


def test_another_folder_is_not_written_over(weights_pack, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "features_graph", lambda _features: pytest.fail("refused too late"))
    (tmp_path / "precious.txt").write_text("")
    with pytest.raises(OutputError, match=r"precious\.txt.*another --out"):
        export_pack(weights_pack, out=tmp_path)


def test_graphs_are_verified_before_the_pack_is_touched(weights_pack, exported_pack, tmp_path, monkeypatch):
    shutil.copytree(weights_pack.path, tmp_path / "pack")
    before = {path.name: path.read_bytes() for path in (tmp_path / "pack").iterdir()}
    wrong = (exported_pack.path / "cnn8.onnx").read_bytes()
    monkeypatch.setattr(export, "network_graph", lambda _network: wrong)
    with pytest.raises(EngineError, match=r"vgg\.onnx differs from torch"):
        export_pack(load_pack(tmp_path / "pack"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "pack").iterdir()} == before
