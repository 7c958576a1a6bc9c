import csv
import json
import math
import shutil

import pytest
from click.testing import CliRunner

from engines.ensemble import weights_from_scores
from engines.errors import ConfigError
from engines.pack import load_pack
from engines.spec import NARROWBAND
from offline.cli import main
from offline.clips import ClipSet
from offline.split import with_smaller_validation
from offline.training.settings import TrainSettings

FAST = ("--epochs", 1, "--batch-size", 8, "--precision", "fp32", "--seed", 3, "--ensemble", "normalised")

pytestmark = [pytest.mark.usefixtures("one_thread", "features_graph_once"), pytest.mark.timeout(600)]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def train(clips, out, *flags):
    return run("train", "--data", clips, "--out", out, *FAST, *flags)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shared_clip_folder):
    """The folder of a pack, and what `train` said when it made it."""
    out = tmp_path_factory.mktemp("trained") / "first"
    credit = ("--dataset-name", "tones", "--licence", "CC0", "--credit", "the tests")
    result = train(shared_clip_folder, out, *credit)
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture
def work(trained, tmp_path):
    """A copy of the work folder that the training left, without its store."""
    shutil.copytree(trained[0].with_name("first.training"), tmp_path / "work", ignore=lambda *_: {"store"})
    return tmp_path / "work"


def test_clips_become_a_pack(trained, shared_clip_folder):
    out, result = trained
    assert result.stdout == f"pack first in {out}\n"
    pack = load_pack(out)
    assert pack.has_graphs
    assert pack.has_weights
    assert {path.name for path in out.parent.iterdir()} == {"first", "first.training"}
    manifest = pack.manifest
    assert manifest.name == "first"
    assert manifest.feature_spec == NARROWBAND
    assert manifest.band_hz == (0.0, 2000.0)
    assert [(network.name, network.architecture) for network in manifest.networks] == [
        ("cnn8", "cnn8"),
        ("vgg", "vgg"),
    ]
    assert 0.2 <= manifest.temperature <= 5
    split, clips = manifest.split, ClipSet.read(shared_clip_folder)
    assert sorted(split.train + split.validation + split.test) == sorted(set(clips.days))


def test_the_manifest_says_where_the_pack_comes_from(trained, shared_clip_folder):
    provenance = load_pack(trained[0]).manifest.provenance
    assert (provenance.dataset, provenance.licence, provenance.credit) == ("tones", "CC0", "the tests")
    assert (provenance.n_clips, provenance.seed) == (24, 3)
    settings = dict(provenance.settings)
    assert settings.pop("clips") == ClipSet.read(shared_clip_folder).fingerprint
    assert settings.pop("best_epochs") == {"cnn8": 0, "vgg": 0}
    expected = {"epochs": 1, "warmup_epochs": 0, "batch_size": 8, "precision": "fp32", "seed": 3}
    assert settings.items() >= expected.items()
    assert TrainSettings(**settings).ensemble == "normalised"
    assert {"python", "torch", "numpy"} <= set(provenance.software)


def test_the_weights_of_the_ensemble_come_from_the_histories(trained):
    out, _ = trained
    manifest = load_pack(out).manifest
    scores = [network.score for network in manifest.networks]
    for network in manifest.networks:
        path = out.with_name("first.training") / f"{network.name}.history.json"
        aucs = [record["auc"] for record in json.loads(path.read_text())["epochs"]]
        assert network.score == pytest.approx(max(aucs), abs=1e-6)
    assert manifest.ensemble.method == "normalised"
    assert manifest.weights == pytest.approx(weights_from_scores(scores, "normalised"))


def test_figures_are_of_days_that_were_not_learned_from(trained):
    metrics = load_pack(trained[0]).manifest.metrics
    assert set(metrics) == {"validation", "test", "graphs_against_torch"}
    for part in ("validation", "test"):
        assert list(metrics[part]) == ["cnn8", "vgg", "ensemble"]
        assert all(figures["n"] == 4 for figures in metrics[part].values())
    assert metrics["graphs_against_torch"]["n_windows"] == 7 + 4


def test_a_training_is_told_of_line_by_line_and_kept_for_tensorboard(trained):
    out, result = trained
    lines = [line for line in result.stderr.splitlines() if "epoch" in line]
    assert [line.split(":")[0] for line in lines] == ["cnn8 epoch 1/1", "vgg epoch 1/1"]
    assert any((out.with_name("first.training") / "tensorboard").iterdir())


