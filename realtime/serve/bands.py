"""What a spectrogram and a waveform need of each hop, small enough to be sent ten times a second."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ

N_BANDS = 64
LOWEST_HZ = 50.0
HIGHEST_HZ = 8000.0
FLOOR_DBFS = -120
PAIR_S = 0.01

_WINDOW_SAMPLES = 2048


@dataclass(frozen=True, eq=False)
class BandState:
    """The newest sound, as much of it as one spectrum looks at.

    Attributes:
        end_sample: index, at 16 kHz, just after it; -1: nothing was heard yet.
        tail: (n,) float32, n <= 2048.
    """

    end_sample: int = -1
    tail: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @classmethod
    def initial(cls) -> Self:
        """Nothing heard yet."""
        return cls()


def advance(
    state: BandState, newest: NDArray[np.float32], end_sample: int
) -> tuple[BandState, NDArray[np.int16]]:
    """Hear one hop.

    Args:
        state: before it.
        newest: (n,) float32 at 16 kHz, full scale = [-1, 1].
        end_sample: index just after it. Where something is missing before it, older sound is forgotten.

    Returns:
        The state after it, and the level of each band of the newest 128 ms, (64,), dB re full scale, -120 to
        0: mean square, so that a sine at full scale has -3. Band edges are `edges_hz`.
    """
    is_next = state.end_sample == end_sample - len(newest)
    tail = np.concatenate([state.tail, newest]) if is_next else newest
    tail = tail[-_WINDOW_SAMPLES:].astype(np.float32)
    return BandState(end_sample, tail), _levels_dbfs(tail)


def edges_hz() -> NDArray[np.float64]:
    """(65,), the edges of the bands, Hz, evenly spaced in pitch."""
    return np.geomspace(LOWEST_HZ, HIGHEST_HZ, N_BANDS + 1)


def pairs_from_samples(newest: NDArray[np.float32]) -> list[float]:
    """The waveform: lowest and highest sample of each 10 ms in turn, full scale = [-1, 1].

    At least one pair; where the hop is no multiple of 10 ms, the pieces are a little longer or shorter.
    """
    n_pairs = max(1, round(len(newest) / (PAIR_S * RATE_HZ)))
    pieces = np.array_split(newest, n_pairs)
    return [round(float(side), 4) for piece in pieces for side in (piece.min(), piece.max())]


def _levels_dbfs(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    window = _hann(len(sound))
    power = np.abs(np.fft.rfft(sound * window, _WINDOW_SAMPLES)) ** 2
    # Parseval, one side of the spectrum: the sum is the mean square of the sound.
    power *= 2.0 / (_WINDOW_SAMPLES * max(float(np.sum(window**2)), 1e-12))
    # Low bands are narrower than a bin: each takes its share of the bins it touches.
    bin_hz = RATE_HZ / _WINDOW_SAMPLES
    bin_edges_hz = (np.arange(len(power) + 1) - 0.5) * bin_hz
    below = np.concatenate([[0.0], np.cumsum(power)])
    in_band = np.diff(np.interp(edges_hz(), bin_edges_hz, below))
    levels = 10.0 * np.log10(np.maximum(in_band, 1e-12))
    return np.asarray(np.clip(np.round(levels), FLOOR_DBFS, 0), np.int16)


@lru_cache(maxsize=8)
def _hann(n_samples: int) -> NDArray[np.float64]:
    return np.hanning(n_samples + 2)[1:-1]
