"""Let breath-live run for an hour, and see whether it loses sound, falls behind or grows.

python tests/bench/soak.py [--minutes 60] [--source auto|microphone|demo] [--pack PACK] [--json FILE]

It listens to a virtual microphone (a private PulseAudio server that plays the demo breather again and again),
or where there is none to the demo breather in real time. Rows of --frames are read from a pipe as they come;
what they are late by is told by their stream times, against the promptest of the last 30 s. Memory is sampled
from the second minute on. Prints JSON and a verdict; the exit code is 0 only if everything that was judged
passed. Not a part of pytest: it takes as long as it is told to.
"""

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engines.contract import RATE_HZ
from realtime.sinks.arrival_clock import ArrivalClock, advance
from realtime.sound.demo import DemoSource

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "e2e"))

from pulse_server import VirtualMicrophone, started, what_is_missing  # noqa: E402

LATE_S = 0.5
MOST_GROWTH_MB_PER_HOUR = 2.0
MOST_RESIDENT_MB = 250.0
# A line through fewer minutes says more of the allocator than of the hour.
JUDGED_AFTER_S = 600.0
TAPE_S = 60.0
END_LIMIT_S = 60.0
COUNTS = re.compile(r"(\d+) windows, (\d+) skipped, (\d+) samples lost")


@dataclass
class Observed:
    """What was seen of a run.

    Attributes:
        n_frames: rows that came.
        late_s: stream times of those that came later than `LATE_S`, seconds.
        worst_late_s: the latest of all was late by so much, seconds.
        resident_mb: (seconds since the start, memory) after the warm-up.
        events_s: stream times at which events were reported, seconds.
        counts: windows, windows skipped, samples lost, as the summary has them; None: there was no summary.
        exit_code: of the run; negative: it was ended by a signal.
        has_ended_early: whether it ended before it was told to.
    """

    n_frames: int = 0
    late_s: list[float] = field(default_factory=list)
    worst_late_s: float = 0.0
    resident_mb: list[tuple[float, float]] = field(default_factory=list)
    events_s: list[float] = field(default_factory=list)
    counts: tuple[int, int, int] | None = None
    exit_code: int = 0
    has_ended_early: bool = False


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--source", choices=("auto", "microphone", "demo"), default="auto")
    parser.add_argument("--pack", default="default")
    parser.add_argument("--warm-up", type=float, default=60.0, help="Seconds before memory is sampled.")
    parser.add_argument("--every", type=float, default=10.0, help="Seconds from one sample to the next.")
    parser.add_argument("--json", type=Path, help="Write the result here too.")
    chosen = parser.parse_args(arguments)
    # Started in the background of a shell, it would ignore Ctrl-C, and so would breath-live.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    missing = what_is_missing()
    if missing and chosen.source == "microphone":
        print(f"soak: error: a virtual microphone needs {', '.join(missing)}", file=sys.stderr)
        return 2
    wants_microphone = chosen.source != "demo" and not missing
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        folder = Path(name)
        with heard_microphone(folder) if wants_microphone else contextlib.nullcontext() as microphone:
            observed = watched(
                microphone, folder, chosen.pack, 60 * chosen.minutes, chosen.warm_up, chosen.every
            )
    result = {"source": "virtual microphone" if wants_microphone else "demo", "minutes": chosen.minutes}
    result |= result_from_observed(observed)
    text = json.dumps(result, indent=2, allow_nan=False)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n", encoding="utf-8")
    print(f"soak: {result['verdict']}", file=sys.stderr)
    return 0 if result["is_passed"] else 1


@contextlib.contextmanager
def heard_microphone(folder: Path) -> Iterator[VirtualMicrophone]:
    """A virtual microphone into which the demo breather plays until the end."""
    import soundfile

    tape = folder / "breath.wav"
    sound = np.concatenate([block.samples for block in DemoSource(TAPE_S, pace=None).blocks()])
    soundfile.write(tape, sound, RATE_HZ)
    server_folder = folder / "pulse"
    server_folder.mkdir()
    microphone = started(server_folder)
    is_over = threading.Event()

    def play() -> None:
        while not is_over.is_set() and microphone.play(tape).wait() == 0:
            pass

    player = threading.Thread(target=play, name="player", daemon=True)
    player.start()
    try:
        yield microphone
    finally:
        is_over.set()
        microphone.end()
        player.join(END_LIMIT_S)


