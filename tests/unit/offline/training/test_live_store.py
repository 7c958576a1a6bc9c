import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from engines.errors import AudioFileError, BreathError, ConfigError, LabelsError, OutputError
from engines.spec import NARROWBAND
from offline.compose.negatives import Negatives
from offline.precompute import stack_extract
from offline.training.live_settings import BATCH_WINDOWS, LiveSettings
from offline.training.live_store import LiveRecipe, live_examples
from offline.training.live_windows import WindowSource

pytestmark = pytest.mark.usefixtures("one_thread")

N_BATCHES = 2
N_WINDOWS = N_BATCHES * BATCH_WINDOWS
SETTINGS = LiveSettings(shares=(0.5, 0.0, 0.0, 0.3, 0.2), bare_share=1.0, stream_s=5.0)
EPOCH = 4
FILES = {"spectrograms.npy", "scalars.npy", "targets.npy", "weights.npy", "windows.json", "done.npy"}


class StoppedError(Exception):
    """Stands for an interruption."""


@pytest.fixture(scope="module")
def recipe(breath_clips, negatives_folder):
    return LiveRecipe(breath_clips, negatives_folder, "train", SETTINGS, NARROWBAND, seed=9)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """Windows that nothing interrupted, their folder, and what was told of them."""
    folder, told = tmp_path_factory.mktemp("whole") / "epoch", []
    examples = live_examples(recipe, folder, EPOCH, N_WINDOWS, lambda *counts: told.append(counts), workers=1)
    return examples, folder, told


@pytest.fixture
def copy(whole, tmp_path):
    """`copy(*pending)`: a folder of the same windows, of which the batches `pending` are not there."""

    def make(*pending):
        folder = tmp_path / "copy"
        folder.mkdir()
        for path in whole[1].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        done = np.load(folder / "done.npy")
        for batch in pending:
            done[batch] = 0
            rows = slice(batch * BATCH_WINDOWS, (batch + 1) * BATCH_WINDOWS)
            for name in FILES - {"windows.json", "done.npy"}:
                np.load(folder / name, mmap_mode="r+")[rows] = 3
        np.save(folder / "done.npy", done)
        return folder

    return make


def never(*_counts):
    raise AssertionError("nothing is left to do")


