"""The examples of docs/api.md and of the README, run as they stand there, with the shipped pack."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime.sound.demo import DemoSource

PROJECT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    pytest.param(code, id=f"{name}-{number}")
    for name in ("README.md", "docs/api.md")
    for number, code in enumerate(BLOCK.findall((PROJECT / name).read_text(encoding="utf-8")))
]
OF_FILES = [example for example in EXAMPLES if ".microphone(" not in example.values[0]]
OF_MICROPHONES = [example for example in EXAMPLES if ".microphone(" in example.values[0]]


@pytest.fixture
def folder(tmp_path):
    """A folder with night.wav in it, six seconds of the demo breather."""
    samples = np.concatenate([block.samples for block in DemoSource(6.0, pace=0).blocks()])
    soundfile.write(tmp_path / "night.wav", samples, 16_000)
    return tmp_path


def run(code, folder, env):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=env | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_there_are_examples():
    assert len(OF_FILES) >= 5
    assert len(OF_MICROPHONES) >= 2


@pytest.mark.parametrize("code", OF_FILES)
def test_an_example_runs_as_it_stands(code, folder):
    done = run(code, folder, dict(os.environ))
    assert done.returncode == 0, done.stderr
    # Noise is no breath: of that there is nothing to say.
    assert done.stdout.strip() or "standard_normal" in code


@pytest.mark.soundcard
@pytest.mark.parametrize("code", OF_MICROPHONES)
def test_an_example_with_a_microphone_runs_as_it_stands(code, folder, virtual_microphone):
    # Long enough for a slow start of the program.
    samples = np.concatenate([block.samples for block in DemoSource(60.0, pace=0).blocks()])
    soundfile.write(folder / "breathing.wav", samples, 16_000)
    playing = virtual_microphone.play(folder / "breathing.wav")
    # Endless as it stands in the README.
    code = code.replace(".microphone()", ".microphone(seconds=6)")
    done = run(code, folder, virtual_microphone.env)
    playing.terminate()
    assert done.returncode == 0, done.stderr
    assert "PhaseEvent" in done.stdout
