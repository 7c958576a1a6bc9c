"""The display at several sizes, with and without colour: nothing wraps, nothing important is missing."""

import io
import re
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.text import Text

from engines.latency import LatencySummary
from realtime.controls import Controls
from realtime.events import Apnoea, Breath, Condition, Frame, Health, Mark, Phase
from realtime.facts import Facts
from realtime.pipeline import Step
from realtime.sinks import terminal
from realtime.sinks.base import Status
from realtime.sinks.breath_table import ratio_text
from realtime.sinks.glyphs import big_rows
from realtime.sinks.meters import level_meter
from realtime.sinks.rows import Rows
from realtime.sinks.terminal import REDRAWS_PER_S, Screen, TerminalSink
from realtime.sinks.terminal_view import View, lines_from_view
from realtime.sinks.trace import Column, extended, picture_from_trace, wave_from_trace
from realtime.stage_meters import StageSummary

SIZES = [(80, 24), (200, 60), (40, 12)]
ODD_SIZES = [(1, 1), (3, 2), (20, 5), (79, 19), (80, 20), (300, 8), (60, 100), (500, 200)]
STATUS = Status(754.3, 14.2, 7.1, 123.9, 1234, 567890)
STAGES = StageSummary(
    {
        "wait": LatencySummary(9, 30.0, 30.0, 30.5, 31.0, 31.0),
        "cnn8": LatencySummary(9, 4.0, 4.0, 4.5, 5.0, 5.0),
    },
    LatencySummary(9, 99.0, 48.7, 1000.0, 1234.5, 1300.0),
)
FACTS = Facts(
    "USB \x1b[31mMicrophone [bold] 麦克风" * 5, "onnxruntime", "as asked for", "default", 1600, True
)
BREATHS = tuple(
    Breath(i + 1, 64000 * i, 64000 * i + 24000, 64000 * i + 24000, 64000 * i + 60000, 64000 * (i + 1), 0,
           15.0, 0.31, 0.42)
    for i in range(20)
)  # fmt: skip
SILENCE = np.zeros(1600, np.float32)
NOTICE = "no microphone without the PortAudio library, which is not on this machine: " * 4


def trace(n_columns=800, phase=Phase.EXHALE):
    return tuple(Column(i, 0.2, 0.9, phase if i % 20 > 5 else Phase.NONE) for i in range(n_columns))


def view(phase=Phase.EXHALE, notices=(), facts=FACTS, *, has_keys=False):
    frame = Frame(16000 * 80, 0.87, phase, 0.87, -31.4)
    return View(
        facts,
        frame,
        STATUS,
        123,
        False,
        trace(phase=phase),
        tuple(notices),
        breaths=BREATHS,
        has_keys=has_keys,
    )


def rendered(shown, width, height, *, no_color=False):
    file = io.StringIO()
    console = Console(
        file=file, width=width, height=height, force_terminal=True, color_system="truecolor",
        no_color=no_color, legacy_windows=False, _environ={},
    )  # fmt: skip
    console.set_alt_screen(True)
    Rows(console).draw(lines_from_view(shown, width, height), console.size)
    return file.getvalue()


