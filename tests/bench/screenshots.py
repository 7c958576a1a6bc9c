"""Make the screenshots of the README and the docs, from the real display and the real page.

python tests/bench/screenshots.py [--pack PACK] [--out docs/images] [--no-page]

The terminal: the demo breather goes through the live path at full speed into the display, and the view of one
moment is drawn as SVG. Seed, pack and length decide everything in it but the latency, which is that of this
machine. The page: `breath-live serve --source demo` in headless Chromium, in real time, as PNG; it is left
out, with a word, where Playwright or Chromium is missing.
"""

import argparse
import io
import os
import re
import shutil
import sys
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import TerminalTheme

from engines.errors import BreathError
from engines.pack import load_pack
from realtime.clock import samples_from_seconds
from realtime.engine import open_engine
from realtime.events import Phase
from realtime.facts import Facts
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.base import Sink
from realtime.sinks.terminal import Screen, TerminalSink
from realtime.sinks.terminal_view import lines_from_view
from realtime.sound.demo import DemoSource

PROJECT = Path(__file__).resolve().parents[2]
# By name: columns, rows, and the phase in which the picture is taken.
TERMINALS = {"terminal-80x24": (80, 24, Phase.INHALE), "terminal-120x32": (120, 32, Phase.EXHALE)}
PAGES = {"page-light": "light", "page-dark": "dark"}
LAST_S = 6.0
LARGEST_PNG_BYTES = 200_000
LIMIT_MS = 120_000
CHARTS_ARE_FULL_S = 24.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FONTS = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
THEME = TerminalTheme(
    (22, 24, 29),
    (214, 218, 225),
    [(0, 0, 0), (222, 75, 75), (88, 168, 92), (199, 155, 52), (90, 140, 235), (170, 110, 210), (60, 165, 175),
     (200, 204, 212)],
    [(122, 129, 142), (240, 110, 110), (120, 200, 124), (230, 190, 90), (125, 170, 250), (200, 145, 235),
     (100, 200, 210), (255, 255, 255)],
)  # fmt: skip


class Camera(Sink):
    """A sink in front of a display of a fixed size; keeps the view of the surest moment of one phase."""

    def __init__(self, facts: Facts, n_columns: int, n_rows: int, phase: Phase, from_s: float) -> None:
        self.phase = phase
        self.view = None
        self._size = {"width": n_columns, "height": n_rows}
        self._from_s = from_s
        self._screen = Screen(_console(**self._size))
        self._sink = TerminalSink(self._screen, facts, has_keys=True, clock_s=lambda: 0.0)
        self.report, self.notice = self._sink.report, self._sink.notice

    def show(self, step, status) -> None:
        self._sink.show(step, status)
        frame = step.frame
        if status.stream_s < self._from_s or frame.phase is not self.phase:
            return
        if self.view is None or frame.confidence > self.view.frame.confidence:
            self.view = self._sink.view()

    def close(self) -> None:
        self._sink.close()
        self._screen.close()

    def svg(self, name: str) -> str:
        """The kept view, drawn as the display draws it; ValueError where the phase was never shown."""
        if self.view is None:
            raise ValueError(f"{name}: no {self.phase.value} was shown near the end; try another --seconds")
        console = _console(**self._size, record=True)
        console.print(Group(*lines_from_view(self.view, *console.size)))
        drawn = console.export_svg(title="breath-live", theme=THEME, unique_id=name)
        # Rich names a font on somebody else's server.
        drawn = re.sub(r"@font-face\s*{.*?}\s*", "", drawn, flags=re.DOTALL)
        drawn = re.sub(r"font-family: Fira Code[^;]*;", f"font-family: {FONTS};", drawn)
        return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)


def _console(**options) -> Console:
    return Console(
        **options, file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False,
        _environ={"TERM": "xterm-256color"},
    )  # fmt: skip


def terminal_svgs(pack_name: str, seconds: float, seed: int) -> dict[str, str]:
    """Every terminal's picture, by name, from one hearing."""
    pack = load_pack(pack_name if pack_name == "default" else Path(pack_name))
    engine, choice = open_engine(pack, "onnxruntime")
    settings = PipelineSettings()
    with engine, DemoSource(seconds, seed=seed, pace=None) as source:
        engine.warm_up()
        facts = Facts(
            source=source.name,
            engine=choice.name,
            engine_reason=choice.reason,
            pack=pack.manifest.name,
            hop_samples=samples_from_seconds(settings.hop_s),
            is_live=source.is_live,
        )
        cameras = {name: Camera(facts, *about, seconds - LAST_S) for name, about in TERMINALS.items()}
        pipeline = Pipeline(source, engine, pack.manifest, settings)
        Session(source, pipeline, list(cameras.values())).run()
    return {name: camera.svg(name) for name, camera in cameras.items()}


def page_pngs(pack_name: str, seed: int) -> dict[str, bytes]:
    """The page, by name; nothing where there is no browser."""
    sys.path.insert(0, str(PROJECT / "tests" / "e2e"))
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        print("screenshots: no page, because playwright is not installed", file=sys.stderr)
        return {}
    from serving import serve_process

    try:
        with sync_playwright() as playwright:
            path = next(filter(None, map(shutil.which, BROWSERS)), playwright.chromium.executable_path)
            if not Path(path).exists():
                print("screenshots: no page, because there is no Chromium", file=sys.stderr)
                return {}
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
            with serve_process("--source", "demo", "--seed", seed, "--pack", pack_name) as server:
                pngs = _photographed(browser, server)
                server.end()
            browser.close()
            return pngs
    except Error as error:
        raise ValueError(f"the page: {error}") from error


def _photographed(browser, server) -> dict[str, bytes]:
    pages = {}
    for name, scheme in PAGES.items():
        context = browser.new_context(viewport={"width": 1100, "height": 800}, color_scheme=scheme)
        context.set_default_timeout(LIMIT_MS)
        pages[name] = context.new_page()
        pages[name].goto(server.url)
    pngs = {}
    for name, page in pages.items():
        frame = None
        while frame is None or frame["time_s"] < CHARTS_ARE_FULL_S:
            page.wait_for_timeout(500)
            frame = page.request.get(f"{server.base}/api/status").json()["frame"]
        page.locator("#word", has_text=re.compile("Inhale|Exhale")).wait_for()
        pngs[name] = page.screenshot()
    return pngs


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", default="default", help="folder of a model pack")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "images")
    parser.add_argument("--seconds", type=float, default=30.0, help="of sound for the terminal")
    parser.add_argument("--seed", type=int, default=0, help="of the demo breather")
    parser.add_argument("--no-page", action="store_true", help="the terminal only")
    chosen = parser.parse_args(arguments)
    try:
        pictures: dict[str, bytes] = {
            f"{name}.svg": svg.encode()
            for name, svg in terminal_svgs(chosen.pack, chosen.seconds, chosen.seed).items()
        }
        if not chosen.no_page:
            pngs = page_pngs(chosen.pack, chosen.seed)
            pictures |= {f"{name}.png": png for name, png in pngs.items()}
        too_large = [name for name, picture in pictures.items() if len(picture) > LARGEST_PNG_BYTES]
        if too_large:
            raise ValueError(f"larger than {LARGEST_PNG_BYTES} bytes: {', '.join(too_large)}")
        chosen.out.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            (chosen.out / name).write_bytes(picture)
            print(f"{chosen.out / name}: {len(picture) / 1000:.0f} kB")
    except (BreathError, OSError, ValueError) as error:
        print(f"screenshots: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
