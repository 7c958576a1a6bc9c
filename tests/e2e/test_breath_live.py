"""breath-live as a person starts it: a process, a microphone, a recording."""

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from engines.contract import RATE_HZ
from realtime.sound.demo import DemoSource

LIVE = [sys.executable, "-m", "realtime.cli"]
TIMEOUT_S = 90


def environment(**extra):
    env = {name: value for name, value in os.environ.items() if not name.startswith("BREATH_")}
    return env | {"XDG_CONFIG_HOME": os.devnull} | extra


@pytest.fixture(scope="module")
def breathing_wav(tmp_path_factory):
    """Ten seconds of the demo breather at 44.1 kHz, two channels."""
    import soxr

    source = DemoSource(seed=5, seconds=10.0, pace=None)
    sound = np.concatenate([block.samples[:, 0] for block in source.blocks()])
    path = tmp_path_factory.mktemp("sound") / "breathing.wav"
    at_44k = soxr.resample(sound, RATE_HZ, 44_100)
    soundfile.write(path, np.stack([at_44k, at_44k], axis=1), 44_100)
    return path


@pytest.fixture(scope="module")
def long_breathing_wav(tmp_path_factory):
    """A minute, so that there is breath however slowly the program starts."""
    path = tmp_path_factory.mktemp("sound") / "breathing.wav"
    source = DemoSource(seed=5, seconds=60.0, pace=None)
    soundfile.write(path, np.concatenate([block.samples for block in source.blocks()]), RATE_HZ)
    return path


def read_frames(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(*arguments, env=None):
    return subprocess.run(
        [*LIVE, *map(str, arguments)],
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.soundcard
def test_the_microphone_is_followed(virtual_microphone, long_breathing_wav, tiny_pack, tmp_path):
    frames, events = tmp_path / "frames.csv", tmp_path / "events.jsonl"
    playing = virtual_microphone.play(long_breathing_wav)
    done = run(
        "--device", "pulse", "--seconds", 9, "--pack", tiny_pack, "--frames", frames, "--events", events,
        env=virtual_microphone.env | {"XDG_CONFIG_HOME": os.devnull},
    )  # fmt: skip
    playing.terminate()
    assert done.returncode == 0, done.stderr
    rows = read_frames(frames)
    # A machine that is held up leaves windows out, and answers those that it does at their own times.
    first_s = float(rows[0]["time_s"])
    assert 1.0 <= first_s < 3.0
    assert first_s * 10 == pytest.approx(round(first_s * 10), abs=1e-5)
    assert {"inhale", "exhale"} <= {row["phase"] for row in rows}
    seen = [json.loads(line) for line in events.read_text().splitlines()]
    assert {event["phase"] for event in seen if event["event"] == "phase"} >= {"inhale", "exhale"}
    phases = [event for event in seen if event["event"] == "phase"]
    assert all(0 <= event["onset_s"] <= event["reported_s"] for event in phases)


@pytest.mark.soundcard
def test_an_unplugged_microphone_ends_with_a_summary_and_exit_code_3(
    virtual_microphone, breathing_wav, tiny_pack, tmp_path
):
    frames = tmp_path / "frames.csv"
    virtual_microphone.play(breathing_wav)
    command = [*LIVE, "--device", "pulse", "--pack", str(tiny_pack), "--frames", str(frames)]
    command += ["--reconnect-seconds", "0"]
    env = virtual_microphone.env | {"XDG_CONFIG_HOME": os.devnull}
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while child.poll() is None and (not frames.exists() or len(frames.read_text().splitlines()) < 12):
            time.sleep(0.05)
        virtual_microphone.unplug()
        _, said = child.communicate(timeout=TIMEOUT_S)
    finally:
        child.kill()
    assert child.returncode == 3, said
    assert "heard" in said
    assert "breath-live: error:" in said.splitlines()[-1]


def test_a_replay_gives_the_same_at_any_pace_and_block_size(breathing_wav, tiny_pack, tmp_path):
    outputs = []
    for number, options in enumerate(([], ["--pace", "4"], ["--block-samples", "777"])):
        frames, events = tmp_path / f"{number}.csv", tmp_path / f"{number}.jsonl"
        done = run(
            "replay", breathing_wav, "--pack", tiny_pack, "--frames", frames, "--events", events, *options
        )
        assert done.returncode == 0, done.stderr
        outputs.append((frames.read_text(), events.read_text()))
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0][0].splitlines()) == 1 + 91


def test_a_replay_on_the_shipped_pack_imports_no_torch_and_keeps_its_memory_small(breathing_wav, tmp_path):
    script = (
        "import sys\n"
        "from realtime.cli import cli\n"
        "cli(['replay', sys.argv[1], '--frames', sys.argv[2]], standalone_mode=False)\n"
        "heavy = {'torch', 'librosa', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "import psutil\n"
        "print(sorted(heavy), psutil.Process().memory_info().rss // 2**20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(breathing_wav), str(tmp_path / "frames.csv")],
        env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heavy, rest = done.stdout.splitlines()[-1].rsplit(" ", 1)
    assert heavy == "[]"
    assert int(rest) < 300, "resident memory, MiB"
    assert len(read_frames(tmp_path / "frames.csv")) == 91


def test_a_truncated_recording_is_heard_up_to_the_cut(breathing_wav, tiny_pack, tmp_path):
    cut = tmp_path / "cut.wav"
    content = breathing_wav.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    done = run("replay", cut, "--pack", tiny_pack, "--frames", tmp_path / "frames.csv")
    assert done.returncode == 0, done.stderr
    assert "cut" in done.stderr
    assert len(read_frames(tmp_path / "frames.csv")) == pytest.approx(41, abs=2)
