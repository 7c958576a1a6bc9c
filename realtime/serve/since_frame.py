"""The sound since the newest frame: windows may be left out, the waveform has no holes all the same."""

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from realtime.intake import Heard

_ROOM_SAMPLES = 2 * RATE_HZ


class SinceFrame:
    """Collects what is heard until a frame asks for it; of more than 2 s the oldest goes."""

    def __init__(self) -> None:
        self._end_sample = 0
        self._sound = np.zeros(0, np.float32)

    def hear(self, heard: Heard) -> None:
        """Take in a piece of sound. Where something is missing before it, older sound is forgotten."""
        if heard.start_sample != self._end_sample:
            self._sound = self._sound[:0]
        self._end_sample = heard.start_sample + len(heard.samples)
        self._sound = np.concatenate([self._sound, heard.samples])[-_ROOM_SAMPLES:]

    def take(self, end_sample: int, newest: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sound up to `end_sample` that was not taken before, (n,) float32.

        Args:
            end_sample: of the frame, index at 16 kHz.
            newest: of the step; this is the answer where nothing was heard.
        """
        n_later = max(0, self._end_sample - end_sample)
        n_taken = len(self._sound) - n_later
        if n_taken <= 0:
            return newest
        taken, self._sound = self._sound[:n_taken], self._sound[n_taken:]
        return taken