@pytest.mark.parametrize(("width", "height"), SIZES + ODD_SIZES)
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("notices", [(), (NOTICE,), ("short", NOTICE, "last")])
def test_the_view_fits_every_terminal(width, height, phase, notices):
    for shown in (
        view(phase, notices, has_keys=True), View(FACTS, notices=notices), View(FACTS, is_muted=True),
        replace(view(phase, notices), status=replace(STATUS, stages=STAGES)),
    ):  # fmt: skip
        lines = lines_from_view(shown, width, height)
        assert len(lines) <= height
        assert all(cell_len(line.plain) <= width for line in lines)
        assert not any("\x1b" in line.plain or "\n" in line.plain for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_view_fills_the_terminal(width, height):
    assert len(lines_from_view(view(), width, height)) == height


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("phase", list(Phase))
def test_what_matters_is_there_at_every_size(width, height, phase):
    text = "\n".join(line.plain for line in lines_from_view(view(phase, [NOTICE]), width, height))
    numbers = ["87 %", "-31 dB", "12:34.3", "14.2 breaths/min", "123 breaths", "p50 7.1", "p99 123.9"]
    words = ["1234 skipped", "567890 lost", "! no microphone", "exhale 1 ┤", "shown │", "Ctrl-C ends"]
    for part in numbers + words:
        assert part in text
    if height >= 20:
        assert all(row.rstrip() in text for row in big_rows(phase, scale=2 if height >= 40 else 1))
        assert "engine onnxruntime" in text
        assert "    01:16    1.5 s    2.2 s    1:1.5     15.0" in text
        assert "    01:08" in text
    else:
        assert {"inhale": "● INHALE", "exhale": "○ EXHALE", "none": "- NO BREATH"}[phase] in text


@pytest.mark.parametrize(("width", "height"), SIZES + ODD_SIZES)
def test_what_is_wrong_with_the_sound_is_there_until_it_ends(width, height):
    sink = TerminalSink(_still_screen(), FACTS, clock_s=lambda: 0.0)
    sink.show(_step(16000), STATUS)
    events = [Health(condition, True, 0, 3.14, "") for condition in Condition]
    for event in events:
        sink.report(event)
    lines = lines_from_view(sink.view(), width, height)
    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width for line in lines)
    if (width, height) in SIZES:
        assert any(line.plain.startswith(" ! no sound · 3 samples lost") for line in lines)
    for event in events[1:]:
        sink.report(Health(event.condition, False, 0, 0.0, ""))
    assert sink.view().health == (events[0],)
    sink.report(Health(Condition.STALLED, False, 0, 0.0, ""))
    text = "\n".join(line.plain for line in lines_from_view(sink.view(), width, height))
    assert "no sound" not in text
    assert "sound ok" in text or height < 20 or width < 9


def test_phases_differ_in_shape_and_not_only_in_colour():
    plain = {rendered(view(phase), 80, 24, no_color=True) for phase in Phase}
    assert len(plain) == len(Phase)


def test_without_colour_there_is_none():
    assert "38;" in rendered(view(), 80, 24)
    assert "38;" not in rendered(view(), 80, 24, no_color=True)


def test_before_the_first_answer_it_listens():
    text = "\n".join(line.plain for line in lines_from_view(View(FACTS), 80, 24))
    assert "listening... (first answer after 1 s)" in text


def test_full_scale_is_called_too_loud():
    sink = TerminalSink(_still_screen(), FACTS, clock_s=lambda: 0.0)
    sink.show(_step(16000, newest=np.ones(1600, np.float32)), STATUS)
    assert sink.view().is_clipping
    assert any("too loud" in line.plain for line in lines_from_view(sink.view(), 80, 24))


def test_a_live_source_that_falls_silent_is_listened_for_again():
    now_s = [0.0]
    sink = TerminalSink(_still_screen(), FACTS, clock_s=lambda: now_s[0])
    sink.show(_step(16000), STATUS)
    assert sink.view().frame is not None
    now_s[0] = 0.9
    assert sink.view().frame is None
    sink.show(_step(32000), STATUS)
    assert sink.view().frame is not None


def test_clipping_is_shown_for_a_second_after_it():
    sink = TerminalSink(_still_screen(), FACTS, clock_s=lambda: 0.0)
    sink.show(_step(16000, newest=np.ones(1600, np.float32)), STATUS)
    sink.show(_step(31000), STATUS)
    assert sink.view().is_clipping
    sink.show(_step(32000), STATUS)
    assert not sink.view().is_clipping


