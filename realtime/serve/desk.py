"""Where browsers hand in their microphones, one at a time, and where the live path waits for them."""

import threading
from collections import deque
from collections.abc import Callable, Iterator

from engines.errors import ConfigError
from realtime.serve.browser_source import BrowserSource, SampleFormat

_TICK_S = 0.2
_MOST_WAITING = 4


class Desk:
    """One for the whole run; without a desk the server listens to something else."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[BrowserSource] = deque()
        self._current: BrowserSource | None = None
        self._n_opened = 0

    def open(self, rate_hz: int, sample_format: SampleFormat) -> BrowserSource:
        """A browser wants to be heard. For the thread of the server; returns at once.

        What is left of a microphone that has ended is heard first; the new one's sound waits meanwhile.

        Raises:
            ConfigError: another one is heard, several that have ended still wait, or the format is unknown.
            RateUnsupportedError: the rate cannot be used.
        """
        with self._changed:
            if self._is_taken():
                raise ConfigError("the microphone of another browser is open; stop that one first")
            if len(self._waiting) >= _MOST_WAITING:
                raise ConfigError("microphones were opened faster than they can be heard; wait a little")
            number = self._n_opened + 1
            source = BrowserSource(f"browser microphone {number}", rate_hz, sample_format)
            self._n_opened = number
            self._waiting.append(source)
            self._changed.notify_all()
            return source

    def sources(self, is_over: Callable[[], bool] = lambda: False) -> Iterator[BrowserSource]:
        """Each microphone that is handed in, until `is_over` says so; for the live path."""
        while True:
            with self._changed:
                # Not without limit: on some systems nothing else lets Ctrl-C through.
                while not self._waiting:
                    if is_over():
                        return
                    self._changed.wait(_TICK_S)
                source = self._current = self._waiting.popleft()
                source.is_run_over = is_over
            yield source
            with self._changed:
                self._current = None

    def _is_taken(self) -> bool:
        return any(source is not None and not source.is_over for source in (*self._waiting, self._current))
