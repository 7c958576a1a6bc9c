"""Ctrl-Z: the shell finds its terminal as it was, and the display is back when the program goes on."""

import signal
import threading
from collections.abc import Callable
from types import FrameType


class Suspension:
    """While it is installed, a stop from the terminal first gives the terminal back.

    Does nothing where there is no such signal, where it is ignored or handled by others, and outside the
    main thread, which alone may handle signals.

    Args:
        leave: gives the terminal back; called before the program stops.
        come_back: takes it again; called when the program goes on.
    """

    def __init__(self, leave: Callable[[], None], come_back: Callable[[], None]) -> None:
        self._leave = leave
        self._come_back = come_back
        self._number = getattr(signal, "SIGTSTP", None)
        is_main = threading.current_thread() is threading.main_thread()
        self._is_installed = (
            self._number is not None and is_main and signal.getsignal(self._number) is signal.SIG_DFL
        )
        if self._is_installed and self._number is not None:
            signal.signal(self._number, self._stop)

    def close(self) -> None:
        """Let the signal stop the program at once again; closing twice is fine."""
        if self._is_installed and self._number is not None:
            self._is_installed = False
            signal.signal(self._number, signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._leave()
        signal.signal(number, signal.SIG_DFL)
        # To this very thread: sent to the process, it might arrive after the display is back.
        signal.raise_signal(number)
        signal.signal(number, self._stop)
        self._come_back()
