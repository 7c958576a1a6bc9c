"""A thread that makes calls for another one, and never holds up the end of the program."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Protocol, TypeVar

from engines.threads import keep_off_this_core

T = TypeVar("T")


class Worker(Protocol):
    """Makes calls one after another."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Make the call when all calls before have returned; at once or later."""

    def end(self) -> None:
        """Nothing more will be submitted."""


class SameThreadWorker:
    """Makes each call at once, on the thread that submits it."""

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """See `Worker`."""
        future: Future[T] = Future()
        _settle(future, call)
        return future

    def end(self) -> None:
        """See `Worker`."""


class ThreadWorker:
    """Makes all its calls on one daemon thread, begun with the first.

    A call that gets stuck in a foreign library does not keep the program from ending. And while an executor
    of `concurrent.futures` takes nothing more once the main thread has ended, this one works for other
    threads that go on.

    Args:
        name: of the thread, for people who look at it.
        is_elsewhere: each call begins on another core than the one it is submitted on, if there is one and
            the system has a say in that.
    """

    def __init__(self, name: str, *, is_elsewhere: bool = False) -> None:
        self._name = name
        self._is_elsewhere = is_elsewhere
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """See `Worker`."""
        future: Future[T] = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        if self._is_elsewhere and self._thread.native_id is not None:
            keep_off_this_core(self._thread.native_id)
        self._calls.put(partial(_settle, future, call))
        return future

    def end(self) -> None:
        """See `Worker`."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            # While this waits, it should keep nothing alive.
            del call


def _settle(future: "Future[T]", call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
