from pathlib import Path

import numpy as np
import pytest
import soundfile

from engines.errors import AudioFileError, LabelsError
from offline.clips import ClipSet, read_clip
from offline.naming import parse_name

SHARED_CLIPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "hf_lung_clips"


def write_sound(path: Path, n_samples: int = 16_000, rate_hz: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(n_samples).uniform(-0.5, 0.5, (n_samples, channels))
    soundfile.write(path, samples, rate_hz)


def write_table(folder: Path, *lines: str, name: str = "train.csv") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_names_give_day_and_recording_but_no_event_number():
    with_letter = parse_name("steth_20190713_09_58_25_E_007")
    assert with_letter is not None
    assert (with_letter.day, with_letter.recording) == ("20190713", "steth_20190713_09_58_25")
    assert (with_letter.letter, with_letter.file_stem) == ("E", "steth_20190713_09_58_25_007")
    without = parse_name("steth_20190713_09_58_25_007")
    assert without is not None
    assert without.letter is None
    assert without.file_stem == with_letter.file_stem
    for other in ("steth_2019_09_58_25_007", "breath_7", "steth_20190713_09_58_25_X_007", ""):
        assert parse_name(other) is None


def test_both_column_forms_read_the_same(clip_folder, tmp_path):
    from_ids = ClipSet.read(clip_folder)
    assert len(from_ids) == 24
    assert from_ids.labels.sum() == 12
    lines = ["file_name,label"]
    for clip in from_ids:
        lines.append(f"{clip.path.name},{'exhale' if clip.label else 0}")
    other = tmp_path / "other"
    write_table(other, *reversed(lines[1:]), name="x.csv")
    write_table(other, lines[0], *reversed(lines[1:]), name="labels.csv")
    (other / "x.csv").unlink()
    (clip_folder / "train").rename(other / "audio")
    from_files = ClipSet.read(other)
    assert from_files.fingerprint == from_ids.fingerprint
    assert [clip.day for clip in from_files] == [clip.day for clip in from_ids]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("folder", ["train", "audio", "clips", ".", "sounds"])
def test_formats_and_folders(tmp_path, suffix, folder):
    write_sound(tmp_path / folder / f"steth_20190101_09_30_00_001.{suffix}")
    write_table(tmp_path, "ID,Target", "steth_20190101_09_30_00_E_001,E", name="sounds.csv")
    (clip,) = ClipSet.read(tmp_path)
    assert clip.path.suffix == f".{suffix}"
    assert (clip.label, clip.day, clip.recording) == (1, "20190101", "steth_20190101_09_30_00")


def test_every_problem_is_collected_and_the_first_ten_are_shown(clip_folder):
    good = clip_folder / "train" / "steth_20190101_09_30_00_000.wav"
    (clip_folder / "train" / "steth_20190101_09_30_00_900.wav").write_bytes(b"not a sound")
    (clip_folder / "train" / "steth_20190101_09_30_00_901.wav").write_bytes(b"")
    soundfile.write(clip_folder / "train" / "nameless.wav", *soundfile.read(good))
    with (clip_folder / "train.csv").open("a") as table:
        table.write("steth_20190101_09_30_00_I_900,I\nsteth_20190101_09_30_00_I_901,I\n")
        table.write("steth_20190102_09_30_00_E_000,X\nsteth_20190103_09_30_00_E_001,E\n")
        table.write("steth_20190101_09_30_00_E_000,E\nnameless,E\n,E\nsteth_20190101_09_30_00_E_000\n")
        table.write("../train/steth_20190101_09_30_00_000.wav,E\n")
        table.writelines(f"steth_20190101_09_30_00_E_8{n:02d},E\n" for n in range(5))
    with pytest.raises(LabelsError) as caught:
        ClipSet.read(clip_folder)
    message = str(caught.value)
    assert message.startswith("14 problems in ")
    assert "... and 4 more" in message
    assert "--skip-bad" in message
    for words in (
        "line 26: cannot read",
        "line 27: cannot read",
        "line 28: label 'X'",
        "line 29: steth_20190103_09_30_00_001.wav is here again with another label, first in line 11",
        "steth_20190101_09_30_00_000.wav is here again, first in line 2",
        "line 31: nameless names no day",
        "line 32: no name",
        "line 33: label ''",
        "line 34: '../train/steth_20190101_09_30_00_000.wav' leads out",
        "line 35: no sound file for 'steth_20190101_09_30_00_E_800'",
    ):
        assert words in message
    kept = ClipSet.read(clip_folder, skip_bad=True)
    # The file that two rows label differently is in neither class.
    assert len(kept) == 23
    assert kept.n_skipped == 15


def test_row_and_name_that_disagree_are_a_problem(clip_folder):
    table = clip_folder / "train.csv"
    table.write_text(table.read_text().replace("_E_000,E", "_E_000,I", 1))
    with pytest.raises(LabelsError, match="says E, its label says I"):
        ClipSet.read(clip_folder)


def test_day_column_groups_and_wins_over_the_name(tmp_path):
    write_sound(tmp_path / "a.wav")
    write_sound(tmp_path / "steth_20190101_09_30_00_001.wav")
    write_table(tmp_path, "file_name,label,group", "a.wav,1,anna", "steth_20190101_09_30_00_001.wav,I,bert")
    assert ClipSet.read(tmp_path).days == ("anna", "bert")


def test_which_table_is_read(tmp_path):
    with pytest.raises(LabelsError, match="no such folder"):
        ClipSet.read(tmp_path / "nowhere")
    with pytest.raises(LabelsError, match="holds no CSV"):
        ClipSet.read(tmp_path)
    write_sound(tmp_path / "a.wav")
    write_table(tmp_path, "ID", "a.wav", name="test.csv")
    write_table(tmp_path, "file_name,label,day", "a.wav,E,1", name="one.csv")
    assert len(ClipSet.read(tmp_path)) == 1
    write_table(tmp_path, "file_name,label,day", "a.wav,I,1", name="two.csv")
    with pytest.raises(LabelsError, match=r"several tables of clips \(one.csv, two.csv\)"):
        ClipSet.read(tmp_path)
    assert ClipSet.read(tmp_path / "two.csv").labels.tolist() == [0]
    with pytest.raises(LabelsError, match="no table of clips"):
        ClipSet.read(tmp_path / "test.csv")
    write_table(tmp_path, "file_name,label,day", name="train.csv")
    with pytest.raises(LabelsError, match="no rows"):
        ClipSet.read(tmp_path)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_with_another_separator_is_told_from_no_table(tmp_path, mark, name):
    write_table(tmp_path, f"ID{mark} Target", f"steth_20190101_09_30_00_E_001{mark}E")
    for source in (tmp_path, tmp_path / "train.csv"):
        with pytest.raises(LabelsError, match=f"of train.csv are separated by {name}: save it with commas"):
            ClipSet.read(source)


def test_table_that_is_no_text(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelsError, match=r"cannot read .*labels\.csv.*UTF-8"):
        ClipSet.read(tmp_path)


def test_byte_order_mark_spaces_and_capitals_do_not_matter(tmp_path):
    write_sound(tmp_path / "a.wav")
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf File_Name , LABEL,Day\r\n\r\n a.wav , Exhale ,x\r\n")
    (clip,) = ClipSet.read(tmp_path)
    assert (clip.label, clip.day) == (1, "x")


def test_natural_length_comes_from_the_table_of_durations(clip_folder):
    write_table(
        clip_folder,
        "file_name,split,duration_s",
        "steth_20190101_09_30_00_000.wav,train,0.709",
        "steth_20190101_09_30_00_001.wav,train,1.7",
        name="true_durations.csv",
    )
    clips = ClipSet.read(clip_folder)
    assert [clip.natural_samples for clip in clips.clips[:3]] == [11_344, 16_000, None]
    write_table(clip_folder, "file_name,duration_s", "x.wav,soon", "y.wav,nan", name="true_durations.csv")
    with pytest.raises(LabelsError, match="line 2: 'soon' is no positive number"):
        ClipSet.read(clip_folder)
    assert ClipSet.read(clip_folder, skip_bad=True).clips[0].natural_samples is None


def test_files_of_one_name_in_two_folders_are_two_clips_with_lengths_of_their_own(tmp_path):
    for folder in ("monday", "tuesday"):
        write_sound(tmp_path / folder / "1.wav")
    write_table(tmp_path, "file_name,label,day", "monday/1.wav,E,a", "tuesday/1.wav,I,b")
    durations = ("file_name,duration_s", "monday/1.wav,0.3", "tuesday/1.wav,0.9")
    write_table(tmp_path, *durations, name="true_durations.csv")
    clips = ClipSet.read(tmp_path)
    assert {clips.name_of(clip): clip.natural_samples for clip in clips} == {
        "monday/1.wav": 4_800,
        "tuesday/1.wav": 14_400,
    }
    write_table(tmp_path, "file_name,duration_s", "1.wav,0.4", name="true_durations.csv")
    assert [clip.natural_samples for clip in ClipSet.read(tmp_path)] == [6_400, 6_400]


def test_fingerprint_follows_labels_and_samples_but_not_the_order_of_rows(clip_folder):
    before = ClipSet.read(clip_folder).fingerprint
    table = clip_folder / "train.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(rows)]))
    assert ClipSet.read(clip_folder).fingerprint == before
    write_sound(clip_folder / "train" / "steth_20190101_09_30_00_000.wav")
    assert ClipSet.read(clip_folder).fingerprint != before


def test_clips_are_mono_16_khz_and_one_second(tmp_path):
    write_sound(tmp_path / "short.wav", n_samples=4_000)
    short = read_clip(tmp_path / "short.wav")
    assert short.shape == (16_000,)
    assert short.dtype == np.float32
    assert np.abs(short[:4_000]).max() > 0.4
    assert not short[4_000:].any()
    write_sound(tmp_path / "long.wav", n_samples=40_000)
    np.testing.assert_array_equal(
        read_clip(tmp_path / "long.wav"), soundfile.read(tmp_path / "long.wav", dtype="float32")[0][:16_000]
    )


def test_channels_are_averaged(tmp_path):
    left = np.linspace(-0.5, 0.5, 16_000, dtype=np.float32)
    soundfile.write(tmp_path / "two.wav", np.stack([left, -left], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_clip(tmp_path / "two.wav"), 0, atol=1e-7)


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 44_100, 48_000])
def test_any_rate_gives_the_same_sound(tmp_path, rate_hz):
    def tone(rate_hz):
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate_hz) / rate_hz)

    soundfile.write(tmp_path / "tone.wav", tone(rate_hz), rate_hz, subtype="FLOAT")
    inner = slice(400, 15_900)
    np.testing.assert_allclose(read_clip(tmp_path / "tone.wav")[inner], tone(16_000)[inner], atol=2e-3)


