import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.errors import OutputError
from offline.cli import main
from offline.clips import ClipSet
from offline.compose import stream_set
from offline.compose.choose_days import clips_of_part
from offline.compose.composer import Composer
from offline.compose.material import Material
from offline.compose.settings import ComposeSettings
from offline.split import PARTS, split_by_day
from offline.streams.files import find_streams
from realtime.labels import read_labels

DAYS = tuple(f"2019010{number}" for number in range(1, 7))


@pytest.fixture
def run(clip_set_folder):
    def compose(out, *arguments):
        shared = ["compose", "--data", clip_set_folder, "--out", out, "--seconds", 8]
        return CliRunner().invoke(main, [str(argument) for argument in (*shared, *arguments)])

    return compose


def sidecars(out):
    return {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}


def test_every_stream_is_four_files_named_by_what_it_is(run, tmp_path):
    result = run(
        tmp_path / "out", "--part", "all", "--days", "20190101, 20190102", "--snr", "clean,20", "--n", 2
    )
    assert result.exit_code == 0, result.output
    assert "16 spliced streams of 2 days" in result.output
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    stems = [
        f"spliced-{kind}-{day}-{level}-00{number}"
        for kind in ("fast", "slow")
        for day in DAYS[:2]
        for level in ("clean", "snr20")
        for number in (0, 1)
    ]
    assert found == sorted(f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "json", "txt", "wav"))


def test_files_hold_the_stream_that_their_sidecar_tells_of(run, tmp_path, clip_set_folder):
    out = tmp_path / "out"
    assert run(out, "--part", "all", "--kind", "slow", "--snr", 10, "--seed", 4).exit_code == 0
    material = Material.read(ClipSet.read(clip_set_folder))
    for name, told in sidecars(out).items():
        assert told["kind"] == "slow"
        assert told["is_spliced"] is True
        assert told["snr_db"] == 10
        assert f"-{told['day']}-" in name
        assert told["versions"]["numpy"] == np.__version__
        settings = ComposeSettings(kind="slow", seconds=8, snr_db=(10, 10), clean_share=0)
        assert told["settings"]["long_pause_s"] == list(settings.long_pause_s)
        made = Composer(material, settings).stream(told["seed"], told["day"])
        samples, rate_hz = soundfile.read(out / f"{name}.wav", dtype="float32")
        assert rate_hz == 16_000
        assert soundfile.info(out / f"{name}.wav").subtype == "PCM_16"
        np.testing.assert_array_equal(samples, made.samples)
        assert read_labels(out / f"{name}.csv") == read_labels(out / f"{name}.txt") == made.phases
        assert [clip["file"] for clip in told["clips"]] == [c["file"] for c in made.parameters["clips"]]


def test_no_day_is_in_two_parts(run, tmp_path, clip_set_folder):
    days = {}
    for part in PARTS:
        arguments = ("--part", part, "--seed-split", 3, "--kind", "fast", "--snr", "clean")
        result = run(tmp_path / part, *arguments)
        assert result.exit_code == 0, result.output
        told = sidecars(tmp_path / part).values()
        assert {stream["part"] for stream in told} == {part}
        days[part] = {clip["file"].split("_")[1] for stream in told for clip in stream["clips"]}
        assert days[part] == {stream["day"] for stream in told}
    split = split_by_day(ClipSet.read(clip_set_folder), 3)
    assert days == {part: set(split.days_of(part)) for part in PARTS}


def test_the_split_of_a_pack_says_which_days_are_for_what(run, tmp_path, toy_pack):
    for part, day in zip(PARTS, DAYS, strict=False):
        out = tmp_path / part
        result = run(out, "--part", part, "--pack", toy_pack.path, "--kind", "fast", "--snr", "clean")
        assert result.exit_code == 0, result.output
        assert list(sidecars(out)) == [f"spliced-fast-{day}-clean-000"]


def test_a_stream_is_the_same_whatever_is_made_with_it(run, tmp_path):
    many, one = tmp_path / "many", tmp_path / "one"
    assert run(many, "--part", "all", "--snr", "clean,5").exit_code == 0
    assert run(one, "--part", "all", "--snr", 5, "--kind", "slow", "--days", DAYS[3]).exit_code == 0
    name = f"spliced-slow-{DAYS[3]}-snr5-000.wav"
    assert (many / name).read_bytes() == (one / name).read_bytes()
    other = tmp_path / "other"
    assert run(other, "--part", "all", "--snr", 5, "--days", DAYS[3], "--seed", 1).exit_code == 0
    assert (other / name).read_bytes() != (one / name).read_bytes()


def test_levels_of_noise_are_heard_over_the_same_breathing(run, tmp_path):
    out = tmp_path / "out"
    assert run(out, "--part", "all", "--days", DAYS[0], "--snr", "clean,20,5", "--n", 2).exit_code == 0
    labels = {path.stem: path.read_text() for path in out.glob("*.csv")}
    for kind in ("fast", "slow"):
        for number in (0, 1):
            levels = [f"spliced-{kind}-{DAYS[0]}-{level}-00{number}" for level in ("clean", "snr20", "snr5")]
            assert len({labels[name] for name in levels}) == 1
            assert len({(out / f"{name}.wav").read_bytes() for name in levels}) == 3
    assert len(set(labels.values())) == 4


