"""Any sampling rate to 16 kHz, piece by piece."""

import numpy as np
import soxr
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import RateUnsupportedError

LOWEST_RATE_HZ = 4_000
HIGHEST_RATE_HZ = 384_000


class Resampler:
    """Stateful band-limited resampling of mono sound to 16 kHz; at 16 kHz it hands everything through.

    The outputs of all pushes and of `finish`, joined, are the same bit for bit however the input is cut.
    Output sample k is the sound at k / 16000 s of the input: the filter's delay is compensated, at the
    price of holding back the newest sound (up to about 40 ms at 44.1 and 48 kHz, 80 ms at 96 kHz and
    above, 115 ms at 8 kHz; nothing at 16 kHz) until what follows it is known.

    The state lives inside soxr and can be forgotten (`reset`) but not saved.

    Args:
        rate_in_hz: rate of the input, Hz, 4000 to 384000; need not be whole.

    Raises:
        RateUnsupportedError: the rate is out of that range.
    """

    def __init__(self, rate_in_hz: float) -> None:
        if not LOWEST_RATE_HZ <= rate_in_hz <= HIGHEST_RATE_HZ:
            raise RateUnsupportedError(
                f"a sampling rate of {rate_in_hz:g} Hz cannot be used; "
                f"choose or convert to one from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, best {RATE_HZ}"
            )
        self.rate_in_hz = rate_in_hz
        self._stream = (
            None if rate_in_hz == RATE_HZ else soxr.ResampleStream(rate_in_hz, RATE_HZ, 1, "float32", "HQ")
        )

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sound at 16 kHz that is settled after `samples`.

        Args:
            samples: (n,) float32 at `rate_in_hz`, finite, any n.

        Returns:
            (m,) float32; m may be 0.
        """
        return self._run(samples, is_last=False)

    def finish(self) -> NDArray[np.float32]:
        """The held-back rest, as if silence followed; then start anew, as `reset`.

        In all, n samples have given round(n * 16000 / `rate_in_hz`), within one.
        """
        tail = self._run(np.zeros(0, np.float32), is_last=True)
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget everything heard; the next sample is the first."""
        if self._stream is not None:
            self._stream.clear()

    def _run(self, samples: NDArray[np.float32], *, is_last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return samples
        settled: NDArray[np.float32] = self._stream.resample_chunk(
            np.ascontiguousarray(samples, np.float32), last=is_last
        )
        return settled
