"""The last breaths as a table."""

from collections.abc import Sequence

from rich.text import Text

from realtime.clock import seconds_from_samples
from realtime.events import Breath
from realtime.sinks.text import clock_from_seconds, short

_HEADS = ("began", "inhale", "exhale", "I:E", "per min")
_COLUMN_WIDTH = 9
TABLE_WIDTH = 1 + _COLUMN_WIDTH * len(_HEADS)


def table_from_breaths(breaths: Sequence[Breath], n_lines: int, width: int) -> list[Text]:
    """A head and the newest breaths, newest first, in exactly `n_lines` lines of at most `width` columns.

    Args:
        breaths: oldest first.
        n_lines: with the head; fewer than two: there is no table.
        width: columns.
    """
    if n_lines < 2:
        return [Text("")] * n_lines
    rows = [_row(breath) for breath in reversed(breaths[-(n_lines - 1) :])]
    if not rows:
        rows = [f" {'no complete breath yet':>{2 * _COLUMN_WIDTH + 11}}"]
    head = short(_line(_HEADS), width, "dim")
    lines = [head, *(short(row, width, "bold" if i == 0 and breaths else "") for i, row in enumerate(rows))]
    return lines + [Text("")] * (n_lines - len(lines))


def ratio_text(ie_ratio: float) -> str:
    """Inhalation to exhalation, the shorter one being 1: `1:1.8`."""
    return f"1:{1 / ie_ratio:.1f}" if ie_ratio <= 1 else f"{ie_ratio:.1f}:1"


def _row(breath: Breath) -> str:
    began = clock_from_seconds(seconds_from_samples(breath.inhale_onset_sample))
    durations = (f"{breath.inhale_s:.1f} s", f"{breath.exhale_s:.1f} s")
    return _line((began, *durations, ratio_text(breath.ie_ratio), f"{breath.rate_per_min:.1f}"))


def _line(cells: Sequence[str]) -> str:
    return " " + "".join(f"{cell:>{_COLUMN_WIDTH}}" for cell in cells)
