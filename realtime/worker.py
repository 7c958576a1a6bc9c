"""A thread for calls that may get stuck in a foreign library."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Protocol, TypeVar

T = TypeVar("T")


class Worker(Protocol):
    """Makes calls one after another."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Make the call when all calls before have returned; at once or later."""

    def end(self) -> None:
        """Nothing more will be submitted."""


class ThreadWorker:
    """Makes all its calls on one thread, begun with the first, which never holds up the end of the program.

    One thread, because sound systems may tie what they open to the thread that opened it.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """See `Worker`."""
        future: Future[T] = Future()

        def settle() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(settle)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sound system", daemon=True)
            self._thread.start()
        return future

    def end(self) -> None:
        """See `Worker`."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
