"""What the display shows, for any size of the terminal: a pure function from a view to lines."""

import textwrap
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from engines.contract import RATE_HZ
from realtime.events import Frame, Health, Phase
from realtime.sinks.base import Status
from realtime.sinks.glyphs import BIG_WORDS, MARKS, STRIP_MARKS, big_rows, big_width
from realtime.sinks.health_words import label_from_health
from realtime.sinks.trace import COLUMN_SAMPLES, COLUMNS_PER_CELL, Column, cells_from_trace

# Blue and orange stay apart for the colour-blind, on dark and on light backgrounds.
STYLES = {Phase.INHALE: "dodger_blue1", Phase.EXHALE: "dark_orange", Phase.NONE: "bright_black"}
_LOWEST_DBFS = -80.0
_LOUD_DBFS = -6.0
_GUTTER = 12
_MOST_TRACE_ROWS = 32
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Facts:
    """What stays the same during a session.

    Attributes:
        source: what is listened to.
        engine: the back end, and why it was chosen.
        pack: name of the model pack.
        hop_samples: distance of two answers, samples at 16 kHz.
        is_live: whether the sound comes as fast as time passes.
    """

    source: str
    engine: str
    pack: str
    hop_samples: int
    is_live: bool


@dataclass(frozen=True)
class View:
    """Everything that is on the screen.

    Attributes:
        facts: about the session.
        frame: the newest one; None: there is no answer yet, or none any more.
        status: how the session is doing; None before the first frame.
        n_breaths: breaths begun so far.
        is_clipping: whether the newest sound reaches full scale.
        trace: P(exhale) so far.
        notices: warnings, oldest first.
        health: what is wrong with the sound now, oldest first.
    """

    facts: Facts
    frame: Frame | None = None
    status: Status | None = None
    n_breaths: int = 0
    is_clipping: bool = False
    trace: tuple[Column, ...] = ()
    notices: tuple[str, ...] = ()
    health: tuple[Health, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Fill the terminal."""
        yield from lines_from_view(self, *options.size)


def lines_from_view(view: View, width: int, height: int) -> list[Text]:
    """The view as at most `height` lines of at most `width` columns; the trace takes what the rest leaves."""
    is_roomy = height >= 20
    top = [_header(view, width)]
    if height >= 16:
        top.append(_short(f" {view.facts.engine} · pack {view.facts.pack}", width, "dim"))
    spacer = [Text("")] if is_roomy else []
    word = _word(view, width, height)
    top += [*spacer, *word, *spacer]
    if is_roomy:
        top.append(_confidence(view, width))
    top += [_level(view, width), *spacer]
    bottom = _stats(view, width, 3 if height >= 12 else 1)
    if view.health or is_roomy:
        bottom.append(_health(view, width))
    bottom += _notices(view, width, 3 if is_roomy else 1)
    bottom += [_footer(width)]
    has_axis = height >= 14
    n_free = height - len(top) - len(bottom)
    n_rows = min(_MOST_TRACE_ROWS, n_free - (2 if has_axis else 1))
    middle = _trace(view, width, n_rows, has_axis=has_axis) if n_rows >= 2 else []
    padding = [Text("")] * (n_free - len(middle))
    lines = (top + middle + padding + bottom)[:height]
    for line in lines:
        line.truncate(width)
    return lines


def _header(view: View, width: int) -> Text:
    tenths = int(10 * view.status.stream_s) if view.status else 0
    clock = f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10} "
    title = Text(" breath-live ", style="bold reverse")
    title.append(f" {printable(view.facts.source)}", style="not reverse")
    title.truncate(max(1, width - len(clock) - 1), overflow="ellipsis", pad=True)
    return _line(title, Text(f" {clock}"))


def _word(view: View, width: int, height: int) -> list[Text]:
    scale = 2 if height >= 40 and width >= big_width(2) + 4 else 1
    is_big = height >= 20 and width >= big_width(scale) + 4
    if view.frame is None:
        text = "listening... (first answer after 1 s)"
        lines = [Text("")] * (5 * scale if is_big else 1)
        lines[len(lines) // 2] = _short(f" {text}", width, "bold")
        return lines
    style = f"bold {STYLES[view.frame.phase]}"
    if is_big:
        return [_short(f"  {row}", width, style) for row in big_rows(view.frame.phase, scale)]
    phase = view.frame.phase
    return [_short(f" {MARKS[phase]} {BIG_WORDS[phase]}  {100 * view.frame.confidence:.0f} %", width, style)]


def _confidence(view: View, width: int) -> Text:
    if view.frame is None:
        return _meter("confidence", 0.0, "", "", width)
    sure = view.frame.confidence
    return _meter("confidence", sure, f"{100 * sure:.0f} %", STYLES[view.frame.phase], width)


def _level(view: View, width: int) -> Text:
    if view.frame is None:
        return _meter("level", 0.0, "", "", width)
    level_dbfs = view.frame.level_dbfs
    share = (level_dbfs - _LOWEST_DBFS) / -_LOWEST_DBFS
    if view.is_clipping:
        return _meter("level", 1.0, "too loud", "bold red", width)
    style = "yellow" if level_dbfs > _LOUD_DBFS else "green"
    return _meter("level", share, f"{level_dbfs:.0f} dB", style, width)


def _meter(name: str, share: float, value: str, style: str, width: int) -> Text:
    n_cells = max(1, width - _GUTTER - 10)
    eighths = round(8 * n_cells * min(1.0, max(0.0, share)))
    full, rest = divmod(eighths, 8)
    bar = "█" * full + (_EIGHTHS[rest] if rest else "")
    return _line(
        Text(f" {name:<{_GUTTER - 1}}"), Text(f"{bar:<{n_cells}}", style=style), Text(f" {value:>8}")
    )


def _trace(view: View, width: int, n_rows: int, *, has_axis: bool) -> list[Text]:
    """The trace, the strip of phases under it, and the axis of time."""
    n_cells = max(1, width - _GUTTER - 1)
    cells = cells_from_trace(view.trace, n_cells, n_rows)
    names = {0: "exhale 1 ┤", n_rows - 1: "inhale 0 ┤"}
    if n_rows >= 5:
        names |= {1: "P(exhale) │", (n_rows - 1) // 2: "0.5 ┤"}
    lines = []
    for row in range(n_rows):
        line = Text(f"{names.get(row, '│'):>{_GUTTER}}", style="dim")
        for cell in cells:
            line.append(cell.rows[row], style=STYLES[cell.phase] if cell.phase else "")
        lines.append(line)
    strip = Text(f"{'shown │':>{_GUTTER}}", style="dim")
    for cell in cells:
        strip.append(
            STRIP_MARKS[cell.phase] if cell.phase else " ", style=STYLES[cell.phase] if cell.phase else ""
        )
    if not has_axis:
        return [*lines, strip]
    span_s = n_cells * COLUMNS_PER_CELL * COLUMN_SAMPLES / RATE_HZ
    start = f"-{span_s:.0f} s"
    legend = "   ".join(f"{STRIP_MARKS[phase]} {BIG_WORDS[phase].lower()}" for phase in Phase)
    if len(legend) + len(start) + 10 > n_cells:
        legend = ""
    axis = f"{start}{legend:^{max(0, n_cells - len(start) - 3)}}now"
    return [*lines, strip, _short(" " * _GUTTER + axis, width, "dim")]


def _stats(view: View, width: int, max_lines: int) -> list[Text]:
    status = view.status
    if status is None:
        return [Text("")]
    rate = "- breaths/min" if status.breaths_per_min is None else f"{status.breaths_per_min:.1f} breaths/min"
    parts = [
        rate,
        f"{view.n_breaths} breath{'' if view.n_breaths == 1 else 's'}",
        f"latency p50 {status.latency_p50_ms:.1f} p99 {status.latency_p99_ms:.1f} ms",
        f"{status.skipped_windows} skipped",
        f"{status.lost_samples} lost",
    ]
    lines = [f" {parts[0]}"]
    for part in parts[1:]:
        if len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(f" {part}")
    return [_short(line, width) for line in lines[:max_lines]]


def _health(view: View, width: int) -> Text:
    if not view.health:
        return _short(" sound ok", width, "dim")
    return _short(" ! " + " · ".join(map(label_from_health, view.health)), width, "bold red")


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
    return [_short(f" {line}", width, "bold") for line in lines]


def _footer(width: int) -> Text:
    return _short(" Ctrl-C ends", width, "dim")


def _short(text: str, width: int, style: str = "") -> Text:
    line = _line(Text(text, style=style))
    line.truncate(width, overflow="ellipsis")
    return line


def _line(*parts: Text) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for part in parts:
        line.append_text(part)
    return line


def printable(text: str) -> str:
    """A name of a file or device may hold anything, commands to the terminal too."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
