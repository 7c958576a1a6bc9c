"""`breath-offline cut`: what breath-live recorded, corrected in Audacity, becomes a clip set."""

import csv
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.errors import LabelsError
from engines.spec import NARROWBAND
from offline.cli import main
from offline.clips import ClipSet, read_clip
from offline.compose.material import Material
from offline.cut.clip_set import SHORTEST_SAMPLES, cut
from offline.cut.labels_beside import labels_beside
from offline.cut.recordings import find_recordings
from offline.precompute import precompute
from offline.store import open_store
from realtime.cli import cli as live
from realtime.events import Phase
from realtime.labels import PhaseInterval, audacity_from_labels, csv_from_labels, read_labels
from realtime.resample import Resampler

PROJECT = Path(__file__).resolve().parents[4]
PHASES = ((0.5, 1.25, "i"), (1.25, 3.5, "exhale"), (4.0, 4.05, "I"), (4.2, 4.3, "E"))


def run(*words):
    return CliRunner().invoke(main, ["cut", *map(str, words)])


def write_recording(path, phases=PHASES, seconds=5.0, rate_hz=RATE_HZ, labels=".txt", **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(seconds * rate_hz), settings.pop("channels", 1))
    sound = np.random.default_rng(len(path.name)).uniform(-0.5, 0.5, shape)
    soundfile.write(path, sound, rate_hz, **settings)
    header = "" if labels == ".txt" else "start_s,end_s,phase\n"
    rows = ["\t,"[labels == ".csv"].join(map(str, phase)) + "\n" for phase in phases]
    path.with_suffix(labels).write_text(header + "".join(rows), encoding="utf-8")
    return path


