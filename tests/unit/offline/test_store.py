import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engines.errors import AudioFileError, LabelsError, OutputError
from engines.spec import NARROWBAND, FeatureSpec
from offline.clips import ClipSet, read_clip
from offline.precompute import precompute, stack_extract
from offline.store import open_store

PROJECT = Path(__file__).resolve().parents[3]


def toy_extract(spec):
    """Features that can be told apart: the level in every pixel, and a scalar too large for float16."""

    def extract(windows):
        level = np.abs(windows).max(axis=1)
        images = np.broadcast_to(level[:, None, None, None], (len(windows), 9, 128, 63))
        scalars = np.broadcast_to(level[:, None] * 1e6, (len(windows), 39))
        return images.astype(np.float32), scalars.astype(np.float32)

    return extract


def counting_extract(spec):
    """`toy_extract` that notes each clip it sees in a file."""
    extract = toy_extract(spec)

    def count(windows):
        with Path(os.environ["BREATH_TEST_COUNT"]).open("a") as file:
            file.write("x" * len(windows))
        return extract(windows)

    return count


def make_store(clips, folder, **settings):
    precompute(clips, folder, NARROWBAND, **{"workers": 1, "make_extract": toy_extract, **settings})
    return open_store(folder)


def assert_holds(store, clips):
    levels = np.array([np.abs(read_clip(clip.path)).max() for clip in clips])
    np.testing.assert_array_equal(store.images[:, 0, 0, 0], levels.astype(np.float16))
    np.testing.assert_array_equal(store.images[:, 8, 127, 62], levels.astype(np.float16))
    np.testing.assert_allclose(store.scalars[:, 38], levels * 1e6, rtol=1e-6)
    np.testing.assert_array_equal(store.labels, clips.labels)
    assert tuple(store.days) == clips.days


def test_a_store_holds_every_clip_in_order(clips, tmp_path):
    told = []
    store = make_store(clips, tmp_path / "s", progress=lambda *counts: told.append(counts), batch_clips=5)
    assert_holds(store, clips)
    assert isinstance(store.images, np.memmap)
    assert (store.images.dtype, store.scalars.dtype) == (np.float16, np.float32)
    assert store.spec == NARROWBAND
    assert store.fingerprint == clips.fingerprint
    assert store.paths == tuple(clip.path.absolute() for clip in clips)
    assert not store.natural_samples.any()
    assert told == [(0, 24), (5, 24), (10, 24), (15, 24), (20, 24), (24, 24)]


def test_several_processes_write_the_same_store(clips, tmp_path):
    one = make_store(clips, tmp_path / "one")
    two = make_store(clips, tmp_path / "two", workers=2, batch_clips=5)
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.scalars, two.scalars)


def test_the_real_features_are_stored(clips, tmp_path):
    torch = pytest.importorskip("torch")
    few = replace(clips, clips=clips.clips[:3])
    store = make_store(few, tmp_path / "s", make_extract=stack_extract)
    from realtime.features.stack import FeatureStack

    windows = torch.from_numpy(np.stack([read_clip(clip.path) for clip in few]))
    images, scalars = FeatureStack(NARROWBAND)(windows)
    np.testing.assert_array_equal(store.images, images.numpy().astype(np.float16))
    np.testing.assert_array_equal(store.scalars, scalars.numpy())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_where_it_stopped(clips, tmp_path, workers, monkeypatch):
    folder, count = tmp_path / "s", tmp_path / "count"
    script = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from offline.clips import ClipSet
from offline.precompute import precompute
from engines.spec import NARROWBAND
from test_store import toy_extract

def kill_at_20(n_done, n_clips):
    if n_done >= 20:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    clips = ClipSet.read(Path({str(clips.root)!r}))
    precompute(clips, Path({str(folder)!r}), NARROWBAND, {workers}, kill_at_20,
               make_extract=toy_extract, batch_clips=1)
