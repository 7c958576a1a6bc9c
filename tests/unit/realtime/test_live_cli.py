"""breath-live as people and programs meet it: streams, files, exit codes, help. The engine is real."""

import csv
import io
import json
import os
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.errors import DeviceLostError
from realtime.cli import cli
from realtime.cli_errors import BreathGroup
from realtime.config import Given, resolve
from realtime.events import Phase
from realtime.live import run
from realtime.sound.demo import DemoSource
from realtime.sound.sources import ArraySource

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _settings(clean_environment, monkeypatch, tiny_pack):
    monkeypatch.setenv("BREATH_PACK", str(tiny_pack))


@pytest.fixture
def recording(tmp_path):
    """Six seconds of the demo breather as a WAV file."""
    path = tmp_path / "breath.wav"
    samples = np.concatenate([block.samples for block in DemoSource(6.0, pace=0).blocks()])
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    return path


def live(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="breath-live")


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        (["replay", "{long}.wav"], 3),
        (["demo", "--seconds", "2", "--events", "{long}"], 6),
        (["demo", "--seconds", "2", "--record", "{long}.wav"], 6),
        (["demo", "--pack", "{long}"], 4),
        (["demo", "--config", "{long}"], 2),
    ],
)
def test_a_name_that_no_file_can_have_is_said_so(command, exit_code):
    done = live(*(part.format(long="a" * 300) for part in command))
    assert done.exit_code == exit_code, done.output
    assert "File name too long" in done.output
    assert done.output.count("error:") == 1


def test_a_rate_that_is_not_heard_is_said_with_the_file(tmp_path, recording):
    slow = tmp_path / "slow.wav"
    soundfile.write(slow, np.zeros(3000), 1000)
    done = live("replay", recording, slow)
    assert done.exit_code == 3
    assert f"{slow}: a sampling rate of 1000 Hz cannot be used" in done.output


@pytest.mark.parametrize("name", ["night.wav", "night.flac"])
def test_a_recording_in_a_folder_that_is_not_there_says_so(tmp_path, name):
    done = live("demo", "--seconds", "2", "--record", tmp_path / "none" / name)
    assert done.exit_code == 6
    assert "cannot be written (No such file or directory); name a file in a folder that exists" in done.output


def test_a_configuration_that_is_no_toml_is_named_with_what_to_do(tmp_path):
    (tmp_path / "breath.toml").write_text("hop_s = = 1\n")
    done = live("demo", "--config", tmp_path / "breath.toml")
    assert done.exit_code == 2
    assert "breath.toml is not valid TOML" in done.output
    assert "mend that line" in done.output


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_importing_the_command_line_imports_nothing_heavy():
    code = "import sys, realtime.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    heavy = {
        "numpy",
        "rich",
        "msgspec",
        "onnxruntime",
        "soundfile",
        "sounddevice",
        "soxr",
        "torch",
        "platformdirs",
    }
    assert heavy.isdisjoint(done.stdout.split())


def test_help_has_examples_exit_codes_and_the_options_of_listening():
    text = live("--help").stdout
    for part in (
        "breath-live replay night.wav",
        "130  interrupted",
        "--device N|NAME",
        "--events FILE.jsonl",
    ):
        assert part in text


@pytest.mark.parametrize("args", [["--version"], ["-h"], *([name, "--help"] for name in cli.commands)])
def test_asking_for_words_is_no_error(args):
    result = live(*args)
    assert result.exit_code == 0
    assert "breath-live" in result.stdout


def test_the_demo_is_heard_right(tmp_path):
    frames, events = tmp_path / "frames.csv", tmp_path / "events.jsonl"
    result = live("demo", "--pace", 0, "--seconds", 20, "--frames", frames, "--events", events)
    assert result.exit_code == 0, result.stderr
    heard = rows(frames.read_text())
    assert [float(row["time_s"]) for row in heard] == [round(1.0 + 0.1 * i, 6) for i in range(191)]
    source = DemoSource(20.0, pace=0)
    for _ in source.blocks():
        pass
    truth = [phase for phase in source.phases if phase.phase is not Phase.NONE]
    agreed = [
        row["phase"] == phase.phase
        for row in heard
        for phase in truth
        # The networks of the small pack look at the newest quarter second.
        if phase.start_sample + 8000 <= float(row["time_s"]) * 16000 <= phase.end_sample - 8000
    ]
    assert len(agreed) > 50
    assert np.mean(agreed) > 0.9
    said = [json.loads(line) for line in events.read_text().splitlines()]
    changes = [event for event in said if event["event"] == "phase"]
    assert all(before["phase"] != after["phase"] for before, after in pairwise(changes))
    assert all(change["onset_s"] <= change["reported_s"] for change in changes)
    assert set(changes[0]) == {"event", "phase", "onset_s", "reported_s", "confidence"}
    assert len(result.stdout.splitlines()) == len(changes)
    assert "heard 20.0 s, 191 windows, 0 skipped, 0 samples lost" in result.stderr
    assert "engine onnxruntime (" in result.stderr


