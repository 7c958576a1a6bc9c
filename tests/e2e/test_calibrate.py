"""Calibration as people meet it: a real capture, words at the right moment, and a profile that is used."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pulse_server import VirtualMicrophone

pytestmark = pytest.mark.soundcard

RATE_HZ = 16_000


def band_noise(level_dbfs: float, seconds: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Noise between 300 and 1500 Hz with that root mean square, dB re full scale."""
    spectrum = np.fft.rfft(np.random.default_rng(5).standard_normal(seconds * RATE_HZ))
    freqs_hz = np.fft.rfftfreq(seconds * RATE_HZ, 1 / RATE_HZ)
    spectrum[(freqs_hz < 300) | (freqs_hz > 1500)] = 0
    noise = np.fft.irfft(spectrum)
    return noise / noise.std() * 10 ** (level_dbfs / 20)


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "realtime.cli", *args]


def test_calibration_makes_a_profile_that_listening_uses(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "room.wav", band_noise(-55.0, 60), RATE_HZ)
    soundfile.write(tmp_path / "breath.wav", band_noise(-25.0, 30), RATE_HZ)
    env = virtual_microphone.env
    asked = command("--device", "pulse", "--print-config")
    before = subprocess.run(asked, env=env, capture_output=True, text=True, check=True).stdout
    assert re.search(r"gate_dbfs = .*# default", before)
    virtual_microphone.play(tmp_path / "room.wav")
    told = []
    with subprocess.Popen(
        command("calibrate", "--device", "pulse"), env=env, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            told.append(line)
            if "2 of 2" in line:
                virtual_microphone.play(tmp_path / "breath.wav")
    assert child.returncode == 0, told
    found = re.search(r"the gate is set to (-[\d.]+) dB, in (.*\.toml)", told[-1])
    assert found is not None, told
    assert -53.0 < float(found[1]) < -35.0, told
    after = subprocess.run(asked, env=env, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"gate_dbfs = {found[1]} +# profile {re.escape(found[2])}", after)
    asked.append("--no-profile")
    assert "# profile /" not in subprocess.run(asked, env=env, capture_output=True, text=True).stdout
