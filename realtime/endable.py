"""Signals that end the program, as errors in the main thread that no import can lose."""

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")

_EXIT_SIGNAL = 128
_AGAIN_S = 0.02
_IMPORTERS = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def call_endable(call: Callable[[], Result], names: Sequence[str]) -> Result:
    """Call something that signals end: SIGINT by `KeyboardInterrupt`, others by `SystemExit(128 + number)`.

    While a module is being imported a signal waits until that is done: libraries written in C turn an error
    in the middle of their import into another one, or lose it, and the program would go on for ever. The
    same signal once more is not made to wait. Where there is no timer for that (Windows), none waits.

    Signals that are ignored (as under nohup) or handled by somebody else are left alone, and so are all of
    them outside the main thread, which no signal reaches.

    Args:
        call: is called, without arguments.
        names: of the signals, such as `SIGTERM`; those that the system does not know are left out.

    Returns:
        What it returned.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
        untouched = (signal.SIG_DFL, signal.default_int_handler)
        handle = _Handler()
        for number in numbers:
            if (handler := signal.getsignal(number)) in untouched:
                before[number] = handler
                signal.signal(number, handle)
    try:
        return call()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Handler:
    """Raises at once, or when the import is over."""

    def __init__(self) -> None:
        self._waiting: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        is_urgent = number in self._waiting
        if _is_importing(frame) and not is_urgent and hasattr(signal, "setitimer"):
            self._waiting.append(number)
            self._wait()
            return
        self._raise(number)

    def _wait(self) -> None:
        signal.signal(signal.SIGALRM, self._look_again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)

    def _look_again(self, _alarm: int, frame: FrameType | None) -> None:
        if not self._waiting:
            return
        if _is_importing(frame):
            self._wait()
            return
        self._raise(self._waiting[0])

    def _raise(self, number: int) -> None:
        self._waiting.clear()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(_EXIT_SIGNAL + number)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether an import that began within `call_endable` is under way."""
    while frame is not None and frame.f_code is not call_endable.__code__:
        if frame.f_code.co_filename in _IMPORTERS:
            return True
        frame = frame.f_back
    return False
