"""A thread that makes calls for another one, and never holds up the end of the program."""

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
    """Makes all its calls on one daemon thread, begun with the first.

    A call that gets stuck in a foreign library does not keep the program from ending. And while an executor
    of `concurrent.futures` takes nothing more once the main thread has ended, this one works for other
    threads that go on.

    Args:
        name: of the thread, for people who look at it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
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
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        return future

    def end(self) -> None:
        """See `Worker`."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            # While this waits, it should keep nothing alive.
            del call
