"""Rows of a terminal's alternate screen: those that have changed are written, and one more in turn."""

from collections.abc import Sequence

from rich.console import Console, ConsoleDimensions
from rich.segment import Segment
from rich.text import Text

from realtime.sinks.text import line


class Rows:
    """What stands on the screen; making and writing a row costs more than to find that it is there already.

    What somebody else has written over it, such as a message to all terminals, is gone after as many drawings
    as there are rows.

    Args:
        console: of the terminal, which shows its alternate screen whenever something is drawn.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size: ConsoleDimensions | None = None
        self._rows: list[Text] = []
        self._turn = 0

    def draw(self, rows: Sequence[Text], size: ConsoleDimensions) -> None:
        """Show these rows and no others.

        Args:
            rows: from the top, none wider than the terminal; where they end, the screen is empty.
            size: of the terminal. If it is another one than before, everything is written.
        """
        wanted = [*rows, *[Text()] * (size.height - len(rows))]
        # Written at once at the end, so that nobody sees half of it.
        with self._console:
            if size != self._size:
                self._console.clear()
                self._rows = [Text()] * size.height
            for y, (row, before) in enumerate(zip(wanted, self._rows, strict=True)):
                if y == self._turn or (row, row.style) != (before, before.style):
                    # A style of the whole row is rendered where it is that of a part.
                    segments = Segment.adjust_line_length(list(line(row).render(self._console)), size.width)
                    self._console.update_screen_lines([segments], 0, y)
        self._rows, self._size = wanted, size
        self._turn = (self._turn + 1) % size.height

    def forget(self) -> None:
        """Somebody else has drawn on the terminal: the next time everything is written."""
        self._size = None
