"""What the CSV outlets share: rows that tell where they are from, and the header above them."""

import csv
import io
from collections.abc import Sequence

from realtime.sinks.base import Sink
from realtime.sinks.output import LineOutput

FILE_COLUMN = "file"
SESSION_COLUMN = "session"


class CsvRows(Sink):
    """The part of a sink that writes rows; it says itself what the rows are about.

    Args:
        output: where to, its header already written by `write_header`; it is left open, so that several
            sessions can write to it.
        file: a further column of every row; None: there is no such column.
        session: the same as the last column, counted from 1.
    """

    def __init__(self, output: LineOutput, file: str | None = None, session: int | None = None) -> None:
        self._output = output
        self._origin = [str(cell) for cell in (file, session) if cell is not None]

    def write(self, cells: Sequence[str]) -> None:
        """Write a row.

        Raises:
            OutputError: it cannot be written.
        """
        self._output.write_line(csv_line([*cells, *self._origin]))

    def take_notices(self) -> list[str]:
        """What people should know about the output."""
        return self._output.take_notices()


def write_header(
    output: LineOutput, columns: Sequence[str], *, has_file: bool = False, has_session: bool = False
) -> None:
    """Write the names of the columns, and of those that tell where a row is from.

    Raises:
        OutputError: it cannot be written.
    """
    output.write_line(csv_line([*columns, *[FILE_COLUMN] * has_file, *[SESSION_COLUMN] * has_session]))


def csv_line(cells: Sequence[str]) -> str:
    """The cells as CSV (RFC 4180), without the end of the line."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
