"""Meters of the display: how sure the phase is; how loud the sound is, with marks for quiet and clipping."""

from rich.text import Text

from realtime.events import Condition
from realtime.health import RULES
from realtime.sinks.level import share_from_dbfs
from realtime.sinks.text import line

GUTTER = 12
_VALUE_WIDTH = 10
_LOUD_DBFS = -6.0
_QUIET_DBFS = RULES[Condition.TOO_QUIET].limit
_QUIET_MARK = "┊"
_CLIP_MARK = "┃"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def meter(name: str, share: float, value: str, style: str, width: int) -> Text:
    """A named bar, `share` (0-1) of it full, and a value behind it."""
    return line(_name(name), Text(_bar(share, _n_cells(width)), style=style), Text(f" {value:>8}"))


def level_meter(level_dbfs: float | None, width: int, *, is_clipping: bool) -> Text:
    """The level from -80 to 0 dBFS; a mark where sound is too quiet to be heard well, and one at full scale.

    Args:
        level_dbfs: None: there is none.
        width: of the whole line, columns.
        is_clipping: the sound reached full scale just now.
    """
    n_cells = _n_cells(width)
    style, value, share = "dim", "", 0.0
    if is_clipping:
        style, value, share = "bold red", "too loud", 1.0
    elif level_dbfs is not None:
        is_odd = level_dbfs > _LOUD_DBFS or level_dbfs < _QUIET_DBFS
        style, value = "yellow" if is_odd else "green", f"{level_dbfs:.0f} dB"
        share = share_from_dbfs(level_dbfs)
    bar = Text(_bar(share, n_cells), style=style)
    marked = line(bar)
    if n_cells >= 8 and not is_clipping:
        quiet_at = round(share_from_dbfs(_QUIET_DBFS) * n_cells)
        parts = (bar[:quiet_at], Text(_QUIET_MARK, "yellow"), bar[quiet_at + 1 : -1], Text(_CLIP_MARK, "red"))
        marked = line(*parts)
    return line(_name("level"), marked, Text(f" {value:>8}"))


def _n_cells(width: int) -> int:
    return max(1, width - GUTTER - _VALUE_WIDTH)


def _name(name: str) -> Text:
    return Text(f" {name:<{GUTTER - 1}}")


def _bar(share: float, n_cells: int) -> str:
    full, rest = divmod(round(8 * n_cells * min(1.0, max(0.0, share))), 8)
    return f"{'█' * full + (_EIGHTHS[rest] if rest else ''):<{n_cells}}"
