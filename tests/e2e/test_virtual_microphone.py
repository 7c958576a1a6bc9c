"""The microphone for real: a sound server, PortAudio, and what was played compared with what was heard."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from pulse_server import VirtualMicrophone, what_is_missing

from realtime.sound.demo import DemoSource

pytestmark = pytest.mark.soundcard

RATE_HZ = 16_000

# Arguments: seconds, where the sound goes, keywords of MicrophoneSource as JSON. Prints JSON.
CAPTURE = """
import json, sys
import numpy as np
from engines.errors import BreathError
from realtime.sound.microphone import MicrophoneSource
said = {"starts": [], "ends": [], "error": None, "notices": [], "noticed_at": []}
pieces = []
try:
    with MicrophoneSource("pulse", **json.loads(sys.argv[3])) as source:
        said |= {"rate_hz": source.rate_hz, "n_channels": source.n_channels, "name": source.name}
        for block in source.blocks():
            if not len(block.samples):
                continue
            if not pieces:
                print("hearing", flush=True)
            pieces.append(block.samples)
            said["starts"].append(block.start)
            said["ends"].append(block.end)
            notices = source.take_notices()
            said["notices"] += notices
            said["noticed_at"] += [block.end] * len(notices)
            if block.end >= float(sys.argv[1]) * source.rate_hz:
                break
        said |= {"lost_samples": source.lost_samples}
except BreathError as error:
    said |= {"error": type(error).__name__, "message": str(error)}
if pieces:
    np.save(sys.argv[2], np.concatenate(pieces))
