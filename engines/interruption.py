"""Ctrl-C that waits: libraries that are being loaded turn it into another error, or lose it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruption_held_back() -> Iterator[None]:
    """Let an interruption (SIGINT) act at the end of the block, as it would have acted within it.

    In threads other than the main one, which no signal reaches, nothing is changed.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    caught: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if caught:
            handler(caught[0], None)