def watched(
    microphone: VirtualMicrophone | None,
    folder: Path,
    pack: str,
    seconds: float,
    warm_up_s: float,
    every_s: float,
) -> Observed:
    """Start breath-live, watch it for so long, and end it as Ctrl-C does."""
    command = [sys.executable, "-m", "realtime.cli"]
    command += ["demo"] if microphone is None else ["--device", "pulse"]
    command += ["--pack", pack, "--no-display", "--frames", "-", "--events", str(folder / "events.jsonl")]
    with (folder / "words.txt").open("w+") as words:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=None if microphone is None else microphone.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        )
        observed = Observed()
        reader = threading.Thread(target=read_frames, args=(process.stdout, observed), daemon=True)
        reader.start()
        try:
            begun_s = time.monotonic()
            next_s = warm_up_s
            while (elapsed_s := time.monotonic() - begun_s) < seconds and process.poll() is None:
                if elapsed_s >= next_s:
                    observed.resident_mb.append((round(elapsed_s, 1), resident_mb_of(process.pid)))
                    next_s += every_s
                time.sleep(0.1)
            observed.has_ended_early = process.poll() is not None
            if not observed.has_ended_early:
                process.send_signal(signal.SIGINT)
            observed.exit_code = process.wait(END_LIMIT_S)
        finally:
            process.kill()
            process.wait()
            reader.join(END_LIMIT_S)
        words.seek(0)
        said = words.read()
    sys.stderr.write(said)
    if found := COUNTS.search(said):
        windows, skipped, lost = map(int, found.groups())
        observed.counts = (windows, skipped, lost)
    events = folder / "events.jsonl"
    lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
    observed.events_s = [at for line in lines if (at := json.loads(line).get("reported_s")) is not None]
    return observed


def read_frames(lines: Iterator[str], observed: Observed) -> None:
    """Take the time of every row as it comes."""
    clock = ArrivalClock.initial()
    next(lines, None)
    for line in lines:
        arrived_s = time.monotonic()
        frame_s = float(line.partition(",")[0])
        sample = round(frame_s * RATE_HZ)
        clock = advance(clock, sample, arrived_s)
        late_s = arrived_s - clock.time_s(sample)
        observed.n_frames += 1
        observed.worst_late_s = max(observed.worst_late_s, late_s)
        if late_s > LATE_S:
            observed.late_s.append(frame_s)


def resident_mb_of(pid: int) -> float:
    """Resident memory of a process; NaN: it has just ended."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(told.stdout) * 1024 / 1e6 if told.stdout.strip() else float("nan")


def result_from_observed(observed: Observed) -> dict:
    """Numbers, what is wrong in words, and the verdict."""
    at_s, resident = np.array([pair for pair in observed.resident_mb if pair[1] > 0]).reshape(-1, 2).T
    is_memory_judged = len(at_s) > 1 and at_s[-1] - at_s[0] >= JUDGED_AFTER_S
    growth = float(3600 * np.polyfit(at_s, resident, 1)[0]) if len(at_s) > 1 else None
    late = set(observed.late_s)
    n_late_events = sum(at in late for at in observed.events_s)
    windows, skipped, lost = observed.counts or (0, 0, 0)
    failures = []
    if observed.counts is None:
        failures.append("there was no summary")
    if observed.has_ended_early:
        failures.append(f"it ended early, with exit code {observed.exit_code}")
    if not observed.n_frames:
        failures.append("there was no answer at all")
    if lost:
        failures.append(f"{lost} samples lost")
    if skipped:
        failures.append(f"{skipped} windows skipped")
    if late:
        failures.append(f"{len(late)} answers later than {LATE_S:g} s, {n_late_events} events among them")
    if is_memory_judged and growth is not None and growth > MOST_GROWTH_MB_PER_HOUR:
        failures.append(f"memory grows by {growth:.1f} MB an hour")
    if len(resident) and resident.max() > MOST_RESIDENT_MB:
        failures.append(f"{resident.max():.0f} MB resident")
    judged = "" if is_memory_judged else "; too short to judge the growth of memory"
    return {
        "windows": windows,
        "skipped_windows": skipped,
        "lost_samples": lost,
        "frames": observed.n_frames,
        "events": len(observed.events_s),
        "late_frames": len(late),
        "late_events": n_late_events,
        "worst_late_s": round(observed.worst_late_s, 3),
        "resident_mb_max": round(float(resident.max()), 1) if len(resident) else None,
        "resident_mb_per_hour": None if growth is None else round(growth, 2),
        "resident_mb": [[float(at), round(float(mb), 1)] for at, mb in zip(at_s, resident, strict=True)],
        "is_passed": not failures,
        "verdict": ("failed: " + ", ".join(failures) if failures else "passed") + judged,
    }


if __name__ == "__main__":
    sys.exit(main())
