"""Mains hum: narrow lines at 50 or 60 Hz and their multiples, far above what is beside them."""

import math

import numpy as np
from numpy.typing import NDArray

_LOW_RATE_HZ = 2_000
_N_HARMONICS = 4
_LINE_HZ = 1.0
_BESIDE_HZ = (3.0, 12.0)
_AUDIBLE_DBFS = -80.0
_NO_SOUND = 1e-20


def hum_from_sound(mono: NDArray[np.float32], rate_hz: int, mains_hz: float) -> float:
    """How far the lines of the mains stand above their surroundings, dB.

    The power of the strongest bin within 1 Hz of each of the first four harmonics is compared with the
    median power 3 to 12 Hz beside it (Hann-weighted spectrum). The answer is the higher of the first two
    harmonics, or the second highest of all four, because a microphone may cut off the lowest while other
    sounds seldom have two lines in these places. Lines below -80 dB re full scale count as none.

    Args:
        mono: (n,) float32, 1.5 s at least: the lines must be told from what is 3 Hz beside them.
        rate_hz: its sampling rate, 4000 or more, Hz.
        mains_hz: 50 or 60.

    Returns:
        0 or more, dB. Broadband sound gives some 5 to 12.
    """
    # Means of neighbours: zero at all multiples of the low rate, where folding would end up near the lines.
    n_mean = max(1, rate_hz // _LOW_RATE_HZ)
    low_rate_hz = rate_hz / n_mean
    low = mono[: len(mono) // n_mean * n_mean].reshape(-1, n_mean).mean(axis=1, dtype=np.float64)
    taper = np.hanning(len(low))
    power = (2.0 * np.abs(np.fft.rfft((low - low.mean()) * taper)) / taper.sum()) ** 2
    freqs_hz = np.fft.rfftfreq(len(low), 1 / low_rate_hz)
    heights_db = [_height_db(power, np.abs(freqs_hz - k * mains_hz)) for k in range(1, _N_HARMONICS + 1)]
    return max(0.0, *heights_db[:2], sorted(heights_db)[-2])


def _height_db(power: NDArray[np.float64], distance_hz: NDArray[np.float64]) -> float:
    line = float(power[distance_hz <= _LINE_HZ].max())
    if 10 * math.log10(line / 2 + _NO_SOUND) < _AUDIBLE_DBFS:
        return 0.0
    is_beside = (distance_hz >= _BESIDE_HZ[0]) & (distance_hz <= _BESIDE_HZ[1])
    return 10 * math.log10(line / (float(np.median(power[is_beside])) + _NO_SOUND))