def test_complete_breaths_are_counted_and_listed_newest_first():
    sink = TerminalSink(_still_screen(), FACTS, clock_s=lambda: 0.0)
    sink.show(_step(64000 * 2), STATUS)
    assert any("no complete breath yet" in line.plain for line in lines_from_view(sink.view(), 80, 24))
    for breath in BREATHS:
        sink.report(breath)
    assert sink.view().n_breaths == 20
    text = "\n".join(line.plain for line in lines_from_view(sink.view(), 80, 24))
    assert 0 < text.find("01:16") < text.find("01:12")
    assert "cycle SD 0.31 s · RMSSD 0.42 s" in text


@pytest.mark.parametrize(("ratio", "text"), [(1.0, "1:1.0"), (0.5, "1:2.0"), (2.0, "2.0:1"), (0.4, "1:2.5")])
def test_the_ratio_is_written_as_people_write_it(ratio, text):
    assert ratio_text(ratio) == text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_pause_that_is_too_long_is_told_until_it_ends(width, height):
    sink = TerminalSink(_still_screen(), FACTS, clock_s=lambda: 0.0)
    sink.show(_step(16000), STATUS)
    sink.report(Apnoea(True, 16000 * 740, 16000 * 750))
    lines = lines_from_view(sink.view(), width, height)
    assert any(line.plain.startswith(" ! no breath since 12:20, 14 s") for line in lines)
    sink.report(Apnoea(False, 16000 * 740, 16000 * 755))
    assert not any("no breath since" in line.plain for line in lines_from_view(sink.view(), width, height))


def test_the_meter_marks_what_is_too_quiet_and_full_scale():
    assert "┊" in level_meter(-30.0, 80, is_clipping=False).plain
    assert level_meter(None, 80, is_clipping=False).plain.count("┃") == 1
    full, clipped = level_meter(-0.1, 80, is_clipping=False), level_meter(-0.1, 80, is_clipping=True)
    assert len(full.plain) == len(clipped.plain) == 79
    assert "too loud" in clipped.plain
    quiet_at = full.plain.index("┊")
    for level_dbfs, is_beyond in ((-64.0, True), (-68.0, False)):
        bar = level_meter(level_dbfs, 80, is_clipping=False).plain
        assert (bar[quiet_at - 1] == "█") == is_beyond


def test_keys_are_hinted_at_only_where_they_work():
    for width, height in SIZES:
        text = "\n".join(line.plain for line in lines_from_view(view(has_keys=True), width, height))
        for hint in ("p pause", "m mark", "d mute", "q quit", *(["c calibrate"] if width >= 80 else [])):
            assert hint in text
        assert "Ctrl-C" not in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_of_a_live_source_the_way_from_sound_to_screen_is_told(width, height):
    whole = replace(view(), status=replace(STATUS, stages=STAGES))
    text = "\n".join(line.plain for line in lines_from_view(whole, width, height))
    assert " to screen p50 49 p99 1234 ms" in text
    assert "latency" not in text
    assert "567890 lost" in text
    assert ("p50/p99 of stages, ms: wait 30.0/31.0, cnn8 4.0/5.0" in text) == (height >= 28)


def test_each_step_that_was_drawn_is_told_once():
    screen, _ = _screen()
    sink = TerminalSink(screen, FACTS, clock_s=lambda: 0.0)
    step = replace(_step(16000), captured_s=1.0, decided_s=2.0)
    sink.show(step, STATUS)
    _wait_for_redraws(screen, 1)
    # Something else on the screen changes: it is drawn again, with the same step.
    n_before = screen.n_redraws
    sink.notice("something")
    _wait_for_redraws(screen, n_before + 1)
    screen.close()
    (shown,) = sink.take_shown()
    assert (shown.captured_s, shown.decided_s) == (1.0, 2.0)
    assert shown.shown_s <= time.perf_counter()
    assert sink.take_shown() == []