@pytest.mark.parametrize("option", ["--frames", "--events", "--breaths"])
def test_standard_output_holds_data_and_nothing_else(recording, tmp_path, option):
    path = tmp_path / "to_file"
    assert live("replay", recording, option, path).exit_code == 0
    result = live("replay", recording, option, "-")
    assert result.exit_code == 0
    assert result.stdout == path.read_text()
    assert "latency p50" in result.stderr


def test_several_recordings_each_start_anew_and_are_named(recording, tmp_path):
    alone = live("replay", recording, "--frames", "-")
    other = tmp_path / "other.flac"
    soundfile.write(other, np.zeros(32000), 16000)
    events = tmp_path / "events.jsonl"
    both = live("replay", other, recording, "--frames", "-", "--events", events)
    assert both.exit_code == 0, both.stderr
    heard = rows(both.stdout)
    assert {row["file"] for row in heard} == {str(recording), str(other)}
    assert "file" not in rows(alone.stdout)[0]
    again = [row for row in heard if row.pop("file") == str(recording)]
    assert again == rows(alone.stdout)
    assert {json.loads(line)["file"] for line in events.read_text().splitlines()} == {str(recording)}
    assert both.stderr.count("latency p50") == 2


def test_the_size_of_blocks_changes_nothing(recording):
    results = {live("replay", recording, "--frames", "-", "--block-samples", n).stdout for n in (1000, 7777)}
    assert results == {live("replay", recording, "--frames", "-").stdout}


@pytest.mark.parametrize("seconds", [1.75, 0.3])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_after_so_many_seconds_it_ends_as_if_the_sound_had(recording, tmp_path, rate_hz, seconds):
    samples, _ = soundfile.read(recording, dtype="float32")
    shorter = tmp_path / "shorter.wav"
    soundfile.write(recording, samples, rate_hz, subtype="FLOAT")
    soundfile.write(shorter, samples[: round(seconds * rate_hz)], rate_hz, subtype="FLOAT")
    expected = live("replay", shorter, "--frames", "-").stdout
    for n_block in (1000, 77777):
        written = tmp_path / f"{n_block}.wav"
        result = live(
            "replay", recording, "--seconds", seconds, "--block-samples", n_block,
            "--frames", "-", "--record", written,
        )  # fmt: skip
        assert result.stdout == expected
        assert soundfile.info(written).duration == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--hop", "7"], 2, "--hop: hop_s must be a number from 0.01 to 1 s, not 7"),
        (["demo", "--hop", "fast"], 2, "--hop: hop_s must be a number"),
        (["demo", "--set", "decision.margn=1"], 2, "did you mean 'decision.margin'"),
        (["demo", "--lookahead", "2"], 2, "--lookahead: lookahead_s must be a number from 0 to 1 s"),
        (["demo", "--set", "seed"], 2, "KEY=VALUE"),
        (["demo", "--frames", "-", "--events", "-"], 2, "cannot both go to standard output"),
        (["demo", "--breaths", "-", "--events", "-"], 2, "events and breaths cannot both go to"),
        (["demo", "--set", "breathing.apnoea_s=1"], 2, "a number from 2 to 600 s"),
        (["demo", "--apnoea", "1"], 2, "--apnoea: breathing.apnoea_s must be a number from 2 to 600 s"),
        (["--no-such-flag"], 2, "No such option"),
        (["rplay"], 2, "Did you mean 'replay'"),
        (["pyproject.toml"], 2, "breath-live replay pyproject.toml"),
        (["replay"], 2, "FILE..."),
        (["replay", "none.wav"], 3, "there is no file none.wav"),
        (["replay", ".", "--events", "-"], 3, "is a folder"),
        (["demo", "--record", ""], 2, "--record: record is empty"),
        (["demo", "--events", ""], 2, "--events: events is empty"),
        (["demo", "--pack", "none"], 4, "no model pack at none"),
        (["demo", "--engine", "tensorrt"], 4, "tensorrt"),
        (["demo", "--events", "none/events.jsonl"], 6, "none/events.jsonl cannot be written"),
        (
            ["demo", "--events", "none/events.jsonl", "--pack", "none"],
            6,
            "none/events.jsonl cannot be written",
        ),
    ],
)
def test_what_goes_wrong_has_its_exit_code_and_one_line(monkeypatch, args, code, words):
    monkeypatch.chdir(PROJECT)
    result = live(*args)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_frames_and_events_do_not_share_a_file_nor_destroy_the_recording(recording, tmp_path):
    before = recording.read_bytes()
    same = tmp_path / "same"
    assert live("demo", "--frames", same, "--events", tmp_path / "." / "same").exit_code == 2
    assert live("replay", recording, "--frames", recording).exit_code == 2
    assert recording.read_bytes() == before


