"""The people in front of a run: a display on the terminal, or lines where there is none to draw on."""

import io
import os
import stat
import sys
from types import TracebackType
from typing import Protocol, Self, TextIO

from realtime.controls import Controls
from realtime.facts import Facts
from realtime.keys import Keys
from realtime.sinks.base import Sink
from realtime.sinks.lines import LinesSink
from realtime.sinks.output import STANDARD_OUTPUT, LineOutput
from realtime.sinks.terminal import Screen, TerminalSink
from realtime.sinks.text import printable
from realtime.suspension import Suspension
from realtime.telling import tell


class Audience(Protocol):
    """Lives as long as a run of one or several sessions; a context manager."""

    def sink(self, facts: Facts) -> Sink:
        """The sink for one session; closing it leaves the audience as it is."""

    def __enter__(self) -> Self:
        """Return the audience itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""


class Viewers:
    """People who look at a screen, and may press keys.

    Args:
        screen: belongs to them from now on.
        controls: what their keys ask for is asked for here.
    """

    def __init__(self, screen: Screen, controls: Controls) -> None:
        self._screen = screen
        self._controls = controls
        actions = {
            "p": controls.toggle_pause,
            "m": controls.mark,
            "d": controls.toggle_mute,
            "c": controls.calibrate,
            "q": controls.quit,
        }
        self._keys = Keys.of_standard_input(lambda key: actions.get(key, lambda: None)())
        self._suspension = Suspension(self._leave, self._come_back, screen.is_in_front)

    def sink(self, facts: Facts) -> Sink:
        """See `Audience`."""
        return TerminalSink(self._screen, facts, self._controls, has_keys=self._keys is not None)

    def __enter__(self) -> Self:
        """Return the audience itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        try:
            self._suspension.close()
            if self._keys is not None:
                self._keys.close()
        finally:
            self._screen.close()

    def _leave(self) -> None:
        self._screen.suspend()
        if self._keys is not None:
            self._keys.give_back()

    def _come_back(self) -> None:
        if self._keys is not None:
            self._keys.resume()
        self._screen.come_back()


class Readers:
    """People who read lines, now or later.

    Args:
        output: where a line per change of phase goes; None: nowhere, only notices are told.
    """

    def __init__(self, output: LineOutput | None) -> None:
        self._output = output

    def sink(self, facts: Facts) -> Sink:
        """See `Audience`. Says on standard error what is heard, and by which engine."""
        engine = f"engine {facts.engine} ({facts.engine_reason})"
        tell(f"breath-live: listening to {printable(facts.source)}, {engine}, pack {facts.pack}")
        return LinesSink(self._output, is_live=facts.is_live)

    def __enter__(self) -> Self:
        """Return the audience itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""


def open_audience(
    *,
    wants_display: bool,
    is_output_taken: bool,
    controls: Controls | None = None,
    is_patient: bool = True,
    is_needed: bool = True,
) -> Audience:
    """Choose how people are told.

    A display is drawn on standard output if that is a terminal; on standard error if the output is taken
    and goes into a file. Without a display, lines go to standard output unless it is taken.

    Args:
        wants_display: whether a display may be drawn at all.
        is_output_taken: whether data for programs goes to standard output.
        controls: what people in front of a display ask for with keys; None: it is of no effect.
        is_patient: see `LineOutput`.
        is_needed: whether nobody else gets what is heard, so that a closed standard output is an error.

    Raises:
        OutputError: see above.
    """
    from rich.console import Console

    console = Console(stderr=is_output_taken)
    # Data that scrolls through the same terminal and a display would spoil each other, and so would what the
    # program behind a pipe makes of the data.
    is_shared = is_output_taken and (sys.stdout.isatty() or _is_pipe(sys.stdout))
    is_missing = sys.stdout is None and not is_needed
    # An old Windows console has no second screen to draw on.
    is_able = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    can_draw = is_able and not console.options.ascii_only
    if wants_display and can_draw and not is_shared:
        return Viewers(Screen(console), controls or Controls())
    if is_output_taken or is_missing:
        return Readers(None)
    return Readers(LineOutput(STANDARD_OUTPUT, is_patient=is_patient))


def _is_pipe(output: TextIO) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(output.fileno()).st_mode)
    except (OSError, io.UnsupportedOperation):
        return False
