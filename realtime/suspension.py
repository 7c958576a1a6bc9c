"""Ctrl-Z: the shell finds its terminal as it was, and the display is back when the program has it again."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

_LOOK_S = 0.2


class Suspension:
    """While it is installed, a stop from the terminal first gives the terminal back.

    Does nothing where there is no such signal, where it is ignored or handled by others, and outside the
    main thread, which alone may handle signals.

    Args:
        leave: gives the terminal back; called before the program stops.
        come_back: takes it again; called once the program goes on and is in front, on any thread.
        is_in_front: whether the terminal is the program's: after `bg` it is the shell's, until `fg`.
    """

    def __init__(
        self,
        leave: Callable[[], None],
        come_back: Callable[[], None],
        is_in_front: Callable[[], bool],
    ) -> None:
        self._leave = leave
        self._come_back = come_back
        self._is_in_front = is_in_front
        self._is_away = False
        self._is_closed = threading.Event()
        # A signal may interrupt this very thread while it holds the lock.
        self._turning = threading.RLock()
        self._number = getattr(signal, "SIGTSTP", None)
        is_main = threading.current_thread() is threading.main_thread()
        self._is_installed = (
            self._number is not None and is_main and signal.getsignal(self._number) is signal.SIG_DFL
        )
        if self._is_installed and self._number is not None:
            signal.signal(self._number, self._stop)

    def close(self) -> None:
        """Let the signal stop the program at once again; closing twice is fine."""
        with self._turning:
            self._is_closed.set()
        if self._is_installed and self._number is not None:
            self._is_installed = False
            signal.signal(self._number, signal.SIG_DFL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        with self._turning:
            if not self._is_away:
                self._is_away = True
                self._leave()
        signal.signal(number, signal.SIG_DFL)
        # To this very thread: sent to the process, it might arrive after the display is back.
        signal.raise_signal(number)
        signal.signal(number, self._stop)
        if not self._has_come_back():
            # Nothing tells a program that runs already that it is in front now.
            threading.Thread(target=self._look_again, name="suspension", daemon=True).start()

    def _has_come_back(self) -> bool:
        """Come back if that is due and possible; whether there is nothing more to wait for."""
        with self._turning:
            if self._is_away and not self._is_closed.is_set() and self._is_in_front():
                self._is_away = False
                self._come_back()
            return not self._is_away or self._is_closed.is_set()

    def _look_again(self) -> None:
        while not self._is_closed.wait(_LOOK_S) and not self._has_come_back():
            pass
