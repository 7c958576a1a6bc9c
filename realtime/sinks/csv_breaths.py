"""Breaths for programs: one CSV row per complete breath, with the names and values of the JSON events."""

import msgspec

from realtime.events import Breath, Report
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.csv_frames import csv_line, origin_columns
from realtime.sinks.output import LineOutput
from realtime.wire import BreathMessage, Message, message_from_event

COLUMNS = tuple(name for name in BreathMessage.__struct_fields__ if name not in Message.__struct_fields__)


class BreathCsvSink:
    """Writes a row per breath; what is not known yet, such as the variability of one breath, stays empty.

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
        """Rows are breaths only."""

    def report(self, event: Report) -> None:
        """See `Sink`."""
        if not isinstance(event, Breath):
            return
        values = msgspec.to_builtins(message_from_event(event))
        cells = ["" if values[name] is None else str(values[name]) for name in COLUMNS]
        self._output.write_line(csv_line([*cells, *self._origin]))

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
