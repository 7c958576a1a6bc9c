"""What every source of sound is, and the one that plays an array."""

import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import ConfigError
from realtime.blocking import Shelf
from realtime.sound.pacing import REAL_CLOCK, Pacer, WallClock

_BLOCK_S = 0.02
_CATCH_UP_S = 10.0
LARGEST = 100.0
"""What is beyond so many times full scale is no sound."""
STALL_S = 0.8


@dataclass(frozen=True, eq=False)
class Block:
    """A piece of sound as its source made it.

    Attributes:
        start: index of the first sample, at the source's own rate, since the source started. Larger than
            the `end` of the block before: the samples between were lost. Never smaller.
        samples: (n, channels) float32, full scale = [-1, 1], always finite. n = 0 only from a live source:
            no sound has come for `STALL_S` or longer, and `start` tells how far time has gone on.
        note: why the samples before `start` are missing, for people; empty: the machine was too busy.
        arrived_s: when its newest sample came, seconds of `time.perf_counter`; None: the source is not live.
    """

    start: int
    samples: NDArray[np.float32]
    note: str = ""
    arrived_s: float | None = None

    @property
    def end(self) -> int:
        """Index just after the last sample."""
        return self.start + len(self.samples)


class AudioSource(Protocol):
    """Where sound comes from. Opened when created; a context manager; iterated once, by one thread."""

    @property
    def name(self) -> str:
        """What it is, for people: a path, the name of a device."""

    @property
    def rate_hz(self) -> int:
        """Sampling rate of its blocks, Hz."""

    @property
    def n_channels(self) -> int:
        """Channels of its blocks."""

    @property
    def is_live(self) -> bool:
        """Whether the newest sound wins when the consumer falls behind.

        A live source then hands over all that is pending as one block; any other source waits.
        """

    @property
    def lost_samples(self) -> int:
        """Samples lost so far, at the source's own rate."""

    def take_notices(self) -> list[str]:
        """Warnings for the user that were not handed over before, oldest first; each is returned once."""

    def blocks(self) -> Iterator[Block]:
        """The sound, in order, until it ends or the source is closed.

        Raises:
            AudioError: the source cannot go on.
        """

    def close(self) -> None:
        """Give everything back; closing twice is fine."""

    def __enter__(self) -> Self:
        """Return the source itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""


class PacedSource(Closing):
    """An `AudioSource` that can make its sound at any time, and keeps pace when asked to.

    Samples that are no sound (see `finite_from_samples`) become zeros, and one notice says so.

    Args:
        name: for people.
        rate_hz: sampling rate, Hz, at least 1.
        n_channels: channels, at least 1.
        block_samples: length of a block (only the last is shorter); None is 20 ms. A live source that is
            behind hands over larger ones.
        pace: stream seconds per second; None or 0 is as fast as the consumer takes it.
        is_live: see `AudioSource`; without effect unless paced.
        clock: where time comes from.

    Raises:
        ConfigError: `rate_hz`, `block_samples` or `pace` cannot be used.
    """

    lost_samples = 0

    def __init__(
        self,
        name: str,
        rate_hz: int,
        n_channels: int,
        *,
        block_samples: int | None = None,
        pace: float | None = None,
        is_live: bool = False,
        clock: WallClock = REAL_CLOCK,
    ) -> None:
        if rate_hz < 1:
            raise ConfigError(f"{name}: a rate of {rate_hz} Hz is impossible; it must be at least 1")
        if block_samples is None:
            block_samples = max(1, round(rate_hz * _BLOCK_S))
        if block_samples < 1:
            raise ConfigError(f"blocks of {block_samples} samples are impossible; ask for 1 or more")
        self.name = name
        self.rate_hz = rate_hz
        self.n_channels = n_channels
        self.is_closed = False
        self._block_samples = block_samples
        self._pacer = Pacer(rate_hz, pace, clock)
        self.is_live = is_live and self._pacer.is_paced
        self._notices: list[str] = []

    @abstractmethod
    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        """The sound, (n, channels) a piece; the lengths do not matter."""

    def take_notices(self) -> list[str]:
        """See `AudioSource`."""
        notices, self._notices = self._notices, []
        return notices

    def blocks(self) -> Iterator[Block]:
        """See `AudioSource`."""
        shelf = Shelf(self._pieces())
        start = 0
        has_warned = False
        while not self.is_closed:
            samples, n_zeroed = finite_from_samples(shelf.take(self._wanted_samples(start)))
            if len(samples) == 0:
                return
            if n_zeroed and not has_warned:
                has_warned = True
                self._notices.append(
                    f"{self.name}: near {start / self.rate_hz:.2f} s there are samples that are not numbers, "
                    f"or beyond {LARGEST:g} times full scale; all such are taken as zeros - check how this "
                    "sound was made (full scale of floats is 1)"
                )
            self._pacer.wait_for(start + len(samples))
            # Closing may have happened during the wait.
            if self.is_closed:
                return
            end = start + len(samples)
            arrived_s = time.perf_counter() - self._pacer.late_s(end) if self.is_live else None
            block = Block(start, samples, arrived_s=arrived_s)
            start = end
            yield block

    def close(self) -> None:
        """See `AudioSource`."""
        self.is_closed = True

    def postpone(self, seconds: float) -> None:
        """After a pause of the listener: what is still to come is due so much later."""
        self._pacer.postpone(seconds)

    def _wanted_samples(self, start: int) -> int:
        if not self.is_live:
            return self._block_samples
        behind = self._pacer.due_samples() - start
        return max(self._block_samples, min(behind, round(_CATCH_UP_S * self.rate_hz)))


class ArraySource(PacedSource):
    """Plays an array.

    Args:
        samples: (n,) or (n, channels), any floating type, full scale = [-1, 1], n >= 1.
        rate_hz: its sampling rate, Hz.
        block_samples: see `PacedSource`.
        pace: see `PacedSource`.
        name: for people.
        clock: see `PacedSource`.

    Raises:
        ConfigError: an argument cannot be used; the message says which.
    """

    def __init__(
        self,
        samples: NDArray[Any],
        rate_hz: int,
        *,
        block_samples: int | None = None,
        pace: float | None = None,
        name: str = "array",
        clock: WallClock = REAL_CLOCK,
    ) -> None:
        if samples.ndim not in (1, 2) or samples.size == 0 or not np.issubdtype(samples.dtype, np.floating):
            raise ConfigError(
                f"{name}: an array of {samples.dtype} {samples.shape} is no sound; "
                "give floats in [-1, 1] of shape (n,) or (n, channels), n at least 1"
            )
        table = samples.reshape(len(samples), -1).astype(np.float32)
        super().__init__(name, rate_hz, table.shape[1], block_samples=block_samples, pace=pace, clock=clock)
        self._samples = table

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        yield self._samples


def finite_from_samples(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """The samples with zeros for what is no sound, and how many those were.

    NaN, infinities, and what is beyond `LARGEST` times full scale: one such sample would drown all others,
    and be remembered as the loudest sound for long.
    """
    # A comparison with NaN is false.
    bad = ~(np.abs(samples) <= LARGEST)
    n_bad = int(np.count_nonzero(bad))
    return (np.where(bad, np.float32(0), samples), n_bad) if n_bad else (samples, 0)
