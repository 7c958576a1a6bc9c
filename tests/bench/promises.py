"""How fast and small the programs are for who uses them: start, replay, memory, live sessions, precompute.

python tests/bench/promises.py [--data CLIPS] [--repeat 5]

Every program is run as a user runs it, several times, one after the other; the median counts. Ends with 1
where a figure is outside what is promised; live sessions are measured where OpenVINO runs on a processor with
AMX, for which they are promised. Run it on an idle machine, not Windows.
"""

import argparse
import contextlib
import fcntl
import os
import pty
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from engines.pack import load_pack
from offline.benchmark.machine import this_machine
from realtime.engine import choose_engine

LIVE = [sys.executable, "-m", "realtime.cli"]
OFFLINE = [sys.executable, "-m", "offline.cli"]
REPLAYED_S = 120
PRECOMPUTED = 4000
STARTING_S = 5.0
LIVE_S = 20.0
ENDED_BY_SIGINT = 130


def help_s(_folder: Path) -> float:
    """Seconds of `breath-live --help`, as installed."""
    program = shutil.which("breath-live", path=str(Path(sys.executable).parent)) or "breath-live"
    return timed([program, "--help"])


def first_frame_s(folder: Path) -> float:
    """Seconds from the start of a replay to the first row of its frames."""
    begun_s = time.monotonic()
    command = [*LIVE, "replay", str(folder / "breath.wav"), "--frames", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        program.stdout.readline()
        row = program.stdout.readline()
        taken_s = time.monotonic() - begun_s
        program.kill()
    assert row
    return taken_s


def replay_speed(folder: Path) -> float:
    """How many times as fast as real time a recording is heard, start of the program included."""
    return REPLAYED_S / timed(
        [*LIVE, "replay", str(folder / "breath.wav"), "--frames", str(folder / "f.csv")]
    )


def memory_mb(folder: Path) -> float:
    """Largest resident memory of a replay, MB."""
    command = [*LIVE, "replay", str(folder / "breath.wav"), "--frames", str(folder / "f.csv")]
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        watched = psutil.Process(program.pid)
        while program.poll() is None:
            try:
                most = max(most, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
    return most / 1e6


def live_share(_folder: Path) -> float:
    """Per cent of a core that a live session takes, without a display."""
    return _share([*LIVE, "demo", "--no-display"])


def live_share_drawn(_folder: Path) -> float:
    """The same while the display is drawn, on a terminal of 80 by 24."""
    return _share([*LIVE, "demo"])


def _share(command: list[str]) -> float:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUTF8": "1"}
    streams = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, env=environment, **streams) as program:
        os.close(theirs)
        # As a terminal does: what nobody reads holds the program up.
        threading.Thread(target=_drain, args=(ours,), daemon=True).start()
        try:
            watched = psutil.Process(program.pid)
            time.sleep(STARTING_S)
            before, begun_s = watched.cpu_times(), time.monotonic()
            time.sleep(LIVE_S)
            after, heard_s = watched.cpu_times(), time.monotonic() - begun_s
            program.send_signal(signal.SIGINT)
            ended_with = program.wait(timeout=60)
        finally:
            program.kill()
    if ended_with != ENDED_BY_SIGINT:
        raise RuntimeError(
            f"{' '.join(command)} ended with {ended_with}, and should have gone on until Ctrl-C"
        )
    return 100 * (after.user + after.system - before.user - before.system) / heard_s


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass
    os.close(terminal)


def timed(command: list[str]) -> float:
    """Seconds of a program that has to succeed."""
    begun_s = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun_s


Promise = tuple[str, Callable[[Path], float], str, float, bool]
PROMISES: tuple[Promise, ...] = (
    ("breath-live --help", help_s, "s", 0.3, True),
    ("first frame of a replay", first_frame_s, "s", 1.5, True),
    ("replay, times real time", replay_speed, "x", 4.0, False),
    ("resident memory of a replay", memory_mb, "MB", 300.0, True),
)
LIVE_PROMISES: tuple[Promise, ...] = (
    ("a live session, of a core", live_share, "%", 20.0, True),
    ("the same with its display", live_share_drawn, "%", 20.0, True),
)


def has_fast_engine() -> bool:
    """Whether sessions run on OpenVINO, and that on a processor with AMX."""
    return choose_engine(load_pack(), "auto").name == "openvino"


def row(what: str, value: float, unit: str, limit: float, is_most: bool) -> bool:
    """Print a figure beside its limit; whether it holds."""
    is_kept = value <= limit if is_most else value >= limit
    word = "at most" if is_most else "at least"
    print(f"| {what} | {value:.3g} {unit} | {word} {limit:g} {unit} | {'ok' if is_kept else 'NOT KEPT'} |")
    return is_kept


def main() -> None:
    """Measure, print a table, end with 1 where something is not kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="clip set to precompute; its time is told for 4,000 clips")
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    machine = this_machine()
    print(f"{machine.cpu}, {machine.cores} cores\n\n| | median | promised | |\n|---|---|---|---|")
    kept = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        demo = [*LIVE, "demo", "--pace", "0", "--seconds", str(REPLAYED_S), "--record"]
        timed([*demo, str(folder / "breath.wav")])
        for what, measure, unit, limit, is_most in PROMISES + (LIVE_PROMISES if has_fast_engine() else ()):
            values = [measure(folder) for _ in range(chosen.repeat)]
            kept.append(row(what, statistics.median(values), unit, limit, is_most))
        if chosen.data is not None:
            store = folder / "store"
            taken_s = timed([*OFFLINE, "precompute", "--data", str(chosen.data), "--out", str(store)])
            n_clips = len((store / "clips.csv").read_text(encoding="utf-8").splitlines()) - 1
            kept.append(row("precompute 4,000 clips", taken_s / n_clips * PRECOMPUTED, "s", 60.0, True))
    if not all(kept):
        sys.exit(1)


if __name__ == "__main__":
    main()
