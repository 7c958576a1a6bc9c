"""Progress for logs and pipes: a line now and then, of what goes on for long."""

import time
from collections.abc import Callable

EVERY_S = 60.0


class ProgressLines:
    """Says once a minute how far something is, and nothing of what is done sooner.

    Args:
        say: takes the line.
        clock_s: seconds that only go on.
    """

    def __init__(self, say: Callable[[str], object], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock_s = clock_s
        self._told_s = clock_s()

    def tell(self, what: str, n_done: int, n_all: int) -> None:
        """So much of `what` is done."""
        now_s = self._clock_s()
        if now_s - self._told_s >= EVERY_S:
            self._told_s = now_s
            self._say(f"{what}: {n_done} of {n_all}")
