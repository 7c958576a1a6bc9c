"""What people are told on standard error, broken between words where a terminal would break within one."""

import shutil
import sys
import textwrap

import click

_LEAST_COLUMNS = 20


def tell(text: str) -> None:
    """Print on standard error; wrapped to the terminal, and as it is where there is none."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    click.echo(wrapped(text, shutil.get_terminal_size().columns) if is_terminal else text, err=True)


def wrapped(text: str, columns: int) -> str:
    """Lines of at most `columns`, but for words that are longer; what goes on is indented two more."""
    lines: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        parts = textwrap.wrap(
            line,
            max(_LEAST_COLUMNS, columns),
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += parts or [""]
    return "\n".join(lines)


def counted(n: int, what: str) -> str:
    """Such as `1 window`, `2 windows`."""
    return f"{n} {what}{'' if n == 1 else 's'}"
