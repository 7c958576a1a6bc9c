"""Walk through docs/quick-start.md as a new user would, and write down what every step takes.

python tests/bench/first_minutes.py [--keep FOLDER]

A fresh environment, a virtual microphone (a private PulseAudio server: a quiet room, and the demo breather
when there is something to hear), and the commands of that page, in its order, with `--device pulse`
instead of USB. What stands between the marks of the page is replaced. It ends with 1 at the first step that
does not do what the page says.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from offline.benchmark.machine import this_machine
from realtime.sound.demo import DemoSource

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "e2e"))

from pulse_server import RATE_HZ, VirtualMicrophone, started, what_is_missing  # noqa: E402
from readme_performance import replaced  # noqa: E402

PAGE = PROJECT / "docs" / "quick-start.md"
BEGIN, END = "<!-- times: measured; made by tests/bench/first_minutes.py -->", "<!-- times: end -->"
DEVICE = ["--device", "pulse"]
LISTEN_S = 60
DEMO_S = 30


@dataclass
class Walk:
    """Where it happens, and what took how long."""

    folder: Path
    microphone: VirtualMicrophone
    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def step(self, what: str, do: Callable[[], str]) -> None:
        """Do it, and note how long it took and what came out."""
        begun_s = time.monotonic()
        seen = do()
        self.rows.append((what, time.monotonic() - begun_s, seen))
        print(f"{self.rows[-1][1]:6.1f} s  {what}: {seen}", flush=True)

    def command(self, *arguments: str) -> list[str]:
        """A command of the fresh environment."""
        return [str(self.folder / "breath-venv" / "bin" / arguments[0]), *arguments[1:]]

    def install(self, what: str) -> None:
        """By pip, from a copy of the project: it leaves things in the folder that it builds from."""
        copy = self.folder / "breath"
        if not copy.exists():
            shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".git", "build", "*.egg-info"))
        self.run("python", "-m", "pip", "install", "--quiet", f"{copy}{what}")

    def run(self, *arguments: str) -> str:
        """What a command printed, errors too; SystemExit where it ended otherwise than it should."""
        found = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.microphone.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if found.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)}: exit code {found.returncode}\n{found.stdout}")
        return found.stdout


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="A new folder: work here, and leave what was made.")
    chosen = parser.parse_args(arguments)
    if missing := what_is_missing():
        print(f"first_minutes: error: a virtual microphone needs {', '.join(missing)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="first") as name:
        folder = (chosen.keep or Path(name) / "walk").resolve()
        folder.mkdir(parents=True)
        (folder / "pulse").mkdir()
        microphone = started(folder / "pulse")
        # What is set here is not set for a new user.
        for variable in [key for key in microphone.env if key.startswith(("BREATH_", "PYTHON"))]:
            del microphone.env[variable]
        try:
            rows = walked(Walk(folder, microphone))
        finally:
            microphone.end()
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(text, table(rows), BEGIN, END), encoding="utf-8")
    return 0


def walked(walk: Walk) -> list[tuple[str, float, str]]:
    """Every step of the page."""
    room, breath = walk.folder / "room.wav", walk.folder / "breath.wav"
    noise = np.random.default_rng(0).standard_normal(600 * RATE_HZ)
    soundfile.write(room, (noise * 10 ** (-60 / 20)).astype(np.float32), RATE_HZ)
    breather = DemoSource(LISTEN_S + 30.0, pace=None)
    soundfile.write(breath, np.concatenate([block.samples for block in breather.blocks()]), RATE_HZ)
    walk.microphone.play(room)
    walk.step("1. install into a fresh environment", lambda: install(walk))
    walk.step("2. doctor", lambda: last_line(walk.run("breath-live", "doctor")))
    demo = ["demo", "--seconds", str(DEMO_S)]
    walk.step(f"3. demo, {DEMO_S} s of it", lambda: breaths_in(walk.run("breath-live", *demo)))
    walk.step("4. list the microphones", lambda: listed(walk.run("breath-live", "devices")))
    walk.step("5. calibrate: 4 s quiet, 6 s breathing", lambda: calibrate(walk, breath))
    walk.step(f"6. listen and keep {LISTEN_S} s", lambda: listen(walk, breath))
    walk.step("7. replay what was kept", lambda: replay(walk))
    walk.step("8. web page: install, until it answers", lambda: serve(walk))
    return walk.rows


def install(walk: Walk) -> str:
    """Step 1."""
    subprocess.run([sys.executable, "-m", "venv", str(walk.folder / "breath-venv")], check=True)
    walk.install("")
    listing = ["list", "--format", "json", "--disable-pip-version-check"]
    packages = json.loads(walk.run("python", "-m", "pip", *listing))
    names = {package["name"] for package in packages}
    if "torch" in names:
        raise SystemExit("torch is among what was installed")
    return f"{len(names)} packages, no torch"


def listed(devices: str) -> str:
    """Step 4."""
    if "pulse" not in devices:
        raise SystemExit(f"the virtual microphone is not listed:\n{devices}")
    return "the microphone is listed"


def calibrate(walk: Walk, breath: Path) -> str:
    """Step 5; whoever it is breathes when the program says so."""
    said: list[str] = []
    breather: subprocess.Popen[bytes] | None = None
    command = walk.command("breath-live", "calibrate", *DEVICE)
    env = walk.microphone.env
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            said.append(line)
            if "2 of 2" in line:
                breather = walk.microphone.play(breath)
    if child.returncode != 0 or breather is None:
        raise SystemExit("".join(said))
    breather.terminate()
    found = re.search(r"quiet .* dB", said[-1])
    return found[0] if found else said[-1].strip()


def listen(walk: Walk, breath: Path) -> str:
    """Step 6."""
    breather = walk.microphone.play(breath)
    kept = ["--record", "first.flac", "--breaths", "breaths.csv"]
    walk.run("breath-live", *DEVICE, "--seconds", str(LISTEN_S), *kept)
    breather.terminate()
    for name in ("first.flac", "first.txt", "first.csv", "breaths.csv"):
        if not (walk.folder / name).is_file():
            raise SystemExit(f"{name} was not written")
    n_rows = len((walk.folder / "breaths.csv").read_text(encoding="utf-8").splitlines()) - 1
    return f"{soundfile.info(walk.folder / 'first.flac').duration:.0f} s of sound, {n_rows} breath rows"


def replay(walk: Walk) -> str:
    """Step 7; the answers are those that were shown."""
    said = walk.run("breath-live", "replay", "first.flac", "--no-display", "--breaths", "again.csv")
    live, again = (
        len((walk.folder / name).read_text().splitlines()) for name in ("breaths.csv", "again.csv")
    )
    if live != again:
        raise SystemExit(f"{live - 1} breaths live, {again - 1} in the replay\n{said}")
    return breaths_in(said)


def serve(walk: Walk) -> str:
    """Step 8, without the browser."""
    walk.install("[serve]")
    command = walk.command("breath-live", "serve", *DEVICE)
    env = walk.microphone.env
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if found := re.search(r"http://\S+", line):
                    with urllib.request.urlopen(found[0], timeout=10) as page:
                        return f"HTTP {page.status}, {page.headers.get_content_type()}"
        finally:
            child.terminate()
    raise SystemExit("serve ended without an address")


def last_line(said: str) -> str:
    """The verdict of doctor."""
    return said.strip().splitlines()[-1]


def breaths_in(said: str) -> str:
    """How many breaths a summary tells."""
    found = re.search(r"\d+ complete breaths?", said)
    if found is None:
        raise SystemExit(f"no summary:\n{said}")
    return found[0]


def table(rows: list[tuple[str, float, str]]) -> str:
    """Markdown."""
    machine = this_machine()
    lines = [
        f"Measured by `python tests/bench/first_minutes.py` ({machine.cpu}, "
        f"{machine.usable_cores} cores, Python {platform.python_version()}, downloads included, and a\n"
        "virtual microphone):",
        "",
        "| step | takes | what came out |",
        "|---|---|---|",
        *(f"| {what} | {seconds:.1f} s | {seen} |" for what, seconds, seen in rows),
        f"| all of it, without reading | {sum(row[1] for row in rows):.0f} s | |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
