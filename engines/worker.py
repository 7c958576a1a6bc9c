"""A thread that makes calls for another one, and never holds up the end of the program."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from engines.errors import EngineError
from engines.threads import keep_off_this_core, run_on

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
        """See `Worker`; an interruption is raised here, and not by the future."""
        future: Future[T] = Future()
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)
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
        is_elsewhere: where the thread has to be woken for a call, that happens on another core than the one
            that it is submitted on, if there is one and the system has a say in that.
    """

    def __init__(self, name: str, *, is_elsewhere: bool = False) -> None:
        self._name = name
        self._is_elsewhere = is_elsewhere
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_idle = True
        self._has_ended = False

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """See `Worker`; where there is no thread to make the call, the future raises `EngineError`."""
        future: Future[T] = Future()
        try:
            thread = self._running_thread()
        except RuntimeError as error:
            future.set_exception(EngineError(f"a thread of its own is wanted, and there is none: {error}"))
            return future
        cores: frozenset[int] = frozenset()
        if self._is_elsewhere and self._is_idle and thread.native_id is not None:
            cores = keep_off_this_core(thread.native_id)
        self._calls.put(partial(_settle, future, call, cores))
        return future

    def end(self) -> None:
        """See `Worker`."""
        self._has_ended = True
        self._calls.put(None)

    def _running_thread(self) -> threading.Thread:
        if self._has_ended:
            raise RuntimeError("it has ended")
        # It is not alive in a process that was forked.
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        return self._thread

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()
            # While this waits, it should keep nothing alive.
            del call

    def _next(self) -> Callable[[], None] | None:
        self._is_idle = True
        call = self._calls.get()
        self._is_idle = False
        return call


def wait_for(running: Sequence["Future[Any]"]) -> None:
    """Wait until all are done, whatever becomes of them; a Ctrl-C meanwhile is raised after that."""
    try:
        wait(running)
    except BaseException:
        wait(running)
        raise


def _settle(future: "Future[T]", call: Callable[[], T], cores: frozenset[int]) -> None:
    run_on(cores)
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
        # The error holds this frame, and the future the error.
        del future, call
