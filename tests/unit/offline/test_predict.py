import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.ensemble import fuse
from engines.errors import AudioFileError, ConfigError, OutputError
from engines.manifest import SplitDays
from engines.onnx_backend import OnnxEngine
from offline.cli import main
from offline.output import check_replaceable, open_output
from offline.predict import Prediction, find_sounds, infer_files, predict, write_predictions

PROJECT = Path(__file__).resolve().parents[3]


def written(predictions, **settings):
    text = io.StringIO()
    write_predictions(predictions, text, **settings)
    return text.getvalue()


def test_loud_is_exhale_with_the_weights_of_the_pack(clip_folder, make_pack, loudness_engine):
    paths, problems = find_sounds([clip_folder])
    assert problems == []
    predictions = predict(make_pack(SplitDays()), loudness_engine, paths)
    assert [one.path for one in predictions] == paths
    letters = {one.path.stem: one.letter for one in predictions}
    assert all(letters[path.stem] == "EI"[int(path.stem[-3:]) % 2] for path in paths)
    logits = infer_files(loudness_engine, paths)
    np.testing.assert_allclose(
        [one.prob_exhale for one in predictions], fuse(logits, (0.75, 0.25)), rtol=1e-6
    )


def test_batches_are_of_64_and_padded_to_one_second(tmp_path, make_pack, loudness_engine):
    for number in range(70):
        soundfile.write(tmp_path / f"{number:02d}.wav", np.full(100 + number, 0.9), 16_000)
    told = []
    predictions = predict(
        make_pack(SplitDays()),
        loudness_engine,
        find_sounds([tmp_path])[0],
        lambda *counts: told.append(counts),
    )
    assert loudness_engine.batches == [(64, 16_000), (6, 16_000)]
    assert told == [(64, 70), (70, 70)]
    assert {one.letter for one in predictions} == {"I"}


def test_the_letter_changes_at_one_half():
    assert [Prediction(Path("x"), prob).letter for prob in (0.0, 0.4999, 0.5, 1.0)] == ["I", "I", "E", "E"]


def test_files_are_found_once_and_folders_to_their_depths(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for path in (deep / "one.wav", deep / "two.FLAC", tmp_path / "three.ogg"):
        soundfile.write(path, np.zeros(1000), 16_000, format=path.suffix[1:].upper())
    (deep / "notes.txt").touch()
    found, _ = find_sounds([deep / "two.FLAC", tmp_path])
    assert found == [deep / "two.FLAC", deep / "one.wav", tmp_path / "three.ogg"]


def test_bad_files_are_named_and_stop_unless_skipped(clip_folder):
    (clip_folder / "train" / "bad.wav").write_text("nothing")
    with pytest.raises(AudioFileError, match=r"cannot read .*bad\.wav.*--skip-bad"):
        find_sounds([clip_folder])
    found, problems = find_sounds([clip_folder, clip_folder / "gone.wav"], skip_bad=True)
    assert len(found) == 24
    assert len(problems) == 2


def test_nothing_to_do_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(AudioFileError, match=r"no \.wav, \.flac, \.ogg file in"):
        find_sounds([tmp_path], skip_bad=True)


def test_both_forms_of_the_table():
    predictions = [Prediction(Path("in, here/a.wav"), 0.51234567), Prediction(Path("b.wav"), 0.25)]
    plain = written(predictions)
    assert plain == 'file,prob_exhale,label\n"in, here/a.wav",0.512346,E\nb.wav,0.250000,I\n'
    assert next(csv.DictReader(io.StringIO(plain)))["file"] == "in, here/a.wav"
    assert written(predictions, kaggle=True) == "ID,Target\na.wav,E\nb.wav,I\n"


def test_two_files_of_one_name_cannot_share_an_id():
    with pytest.raises(ConfigError, match=r"a/x\.wav and b/x\.wav have the same ID"):
        written([Prediction(Path("a/x.wav"), 0.1), Prediction(Path("b/x.wav"), 0.1)], kaggle=True)


def test_output_is_written_as_a_whole_or_not_at_all(tmp_path, capsys):
    target = tmp_path / "out.csv"
    with open_output(target) as text:
        text.write("first\n")
    with pytest.raises(ZeroDivisionError), open_output(target) as text:
        text.write("second\n" * (1 // 0))
    assert target.read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [target]
    with open_output(Path("-")) as text:
        text.write("third\n")
    assert capsys.readouterr().out == "third\n"
    for impossible in (tmp_path, tmp_path / "gone" / "out.csv"):
        with pytest.raises(OutputError, match="cannot write"), open_output(impossible):
            pytest.fail("this must be known before the work begins")


def test_the_base_install_is_enough(clip_folder, toy_pack, tmp_path):
    script = """
import sys
from offline.cli import main
status = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    status = end.code
heavy = {"torch", "torchaudio", "sklearn", "librosa", "scipy", "matplotlib", "onnx"} & set(sys.modules)
assert not heavy, heavy
sys.exit(status)
"""
    out = tmp_path / "out.csv"
    ended = subprocess.run(
        [sys.executable, "-c", script, "predict", clip_folder, "--csv", out, "--pack", toy_pack.path],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(out.read_text().splitlines()) == 25


def test_the_toy_pack_agrees_with_the_toy_engine(clips, toy_pack, loudness_engine):
    paths = [clip.path for clip in clips]
    with OnnxEngine(toy_pack, 1) as engine:
        logits = infer_files(engine, paths)
    np.testing.assert_allclose(logits, infer_files(loudness_engine, paths), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", "a sound"),
        ("b.json", b"fLaC\x00\x00\x00\x22", "a sound"),
        ("c.csv", b"ID,Target\nx,E\n", "labels"),
        ("d.csv", b"file_name,label,day\nx.wav,E,1\n", "labels"),
        ("e.json", b"start_s,end_s,phase\n0,1,inhale\n", "labels"),
        ("f.txt", b"0.1\t0.9\tinhale\n", "labels"),
    ],
)
def test_sounds_and_labels_are_not_replaced_by_results(tmp_path, name, content, what):
    target = tmp_path / name
    target.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{name} holds {what}"):
        check_replaceable(target)
    assert target.read_bytes() == content


def test_results_are_replaced_by_results(tmp_path):
    target = tmp_path / "out.csv"
    check_replaceable(target)
    target.write_text("file,prob_exhale,label\n")
    check_replaceable(target)
    target.write_text("ID,Target\n")
    check_replaceable(target, own_columns=("id", "target"))


def test_predicting_does_not_replace_what_it_hears(clip_folder, toy_pack):
    (sound, *_) = sorted(clip_folder.rglob("*.wav"))
    before = sound.read_bytes()
    arguments = ["predict", "--pack", toy_pack, "--csv", sound, sound]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == ConfigError.exit_code
    assert "holds a sound" in done.stderr
    assert sound.read_bytes() == before
