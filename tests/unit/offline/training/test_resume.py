import os
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from engines.errors import ConfigError, LabelsError, OutputError
from engines.spec import NARROWBAND, FeatureSpec
from offline.clips import ClipSet
from offline.split import split_by_day
from offline.store import HEADER_FILE
from offline.training.checkpoint import save_checkpoint
from offline.training.resume import (
    STORE,
    TENSORBOARD,
    WINDOWS,
    checkpoint_path,
    prepare_work,
    require_same_run,
    run_key,
)
from offline.training.settings import TrainSettings

NAMES = ("cnn8", "vgg")
SETTINGS = TrainSettings(epochs=5)


@pytest.fixture
def key(clips):
    return run_key(clips, split_by_day(clips), NARROWBAND, asdict(SETTINGS))


@pytest.fixture
def work(tmp_path, key):
    """A work folder with a checkpoint of the first network."""
    write(tmp_path / "work", "cnn8", {"run": key, "history": []})
    return tmp_path / "work"


def write(folder, name, values):
    network = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(network.parameters())
    save_checkpoint(checkpoint_path(folder, name), {"network": network}, optimizer, values)


def prepare(work, key, *, is_resumed=False, is_restarted=False):
    prepare_work(work, NAMES, key, is_resumed=is_resumed, is_restarted=is_restarted)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_new_folder_is_made(tmp_path, key, is_resumed):
    prepare(tmp_path / "a" / "work", key, is_resumed=is_resumed)
    assert (tmp_path / "a" / "work").is_dir()


def test_checkpoints_are_not_written_over_unasked(work, key):
    with pytest.raises(ConfigError, match=r"an earlier training \(cnn8\): .*--resume.*--restart"):
        prepare(work, key)
    assert checkpoint_path(work, "cnn8").exists()


def test_the_same_training_goes_on(work, key):
    prepare(work, key, is_resumed=True)
    require_same_run(checkpoint_path(work, "cnn8"), key)


def test_a_restart_deletes_checkpoints_live_windows_and_curves_and_nothing_else(work, key):
    write(work, "vgg", {"run": {}, "history": []})
    (work / WINDOWS / "epoch-00").mkdir(parents=True)
    (work / WINDOWS / "epoch-00" / "windows.json").write_text("{}")
    (work / TENSORBOARD).mkdir()
    (work / TENSORBOARD / "events.out.tfevents.1").write_bytes(b"")
    (work / STORE).mkdir()
    (work / STORE / HEADER_FILE).write_text("{}")
    (work / "notes.txt").write_text("")
    prepare(work, key, is_restarted=True)
    assert sorted(path.name for path in work.iterdir()) == ["notes.txt", TENSORBOARD]
    assert list((work / TENSORBOARD).iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_restart_follows_no_links(work, key, tmp_path):
    for name, file in (
        (STORE, HEADER_FILE),
        (WINDOWS, "epoch-00/windows.json"),
        (TENSORBOARD, "events.out.1"),
    ):
        (tmp_path / "shared" / name / file).parent.mkdir(parents=True)
        (tmp_path / "shared" / name / file).write_text("{}")
        (work / name).symlink_to(tmp_path / "shared" / name)
    prepare(work, key, is_restarted=True)
    assert len([path for path in (tmp_path / "shared").rglob("*") if path.is_file()]) == 3


def test_half_of_an_epoch_is_deleted_too(work, key):
    (work / WINDOWS / "epoch-00").mkdir(parents=True)
    (work / WINDOWS / "epoch-00" / "spectrograms.npy").write_bytes(b"")
    prepare(work, key, is_restarted=True)
    assert not (work / WINDOWS).exists()


def test_a_restart_leaves_what_is_not_of_a_training_in_folders_of_these_names(work, key):
    kept = [work / WINDOWS / "photos" / "a.jpg", work / STORE / "thesis.txt", work / TENSORBOARD / "b.txt"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("")
    prepare(work, key, is_restarted=True)
    assert all(path.is_file() for path in kept)


def test_both_at_once_make_no_sense(work, key):
    with pytest.raises(ConfigError, match="give one of them"):
        prepare(work, key, is_resumed=True, is_restarted=True)


def test_every_network_is_looked_at_before_the_first_is_trained(work, key):
    write(work, "vgg", {"run": key | {"settings": {}}, "history": []})
    with pytest.raises(LabelsError, match=r"vgg\.safetensors is of another training"):
        prepare(work, key, is_resumed=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": 2e-3}, "its learning_rate is 0.001, not 0.002"),
        ({"epochs": 6}, "its epochs is 5, not 6"),
        ({"precision": "fp32"}, "its precision is auto, not fp32"),
    ],
)
def test_other_settings_are_named(work, clips, change, words):
    key = run_key(clips, split_by_day(clips), NARROWBAND, asdict(replace(SETTINGS, **change)))
    with pytest.raises(LabelsError, match=words):
        prepare(work, key, is_resumed=True)


def test_other_clips_days_and_features_are_named(work, clips, make_clip_folder):
    fewer = ClipSet.read(make_clip_folder(per_day=3))
    train_days = set(split_by_day(clips).train)
    other = next(
        split for seed in range(1, 50) if set((split := split_by_day(fewer, seed)).train) != train_days
    )
    key = run_key(fewer, other, FeatureSpec(), asdict(SETTINGS))
    with pytest.raises(LabelsError) as raised:
        prepare(work, key, is_resumed=True)
    message = str(raised.value)
    assert "its 24 clips are not these 18" in message
    assert "its n_fft is 2048, not 512" in message
    assert "its lowpass_hz is 2000.0, not None" in message
    assert "train days differ in " + ", ".join(sorted(train_days ^ set(other.train))[:5]) in message


def test_the_seed_moves_days_and_is_named(work, clips):
    settings = asdict(replace(SETTINGS, seed=3))
    key = run_key(clips, split_by_day(clips, 3), NARROWBAND, settings)
    with pytest.raises(LabelsError, match="its seed is 0, not 3"):
        prepare(work, key, is_resumed=True)


@pytest.mark.parametrize(
    ("started_with", "words"),
    [
        ({"label_lag_s": 0.1}, r"its live is \{'label_lag_s': 0.1\}, not \{'label_lag_s': 0.0\}"),
        (None, r"its live is missing, not \{'label_lag_s': 0.0\}"),
    ],
)
def test_other_live_windows_are_named(work, key, started_with, words):
    live = {"live": started_with} if started_with else {}
    write(work, "cnn8", {"run": key | {"settings": asdict(SETTINGS) | live}, "history": []})
    with pytest.raises(LabelsError, match=words):
        prepare(work, key | {"settings": asdict(SETTINGS) | {"live": {"label_lag_s": 0.0}}}, is_resumed=True)


@pytest.mark.parametrize("values", [{"history": []}, {"run": None}, {"run": {}}])
def test_a_checkpoint_that_does_not_say_what_it_is_of_is_refused(work, key, values):
    write(work, "cnn8", values)
    with pytest.raises(LabelsError, match="is of another training"):
        prepare(work, key, is_resumed=True)


def test_a_damaged_checkpoint_is_refused(work, key):
    checkpoint_path(work, "cnn8").write_bytes(b"damaged")
    with pytest.raises(LabelsError, match="cannot be resumed"):
        prepare(work, key, is_resumed=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, key):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written: .*another --work"):
        prepare(tmp_path / "file" / "work", key)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_must_not_be_written_is_named(tmp_path, key):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="another --work"):
        prepare(tmp_path / "locked" / "work", key)
