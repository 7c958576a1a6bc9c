"""Keeping pace: hand sound out when it would have been heard, without drift."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from engines.errors import ConfigError


@dataclass(frozen=True)
class WallClock:
    """The two things that pacing asks of the world; tests give others.

    Attributes:
        now_s: seconds on a clock that never goes back.
        sleep_s: blocks for that many seconds.
    """

    now_s: Callable[[], float] = time.monotonic
    sleep_s: Callable[[float], None] = time.sleep


REAL_CLOCK = WallClock()


class Pacer:
    """Waits until sample `n` of a stream is due.

    Every due time is counted from the start of the stream and never from the previous block, so a late
    block is followed by earlier ones and nothing accumulates.

    Args:
        rate_hz: sampling rate of the stream, Hz.
        pace: stream seconds per wall-clock second; 1.0 is real time; None or 0 never waits.
        clock: where the time comes from.

    Raises:
        ConfigError: `pace` is negative or no number.
    """

    def __init__(self, rate_hz: int, pace: float | None, clock: WallClock = REAL_CLOCK) -> None:
        if pace is not None and not 0 <= pace < float("inf"):
            raise ConfigError(f"a pace of {pace} is impossible; 1 is real time, 0 is as fast as possible")
        self._samples_per_s = rate_hz * (pace or 0.0)
        self._clock = clock
        self._origin_s: float | None = None

    @property
    def is_paced(self) -> bool:
        """Whether it ever waits."""
        return self._samples_per_s > 0

    def due_samples(self) -> int:
        """How many samples of the stream should have been heard by now; the first call starts the stream."""
        if self._origin_s is None:
            self._origin_s = self._clock.now_s()
        return int((self._clock.now_s() - self._origin_s) * self._samples_per_s)

    def late_s(self, end_sample: int) -> float:
        """How long ago the samples before index `end_sample` should have been heard, seconds, at least 0."""
        if self._origin_s is None:
            return 0.0
        return max(0.0, self._clock.now_s() - self._origin_s - end_sample / self._samples_per_s)

    def postpone(self, seconds: float) -> None:
        """All that is not due yet is due so much later, because nobody listened meanwhile."""
        if self._origin_s is not None:
            self._origin_s += seconds

    def wait_for(self, end_sample: int) -> None:
        """Return as soon as the samples before index `end_sample` should have been heard."""
        if not self.is_paced:
            return
        if self._origin_s is None:
            self._origin_s = self._clock.now_s()
        due_s = self._origin_s + end_sample / self._samples_per_s
        while (remaining_s := due_s - self._clock.now_s()) > 0:
            self._clock.sleep_s(remaining_s)