def test_the_pack_is_scored(trained, shared_clip_folder, tmp_path):
    out, _ = trained
    report = tmp_path / "scores.json"
    result = run(
        *["evaluate", "--data", shared_clip_folder, "--pack", out, "--part", "test"],
        *["--draws", 5, "--json", report],
    )
    assert result.exit_code == 0, result.output
    content = json.loads(report.read_text())
    assert content["signature"]["pack"] == "first"
    assert content["signature"]["engine"] == "onnxruntime"
    own = load_pack(out).manifest.metrics["test"]
    for name, figures in content["scores"].items():
        assert figures["brier"] == pytest.approx(own[name]["brier"], abs=5e-3)


def test_the_pack_predicts(trained, shared_clip_folder, tmp_path):
    table = tmp_path / "out.csv"
    result = run("predict", shared_clip_folder / "train", "--csv", table, "--pack", trained[0])
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 24
    assert all(0 <= float(row["prob_exhale"]) <= 1 for row in rows)
    assert {row["label"] for row in rows} <= {"E", "I"}


def test_a_finished_training_is_resumed_into_the_same_weights(trained, work, shared_clip_folder, tmp_path):
    store = trained[0].with_name("first.training") / "store"
    flags = ("--work", work, "--store", store, "--resume", "--name", "again")
    result = train(shared_clip_folder, tmp_path / "second", *flags)
    assert result.exit_code == 0, result.output
    assert "epoch 1/1" not in result.stderr
    first, second = load_pack(trained[0]).manifest, load_pack(tmp_path / "second").manifest
    assert second.name == "again"
    for name in ("cnn8.safetensors", "vgg.safetensors"):
        assert second.files[name] == first.files[name]
    assert (second.temperature, second.weights) == (first.temperature, first.weights)
    assert second.provenance.licence == "not stated"


def test_checkpoints_are_not_written_over_unasked(work, shared_clip_folder, tmp_path):
    result = train(shared_clip_folder, tmp_path / "out", "--work", work)
    assert result.exit_code == 2
    assert "holds the checkpoints of an earlier training (cnn8, vgg)" in result.stderr
    assert not (work / "store").exists(), "refused before the features"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--learning-rate", 0.01), "its learning_rate is 0.001, not 0.01"),
        (("--epochs", 2), "its epochs is 1, not 2"),
        (("--validation-share", 0.02), "its validation_share is 0.13, not 0.02"),
        (("--spec", "reference"), "its lowpass_hz is 2000.0, not None"),
    ],
)
def test_another_training_is_not_resumed(work, shared_clip_folder, tmp_path, flags, words):
    result = train(shared_clip_folder, tmp_path / "out", "--work", work, "--resume", *flags)
    assert result.exit_code == 5
    assert words in result.stderr
    assert not (work / "store").exists(), "refused before the features"


def test_days_of_validation_can_be_given_to_training(make_clip_folder, tmp_path, monkeypatch):
    clips = make_clip_folder(days=[f"201901{day:02d}" for day in range(1, 25)])
    splits = []

    def kept(_clips, split, *_):
        splits.append(split)
        raise ConfigError("that is enough")

    monkeypatch.setattr("offline.training.train.run_key", kept)
    for share in (0.13, 0.05):
        assert "that is enough" in train(clips, tmp_path / "out", "--validation-share", share).stderr
    whole, smaller = splits
    assert len(whole.validation) > len(smaller.validation)
    assert smaller == with_smaller_validation(whole, ClipSet.read(clips).clips, 0.05)


def test_a_folder_of_other_things_is_refused_first(shared_clip_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("")
    result = train(shared_clip_folder, tmp_path / "out")
    assert result.exit_code == 6
    assert "thesis.txt" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("flag", ["--work", "--store"])
def test_nothing_else_may_lie_where_the_pack_goes(shared_clip_folder, tmp_path, flag):
    result = train(shared_clip_folder, tmp_path / "out", flag, tmp_path / "out" / "inner")
    assert result.exit_code == 2
    assert "for itself; choose another" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_too_few_days_are_refused_first(make_clip_folder, tmp_path):
    clips = make_clip_folder(days=("20190101", "20190102"))
    result = train(clips, tmp_path / "out")
    assert result.exit_code == 5
    assert "only 2 of 2 days" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--epochs", 0),
        ("--batch-size", 1),
        ("--learning-rate", 1),
        ("--dropout", 1),
        ("--precision", "fp16"),
        ("--ensemble", "mean"),
        ("--seed", -1),
        ("--spec", "wideband"),
        ("--resume", "--restart"),
    ],
    ids=lambda flags: flags[0],
)
def test_settings_that_cannot_be_used_are_errors_of_usage(shared_clip_folder, tmp_path, flags):
    result = run("train", "--data", shared_clip_folder, "--out", tmp_path / "out", *flags)
    assert result.exit_code == 2, result.output


