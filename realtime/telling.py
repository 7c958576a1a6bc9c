"""What people are told on standard error, broken between words where a terminal would break within one."""

import os
import sys
import textwrap

import click

_LEAST_COLUMNS, _USUAL_COLUMNS = 20, 80


def tell(text: str) -> None:
    """Print on standard error; wrapped to the terminal, and as it is where there is none."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    click.echo(wrapped(text, _columns()) if is_terminal else text, err=True)


def _columns() -> int:
    """Of the terminal behind standard error: standard output may be another one, or none."""
    chosen = os.environ.get("COLUMNS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


def wrapped(text: str, columns: int) -> str:
    """Lines of at most `columns`, but for words that are longer; what goes on is indented two more."""
    lines: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        lines += lines_of_words(line, columns, f"{indent}  ") or [""]
    return "\n".join(lines)


def lines_of_words(line: str, columns: int, subsequent_indent: str = "") -> list[str]:
    """Lines of at most `columns`, but for words that are longer: a path or a flag stays in one piece."""
    return textwrap.wrap(
        line,
        max(_LEAST_COLUMNS, columns),
        subsequent_indent=subsequent_indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def counted(n: int, what: str) -> str:
    """Such as `1 window`, `2 windows`."""
    return f"{n} {what}{'' if n == 1 else 's'}"