print(json.dumps(said), flush=True)
"""


def start_capture(env: dict[str, str], seconds: float, out: Path, **keywords: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CAPTURE, str(seconds), str(out), json.dumps(keywords)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def result(child: "subprocess.Popen[str]") -> dict[str, Any]:
    try:
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    return said


def best_match(piece: NDArray[np.float32], heard: NDArray[np.float32]) -> tuple[int, float]:
    """Where in `heard` the piece fits best, and the normalised correlation there."""
    n = len(heard) + len(piece)
    correlation = np.fft.irfft(np.fft.rfft(heard, n) * np.conj(np.fft.rfft(piece, n)), n)[
        : len(heard) - len(piece)
    ]
    squares = np.concatenate([[0.0], np.cumsum(heard.astype(np.float64) ** 2)])
    energy = squares[len(piece) :] - squares[: -len(piece)]
    score = correlation / np.sqrt(energy[: len(correlation)] * (piece**2).sum() + 1e-9)
    at = int(np.argmax(score))
    return at, float(score[at])


def test_what_is_played_is_heard(virtual_microphone: VirtualMicrophone, tmp_path: Path) -> None:
    played = np.concatenate([block.samples for block in DemoSource(5, pace=None, seed=7).blocks()])[:, 0]
    soundfile.write(tmp_path / "played.wav", played, RATE_HZ)
    capture = start_capture(virtual_microphone.env, 7.0, tmp_path / "heard.npy")
    assert capture.stdout is not None
    assert capture.stdout.readline() == "hearing\n"
    virtual_microphone.play(tmp_path / "played.wav")
    said = result(capture)

    assert said["error"] is None
    assert (said["rate_hz"], said["n_channels"], said["name"]) == (RATE_HZ, 1, "pulse")
    assert (said["lost_samples"], said["notices"]) == (0, [])
    assert said["starts"] == [0, *said["ends"][:-1]]
    heard = np.load(tmp_path / "heard.npy")[:, 0]
    # Second by second, because a busy machine may stretch the playing with a bit of silence.
    found = [best_match(played[at : at + 8000], heard) for at in range(12_000, 60_000, 8000)]
    assert sum(score > 0.9 for _, score in found) >= len(found) - 1, found
    offsets = [at - 12_000 - 8000 * i for i, (at, score) in enumerate(found) if score > 0.9]
    assert max(offsets) - min(offsets) < 0.5 * RATE_HZ


def test_another_rate_and_more_channels_on_request(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    capture = start_capture(virtual_microphone.env, 0.5, tmp_path / "a.npy", rate_hz=48_000, min_channels=2)
    said = result(capture)
    assert (said["error"], said["rate_hz"], said["n_channels"]) == (None, 48_000, 2)
    assert np.load(tmp_path / "a.npy").shape[1] == 2


def test_a_device_that_goes_away_ends_with_an_error(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    capture = start_capture(virtual_microphone.env, 1000.0, tmp_path / "a.npy", stall_s=1.0)
    assert capture.stdout is not None
    assert capture.stdout.readline() == "hearing\n"
    virtual_microphone.unplug()
    said = result(capture)
    assert said["error"] == "DeviceLostError"
    assert "'pulse'" in said["message"]
    assert capture.returncode == 0


def test_another_default_is_heard_without_a_gap_and_told_of(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    time_s = np.arange(60 * RATE_HZ) / RATE_HZ
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(2 * np.pi * 500 * time_s), RATE_HZ)
    virtual_microphone.add_other(tmp_path / "tone.wav")
    chosen = {name: value for name, value in virtual_microphone.env.items() if name != "PULSE_SOURCE"}
    capture = start_capture(chosen, 14.0, tmp_path / "heard.npy")
    assert capture.stdout is not None
    assert capture.stdout.readline() == "hearing\n"
    time.sleep(4.0)  # Until it is known which one is heard.
    virtual_microphone.make_other_the_default()
    said = result(capture)
    assert said["error"] is None
    assert said["lost_samples"] == 0
    assert said["starts"] == [0, *said["ends"][:-1]]
    heard = np.load(tmp_path / "heard.npy")[:, 0]
    assert np.abs(heard[:320]).max() == 0
    assert heard[-RATE_HZ:].std() == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    (told,) = said["notices"]
    assert told.startswith("'Monitor of Headset' is heard now, and no longer 'Monitor of Null Output'")
    assert said["noticed_at"][0] > np.flatnonzero(heard)[0] - RATE_HZ // 2


def test_what_a_device_cannot_do_is_said(virtual_microphone: VirtualMicrophone, tmp_path: Path) -> None:
    said = result(start_capture(virtual_microphone.env, 0.5, tmp_path / "a.npy", min_channels=1000))
    assert said["error"] == "ConfigError"
    said = result(start_capture(virtual_microphone.env, 0.5, tmp_path / "a.npy", rate_hz=1))
    assert said["error"] == "RateUnsupportedError"
    assert "'pulse' does not record at 1 Hz" in said["message"]


def test_the_list_names_the_virtual_microphone(virtual_microphone: VirtualMicrophone) -> None:
    program = (
        "from realtime.sound.portaudio import list_devices, find_device\n"
        "print([(d.name, d.n_channels_max > 0, d.rate_default_hz > 0) for d in list_devices()])\n"
        "print(find_device('puls').name, find_device(find_device('pulse').index).name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=virtual_microphone.env,
        capture_output=True,
        text=True,
        check=True,
    )
    listed, found = done.stdout.splitlines()
    assert "('pulse', True, True)" in listed
    assert found == "pulse pulse"


def test_the_command_lists_rates_and_marks_the_default(virtual_microphone: VirtualMicrophone) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "realtime.cli", "devices"],
        env=virtual_microphone.env,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = list(csv.DictReader(done.stdout.splitlines(), delimiter="\t"))
    (pulse,) = [row for row in rows if row["name"] == "pulse"]
    assert {"8000", "16000", "44100", "48000", "192000"} <= set(pulse["rates_hz"].split())
    assert [row["default"] for row in rows].count("default") == 1
    assert done.stderr == ""


def test_without_a_sound_server_the_device_is_not_found(tmp_path: Path) -> None:
    missing = what_is_missing()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    env = os.environ | {"PULSE_SERVER": f"unix:{tmp_path}/nobody", "XDG_RUNTIME_DIR": str(tmp_path)}
    said = result(start_capture(env, 0.5, tmp_path / "a.npy"))
    assert said["error"] == "DeviceNotFoundError"
