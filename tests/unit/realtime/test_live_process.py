"""breath-live as a process of its own: signals, pipes, a terminal, a machine without PortAudio."""

import contextlib
import json
import os
import re
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
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=PROJECT, **pipes | more)


def program_at(terminal, *args, **more):
    """The same, whose errors, and what it writes and reads unless told otherwise, are those of a terminal."""
    env = os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | more.pop("env", {})
    return program(*args, **{"stdin": terminal, "stdout": terminal, "stderr": terminal} | more, env=env)


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


def test_without_portaudio_the_events_tell_that_the_demo_was_heard(no_portaudio):
    out, _ = program("--seconds", 3, "--events", "-", env=no_portaudio).communicate(timeout=60)
    start, *others = [json.loads(line) for line in out.splitlines()]
    assert (start["event"], start["source"]) == ("start", "demo")
    assert others
    out, _ = program("demo", "--seconds", 3, "--events", "-", env=no_portaudio).communicate(timeout=60)
    assert [json.loads(line) for line in out.splitlines()] == others


@pytest.mark.parametrize("args", [["devices"], ["--device", "USB"]])
def test_without_portaudio_what_needs_it_fails_with_the_mend(no_portaudio, args):
    process = program(*args, env=no_portaudio)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out == b""
    assert b"PortAudio" in err
    assert b"install" in err


