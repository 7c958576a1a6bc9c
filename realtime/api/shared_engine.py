"""One engine for all threads of a program, also while that program ends."""

import atexit
import threading
import weakref

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine, Inference
from engines.closing import Closing
from engines.fallback import Notifying

# An inference takes a few hundredths of a second; a program should not hang for one that hangs.
_LONGEST_WAIT_S = 2.0


class SharedEngine(Closing):
    """Lets one thread at a time into an engine; see `engines.backend.Engine`.

    Back ends refuse a second thread, and kill the process when it ends while a thread is inside. A daemon
    thread, as programs use it to listen in the background, is not waited for otherwise.

    Args:
        engine: closed by `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._teller = engine if isinstance(engine, Notifying) else None
        self._lock = threading.Lock()
        _OPEN.add(self)

    @property
    def name(self) -> str:
        """Name of the back end."""
        return self._engine.name

    def warm_up(self) -> None:
        """See `Engine`."""
        with self._lock:
            self._engine.warm_up()

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """See `Engine`; waits for its turn."""
        with self._lock:
            return self._engine.infer(windows)

    def take_notices(self) -> list[str]:
        """See `Notifying`."""
        with self._lock:
            return self._teller.take_notices() if self._teller is not None else []

    def close(self) -> None:
        """Close the engine once nobody is inside."""
        with self._lock:
            self._engine.close()
        _OPEN.discard(self)

    def bar(self) -> None:
        """Let nobody in any more."""
        self._lock.acquire(timeout=_LONGEST_WAIT_S)


_OPEN: weakref.WeakSet[SharedEngine] = weakref.WeakSet()


@atexit.register
def _bar_all() -> None:
    for engine in tuple(_OPEN):
        engine.bar()