@pytest.fixture(scope="module")
def shipped(trained, shared_clip_folder, tmp_path_factory):
    """The trained pack, of graphs only, and what `export` said when it made it."""
    shipped = tmp_path_factory.mktemp("graphs") / "shipped"
    flags = ("--out", shipped, "--graphs-only", "--data", shared_clip_folder)
    return shipped, run("export", "--pack", trained[0], *flags)


def probs_exhale(clips, pack):
    result = run("predict", clips / "train", "--csv", "-", "--pack", pack)
    assert result.exit_code == 0, result.output
    return [float(row["prob_exhale"]) for row in csv.DictReader(result.stdout.splitlines())]


def test_a_trained_pack_is_shipped_as_graphs_that_say_the_same(trained, shipped, shared_clip_folder):
    refused = run("export", "--pack", trained[0], "--graphs-only")
    assert refused.exit_code == 2
    assert "would lose its weights" in refused.stderr
    folder, result = shipped
    assert result.exit_code == 0, result.output
    assert result.stdout == f"graphs in {folder}\n"
    assert not load_pack(folder).has_weights
    said = [probs_exhale(shared_clip_folder, pack) for pack in (trained[0], folder)]
    assert all(math.isclose(first, second, abs_tol=1e-5) for first, second in zip(*said, strict=True))


def test_a_training_goes_on_from_the_graphs_of_a_shipped_pack(shipped, shared_clip_folder, tmp_path):
    """With steps too small to matter, what was learned is still there."""
    out = tmp_path / "further"
    result = train(shared_clip_folder, out, "--from", shipped[0], "--learning-rate", "1e-9", "--dropout", "0")
    assert result.exit_code == 0, result.output
    said = [probs_exhale(shared_clip_folder, pack) for pack in (shipped[0], out)]
    assert all(math.isclose(first, second, abs_tol=0.02) for first, second in zip(*said, strict=True))
    manifest = load_pack(out).manifest
    graphs = {name: load_pack(shipped[0]).manifest.files[f"{name}.onnx"] for name in ("cnn8", "vgg")}
    assert manifest.provenance.settings["first"] == graphs


@pytest.mark.parametrize(("only", "kept"), [("cnn8", "vgg"), ("vgg", "cnn8")])
def test_one_network_of_a_pack_learns_and_the_other_stays(trained, shared_clip_folder, tmp_path, only, kept):
    out = tmp_path / "further"
    result = train(shared_clip_folder, out, "--from", trained[0], "--only", only)
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.stderr.splitlines() if "epoch" in line] == [
        f"{only} epoch 1/1"
    ]
    before, after = load_pack(trained[0]).manifest, load_pack(out).manifest
    assert after.files[f"{kept}.safetensors"] == before.files[f"{kept}.safetensors"]
    assert after.files[f"{only}.safetensors"] != before.files[f"{only}.safetensors"]
    scores = [{network.name: network.score for network in one.networks} for one in (before, after)]
    assert scores[1][kept] == pytest.approx(scores[0][kept], abs=1e-3)
    settings = after.provenance.settings
    assert (settings["only"], settings["best_epochs"]) == (only, {only: 0, kept: -1})


def test_a_network_is_kept_of_a_pack_and_of_one_with_the_same_outputs(
    shared_clip_folder, negatives_folder, shipped, tmp_path
):
    flags = ("--live", "--negatives", negatives_folder, "--from", shipped[0])
    for more, words in (((), "name the pack with --from"), (flags, "leave out --live, or train both")):
        result = train(shared_clip_folder, tmp_path / "out", "--only", "cnn8", *more)
        assert result.exit_code == 2
        assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_cannot_go_on_from_a_pack_leaves_the_checkpoints(shared_clip_folder, work, shipped):
    """What was trained on features of other parameters is refused before anything is deleted."""
    before = sorted(path.name for path in work.iterdir())
    flags = ("--work", work, "--restart", "--from", shipped[0], "--spec", "reference")
    result = train(shared_clip_folder, work.with_name("out"), *flags)
    assert result.exit_code == 2
    assert "give the --spec" in result.stderr
    assert sorted(path.name for path in work.iterdir()) == before


def test_live_windows_want_clips_of_known_length_first(shared_clip_folder, negatives_folder, tmp_path):
    out = tmp_path / "out"
    result = train(shared_clip_folder, out, "--live", "--negatives", negatives_folder)
    assert result.exit_code == 5
    assert "no day for train has 6 clips of each phase" in result.stderr
    assert list(tmp_path.iterdir()) == []