"""
    (tmp_path / "killed.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    # The output ends only when the last worker has left: a worker that outlives its parent fails here.
    ended = subprocess.run(
        [sys.executable, tmp_path / "killed.py"], env=environment, capture_output=True, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    with pytest.raises(LabelsError, match="unfinished: 16 of 24 clips; run the same precompute again"):
        open_store(folder)
    monkeypatch.setenv("BREATH_TEST_COUNT", str(count))
    store = make_store(clips, folder, make_extract=counting_extract)
    assert_holds(store, clips)
    assert len(count.read_text()) == 8


def test_an_error_keeps_what_is_finished(clips, tmp_path):
    clips.clips[10].path.unlink()
    with pytest.raises(AudioFileError, match="no such file"):
        make_store(clips, tmp_path / "s", batch_clips=4)
    with pytest.raises(LabelsError, match="8 of 24"):
        open_store(tmp_path / "s")


def test_an_error_in_a_worker_process_arrives_as_itself(clips, tmp_path):
    clips.clips[10].path.unlink()
    with pytest.raises(AudioFileError, match="no such file"):
        make_store(clips, tmp_path / "s", batch_clips=4, workers=2)


def test_a_finished_store_is_left_alone(clips, tmp_path, monkeypatch):
    make_store(clips, tmp_path / "s")
    monkeypatch.setenv("BREATH_TEST_COUNT", str(tmp_path / "count"))
    make_store(clips, tmp_path / "s", make_extract=counting_extract)
    assert not (tmp_path / "count").exists()


def test_another_store_is_refused_with_the_difference(clips, tmp_path, clip_folder):
    folder = tmp_path / "s"
    make_store(clips, folder)
    with pytest.raises(LabelsError, match=r"its n_fft is 2048, not 512.*remove it, or give another folder"):
        precompute(clips, folder, FeatureSpec(), 1, make_extract=toy_extract)
    with pytest.raises(LabelsError, match="its 24 clips are not these 23"):
        make_store(replace(clips, clips=clips.clips[1:]), folder)
    soundfile.write(clips.clips[0].path, np.zeros(16_000), 16_000)
    with pytest.raises(LabelsError, match="its 24 clips are not these 24"):
        make_store(ClipSet.read(clip_folder), folder)
    header = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**header, "contract": "of old"}))
    with pytest.raises(LabelsError, match="follows another feature contract"):
        make_store(clips, folder)
    with pytest.raises(LabelsError, match="another version of the features"):
        open_store(folder)


def test_what_is_no_store_is_not_opened(clips, tmp_path):
    with pytest.raises(LabelsError, match="is no feature store"):
        open_store(tmp_path)
    folder = tmp_path / "s"
    make_store(clips, folder)
    (folder / "store.json").write_text("{")
    with pytest.raises(LabelsError, match="cannot read"):
        open_store(folder)


@pytest.mark.parametrize("name", ["spectrograms.npy", "scalars.npy", "done.npy", "clips.csv"])
def test_a_damaged_store_is_not_opened(clips, tmp_path, name):
    folder = tmp_path / "s"
    make_store(clips, folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(LabelsError, match="damaged"):
        open_store(folder)
    (folder / name).unlink()
    with pytest.raises(LabelsError, match="damaged"):
        open_store(folder)
    with pytest.raises(LabelsError, match="damaged"):
        make_store(clips, folder)


def test_a_folder_with_other_things_is_left_alone(clips, tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(OutputError, match=r"holds other things \(holiday\.jpg\)"):
        make_store(clips, tmp_path)


def test_a_folder_that_cannot_be_made(clips, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the feature store"):
        make_store(clips, tmp_path / "file" / "s")


def test_no_room_is_an_error_and_not_a_crash(clips, tmp_path):
    pytest.importorskip("resource")
    script = f"""
import resource
from pathlib import Path
from engines.errors import OutputError
from engines.spec import NARROWBAND
from offline.clips import ClipSet
from offline.precompute import precompute

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    precompute(ClipSet.read(Path({str(clips.root)!r})), Path({str(tmp_path / "s")!r}), NARROWBAND, 1)
except OutputError as error:
    print("refused:", error)
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("refused: cannot write the feature store")