def test_paused_muted_and_marks_are_shown():
    controls = Controls()
    sink = TerminalSink(_still_screen(), FACTS, controls, has_keys=True, clock_s=lambda: 0.0)

    def text():
        return "\n".join(line.plain for line in lines_from_view(sink.view(), 80, 24))

    sink.show(_step(16000), STATUS)
    sink.report(Mark(1, 16000 * 75))
    assert "mark 1 at 01:15" in text()
    controls.toggle_pause()
    assert "paused" in text()
    assert "p go on" in text()
    controls.toggle_pause()
    assert "paused" not in text()
    controls.toggle_mute()
    before = sink.view()
    sink.show(_step(17600), STATUS)
    assert sink.view() == before
    assert "the display is muted" in text()
    assert "d show" in text()
    controls.toggle_mute()
    assert "mark 1 at 01:15" in text()


def test_while_suspended_nothing_is_drawn_and_afterwards_everything():
    screen, file = _screen()
    sink = TerminalSink(screen, FACTS, clock_s=lambda: 0.0)
    sink.show(_step(16000), STATUS)
    screen.suspend()
    given_back = file.getvalue()
    assert given_back.rfind("\x1b[?1049l") > given_back.rfind("\x1b[?1049h")
    sink.show(_step(17600), STATUS)
    time.sleep(3 / REDRAWS_PER_S)
    assert file.getvalue() == given_back
    screen.come_back()
    screen.close()
    assert file.getvalue()[len(given_back) :].startswith("\x1b[?1049h")
    assert "breath-live" in file.getvalue()[len(given_back) :]


def test_however_small_the_hop_it_redraws_at_most_15_times_a_second():
    screen, _ = _screen()
    started_s = time.monotonic()
    sink = TerminalSink(screen, FACTS)
    for i in range(2000):
        sink.show(_step(16000 + 160 * i), STATUS)
    screen.close()
    elapsed_s = time.monotonic() - started_s
    # One more when it begins and one when it ends.
    assert 1 <= screen.n_redraws <= elapsed_s * REDRAWS_PER_S + 2


def test_an_answer_is_drawn_when_it_comes_and_not_when_somebody_looks(monkeypatch):
    # Looking alone would take an hour.
    monkeypatch.setattr(terminal, "REDRAWS_PER_S", 1 / 3600)
    screen, _ = _screen()
    sink = TerminalSink(screen, FACTS)
    sink.show(_step(16000), STATUS)
    _wait_for_redraws(screen, 1)
    screen.close()


def test_the_terminal_is_given_back_and_notices_outlive_the_screen():
    screen, file = _screen()
    sink = TerminalSink(screen, FACTS)
    sink.notice("cut off: \x1b[2J")
    sink.show(_step(16000), STATUS)
    sink.close()
    screen.close()
    screen.close()
    before, left, after = file.getvalue().rpartition("\x1b[?1049l")
    assert left
    assert "\x1b[?1049h" in before
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")
    assert after.strip().endswith("breath-live: cut off: ?[2J")
    assert "display" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("hop_samples", [160, 1600, 4000])
def test_the_trace_has_a_column_for_every_tenth_of_a_second(hop_samples):
    drawn = ()
    for end_sample in range(16000, 16000 * 10, hop_samples):
        drawn = extended(drawn, Frame(end_sample, 0.7, Phase.EXHALE, 0.7, -30.0), hop_samples, SILENCE)
    indices = [column.index for column in drawn]
    assert indices == list(range(indices[0], indices[-1] + 1))
    assert indices[-1] == (end_sample - 1) // 1600


def test_skipped_windows_leave_no_holes_in_the_trace():
    drawn = ()
    for end_sample in (16000, 22400, 36800, 38400):
        drawn = extended(drawn, Frame(end_sample, 0.7, Phase.EXHALE, 0.7, -30.0), 1600, SILENCE)
    assert [column.index for column in drawn] == list(range(9, 24))


