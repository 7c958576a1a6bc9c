"""Levels of sound within the band where breath is heard."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from engines.contract import RATE_HZ

# Below it heart and handling dominate, above it the clips hold nothing.
BREATH_BAND_HZ = (100.0, 2000.0)

_QUIETEST = 1e-12


def band_power(samples: NDArray[np.float32], band_hz: tuple[float, float] = BREATH_BAND_HZ) -> float:
    """Mean square of (n,) samples at 16 kHz within a band (Parseval); 0 for none."""
    if not len(samples):
        return 0.0
    n_fft = int(fft.next_fast_len(len(samples), real=True))
    spectrum = fft.rfft(samples, n_fft)
    first, last = (round(edge_hz * n_fft / RATE_HZ) for edge_hz in band_hz)
    kept = spectrum[first : max(last, first + 1)]
    energy = float(np.vdot(kept, kept).real)
    return 2 * energy / (n_fft * len(samples))


def amplitude_from_db(level_db: float) -> float:
    """The factor on amplitudes that is `level_db` decibels."""
    return float(10 ** (level_db / 20))


def db_from_power(power: float) -> float:
    """Decibels of a ratio of powers; -120 and no less."""
    return float(10 * np.log10(max(power, _QUIETEST)))
