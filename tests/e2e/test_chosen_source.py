"""The microphones of a sound server, for real: two with different sound, chosen, unplugged, calibrated."""

import csv
import datetime
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from realtime.calibration.measurement import Calibration
from realtime.calibration.profiles import save_profile

pytestmark = pytest.mark.soundcard

RATE_HZ = 16_000
TONE_HZ = {"Headset": 700, "Laptop": 500}

# Arguments: the device as JSON, seconds. Prints a line once it hears, and JSON at the end.
CAPTURE = """
import ctypes, json, sys
import numpy as np
from engines.errors import BreathError
from realtime.sound.microphone import MicrophoneOpener
from realtime.sound.reconnect import LastingSource
said, pieces = {"notices": [], "hz": [], "at_s": []}, []
try:
    with LastingSource(MicrophoneOpener(json.loads(sys.argv[1]), min_channels=int(sys.argv[3]))) as source:
        said |= {"name": source.name, "n_channels": source.n_channels}
        for block in source.blocks():
            said["notices"] += source.take_notices()
            if len(block.samples) and not said["at_s"]:
                print("hearing", flush=True)
            pieces += [block.samples]
            if sum(map(len, pieces)) >= 4000:
                sound = np.concatenate(pieces)
                spectrum = np.abs(np.fft.rfft(sound, axis=0))
                peaks = spectrum.argmax(axis=0) * source.rate_hz / len(sound)
                is_loud = sound.std(axis=0) > 0.01
                said["hz"].append([int(round(hz, -1)) if loud else 0 for hz, loud in zip(peaks, is_loud)])
                said["at_s"].append(block.end / source.rate_hz)
                pieces = []
            if block.end >= float(sys.argv[2]) * source.rate_hz:
                break
except BreathError as error:
    said |= {"error": type(error).__name__, "message": str(error)}
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
said["variable"] = (getenv(b"PULSE_SOURCE") or b"").decode()
print(json.dumps(said), flush=True)
"""


