"""The sample index of a live stream whose device comes and goes: what is missing is as long as it lasted."""

import sys
import time
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from realtime.sound.sources import STALL_S, Block

_SUSPENDED_S = 0.5
_MISSING_S = 0.25

SUSPENDED = "machine suspended"
LOST = "device lost"
STALLED = "device stalled"


@dataclass(frozen=True)
class Instant:
    """One moment on two clocks that never go back.

    Attributes:
        steady_s: counts on while the machine is suspended, where the system has such a clock; seconds.
        awake_s: stands still meanwhile, where the system has such a clock; seconds.
    """

    steady_s: float
    awake_s: float


def now() -> Instant:
    """This moment. On Windows both clocks go on, so that being suspended looks like a stall."""
    awake_s = time.monotonic()
    if sys.platform == "linux":
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME), awake_s)
    if sys.platform == "darwin":
        return Instant(time.clock_gettime(time.CLOCK_MONOTONIC), awake_s)
    return Instant(awake_s, awake_s)


@dataclass(frozen=True)
class StreamClock:
    """Where the stream is.

    Attributes:
        rate_hz: of the stream, Hz.
        end: index just after all that was handed out, sound or time.
        sound_end: index just after the newest sound.
        heard_at: when that was heard; before any sound, when listening began.
        device_end: the same place counted by the device; None: it was opened anew and has not delivered yet.
    """

    rate_hz: int
    heard_at: Instant
    end: int = 0
    sound_end: int = 0
    device_end: int | None = 0

    @classmethod
    def initial(cls, rate_hz: int, at: Instant) -> Self:
        """Listening begins."""
        return cls(rate_hz, at)

    def lost(self) -> Self:
        """The device has gone; whatever comes next, it counts from 0 again."""
        return replace(self, device_end=None)

    def reason(self, at: Instant) -> str:
        """Why nothing was heard since the newest sound."""
        if self._suspended_s(at) > _SUSPENDED_S:
            return SUSPENDED
        return LOST if self.device_end is None else STALLED

    def quiet_s(self, at: Instant) -> float:
        """Seconds since the newest sound."""
        return at.steady_s - self.heard_at.steady_s

    def _suspended_s(self, at: Instant) -> float:
        return self.quiet_s(at) - (at.awake_s - self.heard_at.awake_s)


def hear(state: StreamClock, block: Block, at: Instant) -> tuple[StreamClock, Block]:
    """Sound came: give it its place in the stream.

    Args:
        state: where the stream was.
        block: as the device counts; all that it had at this moment.
        at: this moment.

    The device's own count is believed while it delivers. After it was opened anew, or has kept silent for
    so long that more is missing than it says, the time that has passed decides. Never goes back.
    """
    n_passed = round(state.quiet_s(at) * state.rate_hz)
    note = ""
    if state.device_end is None:
        start = state.sound_end + n_passed - (block.end - block.start)
        note = state.reason(at)
    else:
        start = state.sound_end + block.start - state.device_end
        n_missing = n_passed - (block.end - state.device_end)
        is_first = state.sound_end == 0
        if state.quiet_s(at) > STALL_S and n_missing > _MISSING_S * state.rate_hz and not is_first:
            start += n_missing
            note = state.reason(at)
    placed = replace(block, start=max(start, state.end), note=note)
    after = replace(state, end=placed.end, sound_end=placed.end, heard_at=at, device_end=block.end)
    return after, placed


def wait(state: StreamClock, at: Instant, n_channels: int) -> tuple[StreamClock, Block]:
    """No sound came: an empty block. Time goes on in it only once the device is lost.

    A device that merely stalls may still deliver what it has kept.
    """
    end = state.end
    if state.device_end is None:
        end = max(end, state.sound_end + round(state.quiet_s(at) * state.rate_hz))
    after = replace(state, end=end)
    return after, Block(end, np.zeros((0, n_channels), np.float32), state.reason(at))
