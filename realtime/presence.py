"""Is anybody breathing? The networks and the level of the newest sound, in one probability; and its rise."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ

LEVEL_SAMPLES = 2048
RISE_SAMPLES = 4800
LOWEST_HZ = 150.0
SILENCE_DBFS = -120.0

_TAPER = np.hanning(LEVEL_SAMPLES)
_TAPER_POWER = (_TAPER**2).sum()
_SUREST = 1e-4
# Beyond this the sound of streams and rooms is not alike: digital silence, a door.
_MOST_RISE_DB = 10.0
_MOST_LOG_ODDS = 30.0
_MOST_UNHEARD_S = 1.0
_FREQS_HZ = np.fft.rfftfreq(LEVEL_SAMPLES, 1 / RATE_HZ)


@dataclass(frozen=True)
class PresenceSettings:
    """When sound counts as breath.

    Attributes:
        gate_dbfs: what is softer than this is no breath, dB re a full-scale square wave.
        below_peak_db: this much below the loudest sound of late, the level speaks neither for breath nor
            against it, dB.
        noise_dbfs: the noise of the room when the gate was set, dB. By as much as the floor, the softest
            sound of late, is above it now, the gate is raised. At 0 dB, where it cannot be, the gate stays.
        floor_rise_db_per_s: how fast the floor follows a room that gets louder, dB/s.
        peak_decay_db_per_s: how fast that loudest sound is forgotten, dB/s.
        log_odds_per_db: how much each dB above or below that speaks for or against breath, beside networks
            that tell breath from other sounds.
        below_peak_db_alone: instead of `below_peak_db` where the level is all there is.
        log_odds_per_db_alone: likewise instead of `log_odds_per_db`.
    """

    gate_dbfs: float = -75.0
    noise_dbfs: float = 0.0
    floor_rise_db_per_s: float = 0.3
    below_peak_db: float = 0.0
    peak_decay_db_per_s: float = 1.0
    log_odds_per_db: float = 0.05
    below_peak_db_alone: float = 14.0
    log_odds_per_db_alone: float = 0.5


@dataclass(frozen=True)
class PresenceState:
    """What is remembered: the loudest and the softest level of late, and when it was last fed."""

    peak_dbfs: float
    floor_dbfs: float
    end_sample: int

    @classmethod
    def initial(cls) -> Self:
        """Nothing heard yet."""
        return cls(peak_dbfs=SILENCE_DBFS, floor_dbfs=SILENCE_DBFS, end_sample=0)


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


def rise_from_window(window: NDArray[np.float32], level_dbfs: float, highest_hz: float) -> float:
    """How much louder the newest sound is than it was 0.3 s before, dB, -10 to 10.

    Args:
        window: (n,) float32, n >= 6848.
        level_dbfs: `level_from_window` of it.
        highest_hz: upper edge of the band, Hz.
    """
    before_dbfs = level_from_window(window[:-RISE_SAMPLES], highest_hz)
    return min(max(level_dbfs - before_dbfs, -_MOST_RISE_DB), _MOST_RISE_DB)


def advance(
    state: PresenceState,
    level_dbfs: float,
    prob_breath: float | None,
    end_sample: int,
    settings: PresenceSettings,
) -> tuple[PresenceState, float]:
    """Take in the level at `end_sample` and the networks' P(breath), if they tell it; give P(breath), 0-1.

    Each image is brought to one level, so the networks hear little of how a window compares with those
    before it: log odds are added.
    """
    elapsed_s = (end_sample - state.end_sample) / RATE_HZ
    decayed_dbfs = state.peak_dbfs - settings.peak_decay_db_per_s * elapsed_s
    peak_dbfs = max(SILENCE_DBFS, level_dbfs, decayed_dbfs)
    # A gap says nothing of the room, and digital silence, which a computer makes, as little.
    risen_dbfs = state.floor_dbfs + settings.floor_rise_db_per_s * min(elapsed_s, _MOST_UNHEARD_S)
    floor_dbfs = max(settings.noise_dbfs, min(level_dbfs, risen_dbfs))
    after = PresenceState(peak_dbfs, floor_dbfs, end_sample)
    if level_dbfs <= settings.gate_dbfs + floor_dbfs - settings.noise_dbfs:
        return after, 0.0
    from_peak_db = level_dbfs - peak_dbfs
    if prob_breath is None:
        above_db = from_peak_db + settings.below_peak_db_alone
        return after, _sigmoid(above_db * settings.log_odds_per_db_alone)
    above_db = from_peak_db + settings.below_peak_db
    sure = min(max(prob_breath, _SUREST), 1 - _SUREST)
    return after, _sigmoid(math.log(sure / (1 - sure)) + above_db * settings.log_odds_per_db)


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -_MOST_LOG_ODDS), _MOST_LOG_ODDS)))