def test_a_gap_of_the_sound_is_a_gap_of_the_trace():
    drawn = extended((), Frame(16000, 0.7, Phase.EXHALE, 0.7, -30.0), 1600, SILENCE)
    drawn = extended(drawn, Frame(48000, 0.7, Phase.EXHALE, 0.7, -30.0), 1600, SILENCE)
    assert [column.index for column in drawn] == [9, 29]
    picture = picture_from_trace(drawn, 11, 3)
    assert [phase is None for phase in picture.phases] == [False, *[True] * 9, False]
    assert all(row[1:-1].isspace() for row in picture.rows)


@pytest.mark.parametrize("n_rows", [2, 5, 24])
def test_exhalation_is_drawn_above_the_middle_and_inhalation_below(n_rows):
    certain = {Phase.EXHALE: 1.0, Phase.INHALE: 0.0}
    columns = tuple(Column(i, prob, prob, phase) for i, (phase, prob) in enumerate(
        (phase, prob) for phase, prob in certain.items() for _ in range(2)
    ))  # fmt: skip
    picture = picture_from_trace(columns, 2, n_rows)
    assert [row.isspace() for row in (picture.rows[0], picture.rows[-1])] == [False, False]
    assert (picture.rows[0][1], picture.rows[-1][0]) == (" ", " ")
    assert picture.phases == [Phase.EXHALE, Phase.INHALE]


