"""What the display shows, for any size of the terminal: a pure function from a view to lines."""

import textwrap
from dataclasses import dataclass, field

from rich.text import Text

from engines.contract import RATE_HZ
from realtime.events import Apnoea, Breath, Frame, Health, Phase
from realtime.facts import Facts
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.breath_table import TABLE_WIDTH, table_from_breaths
from realtime.sinks.glyphs import BIG_WORDS, MARKS, STRIP_MARKS, big_rows, big_width
from realtime.sinks.health_words import label_from_apnoea, label_from_health
from realtime.sinks.meters import GUTTER, level_meter, meter
from realtime.sinks.text import line, printable, short
from realtime.sinks.trace import (
    COLUMN_SAMPLES,
    COLUMNS_PER_CELL,
    Column,
    Picture,
    picture_from_trace,
    wave_from_trace,
)
from realtime.stage_meters import text_from_stages
from realtime.telling import counted

# Blue and orange stay apart for the colour-blind, on dark and on light backgrounds.
STYLES = {Phase.INHALE: "dodger_blue1", Phase.EXHALE: "dark_orange", Phase.NONE: "bright_black"}
_MOST_TRACE_ROWS = 40
_MOST_WAVE_ROWS = 8
_MOST_TABLE_LINES = 16


@dataclass(frozen=True)
class View:
    """Everything that is on the screen.

    Attributes:
        facts: about the session.
        frame: the newest one; None: there is no answer yet, or none any more.
        status: how the session is doing; None before the first frame.
        n_breaths: complete breaths so far.
        is_clipping: whether the sound has just reached full scale.
        trace: P(exhale) and the sound so far.
        notices: warnings, oldest first.
        health: what is wrong with the sound now, oldest first.
        breaths: the last complete ones, oldest first.
        apnoea: the pause that is going on, if it is too long.
        has_keys: whether keys are read.
        is_paused: whether nothing is being heard because somebody wanted so.
        is_muted: whether nothing of what is heard is to be shown.
        step: that of the frame, for those who measure when it was drawn; it does not show.
    """

    facts: Facts
    frame: Frame | None = None
    status: Status | None = None
    n_breaths: int = 0
    is_clipping: bool = False
    trace: tuple[Column, ...] = ()
    notices: tuple[str, ...] = ()
    health: tuple[Health, ...] = ()
    breaths: tuple[Breath, ...] = ()
    apnoea: Apnoea | None = None
    has_keys: bool = False
    is_paused: bool = False
    is_muted: bool = False
    step: Step | None = field(default=None, compare=False, repr=False)