@pytest.mark.parametrize(
    ("args", "flags"),
    [
        (["--record", "night.wav"], b"--record"),
        (["--frames", "night.csv"], b"--frames"),
        (["--events", "night.jsonl", "--breaths", "night.csv"], b"--breaths"),
        (["--osc", "9000", "--lsl", "breath"], b"--osc and --lsl"),
        (["serve", "--port", "0", "--record", "night.wav"], b"--record"),
    ],
)
def test_without_a_microphone_nothing_made_up_is_recorded_or_sent(no_portaudio, tmp_path, args, flags):
    elsewhere = no_portaudio | {"PYTHONPATH": os.pathsep.join([no_portaudio["PYTHONPATH"], str(PROJECT)])}
    command = [sys.executable, "-m", "realtime.cli", *args]
    done = subprocess.run(command, cwd=tmp_path, env=elsewhere, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert flags in done.stderr
    assert b"breath-live demo" in done.stderr
    assert not list(tmp_path.glob("night*"))


def test_a_server_without_a_microphone_says_what_it_shows(no_portaudio):
    process = program("serve", "--port", 0, "--seconds", 2, env=no_portaudio | {"BREATH_PACE": "1"})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"/ shows the demo breather" in err
    assert b"Playing the demo breather instead" in err


@POSIX
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_with_a_summary(name, code):
    process = program("demo", "--events", "-")
    first = process.stdout.readline()
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(first)["event"] == "phase"
    assert b"demo: heard " in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("encoding", ["", "cp1252"])
def test_what_goes_to_a_program_is_utf8_whatever_the_system_says(encoding, tmp_path):
    """As on Windows, where what is redirected would be written in the system's old code page."""
    code = (
        "import sys\n"
        f"if {encoding!r}: sys.stdout.reconfigure(encoding={encoding!r}, errors='strict')\n"
        "from realtime.cli import cli\n"
        "cli(['--record', 'Дыхание.wav', '--print-config'], prog_name='breath-live')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert 'record = "Дыхание.wav"' in done.stdout.decode("utf-8")


@POSIX
def test_without_standard_output_files_are_written_and_a_run_for_nobody_is_refused(tmp_path):
    def run_without_output(*args):
        command = [sys.executable, "-m", "realtime.cli", "demo", "--pace", "0", "--seconds", "3", *args]
        return subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command],
            cwd=PROJECT,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    frames = tmp_path / "frames.csv"
    assert run_without_output("--frames", str(frames)).returncode == 0
    assert len(frames.read_text().splitlines()) == 22
    refused = run_without_output()
    assert refused.returncode == 6
    assert b"standard output is closed" in refused.stderr


@POSIX
def test_a_kill_loses_nothing_that_was_shown(tmp_path):
    frames, events = tmp_path / "frames.csv", tmp_path / "events.jsonl"
    process = program("demo", "--pace", 4, "--frames", frames, "--events", events)
    shown = [process.stdout.readline().decode() for _ in range(3)]
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    # A line that the kill cut in two would be the last; what was shown lies before it.
    told = [json.loads(line) for line in events.read_text().splitlines(keepends=True) if line.endswith("\n")]
    changes = [event for event in told if event["event"] == "phase"]
    onsets_s = [change["onset_s"] for change in changes[:3]]
    assert [float(line.split()[0]) for line in shown] == pytest.approx(onsets_s, abs=1e-3)
    rows = [line.split(",") for line in frames.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert {len(row) for row in rows} == {3}
    # A machine that is busy leaves windows out, but never those of the changes.
    times_s = {round(float(row[0]), 3) for row in rows[1:]}
    assert times_s >= {round(change["reported_s"], 3) for change in changes[:3]}


@POSIX
def test_what_is_shown_has_been_written_before(tmp_path):
    """Nobody reads what is shown: the first change of phase ends the program, and is in the file."""
    events = tmp_path / "events.jsonl"
    process = program("demo", "--pace", 0, "--events", events)
    process.stdout.close()
    process.stderr.read()
    assert process.wait(timeout=60) == 0
    process.stderr.close()
    assert [json.loads(line)["event"] for line in events.read_text().splitlines()] == ["phase"]


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


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe is set as on Linux")
def test_a_named_pipe_that_nobody_reads_holds_nothing_up(tmp_path):
    pipe, events = tmp_path / "pipe", tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "realtime.cli", "demo", "--seconds", "4", "--hop", "0.01"),
            *("--no-display", "--frames", pipe, "--events", events),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    import fcntl

    # Opened, and never read: room for less than the rows of 4 s.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    _, err = process.communicate(timeout=120)
    os.close(reader)
    assert process.returncode == 0
    assert f"{pipe}: 1 line left out so far, because its reader is too slow".encode() in err


@POSIX
@pytest.mark.parametrize("what", ["--frames", None])
def test_a_reader_that_is_stuck_holds_nothing_up(tmp_path, what):
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    n_filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            n_filled += os.write(theirs, b"x" * 4096)
    os.set_blocking(theirs, True)
    breaths = tmp_path / "breaths.csv"
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime.cli", "demo", "--seconds", "12", "--breaths", breaths]
        + ([what, "-"] if what else []),
        cwd=PROJECT,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"demo: heard 12.0 s" in err
    assert b"standard output: 1 line left out so far, because its reader is too slow" in err
    assert len(breaths.read_text().splitlines()) > 1
    os.set_blocking(ours, False)
    assert set(os.read(ours, n_filled + 4096)) == set(b"x")
    os.close(ours)


@POSIX
@pytest.mark.parametrize("has_file", [False, True])
def test_the_display_appears_on_the_terminal_and_gives_it_back(has_file, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    args = ["demo", "--events", "-"] if has_file else ["demo"]
    output = tmp_path / "events.jsonl"
    with output.open("wb") as file:
        process = program_at(theirs, *args, stdout=file if has_file else theirs)
    seen = _read_until(ours, "breaths/min")
    process.send_signal(signal.SIGINT)
    seen += _read_until(ours, "interrupted")
    assert process.wait(timeout=60) == 130
    assert termios.tcgetattr(theirs) == before
    on, off = seen.find("\x1b[?1049h"), seen.rfind("\x1b[?1049l")
    assert 0 <= on < seen.find("breaths/min") < off < seen.find("demo: heard ")
    assert seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l")
    if has_file:
        lines = output.read_text(encoding="utf-8").splitlines()
        # On a machine that is too busy there may be a gap.
        assert {json.loads(line)["event"] for line in lines} <= {"phase", "breath", "gap"}
    os.close(ours)
    os.close(theirs)


@POSIX
def test_what_goes_into_a_pipe_is_not_drawn_over():
    """The program behind the pipe may write on the same terminal."""
    import pty

    ours, theirs = pty.openpty()
    args = ["demo", "--events", "-", "--pace", 0, "--seconds", 4]
    process = program_at(theirs, *args, stdout=subprocess.PIPE)
    data, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert {json.loads(line)["event"] for line in data.splitlines()} <= {"phase", "breath"}
    seen = _read_until(ours, "demo: heard ")
    os.close(ours)
    os.close(theirs)
    assert "listening to demo" in seen
    assert "\x1b[" not in seen


@POSIX
@pytest.mark.parametrize("has_colour", [True, False])
def test_the_display_fills_the_terminal_after_every_change_of_its_size(has_colour):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    settings = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    settings |= {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | ({} if has_colour else {"NO_COLOR": "1"})
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime.cli", "demo"],
        cwd=PROJECT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    _read_until(ours, "breaths/min")
    for height, width in ((60, 200), (12, 40), (24, 80)):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        picture = _picture_of(ours, height)
        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", row).rstrip() for row in picture]
        assert max(map(len, lines)) <= width
        # The trace takes all there is.
        assert max(map(len, lines)) > 0.8 * width
        assert "Ctrl-C ends" in lines[-1]
        assert ("38;5;" in "".join(picture)) == has_colour
    process.send_signal(signal.SIGINT)
    assert "demo: heard " in _read_until(ours, "demo: heard ")
    assert process.wait(timeout=60) == 130
    os.close(ours)
    os.close(theirs)


@POSIX
def test_keys_mark_pause_mute_and_quit_and_the_terminal_is_given_back(tmp_path):
    import pty
    import termios

    events = tmp_path / "events.jsonl"
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = _started_on(theirs, [sys.executable, "-m", "realtime.cli", "demo", "--events", str(events)])
    _read_until(ours, "breaths/min")
    # The second function key and an arrow: the letters at their ends are no keys of ours.
    os.write(ours, b"\x1bOQ\x1b[B")
    answers = (
        ("m", "mark 1 at"),
        ("d", "display is muted"),
        ("d", "breaths/min"),
        ("c", "hold your breath"),
        ("p", "go on"),
    )
    for key, shown in answers:
        os.write(ours, key.encode())
        assert shown in _read_until(ours, shown)
    # The display knows of the pause before the next block of sound is there to be left out.
    time.sleep(4)
    os.write(ours, b"p")
    _wait_for(lambda: '"reason":"paused"' in events.read_text())
    os.write(ours, b"q")
    assert "demo: heard " in _read_until(ours, "demo: heard ")
    assert process.wait(timeout=60) == 0
    assert termios.tcgetattr(theirs) == before
    said = [json.loads(line) for line in events.read_text().splitlines()]
    (mark,) = [event for event in said if event["event"] == "mark"]
    (gap,) = [event for event in said if event["event"] == "gap"]
    assert mark["number"] == 1
    assert mark["time_s"] <= gap["from_s"] < gap["to_s"]
    os.close(ours)
    os.close(theirs)


@POSIX
def test_to_stop_it_gives_the_terminal_back_until_it_goes_on():
    import pty

    ours, theirs = pty.openpty()
    process = program_at(
        theirs,
        "demo",
        env={"COLUMNS": "80", "LINES": "24"},
        stdin=subprocess.DEVNULL,
        # Like a shell does it; without a group of its own, all of the tests would be stopped.
        process_group=0,
    )
    seen = _read_until(ours, "breaths/min")
    process.send_signal(signal.SIGTSTP)
    seen += _read_until(ours, "\x1b[?25h")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert seen.rfind("\x1b[?1049l") > seen.rfind("\x1b[?1049h")
    process.send_signal(signal.SIGCONT)
    assert "\x1b[?1049h" in _read_until(ours, "breaths/min")
    process.send_signal(signal.SIGINT)
    assert "\x1b[?1049l" in _read_until(ours, "interrupted")
    assert process.wait(timeout=60) == 130
    os.close(ours)
    os.close(theirs)


@POSIX
def test_in_the_background_it_leaves_the_terminal_to_the_shell():
    import pty

    ours, theirs = pty.openpty()
    # As a shell does it: bg after Ctrl-Z, then fg, and the program is never told of the latter.
    shell = _started_on(theirs, [sys.executable, "-c", SHELL, sys.executable, "-m", "realtime.cli", "demo"])
    _read_until(ours, "breaths/min")
    os.write(ours, b"\x1a")
    # What is drawn while the program is stopped, or in the background, would stand before the mark.
    seen = _read_until(ours, "[in front]")
    assert "\x1b[?1049l" in seen
    assert "[background]" in seen
    assert "\x1b[?1049h" not in seen[seen.rfind("\x1b[?1049l") : seen.index("[in front]")]
    assert "\x1b[?1049h" in seen[seen.index("[in front]") :] + _read_until(ours, "breaths/min")
    os.write(ours, b"q")
    assert "demo: heard " in _read_until(ours, "demo: heard ")
    assert shell.wait(timeout=60) == 0
    os.close(ours)
    os.close(theirs)


SHELL = """
import os, signal, subprocess, sys, time

signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def start():
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)


child = subprocess.Popen(sys.argv[1:], preexec_fn=start)
_, status = os.waitpid(child.pid, os.WUNTRACED)
assert os.WIFSTOPPED(status)
os.tcsetpgrp(0, os.getpgrp())
os.kill(child.pid, signal.SIGCONT)
print("[background]", flush=True)
time.sleep(1.5)
print("[in front]", flush=True)
os.tcsetpgrp(0, child.pid)
sys.exit(child.wait())
"""


def _started_on(terminal, command):
    """A process with a session of its own, whose terminal this is: keys are read only by those in front."""
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1", "COLUMNS": "80", "LINES": "24"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=lambda: _take_terminal(terminal),
    )


def _take_terminal(descriptor):
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def _wait_for(is_so):
    give_up_at_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up_at_s
        time.sleep(0.05)


def _picture_of(descriptor, height):
    """The rows, as they were written, once all of a terminal of so many rows has been drawn anew."""
    seen = b""
    give_up_at_s = time.monotonic() + 60
    while time.monotonic() < give_up_at_s:
        if select.select([descriptor], [], [], 1.0)[0]:
            seen += os.read(descriptor, 65536)
        _, cleared, drawn = seen.rpartition(b"\x1b[2J")
        # What follows the last place that is gone to may not be whole yet.
        places = re.split(rb"\x1b\[(\d+);1H", drawn)[1:-2]
        rows = {int(number): row.decode() for number, row in zip(places[::2], places[1::2], strict=True)}
        if cleared and max(rows, default=0) == height and any("breaths/min" in row for row in rows.values()):
            return [rows.get(number, "") for number in range(1, height + 1)]
    raise AssertionError(f"no picture of {height} lines in {seen[-5000:]!r}")


def _read_until(descriptor, text):
    seen = b""
    give_up_at_s = time.monotonic() + 60
    while text.encode() not in seen and time.monotonic() < give_up_at_s:
        if select.select([descriptor], [], [], 1.0)[0]:
            seen += os.read(descriptor, 65536)
    return seen.decode(errors="replace")