class TwoMicrophones:
    """Headset has one channel; Laptop, the default, has two, the second one silent."""

    def __init__(self, microphone, folder):
        self.microphone = microphone
        self.env = {name: value for name, value in microphone.env.items() if name != "PULSE_SOURCE"}
        seconds = np.arange(120 * RATE_HZ) / RATE_HZ
        self.modules = {}
        for name, n_channels in (("Laptop", 2), ("Headset", 1)):
            sound = np.zeros((len(seconds), n_channels))
            sound[:, 0] = 0.3 * np.sin(2 * np.pi * TONE_HZ[name] * seconds)
            soundfile.write(folder / f"{name}.wav", sound, RATE_HZ)
            self.server(
                "load-module",
                "module-null-sink",
                f"sink_name={name}_out",
                "rate=16000",
                f"channels={n_channels}",
            )
            self.plug(name)
            microphone.start(
                ["paplay", f"--device={name}_out", "--latency-msec=100", str(folder / f"{name}.wav")]
            )
        self.server("set-default-source", "Laptop_mic")

    def plug(self, name):
        self.modules[name] = self.server(
            "load-module", "module-remap-source", f"master={name}_out.monitor", f"source_name={name}_mic",
            f"source_properties=device.description={name}",
        )  # fmt: skip

    def unplug(self, name):
        self.server("unload-module", self.modules.pop(name))

    def server(self, *request):
        done = subprocess.run(
            ["pactl", *request], env=self.env, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    def live(self, *arguments, **variables):
        return subprocess.run(
            [sys.executable, "-m", "realtime.cli", *arguments],
            env=self.env | variables, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def capture(self, device, seconds, min_channels=1, **variables):
        return subprocess.Popen(
            [sys.executable, "-c", CAPTURE, json.dumps(device), str(seconds), str(min_channels)],
            env=self.env | variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip


@pytest.fixture
def two(virtual_microphone, tmp_path):
    return TwoMicrophones(virtual_microphone, tmp_path)


def is_hearing(child):
    line = child.stdout.readline()
    assert line == "hearing\n", line


def result(child):
    try:
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    return json.loads(out.splitlines()[-1])


def rows(two, **variables):
    done = two.live("devices", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(done.stdout.splitlines(), delimiter="\t"))


def test_the_list_shows_every_microphone_of_the_server(two):
    listed = rows(two)
    assert [row["name"] for row in listed] == ["pulse", "default", "Laptop", "Headset"]
    assert [row["number"] for row in listed] == ["0", "1", "2", "3"]
    assert [(row["sound system"], row["channels"], row["rate_hz"]) for row in listed[2:]] == [
        ("PulseAudio", "2", "16000"), ("PulseAudio", "1", "16000")
    ]  # fmt: skip
    assert [row["default"] for row in listed] == ["", "", "default", ""]
    asked = rows(two, PULSE_SOURCE="vmic.monitor")
    assert [row["default"] for row in asked] == ["", "", "default", "", ""]
    assert asked[2]["name"] == "Monitor of Null Output"


@pytest.mark.parametrize(
    ("device", "name"),
    [("headset", "Headset"), (3, "Headset"), ("Headset_mic", "Headset"), ("lap", "Laptop"), (None, "Laptop")],
)
def test_the_one_that_is_chosen_is_heard(two, device, name):
    said = result(two.capture(device, 3.0))
    assert (said["name"], said["notices"], said["variable"]) == (name, [], "")
    # Both channels of two as they are: one of them is silent.
    assert said["hz"][-1] == ([TONE_HZ[name]] if name == "Headset" else [TONE_HZ[name], 0])


def test_a_choice_goes_before_the_variable_which_stays(two):
    said = result(two.capture("headset", 3.0, PULSE_SOURCE="Laptop_mic"))
    assert (said["hz"][-1], said["variable"]) == ([TONE_HZ["Headset"]], "Laptop_mic")


def test_a_channel_that_a_microphone_has_not_is_refused(two):
    done = two.live("--device", "headset", "--channel", "1", "--seconds", "1")
    assert done.returncode == 2
    assert "'Headset' has 1 channel, not 2; choose a lower --channel" in done.stderr


def test_a_chosen_one_that_is_unplugged_is_waited_for_although_there_is_another(two):
    capture = two.capture("headset", 14.0)
    is_hearing(capture)
    time.sleep(2.5)
    two.unplug("Headset")
    time.sleep(3.0)
    two.plug("Headset")
    said = result(capture)
    assert "the sound server has put 'Laptop' in the place of 'Headset'" in said["notices"]
    assert "'Headset' is not heard any more (device lost); waiting for it" in said["notices"]
    assert "'Headset' is heard again" in said["notices"][-1]
    assert said["hz"][-1] == said["hz"][1] == [TONE_HZ["Headset"]]
    # Until the server was asked the next time.
    assert said["hz"].count([TONE_HZ["Laptop"]]) <= 8


def test_a_chosen_one_is_heard_again_when_the_server_takes_another_default(two):
    two.server("set-default-source", "Headset_mic")
    capture = two.capture("headset", 9.0)
    is_hearing(capture)
    time.sleep(2.5)
    two.server("set-default-source", "Laptop_mic")
    said = result(capture)
    assert "the sound server has put 'Laptop' in the place of 'Headset'" in said["notices"]
    assert said["hz"][-1] == [TONE_HZ["Headset"]]


def test_where_nothing_is_chosen_another_default_is_heard_without_a_gap(two):
    capture = two.capture(None, 8.0)
    is_hearing(capture)
    time.sleep(2.5)
    two.server("set-default-source", "Headset_mic")
    said = result(capture)
    (told,) = said["notices"]
    assert told.startswith("'Headset' is heard now, and no longer 'Laptop'")
    assert said["hz"][-1] == [TONE_HZ["Headset"]] * 2


def test_a_profile_is_that_of_the_microphone(two, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", two.env["XDG_CONFIG_HOME"])
    at = datetime.datetime.now().astimezone()
    old = save_profile("pulse", Calibration(-60.0, -30.0), at)
    own = save_profile("Headset_mic", Calibration(-70.0, -40.0), at)

    def settings(*arguments):
        return two.live(*arguments, "--print-config").stdout

    assert f"profile {own}" in settings("--device", "headset")
    assert f"profile {old}" in settings()
    assert f"profile {old}" in settings("--device", "pulse")
    two.server("set-default-source", "Headset_mic")
    assert f"profile {own}" in settings()
    assert f"profile {own}" in settings("--device", "pulse")
    assert "profile /" not in settings("--device", "laptop")


def test_a_server_that_is_stuck_hides_its_microphones_and_holds_nothing_up(two):
    program = (
        "import sys, time\n"
        "from realtime.sound.portaudio import list_devices\n"
        "print([d.name for d in list_devices()], flush=True)\n"
        "sys.stdin.readline()\n"
        "began_s = time.monotonic()\n"
        "print([d.name for d in list_devices()], time.monotonic() - began_s < 10, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        env=two.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "['pulse', 'default', 'Laptop', 'Headset']\n"
    two.microphone.freeze()
    try:
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "['pulse', 'default'] True\n"
    finally:
        two.microphone.thaw()
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_doctor_finds_the_microphone_that_is_chosen(two, tiny_pack):
    done = two.live(
        "doctor", "--json", "--pack", str(tiny_pack), "--device", "headset", XDG_CONFIG_HOME=os.devnull
    )
    by_subject = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert by_subject["microphones"]["measures"]["n_devices"] == 4
    assert "'Headset'" in by_subject["capture"]["text"]
    assert by_subject["capture"]["measures"]["n_channels"] == 1
