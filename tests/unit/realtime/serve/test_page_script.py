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


def shown_after(page, *steps, **options):
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("page.mjs")), str(page), json.dumps(options)],
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
    paused, lost, _, again, on = shown_after(
        page, {"press": "pause"}, {"close": True}, {"wait_ms": 1200}, hello(), {"press": "pause"}
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


def test_a_server_that_vanishes_without_a_word_is_missed(page):
    silent, again = shown_after(page, hello(), {"wait_ms": 2000}, speed=20)
    assert silent["connection"] == "Connected"
    assert "the server has fallen silent" in again["connection"]
    assert figures(again) == UNKNOWN


def test_a_server_that_says_that_it_is_alive_is_not_missed(page):
    alive = [{"wait_ms": 700}, {"event": "alive"}] * 3
    assert shown_after(page, hello(), *alive, speed=20)[-1]["connection"] == "Connected"


@pytest.mark.parametrize("is_full", [False, True])
def test_why_a_websocket_was_not_let_in_is_said(page, is_full):
    steps = [{"close": True}, {"wait_ms": 100}]
    refused = shown_after(page, *steps, refusal="the reason", is_full=is_full)[-1]
    assert "the reason" in refused["connection"]


def test_a_page_that_may_keep_nothing_works(page):
    shown = shown_after(page, hello(), FRAME, {"press": "theme"}, is_storage_blocked=True)
    assert figures(shown[-1]) == HEARD


def test_pressing_connect_twice_opens_one_connection(page):
    submit = {"submit": "token-form"}
    steps = [hello(), submit, submit, {"wait_ms": 100}, hello(), FRAME]
    last = shown_after(page, *steps)[-1]
    assert (last["nOpen"], figures(last)) == (1, HEARD)


def test_a_microphone_goes_on_when_the_connection_is_back(page):
    browser = hello() | {"source_kind": "browser"}
    soon, later = {"wait_ms": 300}, {"wait_ms": 1300}
    on = [browser, MICROPHONE, soon, {"close": True}, later, browser, soon]
    assert shown_after(page, *on)[-1]["sent"] == ["microphone_open", "microphone_open"]
    off = [browser, MICROPHONE, soon, MICROPHONE, {"close": True}, later, browser, soon]
    assert shown_after(page, *off)[-1]["sent"] == ["microphone_open", "microphone_close"]


def test_what_the_server_says_of_the_microphone_before_does_not_stop_the_next(page):
    closed = {"event": "microphone", "state": "closed", "reason": ""}
    opened = closed | {"state": "open"}
    late = [
        hello(),
        MICROPHONE,
        {"wait_ms": 300},
        MICROPHONE,
        MICROPHONE,
        {"wait_ms": 300},
        opened,
        closed,
        opened,
    ]
    last = shown_after(page, *late, {"wait_ms": 300})[-1]
    assert last["sent"] == ["microphone_open", "microphone_close", "microphone_open"]
    ended = shown_after(page, *late, closed)[-1]
    assert ended["sent"][3:] == ["microphone_close"]


def test_a_microphone_that_the_server_still_thinks_open_is_asked_for_again(page):
    browser = hello() | {"source_kind": "browser"}
    said = {"event": "microphone", "reason": "the microphone of another browser is open"}
    opened, refused = said | {"state": "open"}, said | {"state": "refused"}
    first = [browser, MICROPHONE, {"wait_ms": 200}, opened, {"close": True}, {"wait_ms": 400}]
    again = [browser, {"wait_ms": 200}, refused, {"wait_ms": 1500}, refused, {"wait_ms": 1500}, opened]
    last = shown_after(page, *first, *again, speed=5)[-1]
    assert last["sent"] == ["microphone_open"] * 2 + ["microphone_close", "microphone_open"] * 2
    # Who asks for it and is refused is told, and asks themselves.
    steps = [MICROPHONE, {"wait_ms": 200}, refused, {"wait_ms": 1500}]
    assert shown_after(page, browser, *steps, speed=5)[-1]["sent"] == ["microphone_open", "microphone_close"]
    off = [browser, {"wait_ms": 200}, refused, MICROPHONE]
    later = shown_after(page, *first, *off, *steps, speed=5)[-1]
    assert later["sent"] == ["microphone_open"] + ["microphone_open", "microphone_close"] * 2


def test_a_microphone_that_is_switched_off_while_nobody_hears_it_stays_off(page):
    browser = hello() | {"source_kind": "browser"}
    steps = [browser, MICROPHONE, {"wait_ms": 200}, {"close": True}, MICROPHONE, {"wait_ms": 1300}, browser]
    assert shown_after(page, *steps, {"wait_ms": 300})[-1]["sent"] == ["microphone_open"]


def test_a_microphone_that_was_unplugged_does_not_open_by_itself_later(page):
    browser = hello() | {"source_kind": "browser"}
    steps = [browser, MICROPHONE, {"wait_ms": 200}, {"unplug": True}, {"close": True}, {"wait_ms": 1300}]
    last = shown_after(page, *steps, browser, {"wait_ms": 300})[-1]
    assert last["sent"] == ["microphone_open", "microphone_close"]


def test_that_the_microphone_is_not_heard_is_said_with_the_loss(page):
    browser = hello() | {"source_kind": "browser"}
    lost = shown_after(page, browser, MICROPHONE, {"wait_ms": 200}, {"close": True})[-1]
    assert "your microphone is not heard meanwhile" in lost["connection"]


def test_a_connection_that_is_never_opened_is_given_up(page):
    assert "fallen silent" in shown_after(page, {"wait_ms": 1500}, speed=20)[-1]["connection"]


def test_a_microphone_that_cannot_be_wired_is_given_back(page):
    last = shown_after(page, hello(), MICROPHONE, {"wait_ms": 300}, is_wiring_broken=True)[-1]
    assert (last["sent"], last["isStopped"]) == ([], True)


def test_who_calibrates_is_guided(page):
    words = {"event": "notice", "text": "1 of 2: hold your breath"}
    steps = [hello(), words, {"press": "calibrate"}, words, {"wait_ms": 1000}]
    silent, _, guided, over = shown_after(page, *steps, speed=20)[1:]
    assert (silent["guide"], guided["guide"]) == ("", "1 of 2: hold your breath")
    assert (silent["isGuided"], guided["isGuided"], over["isGuided"]) == (False, True, False)
    assert guided["sent"] == ["calibrate"]
    lost = shown_after(page, hello(), {"press": "calibrate"}, words, {"close": True})[-1]
    assert not lost["isGuided"]


def test_a_server_that_has_said_good_bye_is_not_looked_for(page):
    end = {"event": "end", "reason": "the sound has ended"}
    last = shown_after(page, hello(), FRAME, end, {"close": True}, {"wait_ms": 1500})[-1]
    assert last["connection"] == "The server has ended: the sound has ended"
    assert (last["nOpen"], figures(last)) == (0, UNKNOWN)
    # Nor where the connection stays, and says nothing more.
    last = shown_after(page, hello(), FRAME, end, {"wait_ms": 1500}, speed=20)[-1]
    assert last["connection"] == "The server has ended: the sound has ended"
