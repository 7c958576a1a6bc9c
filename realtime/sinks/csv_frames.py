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
SESSION_COLUMN = "session"


class CsvSink:
    """Writes a row per step: stream time of the newest sample used, P(exhale), the phase as shown.

    Args:
        output: where to, its header already written by `write_header`; it is left open, so that several
            sessions can write to it.
        file: a further column of every row; None: there is no such column.
        session: the same as the last column, counted from 1.
    """

    def __init__(self, output: LineOutput, file: str | None = None, session: int | None = None) -> None:
        self._output = output
        self._origin = [str(cell) for cell in (file, session) if cell is not None]

    def show(self, step: Step, status: Status) -> None:
        """See `Sink`."""
        frame = step.frame
        time_s = seconds_from_samples(frame.end_sample)
        row = [str(time_s), f"{frame.prob_exhale:.6f}", frame.phase.value, *self._origin]
        self._output.write_line(csv_line(row))

    def report(self, event: Report) -> None:
        """Rows are answers only."""

    def notice(self, text: str) -> None:
        """Notices are for people."""

    def close(self) -> None:
        """Nothing is pending: every row was handed over when it came."""


def write_header(output: LineOutput, *, has_file: bool = False, has_session: bool = False) -> None:
    """Write the names of the columns.

    Raises:
        OutputError: it cannot be written.
    """
    output.write_line(csv_line([*COLUMNS, *origin_columns(has_file=has_file, has_session=has_session)]))


def origin_columns(*, has_file: bool, has_session: bool) -> list[str]:
    """The columns that tell where a row is from, where there are several recordings or sessions."""
    return [FILE_COLUMN] * has_file + [SESSION_COLUMN] * has_session


def csv_line(cells: list[str]) -> str:
    """The cells as CSV (RFC 4180), without the end of the line."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