def lines_from_view(view: View, width: int, height: int) -> list[Text]:
    """The view as at most `height` lines of at most `width` columns; the trace takes what the rest leaves."""
    if view.is_muted:
        return _muted(view, width)[:height]
    is_roomy = height >= 20
    top = [_header(view, width)]
    if height >= 16:
        facts = view.facts
        chosen = f" pack {facts.pack} · engine {facts.engine} ({facts.engine_reason})"
        top.append(short(chosen, width, "dim"))
    spacer = [Text("")] if height >= 28 else []
    word = _word(view, width, height)
    table_at = big_width(_scale(width, height)) + 6
    has_table_beside = is_roomy and width >= table_at + TABLE_WIDTH
    if has_table_beside:
        table = table_from_breaths(view.breaths, len(word), width - table_at)
        for row, table_line in zip(word, table, strict=True):
            row.truncate(table_at, pad=True)
            row.append_text(table_line)
    top += [*spacer, *word, *spacer]
    if is_roomy:
        top.append(_confidence(view, width))
    level_dbfs = view.frame.level_dbfs if view.frame else None
    top += [level_meter(level_dbfs, width, is_clipping=view.is_clipping), *spacer]
    bottom = _stats(view, width, 3 if height >= 12 else 1)
    if height >= 28:
        bottom += _stages(view, width)
    if view.health or view.apnoea or is_roomy:
        bottom.append(_health(view, width))
    bottom += _notices(view, width, 3 if is_roomy else 1)
    bottom += [_footer(view, width)]
    has_axis = height >= 14
    n_free = height - len(top) - len(bottom)
    if is_roomy and not has_table_beside:
        n_table = min(_MOST_TABLE_LINES, max(4, n_free // 3), n_free - 4)
        table = table_from_breaths(view.breaths, max(0, n_table), width) + spacer
        top += table
        n_free -= len(table)
    n_wave = min(_MOST_WAVE_ROWS, max(2, n_free // 4)) if is_roomy and n_free >= 6 else 0
    n_rows = min(_MOST_TRACE_ROWS, n_free - n_wave - (2 if has_axis else 1))
    middle = _trace(view, width, n_rows, n_wave, has_axis=has_axis) if n_rows >= 2 else []
    padding = [Text("")] * (n_free - len(middle))
    lines = (top + middle + padding + bottom)[:height]
    for one in lines:
        one.truncate(width)
    return lines


def _muted(view: View, width: int) -> list[Text]:
    text = " the display is muted; everything is heard and written as before"
    return [short(" breath-live", width, "bold"), short(text, width), _footer(view, width)]


def _scale(width: int, height: int) -> int:
    return 2 if height >= 40 and width >= big_width(2) + 4 else 1


def _header(view: View, width: int) -> Text:
    tenths = int(10 * view.status.stream_s) if view.status else 0
    clock = f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10} "
    title = line(
        Text(" breath-live ", style="bold reverse"), Text(f" {printable(view.facts.source)}", "bold")
    )
    title.truncate(max(1, width - len(clock) - 1), overflow="ellipsis", pad=True)
    return line(title, Text(f" {clock}"))


def _word(view: View, width: int, height: int) -> list[Text]:
    scale = _scale(width, height)
    is_big = height >= 20 and width >= big_width(scale) + 4
    if view.frame is None:
        text = "paused" if view.is_paused else "listening... (first answer after 1 s)"
        lines = [Text("") for _ in range(5 * scale if is_big else 1)]
        lines[len(lines) // 2] = short(f" {text}", width, "bold")
        return lines
    style = f"bold {STYLES[view.frame.phase]}"
    if is_big:
        return [short(f"  {row}", width, style) for row in big_rows(view.frame.phase, scale)]
    phase = view.frame.phase
    return [short(f" {MARKS[phase]} {BIG_WORDS[phase]}  {100 * view.frame.confidence:.0f} %", width, style)]


def _confidence(view: View, width: int) -> Text:
    if view.frame is None:
        return meter("confidence", 0.0, "", "", width)
    sure = view.frame.confidence
    return meter("confidence", sure, f"{100 * sure:.0f} %", STYLES[view.frame.phase], width)


def _trace(view: View, width: int, n_rows: int, n_wave: int, *, has_axis: bool) -> list[Text]:
    """The trace, the strip of phases under it, the sound, and the axis of time."""
    n_cells = max(1, width - GUTTER - 1)
    probs = picture_from_trace(view.trace, n_cells, n_rows)
    names = {0: "exhale 1 ┤", n_rows - 1: "inhale 0 ┤"}
    if n_rows >= 5:
        names |= {1: "P(exhale) │", (n_rows - 1) // 2: "0.5 ┤"}
    elif n_rows >= 3:
        names |= {1: "P(exhale) │"}
    lines = _drawn(probs, names)
    strip = Text().append(f"{'shown │':>{GUTTER}}", style="dim")
    for phase, run in _runs(probs.phases):
        strip.append((STRIP_MARKS[phase] if phase else " ") * (run.stop - run.start), style=_style(phase))
    wave = _drawn(wave_from_trace(view.trace, n_cells, n_wave), {n_wave // 2: "sound │"})
    if not has_axis:
        return [*lines, strip, *wave]
    span_s = n_cells * COLUMNS_PER_CELL * COLUMN_SAMPLES / RATE_HZ
    start = f"-{span_s:.0f} s"
    legend = "   ".join(f"{STRIP_MARKS[phase]} {BIG_WORDS[phase].lower()}" for phase in Phase)
    if len(legend) + len(start) + 10 > n_cells:
        legend = ""
    axis = f"{start}{legend:^{max(0, n_cells - len(start) - 3)}}now"
    return [*lines, strip, *wave, short(" " * GUTTER + axis, width, "dim")]


def _drawn(picture: Picture, names: dict[int, str]) -> list[Text]:
    runs = _runs(picture.phases)
    lines = []
    for number, row in enumerate(picture.rows):
        drawn = Text().append(f"{names.get(number, '│'):>{GUTTER}}", style="dim")
        for phase, run in runs:
            drawn.append(row[run], style="" if row[run].isspace() else _style(phase))
        lines.append(drawn)
    return lines


def _runs(phases: list[Phase | None]) -> list[tuple[Phase | None, slice]]:
    """Neighbours of one phase together: each change of style costs time, here and in the terminal."""
    starts = [at for at, phase in enumerate(phases) if at == 0 or phase is not phases[at - 1]]
    return [
        (phases[start], slice(start, stop))
        for start, stop in zip(starts, [*starts[1:], len(phases)], strict=True)
    ]


def _style(phase: Phase | None) -> str:
    return STYLES[phase] if phase else ""


def _stats(view: View, width: int, max_lines: int) -> list[Text]:
    status = view.status
    if status is None:
        return [Text("")]
    rate = "- breaths/min" if status.breaths_per_min is None else f"{status.breaths_per_min:.1f} breaths/min"
    parts = [
        rate,
        counted(view.n_breaths, "breath"),
        _latency(status),
        f"{status.skipped_windows} skipped",
        *([f"{status.lost_samples} lost"] if status.lost_samples else []),
    ]
    if view.breaths and view.breaths[-1].sdbb_s is not None:
        parts.append(f"cycle SD {view.breaths[-1].sdbb_s:.2f} s")
    if view.breaths and view.breaths[-1].rmssd_s is not None:
        parts.append(f"RMSSD {view.breaths[-1].rmssd_s:.2f} s")
    lines = [f" {parts[0]}"]
    for part in parts[1:]:
        if len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(f" {part}")
    return [short(line, width) for line in lines[:max_lines]]


def _latency(status: Status) -> str:
    total = status.stages.total
    if total is None:
        return f"latency p50 {status.latency_p50_ms:.1f} p99 {status.latency_p99_ms:.1f} ms"
    return f"to screen p50 {total.p50_ms:.0f} p99 {total.p99_ms:.0f} ms"


def _stages(view: View, width: int) -> list[Text]:
    if view.status is None or not view.status.stages.by_stage:
        return []
    return [short(f" p50/p99 of stages, ms: {text_from_stages(view.status.stages)}", width, "dim")]


def _health(view: View, width: int) -> Text:
    labels = [label_from_health(event) for event in view.health]
    if view.apnoea is not None:
        now_s = view.status.stream_s if view.status else 0.0
        labels.insert(0, label_from_apnoea(view.apnoea, now_s))
    if not labels:
        return short(" sound ok", width, "dim")
    return short(" ! " + " · ".join(labels), width, "bold red")


def _notices(view: View, width: int, max_lines: int) -> list[Text]:
    """The newest warnings, as far as there is room."""
    lines: list[str] = []
    for text in reversed(view.notices):
        wrapped = textwrap.wrap(
            printable(text), max(8, width - 3), initial_indent="! ", subsequent_indent="  "
        )
        if lines and len(lines) + len(wrapped) > max_lines:
            break
        lines = wrapped + lines
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1] + " ..."]
    return [short(f" {line}", width, "bold") for line in lines]


def _footer(view: View, width: int) -> Text:
    if not view.has_keys:
        return short(" Ctrl-C ends", width, "dim")
    keys = {
        "p": "go on" if view.is_paused else "pause",
        "m": "mark",
        "d": "show" if view.is_muted else "mute display" if width >= 60 else "mute",
        "c": "calibrate",
        "q": "quit",
    }
    if width < 60:
        del keys["c"]
    hints = Text(" ")
    for key, meaning in keys.items():
        hints.append(key, style="bold").append(f" {meaning}   ", style="dim")
    hints.truncate(width)
    return line(hints)
