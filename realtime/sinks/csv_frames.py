"""Frames for programs: one CSV row per hop."""

import csv
import io

from realtime.clock import seconds_from_samples
from realtime.events import Report
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.output import LineOutput

COLUMNS = ("time_s", "prob_exhale", "phase")
FILE_COLUMN = "file"


class CsvSink:
    """Writes a row per step: stream time of the newest sample used, P(exhale), the phase as shown.

    Args:
        output: where to, its header already written by `write_header`; it is left open, so that several
            sessions can write to it.
        file: last column of every row; None: there is no such column.
    """

    def __init__(self, output: LineOutput, file: str | None = None) -> None:
        self._output = output
        self._file = [] if file is None else [file]

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        frame = step.frame
        time_s = seconds_from_samples(frame.end_sample)
        row = [str(time_s), f"{frame.prob_exhale:.6f}", frame.phase.value, *self._file]
        self._output.write_line(csv_line(row))

    def report(self, event: Report) -> None:
        """Rows are answers only."""

    def notice(self, text: str) -> None:
        """Notices are for people."""

    def close(self) -> None:
        """Nothing is pending: every row was handed over when it came."""


def write_header(output: LineOutput, *, has_file: bool = False) -> None:
    """Write the names of the columns.

    Raises:
        OutputError: it cannot be written.
    """
    output.write_line(csv_line([*COLUMNS, FILE_COLUMN] if has_file else list(COLUMNS)))


def csv_line(cells: list[str]) -> str:
    """The cells as CSV (RFC 4180), without the end of the line."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
