"""A microphone that goes and comes back while breath-live listens, for real: a sound server, PortAudio."""

import csv
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from engines.contract import RATE_HZ
from realtime.sound.demo import DemoSource

pytestmark = pytest.mark.soundcard

GIVE_UP_S = 60


class Listening:
    """breath-live as a process, its files read while it runs."""

    def __init__(self, microphone, pack, folder, *options):
        self.frames, self.events = folder / "frames.csv", folder / "events.jsonl"
        # A file, because a full pipe would hold the program up.
        self.said_path = folder / "said.txt"
        with self.said_path.open("wb") as said:
            self.child = subprocess.Popen(
                [
                    sys.executable, "-m", "realtime.cli", "--device", "pulse", "--pack", str(pack),
                    "--frames", str(self.frames), "--events", str(self.events), *map(str, options),
                ],
                env=microphone.env | {"XDG_CONFIG_HOME": os.devnull},
                stdout=subprocess.DEVNULL,
                stderr=said,
            )  # fmt: skip

    def until(self, is_reached):
        give_up_at = time.monotonic() + GIVE_UP_S
        while not is_reached():
            assert self.child.poll() is None, self.said
            assert time.monotonic() < give_up_at, self.said
            time.sleep(0.05)

    def exit_code(self):
        return self.child.wait(GIVE_UP_S)

    @property
    def said(self):
        return self.said_path.read_text()

    @property
    def times_s(self):
        if not self.frames.exists():
            return []
        with self.frames.open(newline="") as file:
            return [float(row["time_s"]) for row in csv.DictReader(file) if row["phase"]]

    def seen(self, kind):
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def stalls(self, state):
        return [e for e in self.seen("health") if (e["condition"], e["state"]) == ("stalled", state)]


@pytest.fixture
def listening(virtual_microphone, tiny_pack, tmp_path):
    started = []

    def start(*options):
        started.append(Listening(virtual_microphone, tiny_pack, tmp_path, *options))
        return started[-1]

    yield start
    for each in started:
        each.child.kill()
        each.child.wait()


@pytest.fixture(scope="module")
def breathing_wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "breathing.wav"
    soundfile.write(path, np.concatenate([b.samples for b in DemoSource(20, pace=None).blocks()]), RATE_HZ)
    return path


def the_gap(heard):
    """The one that was meant: a busy machine may make others."""
    (gap,) = (gap for gap in heard.seen("gap") if gap["reason"] != "this machine was too busy")
    return gap


def assert_one_gap(heard, reasons):
    gap = the_gap(heard)
    assert gap["reason"] in reasons
    assert not [time_s for time_s in heard.times_s if gap["from_s"] < time_s < gap["to_s"]]
    # What was heard before never shares a window with what came after.
    assert min(time_s for time_s in heard.times_s if time_s >= gap["to_s"]) >= gap["to_s"] + 1.0 - 1e-3
    (end,) = (end for end in heard.stalls("ends") if end["time_s"] == pytest.approx(gap["to_s"], abs=1e-3))
    assert [begin for begin in heard.stalls("begins") if begin["time_s"] <= end["time_s"]]
    assert end["value"] == pytest.approx(gap["to_s"] - gap["from_s"], abs=1e-3)
    return gap


def test_a_source_that_goes_and_comes_back_is_a_gap(virtual_microphone, listening, breathing_wav):
    virtual_microphone.play(breathing_wav)
    heard = listening("--seconds", 20)
    heard.until(lambda: len(heard.times_s) > 12)
    unplugged_at = time.monotonic()
    virtual_microphone.unplug_source()
    heard.until(lambda: heard.stalls("begins"))
    assert "'pulse' is not heard any more (device lost); waiting for it" in heard.said
    virtual_microphone.replug_source()
    away_s = time.monotonic() - unplugged_at
    virtual_microphone.play(breathing_wav)
    assert heard.exit_code() == 0, heard.said
    gap = assert_one_gap(heard, {"device lost"})
    assert gap["to_s"] - gap["from_s"] > 0.9 * away_s
    assert heard.times_s[-1] == pytest.approx(20.0, abs=0.11)
    assert "'pulse' is heard again" in heard.said
    assert "Expression" not in heard.said
    assert "ALSA" not in heard.said
    assert {event["phase"] for event in heard.seen("phase") if event["onset_s"] > gap["to_s"]}


def test_a_session_ends_in_time_although_the_source_never_comes_back(virtual_microphone, listening):
    heard = listening("--seconds", 5)
    heard.until(lambda: len(heard.times_s) > 5)
    virtual_microphone.unplug_source()
    assert heard.exit_code() == 0, heard.said
    assert the_gap(heard)["to_s"] == pytest.approx(5.0, abs=0.5)
    assert re.search(r"heard \d\.\d s of 5\.\d s, ", heard.said)


def test_patience_has_an_end(virtual_microphone, listening):
    heard = listening("--reconnect-seconds", 2)
    heard.until(lambda: len(heard.times_s) > 5)
    virtual_microphone.unplug_source()
    assert heard.exit_code() == 3, heard.said
    assert "did not come back within 2 s" in heard.said.splitlines()[-1]
    gap = the_gap(heard)
    assert gap["to_s"] - gap["from_s"] == pytest.approx(2.0, abs=1.0)


def test_a_stuck_sound_server_holds_nothing_up(virtual_microphone, listening):
    heard = listening("--seconds", 12)
    heard.until(lambda: len(heard.times_s) > 5)
    virtual_microphone.freeze()
    heard.until(lambda: "is not heard any more" in heard.said)
    virtual_microphone.thaw()
    heard.until(lambda: heard.stalls("ends"))
    virtual_microphone.freeze()
    assert heard.exit_code() == 0, heard.said
    assert len(heard.stalls("begins")) >= 2
    assert {gap["reason"] for gap in heard.seen("gap")} <= {"device lost", "this machine was too busy"}
