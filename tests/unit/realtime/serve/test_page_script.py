"""The page's script without a browser: what it shows of which messages. tests/e2e has it in a real one."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime.serve import server

NODE = shutil.which("node")
PAGE = Path(server.__file__).with_name("static")
FACTS = {"source": "mic", "engine": "onnxruntime (why)", "pack": "tiny", "hop_s": 0.1}
FRAME = {
    "event": "frame",
    "time_s": 1.0,
    "prob_exhale": 0.2,
    "phase": "inhale",
    "confidence": 0.93,
    "level_dbfs": -30.0,
    "rate_per_min": 14.0,
    "latency_p50_ms": 9.0,
    "latency_p99_ms": 12.0,
    "skipped_windows": 0,
    "lost_samples": 0,
    "wave": [],
    "wave_s": 0.1,
    "spectrum": [-100] * 64,
}
FIGURES = ("word", "confidence", "rate", "level")
HEARD = ["▲\nInhale", "93 %", "14.0", "-30"]
UNKNOWN = ["\N{EN DASH}"] * 4

pytestmark = pytest.mark.skipif(NODE is None, reason="the page's script runs in node, which is not here")


def hello(*, is_live=True, health=None, history=()):
    return {
        "event": "hello",
        "settings": {"hop_s": 0.1},
        "source_kind": "microphone",
        "session": FACTS | {"is_live": is_live},
        "history": list(history),
        "health": health or {},
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's files, of which even an old node knows that they are modules."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def shown_after(page, *steps):
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("page.mjs")), str(page)],
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(shown) == len(steps)
    return shown


def figures(shown):
    return [shown[name] for name in FIGURES]


def test_live_sound_that_stops_leaves_no_phase_behind(page):
    before, heard, silent, again = shown_after(page, hello(), FRAME, {"wait_ms": 1500}, FRAME)
    assert figures(before) == UNKNOWN
    assert figures(heard) == HEARD
    assert heard["stage"] == "inhale"
    assert figures(silent) == UNKNOWN
    assert silent["stage"] == "none"
    assert figures(again) == HEARD


def test_a_recording_may_wait_for_its_reader(page):
    assert figures(shown_after(page, hello(is_live=False), FRAME, {"wait_ms": 1500})[-1]) == HEARD


def test_a_lost_connection_leaves_no_phase_behind(page):
    lost = shown_after(page, hello(), FRAME, {"close": True})[-1]
    assert figures(lost) == UNKNOWN
    assert lost["stage"] == "none"
    assert "Not connected" in lost["connection"]


def test_what_is_wrong_is_known_to_a_page_that_comes_later(page):
    begins = {"event": "health", "condition": "clipping", "state": "begins"}
    over = shown_after(page, hello(history=[begins]))[-1]
    assert over["health"] == ["Nothing to complain of."]
    ends = {"event": "health", "condition": "hum_50_hz", "state": "ends"}
    wrong, ended = shown_after(page, hello(health={"hum_50_hz": "move the cables"}), ends)
    assert wrong["health"] == ["move the cables"]
    assert ended["health"] == ["Nothing to complain of."]


def test_a_paused_page_that_connects_again_says_that_it_is_paused(page):
    paused, lost, again, on = shown_after(
        page, {"press": "pause"}, {"close": True}, hello(), {"press": "pause"}
    )
    assert paused["connection"] == again["connection"] == "Paused"
    assert "Not connected" in lost["connection"]
    assert on["connection"] == "Connected"


MICROPHONE = {"press": "microphone"}


def test_the_pages_own_microphone_is_opened_when_it_is_permitted(page):
    asked, opened, stopped = shown_after(page, hello(), MICROPHONE, {"wait_ms": 500}, MICROPHONE)[1:]
    assert asked["sent"] == []
    assert (opened["sent"], opened["isStopped"]) == (["microphone_open"], False)
    assert (stopped["sent"], stopped["isStopped"]) == (["microphone_open", "microphone_close"], True)


def test_a_microphone_that_is_stopped_before_it_is_permitted_is_never_opened(page):
    last = shown_after(page, hello(), MICROPHONE, MICROPHONE, {"wait_ms": 500})[-1]
    assert (last["sent"], last["isStopped"]) == ([], True)
