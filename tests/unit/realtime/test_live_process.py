"""breath-live as a process of its own: signals, pipes, a terminal, a machine without PortAudio."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and pseudo-terminals as on POSIX")


@pytest.fixture(autouse=True)
def _settings(clean_environment, monkeypatch, tiny_pack):
    monkeypatch.setenv("BREATH_PACK", str(tiny_pack))


def program(*args, **more):
    command = [sys.executable, "-m", "realtime.cli", *map(str, args)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


@pytest.fixture
def no_portaudio(tmp_path):
    """An environment in which sounddevice fails as it does where its library is missing."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    return os.environ | {"PYTHONPATH": str(folder), "BREATH_PACE": "0"}


def test_without_portaudio_the_demo_is_heard_and_one_line_says_why(no_portaudio):
    process = program("--seconds", 3, env=no_portaudio)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"inhale" in out
    told = [line for line in err.splitlines() if b"PortAudio" in line]
    assert len(told) == 1
    assert b"Playing the demo breather instead" in told[0]
    assert b"demo: heard 3.0 s" in err


@pytest.mark.parametrize("args", [["devices"], ["--device", "USB"]])
def test_without_portaudio_what_needs_it_fails_with_the_mend(no_portaudio, args):
    process = program(*args, env=no_portaudio)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out == b""
    assert b"PortAudio" in err
    assert b"install" in err


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_a_summary(number, code):
    process = program("demo", "--events", "-")
    first = process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(first)["event"] == "phase"
    assert b"demo: heard " in err
    assert b"Traceback" not in err


@POSIX
def test_a_reader_that_leaves_ends_it_quietly():
    process = program("demo", "--pace", 0, "--frames", "-")
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 0
    assert b"error" not in err.lower()
    assert b"Traceback" not in err
    process.stderr.close()


@POSIX
@pytest.mark.parametrize("is_piped", [False, True])
def test_the_display_appears_on_the_terminal_and_gives_it_back(is_piped):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    args = ["demo", "--events", "-"] if is_piped else ["demo"]
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime.cli", *args],
        cwd=PROJECT,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1"},
        stdin=theirs,
        stdout=subprocess.PIPE if is_piped else theirs,
        stderr=theirs,
    )
    seen = _read_until(ours, "breaths/min")
    process.send_signal(signal.SIGINT)
    seen += _read_until(ours, "interrupted")
    assert process.wait(timeout=60) == 130
    assert termios.tcgetattr(theirs) == before
    on, off = seen.find("\x1b[?1049h"), seen.rfind("\x1b[?1049l")
    assert 0 <= on < seen.find("breaths/min") < off < seen.find("demo: heard ")
    assert seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l")
    if is_piped:
        data, _ = process.communicate()
        assert all(json.loads(line)["event"] == "phase" for line in data.splitlines())
    os.close(ours)
    os.close(theirs)


def _read_until(descriptor, text):
    seen = b""
    give_up_at_s = time.monotonic() + 60
    while text.encode() not in seen and time.monotonic() < give_up_at_s:
        if select.select([descriptor], [], [], 1.0)[0]:
            seen += os.read(descriptor, 65536)
    return seen.decode(errors="replace")