def test_a_channel_that_is_asked_for_has_to_be_there(tmp_path, monkeypatch):
    recording = tmp_path / "mono.wav"
    soundfile.write(recording, np.zeros(20_000, np.float32), 16_000)
    for flags in (["--channel", "1"], ["--set", "channel=1"]):
        refused = live("replay", recording, *flags)
        assert refused.exit_code == 2
        assert "there is no channel 1" in refused.stderr
        served = live("serve", "--port", 0, "--source", recording, "--pace", 0, *flags)
        assert served.exit_code == 2, served.stderr
    monkeypatch.setenv("BREATH_CHANNEL", "1")
    assert live("replay", recording).exit_code == 0


def test_breaths_are_written_as_rows_and_as_events(tmp_path):
    table, events = tmp_path / "breaths.csv", tmp_path / "events.jsonl"
    result = live("demo", "--pace", 0, "--seconds", 30, "--breaths", table, "--events", events)
    assert result.exit_code == 0, result.stderr
    said = [json.loads(line) for line in events.read_text().splitlines()]
    told = [event for event in said if event["event"] == "breath"]
    written = rows(table.read_text())
    assert len(written) == len(told) > 3
    for row, event in zip(written, told, strict=True):
        assert {key: "" if event[key] is None else str(event[key]) for key in row} == row
    assert f"{len(told)} complete breaths" in result.stderr
    cycles_s = np.array([float(row["cycle_s"]) for row in told])
    assert f"all breaths: {60 / cycles_s.mean():.1f} breaths/min, " in result.stderr
    assert f"SD of the cycle {cycles_s.std(ddof=1):.2f} s, RMSSD " in result.stderr
    source = DemoSource(30.0, pace=0)
    for _ in source.blocks():
        pass
    starts = [phase.start_sample / 16000 for phase in source.phases if phase.phase is Phase.INHALE]
    true_rate = 60 * (len(starts) - 1) / (starts[-1] - starts[0])
    assert float(written[-1]["minute_rate_per_min"]) == pytest.approx(true_rate, rel=0.15)


def test_how_long_a_pause_without_breath_is_told_can_be_chosen(tmp_path):
    breathing = np.concatenate([block.samples for block in DemoSource(6.0, pace=0).blocks()])
    path = tmp_path / "pause.wav"
    soundfile.write(path, np.concatenate([breathing, np.zeros((6 * 16000, 1)), breathing]), 16000)

    def pauses(*args):
        told = map(json.loads, live("replay", path, "--events", "-", *args).stdout.splitlines())
        return [event for event in told if event["event"] == "apnoea"]

    assert pauses() == []
    begin, end = pauses("--apnoea", 4)
    assert (begin["state"], end["state"]) == ("begins", "ends")
    assert begin["duration_s"] == pytest.approx(4.0, abs=0.11)
    assert begin["onset_s"] == pytest.approx(6.0, abs=1.5)
    assert end["duration_s"] == pytest.approx(6.0, abs=1.5)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--pack", "nosuch"), 4),
        (("--channel", 5), 2),
        (("--events", "nowhere/x.jsonl"), 6),
        (("--engine", "tensorrt"), 4),
    ],
)
def test_what_cannot_begin_leaves_results_of_before_alone(recording, tmp_path, args, code):
    frames = tmp_path / "frames.csv"
    before = "time_s,prob_exhale,phase\n1.0,0.5,none\n"
    frames.write_text(before)
    assert live("replay", recording, "--frames", frames, *args).exit_code == code
    assert frames.read_text() == before


def test_the_labels_of_a_recording_are_not_written_over(recording, tmp_path):
    labels = tmp_path / "breath.csv"
    for _ in range(2):
        assert live("replay", recording, "--frames", labels).exit_code == 0
    labels.write_text("start_s,end_s,phase\n")
    result = live("replay", recording, "--frames", labels)
    assert result.exit_code == 2
    assert "holds the labels of the recording" in result.stderr
    assert "breath-frames.csv" in result.stderr
    assert labels.read_text() == "start_s,end_s,phase\n"


