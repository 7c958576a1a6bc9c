"""Fixtures of the end-to-end tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulse_server import VirtualMicrophone, started, what_is_missing


@pytest.fixture
def virtual_microphone() -> Iterator[VirtualMicrophone]:
    """A running virtual microphone: `env` for the process that listens, `play(wav_path)` to feed it."""
    missing = what_is_missing()
    if missing:
        pytest.skip(f"a virtual microphone needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="vmic") as folder:
        microphone = started(Path(folder))
        yield microphone
        microphone.end()
