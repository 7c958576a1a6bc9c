"""The bounded queue between an audio callback and whoever listens."""

import threading
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from realtime.sound.sources import Block


class SoundQueue:
    """Never blocks the callback and never grows: when it is full, the oldest sound goes and is counted.

    Args:
        room_samples: how much may wait, samples per channel.
    """

    def __init__(self, room_samples: int) -> None:
        self._room_samples = room_samples
        self._pending: deque[Block] = deque()
        self._pending_samples = 0
        self._next_start = 0
        self._lost_samples = 0
        self._next_note = ""
        self._has_dropped = False
        self._has_ended = False
        self._changed = threading.Condition()

    @property
    def lost_samples(self) -> int:
        """Samples that nobody will hear: dropped here, or reported as lost by the driver."""
        with self._changed:
            return self._lost_samples

    def put(self, samples: NDArray[np.float32], *, has_lost_before: bool = False) -> None:
        """Called by the callback: copy and return.

        Args:
            samples: (n, channels) float32, n >= 1.
            has_lost_before: the driver says that sound just before this was lost. It does not say how
                much, so one block of this length is counted. Before the very first block it means nothing.
        """
        own = samples.copy()
        arrived_s = time.perf_counter()
        with self._changed:
            if has_lost_before and self._next_start > 0:
                self._next_start += len(own)
                self._lost_samples += len(own)
            self._pending.append(Block(self._next_start, own, self._next_note, arrived_s))
            self._next_note = ""
            self._next_start += len(own)
            self._pending_samples += len(own)
            while self._pending_samples > self._room_samples and len(self._pending) > 1:
                dropped = len(self._pending.popleft().samples)
                self._pending_samples -= dropped
                self._lost_samples += dropped
                self._has_dropped = True
            self._changed.notify()

    def skip(self, n_samples: int, note: str = "") -> None:
        """So many samples, that whoever puts has lost, are missing before what comes next, which says so."""
        with self._changed:
            self._next_start += n_samples
            self._lost_samples += n_samples
            self._next_note = note

    def end(self) -> None:
        """Nothing more will be put; a waiting `take` returns."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be put."""
        with self._changed:
            return self._has_ended

    def wait(self, timeout_s: float) -> bool:
        """Whether sound waits, now or within `timeout_s`; after the end it returns at once."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._has_ended, timeout_s)
            return bool(self._pending)

    def take(self, timeout_s: float) -> Block | None:
        """All that waits, up to the next gap, as one block; None after `timeout_s` or after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._has_ended, timeout_s)
            if not self._pending:
                return None
            first = self._pending.popleft()
            # Where sound was dropped here, that is why it is missing, whatever was lost before.
            note = "" if self._has_dropped else first.note
            self._has_dropped = False
            pieces, end, arrived_s = [first.samples], first.end, first.arrived_s
            while self._pending and self._pending[0].start == end:
                block = self._pending.popleft()
                pieces.append(block.samples)
                end, arrived_s = block.end, block.arrived_s
            self._pending_samples -= end - first.start
        return Block(first.start, np.concatenate(pieces), note, arrived_s)
