"""Is anybody breathing? Decided on the raw level of the newest sound, within the pack's band."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ

LEVEL_SAMPLES = 2048
LOWEST_HZ = 150.0
SILENCE_DBFS = -120.0

_TAPER = np.hanning(LEVEL_SAMPLES)
_TAPER_POWER = (_TAPER**2).sum()
_FREQS_HZ = np.fft.rfftfreq(LEVEL_SAMPLES, 1 / RATE_HZ)


@dataclass(frozen=True)
class PresenceSettings:
    """When sound counts as breath.

    Attributes:
        gate_dbfs: never below this level, dB re a full-scale square wave.
        below_peak_db: nor this much below the loudest sound of late, dB.
        peak_decay_db_per_s: how fast that loudest sound is forgotten, dB/s.
        hysteresis_db: breath that is present ends this much below where it would begin, dB.
    """

    gate_dbfs: float = -60.0
    below_peak_db: float = 20.0
    peak_decay_db_per_s: float = 2.0
    hysteresis_db: float = 3.0


@dataclass(frozen=True)
class PresenceState:
    """What the gate remembers: the loudest level of late, when it was last fed, and its answer."""

    peak_dbfs: float
    end_sample: int
    is_present: bool

    @classmethod
    def initial(cls) -> Self:
        """Nothing heard yet."""
        return cls(peak_dbfs=SILENCE_DBFS, end_sample=0, is_present=False)


@dataclass(frozen=True)
class Presence:
    """The gate's answer: whether there is breath, and how far the level is above the threshold, dB."""

    is_present: bool
    margin_db: float


def level_from_window(window: NDArray[np.float32], highest_hz: float) -> float:
    """Level of the newest 0.128 s of a window between 150 Hz and `highest_hz`, dB re full scale.

    Below 150 Hz a stethoscope hears the heart and a room its ventilation. Root mean square of the band
    from a Hann-weighted spectrum (Parseval's theorem), so that a full-scale sine reads -3 dB.

    Args:
        window: (n,) float32, n >= 2048.
        highest_hz: upper edge of the band, Hz.

    Returns:
        Level in dB, -120 or more.
    """
    newest = window[-LEVEL_SAMPLES:].astype(np.float64)
    power = np.abs(np.fft.rfft(newest * _TAPER)) ** 2
    is_in_band = (_FREQS_HZ >= LOWEST_HZ) & (highest_hz >= _FREQS_HZ)
    mean_square = 2.0 * power[is_in_band].sum() / (LEVEL_SAMPLES * _TAPER_POWER)
    return max(SILENCE_DBFS, 10.0 * math.log10(mean_square)) if mean_square > 0 else SILENCE_DBFS


def advance(
    state: PresenceState, level_dbfs: float, end_sample: int, settings: PresenceSettings
) -> tuple[PresenceState, Presence]:
    """Take in the level at `end_sample` and answer."""
    elapsed_s = (end_sample - state.end_sample) / RATE_HZ
    decayed_dbfs = state.peak_dbfs - settings.peak_decay_db_per_s * elapsed_s
    peak_dbfs = max(SILENCE_DBFS, level_dbfs, decayed_dbfs)
    threshold_dbfs = max(settings.gate_dbfs, peak_dbfs - settings.below_peak_db)
    if state.is_present:
        threshold_dbfs -= settings.hysteresis_db
    is_present = level_dbfs > threshold_dbfs
    after = replace(state, peak_dbfs=peak_dbfs, end_sample=end_sample, is_present=is_present)
    return after, Presence(is_present, level_dbfs - threshold_dbfs)
