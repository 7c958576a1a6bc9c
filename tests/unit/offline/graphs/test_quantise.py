from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest

from engines.backend import Inference
from engines.ensemble import sigmoid
from engines.errors import ConfigError, EngineError, LabelsError
from engines.manifest import Emission, NormalByAge, SplitDays
from engines.onnx_backend import OnnxEngine, open_session
from engines.pack import load_pack, save_changed_pack
from offline.graphs import quantise
from offline.graphs.quantise import int8_graph, quantise_pack


@pytest.fixture(scope="module")
def calibrating(exported_pack, probe_windows):
    """Images and scalars of the probe windows."""
    images, scalars = open_session(exported_pack.graph_paths["features"]).run(
        None, {"windows": probe_windows}
    )
    return images, scalars


@pytest.fixture(scope="module")
def quantised_graphs(exported_pack, calibrating):
    return {
        name: int8_graph(exported_pack.graph_paths[name].read_bytes(), calibrating)
        for name in ("cnn8", "vgg")
    }


@pytest.fixture
def split_pack(exported_pack, clips, tmp_path):
    """The exported pack, as if trained on the clips' first days."""
    return as_trained_on(clips, exported_pack, tmp_path / "split")


def as_trained_on(clips, pack, folder):
    days = sorted(set(clips.days))
    split = SplitDays(train=tuple(days[:-2]), validation=(days[-2],), test=(days[-1],))
    return save_changed_pack(folder, pack, split=split)


# Eight of CNN8's are its normalisations.
@pytest.mark.parametrize(("name", "n_convolutions"), [("cnn8", 16), ("vgg", 13)])
def test_all_convolutions_but_the_first_have_int8_weights(quantised_graphs, name, n_convolutions):
    graph = onnx.load_from_string(quantised_graphs[name]).graph
    made_by = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    is_int8 = [
        node.input[1] in made_by and made_by[node.input[1]].op_type == "DequantizeLinear"
        for node in convolutions
    ]
    assert len(convolutions) == n_convolutions
    assert is_int8 == [False] + [True] * (n_convolutions - 1)


@pytest.mark.parametrize("name", ["cnn8", "vgg"])
@pytest.mark.parametrize("n", [1, 3])
def test_int8_says_about_the_same_for_any_batch(exported_pack, quantised_graphs, calibrating, name, n):
    feed = {"images": calibrating[0][-n:], "scalars": calibrating[1][-n:]}
    before = open_session(exported_pack.graph_paths[name]).run(None, feed)[0]
    after = open_session(quantised_graphs[name]).run(None, feed)[0]
    assert after.shape == (n,)
    np.testing.assert_allclose(sigmoid(after), sigmoid(before), atol=0.1)
    assert not np.array_equal(after, before)


def test_a_quantised_pack_says_so_runs_and_is_not_quantised_again(split_pack, clips, tmp_path, monkeypatch):
    # Networks of random weights have no accuracy to lose; what is allowed is another test's matter.
    monkeypatch.setattr(quantise, "MAX_AUC_LOSS", 1.1)
    monkeypatch.setattr(quantise, "MAX_MEAN_PROB_DIFFERENCE", 0.2)
    made = quantise_pack(split_pack, clips, tmp_path / "int8")
    assert made.manifest.graph_precision == "int8"
    assert made.manifest.metrics["int8_against_float"]["n_clips"] > 0
    assert not made.has_weights
    with OnnxEngine(load_pack(made.path), n_threads=1) as engine:
        assert np.isfinite(engine.infer(np.zeros((1, 16_000), np.float32)).logits).all()
    with pytest.raises(ConfigError, match="INT8 already"):
        quantise_pack(made, clips, tmp_path / "again")


def test_a_pack_does_not_lose_its_weights(split_pack, clips):
    before = sorted(path.name for path in split_pack.path.iterdir())
    with pytest.raises(ConfigError, match="would lose its weights"):
        quantise_pack(split_pack, clips, split_pack.path.parent / "." / split_pack.path.name)
    assert sorted(path.name for path in split_pack.path.iterdir()) == before