def test_what_cannot_be_read_names_the_file(tmp_path):
    with pytest.raises(AudioFileError, match=r"no such file.*gone\.wav"):
        read_clip(tmp_path / "gone.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(AudioFileError, match=r"cannot read .*text\.wav"):
        read_clip(tmp_path / "text.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    with pytest.raises(AudioFileError, match=r"empty\.wav holds no samples"):
        read_clip(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16_000, subtype="FLOAT")
    with pytest.raises(AudioFileError, match=r"nan\.wav holds samples that are no sound: sample 0 is nan"):
        read_clip(tmp_path / "nan.wav")


@pytest.mark.data
def test_the_shared_clips_are_sound():
    if not SHARED_CLIPS.is_dir():
        pytest.skip(f"no clips at {SHARED_CLIPS}")
    clips = ClipSet.read(SHARED_CLIPS)
    assert len(clips) == 3_341
    assert clips.labels.sum() == 1_685
    assert clips.n_skipped == 0
    assert all(clip.natural_samples is not None for clip in clips)
    assert sum(clip.natural_samples < 16_000 for clip in clips) / len(clips) == pytest.approx(0.63, abs=0.01)
    assert all(clip.day in clip.recording for clip in clips)


def test_a_name_with_its_folder_is_that_of_one_file(tmp_path):
    for path in ("train/a.wav", "audio/a.wav", "train/b.wav"):
        write_sound(tmp_path / path, n_samples=8_000 + len(path))
    write_table(tmp_path, "file_name,label,day", "audio/a,E,a", "train/b.wav,I,b")
    clips = ClipSet.read(tmp_path)
    assert [clips.name_of(clip) for clip in clips] == ["audio/a.wav", "train/b.wav"]
    write_table(tmp_path, "file_name,label,day", "audio/a.flac,E,a")
    assert [clips.name_of(clip) for clip in ClipSet.read(tmp_path)] == ["audio/a.wav"]
    write_table(tmp_path, "file_name,label,day", "audio/a,E,a", "monday/b.wav,I,b")
    with pytest.raises(LabelsError, match=r"no sound file for 'monday/b\.wav'"):
        ClipSet.read(tmp_path)


def test_a_natural_length_beyond_the_sound_is_a_problem(tmp_path):
    write_sound(tmp_path / "a.wav", n_samples=4_800)
    write_table(tmp_path, "file_name,label,day", "a.wav,E,a")
    write_table(tmp_path, "file_name,duration_s", "a.wav,0.305", name="true_durations.csv")
    assert ClipSet.read(tmp_path).clips[0].natural_samples == 4_880
    write_table(tmp_path, "file_name,duration_s", "a.wav,1.0", name="true_durations.csv")
    with pytest.raises(LabelsError, match=r"a\.wav lasts 0\.30 s, but 1\.00 s by true_durations\.csv"):
        ClipSet.read(tmp_path)