def test_streams_without_breath_and_one_of_silence(run, tmp_path, negatives_folder):
    out = tmp_path / "out"
    arguments = ("--part", "all", "--days", DAYS[0], "--kind", "fast", "--snr", "clean")
    result = run(out, *arguments, "--negatives", negatives_folder, "--negative-streams", 2)
    assert result.exit_code == 0, result.output
    for name in ("negative-000", "negative-001", "silence-000"):
        assert (out / f"{name}.csv").read_text() == "start_s,end_s,phase\n"
        assert read_labels(out / f"{name}.txt") == ()
        samples, _ = soundfile.read(out / f"{name}.wav")
        assert len(samples) == 8 * 16_000
        assert samples.any() == (name != "silence-000")
    told = sidecars(out)
    assert told["silence-000"]["kind"] == "silence"
    assert told["negative-000"]["kind"] == "negative"
    assert all(stream.is_spliced for stream in find_streams(out))


def test_days_with_too_few_clips_are_named(run, tmp_path, clip_set_folder):
    table = clip_set_folder / "train.csv"
    rows = [
        row for row in table.read_text().splitlines() if not row.startswith(f"steth_{DAYS[0]}_09_30_00_I_000")
    ]
    table.write_text("\n".join(rows) + "\n")
    result = run(tmp_path / "out", "--part", "all", "--kind", "fast", "--snr", "clean")
    assert result.exit_code == 0, result.output
    assert f"left out for want of clips: {DAYS[0]}" in result.output
    assert "5 spliced streams of 5 days" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--part", "all", "--snr", "loud"), 2, "'loud' is neither clean nor"),
        (("--part", "all", "--snr", "99"), 2, "not between -30 and 60"),
        (("--part", "all", "--snr", ","), 2, "at least one level"),
        (("--part", "all", "--days", "20200101"), 2, "no clips of the day 20200101"),
        (("--part", "all", "--negative-streams", 1), 2, "give --negatives"),
        (("--part", "all", "--seconds", 0), 2, "--seconds"),
        (("--part", "all", "--timelines", "no.csv"), 5, "no.csv"),
        (("--pack", "no-pack"), 4, "no model pack at no-pack"),
    ],
)
def test_what_cannot_be_done_is_said(run, tmp_path, arguments, code, words):
    result = run(tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert words in result.output


def test_streams_of_two_runs_are_not_mixed(run, tmp_path):
    arguments = ("--part", "all", "--days", DAYS[0], "--kind", "fast", "--snr", "clean")
    assert run(tmp_path / "out", *arguments).exit_code == 0
    result = run(tmp_path / "out", *arguments)
    assert result.exit_code == 6
    assert "give --out a new folder" in result.output


def test_a_sound_that_cannot_be_read_is_told_before_anything_is_written(run, tmp_path, negatives_folder):
    for number in range(12):
        (negatives_folder / f"broken{number}.wav").write_bytes(b"no sound at all")
    arguments = ("--part", "all", "--days", DAYS[0], "--negatives", negatives_folder, "--negative-streams", 2)
    result = run(tmp_path / "out", *arguments)
    assert result.exit_code == 3
    assert f"12 sounds in {negatives_folder} cannot be used" in result.output
    assert "and 2 more" in result.output
    assert not (tmp_path / "out").exists()


def test_what_fails_in_the_middle_leaves_no_half_of_a_set(run, tmp_path, monkeypatch):
    written = stream_set._write_stream
    names = []

    def full(out, name, *content):
        names.append(name)
        if len(names) == 3:
            raise OutputError("no space left")
        written(out, name, *content)

    monkeypatch.setattr(stream_set, "_write_stream", full)
    result = run(tmp_path / "out", "--part", "all", "--kind", "fast", "--snr", "clean")
    assert result.exit_code == 6
    assert not (tmp_path / "out").exists()


def test_what_fails_while_it_is_put_in_its_place_leaves_nothing(run, tmp_path, monkeypatch):
    rename, moved = Path.rename, []

    def interrupted(self, target):
        if self.parent.name == ".partial":
            moved.append(target)
            if len(moved) == 3:
                raise OSError("interrupted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    result = run(tmp_path / "out", "--part", "all", "--kind", "fast", "--snr", "clean")
    assert result.exit_code == 6
    assert not (tmp_path / "out").exists()


def test_days_may_be_called_anything(run, tmp_path, clip_set_folder):
    table = clip_set_folder / "train.csv"
    head, *rows = table.read_text().splitlines()
    days = {DAYS[0]: "16/05/2019", DAYS[1]: "16:05:2019", DAYS[2]: "../c"}
    named = [f"{row},{days.get(row[6:14], row[6:14])}" for row in rows]
    table.write_text("\n".join([f"{head},day", *named]) + "\n")
    out = tmp_path / "out"
    result = run(out, "--part", "all", "--kind", "fast", "--snr", "clean")
    assert result.exit_code == 0, result.output
    told = sidecars(out)
    assert {content["day"] for content in told.values()} == {*days.values(), *DAYS[3:]}
    assert len(told) == len(DAYS)
    assert {stream.day for stream in find_streams(out)} == {*days.values(), *DAYS[3:]}


def test_a_day_of_another_part_is_refused(clip_set_folder):
    clips = ClipSet.read(clip_set_folder)
    split = split_by_day(clips, 0)
    foreign = split.train[0]
    with pytest.raises(Exception, match=f"{foreign} belongs to train, not to test"):
        clips_of_part(clips, "test", split, [foreign])
    with pytest.raises(Exception, match="only a split says"):
        clips_of_part(clips, "test", None)
    assert set(clips_of_part(clips, "train", split).days) == set(split.train)
    assert len(clips_of_part(clips, "all", None)) == len(clips)