def test_two_outputs_stay_two_in_int8(presence_pack, calibrating):
    graph = presence_pack.graph_paths["cnn8"].read_bytes()
    few = calibrating[0][-3:], calibrating[1][-3:]
    feed = dict(zip(("images", "scalars"), few, strict=True))
    before, after = (open_session(content).run(None, feed)[0] for content in (graph, int8_graph(graph, few)))
    assert after.shape == before.shape == (3, 2)
    np.testing.assert_allclose(sigmoid(after), sigmoid(before), atol=0.1)


def test_a_pack_of_two_outputs_has_figures_of_both(presence_pack, clips, tmp_path, monkeypatch):
    # What quantising does to a graph is another test's matter, and takes minutes.
    monkeypatch.setattr(quantise, "int8_graph", lambda graph, _calibrating: graph)
    trained = as_trained_on(clips, presence_pack, tmp_path / "split")
    normal = NormalByAge(mean=((0.0,),) * 4, sd=((1.0,),) * 4)
    emission = Emission((), normal, normal, n_windows=1, streams="")
    fitted = replace(trained, manifest=msgspec.structs.replace(trained.manifest, emission=emission))
    made = quantise_pack(fitted, clips, tmp_path / "int8")
    assert made.manifest.emission is None
    figures = made.manifest.metrics["int8_against_float"]
    for name in ("cnn8", "vgg", "ensemble"):
        assert figures[name] == {"auc_lost": 0, "mean_difference": 0, "mean_difference_of_presence": 0}


def test_presence_must_not_move_either(presence_pack):
    still, moved = np.zeros((4, 2), np.float32), np.full((4, 2), 2, np.float32)
    with pytest.raises(EngineError, match=r"moves P\(exhale\) by 0\.000 and P\(breath\) by 0\.381"):
        quantise._judged(
            presence_pack, Inference(still, {}, still), Inference(still, {}, moved), np.array([0, 1, 0, 1])
        )


def test_int8_that_costs_too_much_is_refused_and_nothing_written(split_pack, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(quantise, "MAX_AUC_LOSS", -1.1)
    monkeypatch.setattr(quantise, "AUC_BY_CHANCE", -110)
    with pytest.raises(EngineError, match="Ship the float graphs"):
        quantise_pack(split_pack, clips, tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


def test_clips_of_other_days_are_refused(exported_pack, clips, tmp_path):
    with pytest.raises(LabelsError, match="own clips"):
        quantise_pack(exported_pack, clips, tmp_path / "int8")


def test_with_few_clips_chance_may_take_more(presence_pack):
    def lost(times):
        """One clip of fifteen of each phase, or the same many times, changes places with its neighbour."""
        labels = np.tile([0, 1], 15 * times)
        before = np.tile(np.linspace(-1, 1, 30, dtype=np.float32), times)
        after = before.reshape(-1, 30).copy()
        after[:, [14, 15]] = after[:, [15, 14]]
        said = [np.stack([logit, logit], axis=1) for logit in (before, after.ravel())]
        still = np.zeros_like(said[0])
        inferences = (Inference(logits, {}, still) for logits in said)
        return quantise._judged(presence_pack, *inferences, labels)["cnn8"]["auc_lost"]

    assert lost(1) == pytest.approx(1 / 225, abs=1e-5)
    with pytest.raises(EngineError, match=r"loses 0\.0044 AUC"):
        lost(20)


def test_clips_of_one_phase_judge_nothing(split_pack, clips, tmp_path):
    days = split_pack.manifest.split.validation
    one = replace(clips, clips=tuple(clip for clip in clips if clip.day not in days or clip.label == 1))
    with pytest.raises(LabelsError, match="are all of one phase"):
        quantise_pack(split_pack, one, tmp_path / "int8")