@pytest.mark.parametrize("n_rows", [1, 2, 6])
def test_the_louder_the_sound_the_higher_it_is_drawn_around_the_middle(n_rows):
    n_dots = 4 * n_rows
    heights = []
    for level_dbfs in (-90, -60, -30, 0):
        columns = tuple(Column(i, 0.5, 0.5, Phase.NONE, 10 ** (level_dbfs / 20)) for i in range(2))
        picture = wave_from_trace(columns, 1, n_rows)
        n_set = sum((ord(row) - 0x2800).bit_count() for row in picture.rows if row != " ")
        assert n_set % 4 == 0
        heights.append(n_set // 2)
    assert heights == sorted(heights)
    assert (heights[0], heights[-1]) == (0, n_dots)
    assert heights[1] < heights[2] or n_rows == 1


def test_the_sound_of_a_long_hop_stands_where_it_was():
    hop_samples = 8000
    sound = np.zeros(hop_samples, np.float32)
    # The second tenth of a second of five, and the last sample.
    sound[1600:3200], sound[-1] = -0.5, 0.25
    drawn = extended((), Frame(16000, 0.7, Phase.EXHALE, 0.7, -30.0), hop_samples, 0 * sound)
    drawn = extended(drawn, Frame(24000, 0.7, Phase.EXHALE, 0.7, -30.0), hop_samples, sound)
    assert [column.peak for column in drawn] == [0.0, 0.0, 0.5, 0.0, 0.0, 0.25]
    within = extended(drawn, Frame(24000, 0.1, Phase.INHALE, 0.7, -30.0), 160, np.full(160, 0.75, np.float32))
    assert [column.peak for column in within[-2:]] == [0.0, 0.75]


def test_skipped_windows_leave_no_holes_in_the_sound():
    half = np.full(1600, 0.5, np.float32)
    drawn = extended((), Frame(16000, 0.7, Phase.EXHALE, 0.7, -30.0), 1600, half)
    drawn = extended(drawn, Frame(20800, 0.7, Phase.EXHALE, 0.7, -30.0), 1600, half)
    assert [column.peak for column in drawn] == [0.5] * 4


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_the_sound_scrolls_below_the_phases(width, height):
    def wave(peak):
        shown = replace(view(), trace=tuple(replace(column, peak=peak) for column in trace()))
        lines = [line.plain for line in lines_from_view(shown, width, height)]
        strip = next(at for at, line in enumerate(lines) if "shown │" in line)
        axis = next(at for at, line in enumerate(lines) if line.rstrip().endswith("now"))
        assert any("sound │" in line for line in lines[strip + 1 : axis])
        assert any("P(exhale) │" in line for line in lines)
        return "".join(line[12:] for line in lines[strip + 1 : axis])

    assert wave(0.0).isspace()
    assert 0 < len(wave(0.001).replace(" ", "")) <= len(wave(1.0).replace(" ", ""))
    assert set(wave(1.0)[: width - 13]) == {"\u28ff"}


def test_only_rows_that_changed_are_written_and_all_of_them_in_another_size():
    file = io.StringIO()
    console = Console(
        file=file, width=20, height=3, force_terminal=True, color_system="truecolor", legacy_windows=False,
        _environ={},
    )  # fmt: skip
    console.set_alt_screen(True)
    rows = Rows(console)

    def written(*lines, width=20, height=3):
        """What was written, and into which rows, counted from 1."""
        before = len(file.getvalue())
        rows.draw([Text(*parts) for parts in lines], ConsoleDimensions(width, height))
        text = file.getvalue()[before:]
        return text, [int(number) for number in re.findall(r"\x1b\[(\d+);1H", text)]

    first, places = written(("one",), ("two", "red"))
    assert places == [1, 2]
    assert "one" in first
    assert "\x1b[31mtwo\x1b[0m" in first
    # One that has not changed in turn, in case somebody else has written over it.
    assert written(("one",), ("two", "red"))[1] == [2]
    assert written(("one",), ("two", "blue"))[1] == [2, 3]
    # Nothing is left of what was longer, or is not there any more.
    assert written(("o",), ("two", "blue")) == ("\x1b[1;1Ho" + " " * 19, [1])
    assert written(("o",)) == ("\x1b[2;1H" + " " * 20, [2])
    narrow, places = written(("o",), width=10)
    assert narrow.startswith("\x1b[2J")
    assert places == [1, 3]
    rows.forget()
    assert "o" in written(("o",), width=10)[0]
    in_turn = [place for _ in range(3) for place in written(("o",), width=10)[1]]
    assert sorted(in_turn) == [1, 2, 3]
    # One row more or less: the turn is still one of them.
    assert [written(("o",), width=10, height=height)[1] for height in (1, 2)] == [[1], [1]]


def test_a_screen_that_is_closed_twice_at_once_is_not_drawn_on_any_more(monkeypatch):
    """Ctrl-C, and once more while the program waits for the drawing to end."""
    screen, file = _screen()
    is_drawing, may_go_on = threading.Event(), threading.Event()
    draw = screen._rows.draw

    def draw_slowly(*args):
        is_drawing.set()
        assert may_go_on.wait(60)
        draw(*args)

    monkeypatch.setattr(screen._rows, "draw", draw_slowly)
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    sink = TerminalSink(screen, FACTS, clock_s=lambda: 0.0)
    sink.show(_step(16000), STATUS)
    assert is_drawing.wait(60)
    join = screen._thread.join

    def interrupted():
        may_go_on.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(screen._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        screen.close()
    join(60)
    assert failures == []
    assert file.getvalue().endswith("\x1b[?1049l")


def _wait_for_redraws(screen, n_redraws):
    give_up_s = time.monotonic() + 60
    while screen.n_redraws < n_redraws and time.monotonic() < give_up_s:
        time.sleep(0.01)
    assert screen.n_redraws >= n_redraws


def _step(end_sample, event=None, newest=None):
    frame = Frame(end_sample, 0.8, Phase.EXHALE, 0.8, -30.0)
    return Step(frame, event, np.zeros(1600, np.float32) if newest is None else newest, 0.001)


def _screen():
    file = io.StringIO()
    console = Console(
        file=file, width=80, height=24, force_terminal=True, legacy_windows=False, _environ={"TERM": "xterm"}
    )
    return Screen(console), file


def _still_screen():
    """A screen that has been closed again: a sink can be tried on it without anything being drawn."""
    screen, _ = _screen()
    screen.close()
    return screen
