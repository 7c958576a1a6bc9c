"""What a training shows, and what it leaves for TensorBoard."""

import math

import pytest

from offline.progress_lines import ProgressLines
from offline.training.progress import TrainingView
from offline.training.resume import TENSORBOARD
from offline.training.settings import TrainSettings
from offline.training.trainer import EpochRecord

SETTINGS = TrainSettings(epochs=3)
FIGURES = ("train_loss", "validation_loss", "accuracy", "auc", "learning_rate", "seconds")


def record(epoch, shift=0.0):
    return EpochRecord(
        epoch,
        train_loss=0.6 - 0.1 * epoch + shift,
        validation_loss=0.7 - 0.01 * epoch + shift,
        accuracy=0.61 + 0.02 * epoch,
        auc=0.65 + 0.0321 * epoch,
        learning_rate=1e-3 / (epoch + 1),
        seconds=61.0 + epoch,
        is_best=epoch != 1,
    )


def shown(folder, capfd, *, is_shown=True):
    """What a training of two networks prints."""
    with TrainingView(folder, is_shown=is_shown) as view:
        view.precomputing(5, 24)
        for name in ("cnn8", "vgg"):
            watcher = view.watcher(name, SETTINGS)
            for epoch in range(SETTINGS.epochs):
                watcher.step(7, 52)
                watcher.epoch(record(epoch, 0.2 if name == "vgg" else 0.0))
    return capfd.readouterr()


def test_every_figure_of_every_epoch_is_a_point_of_a_curve(tmp_path, capfd):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown(tmp_path, capfd)
    curves = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert set(curves.Tags()["scalars"]) == {
        f"{name}/{figure}" for name in ("cnn8", "vgg") for figure in FIGURES
    }
    for name, shift in (("cnn8", 0.0), ("vgg", 0.2)):
        for figure in FIGURES:
            points = [(point.step, point.value) for point in curves.Scalars(f"{name}/{figure}")]
            expected = [(epoch, getattr(record(epoch, shift), figure)) for epoch in range(3)]
            assert [step for step, _ in points] == [step for step, _ in expected]
            assert all(math.isclose(a[1], b[1], rel_tol=1e-6) for a, b in zip(points, expected, strict=True))


def test_where_no_terminal_is_there_is_a_line_for_each_epoch(tmp_path, capfd):
    said = shown(tmp_path, capfd)
    assert said.out == ""
    lines = said.err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"{name} epoch {number}/3" for name in ("cnn8", "vgg") for number in (1, 2, 3)
    ]
    assert ["(best)" in line for line in lines[:3]] == [True, False, True]
    assert "train loss 0.5000" in lines[1]
    assert "AUC 0.6821" in lines[1]


def test_on_a_terminal_a_table_and_a_bar_are_kept_up(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    said = shown(tmp_path, capfd)
    assert said.out == ""
    last = said.err[said.err.rindex("valid. loss") :]
    for words in ("cnn8", "vgg", "0.7142 *", "0.6821", "7/52"):
        assert words in last


def test_processes_that_only_help_show_and_write_nothing(tmp_path, capfd):
    assert shown(tmp_path, capfd, is_shown=False) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_what_goes_on_for_long_says_how_far_it_is_once_a_minute():
    now_s, said = [0.0], []
    lines = ProgressLines(said.append, lambda: now_s[0])
    for n_done, now in enumerate((10, 59.9, 60, 61, 119, 120.5, 121), start=1):
        now_s[0] = now
        lines.tell("streams", n_done, 9)
    assert said == ["streams: 3 of 9", "streams: 6 of 9"]


def test_a_training_in_a_pipe_says_how_far_it_is(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("offline.progress_lines.EVERY_S", 0.0)
    assert "cnn8 epoch: 7 of 52\n" in shown(tmp_path, capfd).err
    assert shown(tmp_path, capfd, is_shown=False).err == ""
