"""Where the figures of an evaluation go, whatever was evaluated: JSON, a report, and the terminal."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from offline.output import STANDARD_OUTPUT, write_json


def hand_out(
    content: Mapping[str, Any],
    json_path: Path | None,
    report: Path | None,
    *,
    write_report: Callable[[Path], Path],
    print_figures: Callable[[], None],
) -> None:
    """Write what was asked for, and print the figures unless standard output holds the JSON.

    Args:
        content: of the JSON.
        json_path: where it goes; None: nowhere.
        report: folder of the report; None: none is made.
        write_report: makes the report in a folder, and returns its page.
        print_figures: to standard output.

    Raises:
        OutputError: a result cannot be written.
    """
    # First, so that they are not lost with a file that cannot be written.
    if json_path != STANDARD_OUTPUT:
        print_figures()
    if json_path is not None:
        write_json(json_path, content)
    if report is not None:
        click.echo(f"report: {write_report(report)}", err=True)


def warn(text: str) -> None:
    """Say on standard error what may make figures worthless, if anything."""
    if text:
        click.echo(f"warning: {text}", err=True)
