"""Any sampling rate to 16 kHz, piece by piece."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import RateUnsupportedError

LOWEST_RATE_HZ = 4_000
HIGHEST_RATE_HZ = 384_000


def check_rate(rate_hz: float, name: str = "") -> None:
    """Refuse a sampling rate that is not heard.

    Args:
        rate_hz: the rate.
        name: of the sound, for the message.

    Raises:
        RateUnsupportedError: it is not from 4,000 to 384,000 Hz.
    """
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise RateUnsupportedError(
            f"{name and name + ': '}a sampling rate of {rate_hz} Hz cannot be used; "
            f"choose or convert to one from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, best {RATE_HZ}"
        )


@dataclass(frozen=True, eq=False)
class SavedResampler:
    """Enough to go on with resampling.

    Attributes:
        n_in: samples heard so far.
        n_out: samples given so far.
        recent: (n,) float32, the newest that were heard, at the rate of the input.
    """

    n_in: int
    n_out: int
    recent: NDArray[np.float32]


class Resampler:
    """Stateful band-limited resampling of mono sound to 16 kHz; at 16 kHz it hands everything through.

    The outputs of all pushes and of `finish`, joined, are the same bit for bit however the input is cut.
    Output sample k is the sound at k / 16000 s of the input: the filter's delay is compensated, at the
    price of holding back the newest sound (up to about 40 ms at 44.1 and 48 kHz, 80 ms at 96 kHz and
    above, 115 ms at 8 kHz; nothing at 16 kHz) until what follows it is known.

    The state lives inside soxr. What can be saved is the last second of the input, by which a new stream of
    soxr is brought to the same point: after `restore` every sample has its place, and is the same bit for
    bit at 16 kHz, but for rounding (less than 1e-5 of full scale) at other rates.

    Args:
        rate_in_hz: rate of the input, Hz, 4000 to 384000; need not be whole.

    Raises:
        RateUnsupportedError: the rate is out of that range.
    """

    def __init__(self, rate_in_hz: float) -> None:
        check_rate(rate_in_hz)
        self.rate_in_hz = rate_in_hz
        self._stream = (
            None if rate_in_hz == RATE_HZ else soxr.ResampleStream(rate_in_hz, RATE_HZ, 1, "float32", "HQ")
        )
        # Only at its multiples an input sample and an output sample fall together.
        self._period_in = max(1, round(rate_in_hz) // math.gcd(round(rate_in_hz), RATE_HZ))
        self._n_kept = round(rate_in_hz) + self._period_in
        self._forget()

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sound at 16 kHz that is settled after `samples`.

        Args:
            samples: (n,) float32 at `rate_in_hz`, finite, any n.

        Returns:
            (m,) float32; m may be 0.
        """
        settled = self._given(self._run(samples, is_last=False))
        if self._stream is not None and len(samples):
            self._keep(samples)
        self._n_in += len(samples)
        return settled

    def finish(self) -> NDArray[np.float32]:
        """The held-back rest, as if silence followed; then start anew, as `reset`.

        In all, n samples have given round(n * 16000 / `rate_in_hz`), within one.
        """
        tail = self._given(self._run(np.zeros(0, np.float32), is_last=True))
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget everything heard; the next sample is the first."""
        if self._stream is not None:
            self._stream.clear()
        self._forget()

    def saved(self) -> SavedResampler:
        """What `restore` takes; for whole rates."""
        recent = np.concatenate([np.zeros(0, np.float32), *self._recent])
        start = self._n_in - len(recent)
        return SavedResampler(self._n_in, self._n_out, recent[-start % self._period_in :])

    def restore(self, saved: SavedResampler) -> None:
        """Go on where another resampler of the same rate was when it was saved.

        Raises:
            ValueError: what was saved contradicts itself.
        """
        self.reset()
        if saved.recent.ndim != 1:
            raise ValueError(f"{saved.recent.ndim} axes are not those of mono sound")
        if self._stream is not None:
            start_in = saved.n_in - len(saved.recent)
            if start_in < 0 or start_in % self._period_in:
                raise ValueError(
                    f"{len(saved.recent)} samples of {saved.n_in} do not begin on a whole period"
                )
            start_out = start_in // self._period_in * (RATE_HZ * self._period_in // round(self.rate_in_hz))
            again = self._run(saved.recent, is_last=False)
            n_known = saved.n_out - start_out
            self._pending, self._n_skipped = again[n_known:], max(0, n_known - len(again))
            self._recent.append(saved.recent)
            self._n_held = len(saved.recent)
        self._n_in, self._n_out = saved.n_in, saved.n_out

    def _forget(self) -> None:
        self._n_in = self._n_out = self._n_skipped = self._n_held = 0
        self._pending = np.zeros(0, np.float32)
        self._recent: deque[NDArray[np.float32]] = deque()

    def _given(self, settled: NDArray[np.float32]) -> NDArray[np.float32]:
        """What has not been given before: only after `restore` it differs from what soxr has made."""
        if len(self._pending) or self._n_skipped:
            n_skipped = min(self._n_skipped, len(settled))
            settled = np.concatenate([self._pending, settled[n_skipped:]])
            self._pending, self._n_skipped = self._pending[:0], self._n_skipped - n_skipped
        self._n_out += len(settled)
        return settled

    def _keep(self, samples: NDArray[np.float32]) -> None:
        self._recent.append(samples[-self._n_kept :].copy())
        self._n_held += len(self._recent[-1])
        while self._n_held - len(self._recent[0]) >= self._n_kept:
            self._n_held -= len(self._recent.popleft())

    def _run(self, samples: NDArray[np.float32], *, is_last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return samples
        settled: NDArray[np.float32] = self._stream.resample_chunk(
            np.ascontiguousarray(samples, np.float32), last=is_last
        )
        return settled