def test_another_name_of_the_recording_is_not_written_to(recording, tmp_path):
    before = recording.read_bytes()
    other = tmp_path / "other.csv"
    other.hardlink_to(recording)
    assert live("replay", recording, "--frames", other).exit_code == 2
    assert recording.read_bytes() == before


@pytest.mark.parametrize(("rate_hz", "channel", "code"), [(2_000, None, 3), (16_000, 1, 2)])
def test_a_recording_that_cannot_be_heard_is_told_of_before_any_is(tmp_path, rate_hz, channel, code):
    sound = np.zeros((16_000, 2), np.float32)
    soundfile.write(tmp_path / "first.wav", sound, 16_000)
    soundfile.write(tmp_path / "second.wav", sound[:, 0], rate_hz)
    flags = () if channel is None else ("--channel", channel)
    result = live("replay", tmp_path / "first.wav", tmp_path / "second.wav", "--frames", "-", *flags)
    assert result.exit_code == code
    assert result.stdout == ""


def test_an_empty_file_and_a_pipe_are_called_what_they_are(tmp_path):
    (tmp_path / "empty.wav").touch()
    assert "is empty" in live("replay", tmp_path / "empty.wav").stderr
    os.mkfifo(tmp_path / "pipe.wav")
    assert "is a pipe" in live("replay", tmp_path / "pipe.wav").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is Linux")
@pytest.mark.parametrize("words", ["replay x.wav --print-config", "completion bash"])
def test_standard_output_without_room_is_an_error_of_output(words):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "realtime.cli", *words.split()]
        done = subprocess.run(command, cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 6
    assert "standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_slip_in_the_last_name_leaves_results_of_before_alone(recording, tmp_path):
    frames = tmp_path / "frames.csv"
    frames.write_text("yesterday")
    assert live("replay", recording, tmp_path / "none.wav", "--frames", frames).exit_code == 3
    assert frames.read_text() == "yesterday"


def test_a_cut_off_recording_is_heard_with_a_warning(recording):
    recording.write_bytes(recording.read_bytes()[:-100_000])
    result = live("replay", recording)
    assert result.exit_code == 0
    assert "cut off" in result.stderr
    assert "inhale" in result.stdout


def test_settings_are_printed_with_their_origins(monkeypatch, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("channel = 1\n")
    monkeypatch.setenv("BREATH_ENGINE", "torch")
    flags = ["--hop", "0.2", "--lookahead", "0.4", "--set", "decision.lengths.sigma=0.5", "--no-display"]
    result = live(*flags, "--config", file, "--print-config")
    assert result.exit_code == 0
    lines = [line.rpartition("#") for line in result.stdout.splitlines()]
    origins = {text.strip(): origin.strip() for text, _, origin in lines}
    assert origins["hop_s = 0.2"] == "--hop"
    assert origins['engine = "torch"'] == "BREATH_ENGINE"
    assert origins["channel = 1"] == str(file)
    assert origins["display = false"] == "--display/--no-display"
    assert origins["lookahead_s = 0.4"] == "--lookahead"
    assert origins["sigma = 0.5"] == "--set"
    assert origins["# seed = 0"] == "default"
    assert tomllib.loads(result.stdout)["decision"]["lengths"]["sigma"] == 0.5
    assert live("listen", *flags, "--config", file, "--print-config").stdout == result.stdout


class _Unplugged(ArraySource):
    """A microphone whose plug is pulled after two seconds."""

    is_live = True

    def blocks(self):
        yield from super().blocks()
        raise DeviceLostError("'USB' has stopped delivering sound; check its plug")


def test_a_lost_device_ends_with_a_summary_and_a_message(tmp_path):
    events = tmp_path / "events.jsonl"
    config = resolve({"events": Given(str(events), "--events")}).config
    samples = np.random.default_rng(1).standard_normal(32000).astype(np.float32) * 0.1

    @click.group("breath-live", cls=BreathGroup)
    def group():
        pass

    @group.command()
    def listen():
        run(config, iter([_Unplugged(samples, 16000, name="USB")]))

    result = CliRunner().invoke(group, ["listen"])
    assert result.exit_code == 3
    assert "USB: heard 2.0 s" in result.stderr
    assert "error: 'USB' has stopped delivering sound" in result.stderr
    assert events.read_text().startswith('{"event":"phase"')


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is Linux")
def test_rows_without_room_are_an_error_of_output_and_nothing_else(recording, tiny_pack):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "realtime.cli", "replay", str(recording), "--pack", str(tiny_pack)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--frames", "-"], cwd=PROJECT, env=env, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 6
    assert "standard output cannot be written" in done.stderr
    assert "Exception" not in done.stderr