def assert_same(one, other):
    for name in ("images", "scalars", "rows", "targets", "weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_an_epoch_holds_the_features_and_targets_of_its_windows(whole, recipe):
    examples, folder, told = whole
    assert told == [(n * BATCH_WINDOWS, N_WINDOWS) for n in range(N_BATCHES + 1)]
    assert {path.name for path in folder.iterdir()} == FILES
    assert isinstance(examples.images, np.memmap)
    assert not examples.images.flags.writeable
    assert examples.rows.tolist() == list(range(N_WINDOWS)) == list(range(len(examples)))
    negatives = Negatives.find(recipe.negatives, "train")
    windows = WindowSource(recipe.clips, negatives, SETTINGS).batch((recipe.seed, EPOCH, 1))
    images, scalars = stack_extract(NARROWBAND)(windows.samples)
    rows = slice(BATCH_WINDOWS, 2 * BATCH_WINDOWS)
    np.testing.assert_array_equal(examples.images[rows], images.astype(np.float16))
    np.testing.assert_array_equal(examples.scalars[rows], scalars)
    np.testing.assert_array_equal(examples.targets[rows], windows.targets)
    np.testing.assert_array_equal(examples.weights[rows], windows.weights)
    assert (examples.weights.max(axis=1) == 1).all(), "of every window something is known"


def test_windows_that_are_there_are_read_and_nothing_is_written(whole, recipe):
    examples, folder, _ = whole
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    told = []
    again = live_examples(recipe, folder, EPOCH, N_WINDOWS, lambda *counts: told.append(counts))
    assert_same(again, examples)
    assert told == [(N_WINDOWS, N_WINDOWS)]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_two_processes_make_the_same_windows(whole, recipe, tmp_path):
    assert_same(live_examples(recipe, tmp_path / "two", EPOCH, N_WINDOWS, workers=2), whole[0])


def test_an_interrupted_run_keeps_what_is_finished_and_goes_on(whole, recipe, tmp_path):
    def stop(n_done, _n_all):
        if n_done:
            raise StoppedError

    folder = tmp_path / "epoch"
    with pytest.raises(StoppedError):
        live_examples(recipe, folder, EPOCH, N_WINDOWS, stop, workers=1)
    assert np.load(folder / "done.npy").tolist() == [1, 0]
    told = []
    resumed = live_examples(recipe, folder, EPOCH, N_WINDOWS, lambda *counts: told.append(counts), workers=1)
    assert [n_done // BATCH_WINDOWS for n_done, _ in told] == [1, 2]
    assert_same(resumed, whole[0])


def test_only_what_is_missing_is_made(whole, recipe, copy):
    folder = copy(1)
    np.load(folder / "scalars.npy", mmap_mode="r+")[0] = 5
    examples = live_examples(recipe, folder, EPOCH, N_WINDOWS, workers=1)
    assert (examples.scalars[0] == 5).all(), "a finished batch is left alone"
    np.testing.assert_array_equal(examples.images, whole[0].images)
    np.testing.assert_array_equal(examples.scalars[1:], whole[0].scalars[1:])
    np.testing.assert_array_equal(examples.targets, whole[0].targets)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 10},
        {"part": "validation"},
        {"settings": replace(SETTINGS, label_lag_s=0.1)},
        {"settings": replace(SETTINGS, shares=(0.5, 0.0, 0.0, 0.2, 0.3))},
        {"spec": replace(NARROWBAND, lowpass_hz=1500.0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_windows_of_another_recipe_are_refused(whole, recipe, change):
    with pytest.raises(LabelsError, match=r"holds windows of another training; .*--work, .*--restart"):
        live_examples(replace(recipe, **change), whole[1], EPOCH, N_WINDOWS, never)


@pytest.mark.parametrize(("epoch", "n_windows"), [(EPOCH + 1, N_WINDOWS), (EPOCH, N_WINDOWS - BATCH_WINDOWS)])
def test_windows_of_another_epoch_or_number_are_refused(whole, recipe, epoch, n_windows):
    with pytest.raises(LabelsError, match="holds windows of another training"):
        live_examples(recipe, whole[1], epoch, n_windows, never)


def test_windows_of_other_clips_are_refused(whole, recipe):
    fewer = replace(recipe.clips, clips=recipe.clips.clips[1:])
    with pytest.raises(LabelsError, match="holds windows of another training"):
        live_examples(replace(recipe, clips=fewer), whole[1], EPOCH, N_WINDOWS, never)


def test_windows_with_other_negatives_are_refused(whole, recipe, tmp_path):
    others = tmp_path / recipe.negatives.name
    shutil.copytree(recipe.negatives, others)
    live_examples(replace(recipe, negatives=others), whole[1], EPOCH, N_WINDOWS)
    next(others.rglob("*.wav")).unlink()
    with pytest.raises(LabelsError, match="holds windows of another training"):
        live_examples(replace(recipe, negatives=others), whole[1], EPOCH, N_WINDOWS, never)


@pytest.mark.parametrize("name", sorted(FILES))
def test_half_a_file_is_damage(recipe, copy, name):
    folder = copy()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(LabelsError, match=r"is damaged: .*remove it and run the same command again"):
        live_examples(recipe, folder, EPOCH, N_WINDOWS)


@pytest.mark.parametrize("name", ["spectrograms.npy", "scalars.npy", "targets.npy", "weights.npy"])
def test_a_missing_array_is_damage(recipe, copy, name):
    folder = copy()
    (folder / name).unlink()
    with pytest.raises(LabelsError, match="is damaged"):
        live_examples(recipe, folder, EPOCH, N_WINDOWS)


def test_a_missing_list_of_what_is_done_is_an_error_of_ours(recipe, copy):
    folder = copy()
    (folder / "done.npy").unlink()
    with pytest.raises(BreathError, match=r"done\.npy"):
        live_examples(recipe, folder, EPOCH, N_WINDOWS)


def test_a_folder_without_a_header_is_begun_anew(recipe, copy):
    """A kill while room was made leaves arrays without a header, and nothing of use in them."""
    folder = copy()
    (folder / "windows.json").unlink()

    def stop(n_done, n_all):
        assert (n_done, n_all) == (0, N_WINDOWS)
        raise StoppedError

    with pytest.raises(StoppedError):
        live_examples(recipe, folder, EPOCH, N_WINDOWS, stop, workers=1)
    assert np.load(folder / "done.npy").tolist() == [0] * N_BATCHES
    assert {path.name for path in folder.iterdir()} == FILES


def test_a_folder_that_cannot_be_made_is_named(recipe, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the live windows"):
        live_examples(recipe, tmp_path / "file" / "epoch", EPOCH, N_WINDOWS)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_must_not_be_written_is_named(recipe, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot write the live windows"):
        live_examples(recipe, tmp_path / "locked" / "epoch", EPOCH, N_WINDOWS)


def test_no_room_is_an_error_before_anything_is_drawn(recipe, tmp_path):
    with pytest.raises(OutputError, match=r"needs \d+ MB and the disk has \d+ MB left"):
        live_examples(recipe, tmp_path / "epoch", EPOCH, BATCH_WINDOWS * 10**9, never)
    assert not list((tmp_path / "epoch").iterdir())


def test_sounds_that_are_gone_are_named_and_a_later_run_goes_on(recipe, tmp_path):
    missing = replace(recipe, negatives=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no folder .*nowhere"):
        live_examples(missing, tmp_path / "epoch", EPOCH, N_WINDOWS, workers=1)
    gone = replace(recipe.clips.clips[3], path=recipe.clips.root / "gone.wav")
    clips = replace(recipe.clips, clips=(*recipe.clips.clips[:3], gone, *recipe.clips.clips[4:]))
    with pytest.raises(AudioFileError, match=r"gone\.wav"):
        live_examples(replace(recipe, clips=clips), tmp_path / "other", EPOCH, N_WINDOWS, workers=1)
    header = json.loads((tmp_path / "other" / "windows.json").read_text())
    assert header["n_windows"] == N_WINDOWS
    assert np.load(tmp_path / "other" / "done.npy").tolist() == [0, 0]