def table_of(folder, name="train.csv"):
    with (folder / name).open(newline="") as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def recorded(tiny_pack, tmp_path_factory):
    """A folder with what `breath-live demo --record` wrote: a WAV and a FLAC, and their labels."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / ".configuration"))
        for seed, name in enumerate(("breath-2026-11-27-080000.wav", "breath-2026-11-28-235900.flac")):
            words = f"demo --pace 0 --seconds 60 --seed {seed} --pack {tiny_pack} --record {folder / name}"
            result = CliRunner().invoke(live, words.split())
            assert result.exit_code == 0, result.output
    return folder


def test_what_was_recorded_becomes_clips(recorded, tmp_path):
    result = run(recorded, "--out", tmp_path / "clips")
    assert (result.exit_code, result.stderr) == (0, "")
    clips = ClipSet.read(tmp_path / "clips")
    assert clips.n_skipped == 0
    truth = {path: read_labels(path.with_suffix(".txt")) for path in recorded.glob("breath-*.[wf]*a*")}
    assert len(truth) == 2
    kept = {
        (path, phase)
        for path, phases in truth.items()
        for phase in phases
        if length_of(phase) >= 0.1 * RATE_HZ
    }
    assert len(clips) == len(kept) > 40
    for path, phase in kept:
        name = f"{path.stem}_{phase.start_sample * 1000 // RATE_HZ:08d}.wav"
        (clip,) = [clip for clip in clips if clip.path.name == name]
        sound, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == RATE_HZ
        natural = min(length_of(phase), WINDOW_SAMPLES)
        heard = sound[phase.start_sample : phase.start_sample + natural]
        assert clip.label == (phase.phase is Phase.EXHALE)
        assert clip.day == {".wav": "20261127", ".flac": "20261128"}[path.suffix]
        assert clip.natural_samples == len(heard)
        repeated = np.resize(heard, WINDOW_SAMPLES)
        np.testing.assert_allclose(read_clip(clip.path), repeated, rtol=0, atol=0.5001 / 32768)
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (16_000, 1, "PCM_16", 16_000)
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["20261127", "20261128"]
    assert lines[-1] == f"{len(clips)} clips of 2 recordings in {tmp_path / 'clips'}"


def length_of(interval):
    return interval.end_sample - interval.start_sample


def test_the_set_is_one_for_precompute_and_for_streams(recorded, tmp_path):
    assert run(recorded, "--out", tmp_path / "clips").exit_code == 0
    clips = ClipSet.read(tmp_path / "clips")
    some = clips.of_days(["20261127"])
    precompute(some, tmp_path / "store", NARROWBAND, workers=1)
    store = open_store(tmp_path / "store")
    assert store.natural_samples.tolist() == [clip.natural_samples for clip in some]
    assert store.labels.tolist() == some.labels.tolist()
    material = Material.read(clips)
    assert list(material.days) == ["20261127", "20261128"]
    lengths = {
        take.name: len(take.samples)
        for day in material.days.values()
        for takes in day.takes.values()
        for take in takes
    }
    assert lengths == {clips.name_of(clip): clip.natural_samples for clip in clips}
    assert min(lengths.values()) < WINDOW_SAMPLES == max(lengths.values())


def test_labels_corrected_in_audacity_count_and_the_other_ones_if_asked_for(recorded, tmp_path):
    folder = tmp_path / "recorded"
    folder.mkdir()
    for path in recorded.glob("breath-2026-11-27-080000.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    text = folder / "breath-2026-11-27-080000.txt"
    first, *others = read_labels(text)
    moved = PhaseInterval(first.start_sample + 160, first.end_sample, Phase.EXHALE)
    # As Audacity exports: a second line with the frequencies of a label, names as the user wrote them.
    start, *rest = audacity_from_labels([moved, *others]).splitlines(keepends=True)
    text.write_text(start.replace("exhale", "E") + "\\\t100.0\t2000.0\n" + "".join(rest), encoding="utf-8")
    for form, wanted, note in (
        ("auto", moved, "labels of the .txt, not of the .csv that differs: "),
        ("txt", moved, ""),
        ("csv", first, ""),
    ):
        result = run(folder, "--labels", form, "--out", tmp_path / form)
        assert (result.exit_code, result.stderr) == (0, note and f"{note}{text}\n")
        row = table_of(tmp_path / form)[0]
        at_ms = wanted.start_sample // 16
        assert row["file_name"] == f"breath-2026-11-27-080000_{at_ms:08d}.wav"
        assert row["label"] == wanted.phase.value
    table = text.with_suffix(".csv")
    newer_s = text.stat().st_mtime + 10
    os.utime(table, (newer_s, newer_s))
    result = run(folder, "--out", tmp_path / "asked")
    assert result.exit_code == 5
    assert f"{table} differs from {text.name} and is the newer" in result.stderr
    table.write_text(csv_from_labels([moved, *others]), encoding="utf-8")
    os.utime(table, (newer_s, newer_s))
    result = run(folder, "--out", tmp_path / "same")
    assert (result.exit_code, result.stderr) == (0, "")
    table.write_text("time_s,prob_exhale,phase\n", encoding="utf-8")
    assert run(folder, "--out", tmp_path / "frames").exit_code == 0


@pytest.mark.parametrize(
    ("name", "rate_hz", "settings"),
    [
        ("one.wav", 48_000, {"channels": 2, "subtype": "PCM_24"}),
        ("one.flac", 44_100, {"channels": 1}),
        ("one.ogg", 8_000, {"channels": 1}),
    ],
)
def test_any_rate_and_channel_count_is_cut_as_it_is_heard_live(tmp_path, name, rate_hz, settings):
    random = np.random.default_rng(3)
    borders = np.sort(random.choice(np.arange(1, 600), 80, replace=False)) / 20
    phases = [
        (start, end, "ie"[number % 2])
        for number, (start, end) in enumerate(zip(borders[::2], borders[1::2], strict=True))
    ]
    path = write_recording(tmp_path / "in" / name, phases, 30.0, rate_hz, ".csv", **settings)
    assert run(path, "--out", tmp_path / "clips").exit_code == 0
    channels, _ = soundfile.read(path, dtype="float32", always_2d=True)
    resampler = Resampler(rate_hz)
    heard = np.concatenate([resampler.push(channels.mean(axis=1)), resampler.finish()])
    rows = [phase for phase in read_labels(path.with_suffix(".csv")) if length_of(phase) >= SHORTEST_SAMPLES]
    clips = ClipSet.read(tmp_path / "clips")
    assert len(clips) == len(rows)
    for clip, phase in zip(clips, rows, strict=True):
        natural = heard[phase.start_sample : phase.end_sample][:WINDOW_SAMPLES]
        assert clip.natural_samples == len(natural)
        difference = read_clip(clip.path)[: len(natural)] - natural.clip(-1, 1 - 1 / 32768)
        assert np.abs(difference).max() < 0.51 / 32768


def test_short_phases_are_left_out_and_counted(tmp_path):
    write_recording(tmp_path / "in" / "2026-11-28.wav", [*PHASES, (4.95, 5.5, "e")])
    result = run(tmp_path / "in", "--out", tmp_path / "clips")
    assert result.exit_code == 0
    assert result.stderr == "left out as shorter than 0.1 s: 2 phases\n"
    assert result.stdout.splitlines() == [
        "20261128: 1 inhalation, 2 exhalations",
        f"3 clips of 1 recording in {tmp_path / 'clips'}",
    ]
    durations = {
        row["file_name"]: row["duration_s"] for row in table_of(tmp_path / "clips", "true_durations.csv")
    }
    assert durations == {
        "2026-11-28_00000500.wav": "0.75",
        "2026-11-28_00001250.wav": "1.0",
        "2026-11-28_00004200.wav": "0.1",
    }


def day_of(place, out, *flags):
    result = run(place, "--out", out, *flags)
    assert result.exit_code == 0, result.output
    return {row["day"] for row in table_of(out)}, result.stderr


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("breath-2026-11-28-101500.wav", "20261128"),
        ("Rec_20261128_2330.flac", "20261128"),
        ("20261128233000.wav", "20261128"),
        ("steth_20180816_11_09_13.wav", "20180816"),
        ("2026.01.02 anna.wav", "20260102"),
        ("2025-03-04/take 1.wav", "20250304"),
        ("2025-03-04/2025-05-06.wav", "20250506"),
    ],
)
def test_the_day_is_the_date_in_a_name(tmp_path, name, day):
    write_recording(tmp_path / "in" / name)
    assert day_of(tmp_path / "in", tmp_path / "out")[0] == {day}


@pytest.mark.parametrize("name", ["take-120261128.wav", "2026-1128.wav", "20261328.wav", "202611281.wav"])
def test_without_a_date_the_day_is_when_the_recording_began_by_its_file(tmp_path, name):
    after_midnight_s = datetime.datetime(2025, 11, 28, 0, 0, 2).timestamp()
    for n_phases, day in ((1, "20251128"), (2, "20251127")):
        path = write_recording(tmp_path / "in" / name, PHASES[:n_phases])
        os.utime(path, (after_midnight_s, after_midnight_s))
        found, note = day_of(path, tmp_path / day)
        assert found == {day}
        assert note == f"day taken from the time of the file, for want of a date (see --by-folder): {path}\n"


def test_other_days_are_said_by_flags_metadata_and_sidecars(tmp_path):
    path = tmp_path / "in" / "anna" / "2026-11-28.wav"
    write_recording(path)
    write_recording(tmp_path / "in" / "ben" / "2026-11-28.wav", PHASES[:2])
    assert day_of(tmp_path / "in", tmp_path / "1", "--by-folder")[0] == {"anna", "ben"}
    assert day_of(tmp_path / "in", tmp_path / "2", "--day", " night ")[0] == {"night"}
    path.with_suffix(".json").write_text(json.dumps({"day": 20261127}))
    assert day_of(tmp_path / "in", tmp_path / "3")[0] == {"20261127", "20261128"}
    tagged = write_recording(tmp_path / "tagged" / "night.flac")
    with soundfile.SoundFile(tagged, "w", RATE_HZ, 1) as file:
        file.date = "2024-02-29T23:00"
        file.write(np.full(80_000, 0.1))
    assert day_of(tagged, tmp_path / "4") == ({"20240229"}, "left out as shorter than 0.1 s: 1 phase\n")
    result = run(tagged, "--out", tmp_path / "5", "--day", "x", "--by-folder")
    assert (result.exit_code, (tmp_path / "5").exists()) == (2, False)
    assert run(tagged, "--out", tmp_path / "5", "--day", " ").exit_code == 2


def test_every_recording_is_cut_once_and_its_clips_have_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/first.wav", "b/first.flac", "b/ x, (y) .wav", "c/b/first.ogg", "d/FIRST.wav"):
        write_recording(tmp_path / name)
    write_recording(tmp_path / ".hidden" / "first.wav")
    soundfile.write(tmp_path / "a" / "unlabelled.wav", np.zeros(100), RATE_HZ)
    result = run(".", "a", "a/first.wav", "--by-folder", "--out", "clips")
    assert result.exit_code == 0, result.output
    assert "passed over for want of labels: a/unlabelled.wav\n" in result.stderr
    clips = ClipSet.read(tmp_path / "clips")
    names = {clip.path.stem.rpartition("_")[0] for clip in clips}
    assert names == {"first", "b-first", "x-y", "first-2", "d-FIRST"}
    assert len(clips) == 15


def refusals(folder):
    """Name, exit code, what the message says, and how to get there."""
    good = folder / "good" / "2026-11-28.wav"

    def lonely():
        write_recording(folder / "in" / "gone.wav").unlink()
        write_recording(folder / "in" / "there.wav")

    def broken():
        write_recording(folder / "in" / "x.wav").write_bytes(b"no sound at all")

    def two():
        write_recording(folder / "in" / "x.wav")
        write_recording(folder / "in" / "x.flac")

    def spliced():
        write_recording(folder / "in" / "x.wav")
        (folder / "in" / "x.json").write_text('{"is_spliced": true}')

    def overlapping():
        write_recording(folder / "in" / "x.wav", [(1, 2, "i"), (1.5, 3, "e")])
        write_recording(folder / "in" / "y.wav", [(2, 1, "i")])

    def of(phases, **settings):
        return lambda: write_recording(folder / "in" / "x.wav", phases, **settings)

    def without_labels():
        write_recording(folder / "in" / "x.wav").with_suffix(".txt").unlink()

    return {
        "labels without sound": (5, "gone.txt has labels, but beside it is no WAV", lonely),
        "overlapping and reversed": (5, "x.txt, line 2: overlaps the phase above", overlapping),
        "reversed": (5, "ends at 1 s, not after its start at 2 s", of([(2, 1, "i")])),
        "an unknown phase": (5, "line 1: the phase 'pause'", of([(1, 2, "pause")])),
        "beyond the sound": (5, "x.txt goes on to 7.00 s, but x.wav ends at 5.00 s", of([(1, 7, "e")])),
        "only short phases": (5, "none of 1 labelled phases is 0.1 s long", of([(1, 1.09, "e")])),
        "nobody breathes": (5, "none of 0 labelled phases", of([])),
        "no labels": (5, "none of the 1 sounds has labels beside it", without_labels),
        "labels of two": (5, "lies beside x.flac and x.wav", two),
        "spliced": (5, "was spliced from clips", spliced),
        "no sound": (3, "cannot be read as sound", broken),
        "no file": (3, "there is no file or folder", lambda: None),
        "an empty folder": (3, "holds no WAV, FLAC or OGG", lambda: (folder / "in").mkdir()),
        "a rate": (3, "a sampling rate of 2000 Hz cannot be used", of(PHASES, rate_hz=2_000)),
    }, good


@pytest.mark.parametrize("what", refusals(Path("unused"))[0])
def test_what_cannot_be_cut_is_refused_and_nothing_is_left(tmp_path, what):
    cases, good = refusals(tmp_path)
    code, words, make = cases[what]
    write_recording(good)
    make()
    # All or nothing, except where the other recording has what is missing here.
    others = [] if what in ("no labels", "nobody breathes", "only short phases") else [good]
    result = run(*others, tmp_path / "in", "--out", tmp_path / "clips")
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("breath-offline: error: ")
    assert words in result.stderr
    assert not (tmp_path / "clips").exists()


def test_all_problems_are_told_at_once(tmp_path):
    for number in range(12):
        write_recording(tmp_path / "in" / f"{number:02d}.wav", [(2, 1, "i")])
    with pytest.raises(LabelsError, match="12 problems:") as caught:
        find_recordings([tmp_path / "in"])
    assert "09.txt, line 1" in str(caught.value)
    assert "10.txt" not in str(caught.value)
    assert str(caught.value).endswith("... and 2 more")


def test_notes_beside_a_recording_are_no_labels(tmp_path):
    night = write_recording(tmp_path / "20260101-night.wav", labels=".csv")
    night.with_suffix(".txt").write_text("slept badly\n")
    walk = tmp_path / "20260102-walk.wav"
    soundfile.write(walk, np.zeros(100), RATE_HZ)
    walk.with_suffix(".txt").write_text("walked about, no labels\n")
    result = run(tmp_path, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.output
    assert f"labels of the .csv, as the .txt holds none: {night.with_suffix('.csv')}" in result.output
    assert f"passed over for want of labels: {walk}" in result.output


@pytest.mark.parametrize(
    "text", ["0.5\t0.7\t\n", "\n\n0.5\t1.0\tsneeze\n", "start_s, end_s, phase\n0.5,1,sneeze\n"]
)
def test_labels_that_are_wrong_are_no_notes(tmp_path, text):
    night = write_recording(tmp_path / "20260101-night.wav", labels=".csv")
    night.with_suffix(".txt").write_text(text)
    result = run(tmp_path, "--out", tmp_path / "set")
    assert result.exit_code == 5
    assert "night.txt, line" in result.output


def test_an_empty_text_says_that_nobody_breathes(tmp_path):
    night = write_recording(tmp_path / "20260101-night.wav", labels=".csv")
    night.with_suffix(".txt").write_text("\n")
    labels = labels_beside(night)
    assert (labels.file, labels.phases, labels.is_disputed) == (night.with_suffix(".txt"), (), True)


def test_labels_and_sounds_without_any_cannot_be_named(tmp_path):
    path = write_recording(tmp_path / "x.wav")
    result = run(path.with_suffix(".txt"), "--out", tmp_path / "clips")
    assert (result.exit_code, "name the sound that it lies beside" in result.stderr) == (5, True)
    result = run(path, "--labels", "csv", "--out", tmp_path / "clips")
    assert (result.exit_code, "x.wav has no labels beside it: NAME.csv" in result.stderr) == (5, True)


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    path = write_recording(tmp_path / "in" / "2026-11-28.wav")
    (tmp_path / "clips").mkdir()
    assert run(path, "--out", tmp_path / "clips").exit_code == 0
    before = {file: file.read_bytes() for file in (tmp_path / "clips").rglob("*") if file.is_file()}
    result = run(path, "--out", tmp_path / "clips")
    assert (result.exit_code, "holds audio already" in result.stderr) == (6, True)
    assert {file: file.read_bytes() for file in (tmp_path / "clips").rglob("*") if file.is_file()} == before
    for place in (path, path / "clips"):
        result = run(path, "--out", place)
        assert (result.exit_code, "cannot write into" in result.stderr) == (6, True)


def test_a_damaged_recording_is_cut_as_far_as_it_goes_and_that_is_said(tmp_path):
    path = write_recording(tmp_path / "2026-11-28.wav", PHASES[:2])
    path.write_bytes(path.read_bytes()[: 44 + 2 * 48_000])
    result = run(path, "--out", tmp_path / "clips")
    assert result.exit_code == 0
    assert "is cut off" in result.stderr
    assert len(ClipSet.read(tmp_path / "clips")) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from offline.cut.clip_set import cut
from offline.cut.recordings import find_recordings

def kill(n_done, n_all):
    if n_done == n_all:
        os.kill(os.getpid(), signal.SIGKILL)

cut(find_recordings([Path(sys.argv[1])])[0], Path(sys.argv[2]), kill)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_kill_leaves_nothing_that_looks_complete_and_the_next_run_begins_anew(tmp_path):
    path, out = write_recording(tmp_path / "in" / "2026-11-28.wav"), tmp_path / "clips"
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, path, out], env=environment, check=False, timeout=60
    )
    assert killed.returncode == -9
    assert [inside.name for inside in out.iterdir()] == [".partial"]
    for folder in (out, out / ".partial"):
        with pytest.raises(LabelsError, match="holds no CSV"):
            ClipSet.read(folder)
    assert run(path, "--out", out).exit_code == 0
    assert sorted(inside.name for inside in out.iterdir()) == ["audio", "train.csv", "true_durations.csv"]


def test_an_interruption_leaves_nothing(tmp_path):
    path = write_recording(tmp_path / "in" / "2026-11-28.wav")
    recordings, _ = find_recordings([path])
    seen = []

    def interrupt(n_done, n_all):
        seen.append((n_done, n_all))
        if n_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut(recordings, tmp_path / "clips", interrupt)
    assert seen == [(1, 4), (2, 4)]
    assert not (tmp_path / "clips").exists()
