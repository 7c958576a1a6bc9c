"""From the air into the file: room, microphone, input level, 16 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from engines.contract import RATE_HZ
from offline.compose.levels import amplitude_from_db
from offline.compose.settings import ComposeSettings, Range
from realtime.labels import PhaseInterval

_FIR_TAPS = 512
_FIR_FFT = 4096
_EQ_POINTS_HZ = (60.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
# Powers of the band limits: order 2, 12 dB an octave, below; order 6 above.
_HIGHPASS_ORDER, _LOWPASS_ORDER = 2, 6
_DEEPEST_DB = -90.0
_PEAK_SHARE = 0.999
_FULL_SCALE = 32768


def through_channel(
    sound: NDArray[np.float32],
    phases: tuple[PhaseInterval, ...],
    settings: ComposeSettings,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """What the file holds of a sound, (n,) float32 on the grid of 16 bits within [-1, 1); and what was drawn.

    Nothing is delayed: the filters have minimum phase and the direct sound comes first, so labels stay true.
    """
    drawn: dict[str, Any] = {}
    if rng.random() < settings.reverb_share:
        rt60_s, wet_db = rng.uniform(*settings.rt60_s), rng.uniform(*settings.wet_db)
        sound = _convolved(sound, room_response(rt60_s, wet_db, rng))
        drawn["reverb"] = {"rt60_s": round(rt60_s, 3), "wet_db": round(wet_db, 2)}
    if rng.random() < settings.colour_share:
        highpass_hz, lowpass_hz = (
            octave_uniform(limits, rng) for limits in (settings.highpass_hz, settings.lowpass_hz)
        )
        points_db = np.clip(rng.standard_normal(len(_EQ_POINTS_HZ)), -2, 2) * settings.eq_db
        sound = _convolved(sound, microphone_response(highpass_hz, lowpass_hz, points_db))
        drawn["microphone"] = {
            "highpass_hz": round(highpass_hz, 1),
            "lowpass_hz": round(lowpass_hz, 1),
            "eq_db": [round(float(gain_db), 2) for gain_db in points_db],
            "eq_hz": list(_EQ_POINTS_HZ),
        }
    gain_db = rng.uniform(*settings.gain_db)
    peak = _peak(sound, phases)
    sound = sound * np.float32(amplitude_from_db(gain_db) / peak if peak > 0 else 1.0)
    drawn["gain_db"] = round(gain_db, 2)
    if rng.random() < settings.soft_clip_share:
        drive_db = rng.uniform(*settings.soft_clip_db)
        limit = np.float32(amplitude_from_db(gain_db - drive_db))
        sound = np.tanh(sound / limit) * limit
        drawn["soft_clip_db"] = round(drive_db, 2)
    steps = np.rint(sound * np.float32(_FULL_SCALE))
    drawn["share_clipped"] = round(float(np.mean(np.abs(steps) >= _FULL_SCALE)), 6)
    quantised: NDArray[np.float32] = np.clip(steps, -_FULL_SCALE, _FULL_SCALE - 1) / np.float32(_FULL_SCALE)
    return quantised, drawn


def room_response(rt60_s: float, wet_db: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Impulse response of a room: the direct sound, 1, then noise that falls by 60 dB in `rt60_s`.

    Args:
        rt60_s: reverberation time, seconds, > 0.
        wet_db: energy of the noise relative to the direct sound.
        rng: source of the noise.
    """
    time_s = np.arange(round(rt60_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    # The first reflection needs some milliseconds.
    tail[: round(rng.uniform(0.001, 0.005) * RATE_HZ)] = 0
    energy = float(np.sum(tail**2))
    response = tail * (amplitude_from_db(wet_db) / np.sqrt(energy) if energy > 0 else 0.0)
    response[0] = 1.0
    return response.astype(np.float32)


def microphone_response(
    highpass_hz: float, lowpass_hz: float, points_db: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Minimum-phase FIR of (512,) float32: a smooth curve within Butterworth-like band limits.

    The phase comes from the folded real cepstrum (Oppenheim and Schafer, Discrete-Time Signal Processing).

    Args:
        highpass_hz: lower corner.
        lowpass_hz: upper corner.
        points_db: gain at 60, 125, 250 ... 8000 Hz.
    """
    frequency = np.maximum(np.arange(_FIR_FFT // 2 + 1) * RATE_HZ / _FIR_FFT, 1.0)
    curve_db = np.interp(np.log(frequency), np.log(_EQ_POINTS_HZ), points_db)
    curve_db -= 10 * np.log10(1 + (highpass_hz / frequency) ** (2 * _HIGHPASS_ORDER))
    curve_db -= 10 * np.log10(1 + (frequency / lowpass_hz) ** (2 * _LOWPASS_ORDER))
    log_magnitude = np.maximum(curve_db, _DEEPEST_DB) * (np.log(10) / 20)
    cepstrum = fft.irfft(log_magnitude, _FIR_FFT)
    cepstrum[1 : _FIR_FFT // 2] *= 2
    cepstrum[_FIR_FFT // 2 + 1 :] = 0
    response = fft.irfft(np.exp(fft.rfft(cepstrum)), _FIR_FFT)[:_FIR_TAPS]
    response[_FIR_TAPS // 2 :] *= np.cos(np.linspace(0, np.pi / 2, _FIR_TAPS // 2)) ** 2
    taps: NDArray[np.float32] = response.astype(np.float32)
    return taps


def _convolved(sound: NDArray[np.float32], response: NDArray[np.float32]) -> NDArray[np.float32]:
    convolved: NDArray[np.float32] = signal.oaconvolve(sound, response)[: len(sound)]
    return convolved


def _peak(sound: NDArray[np.float32], phases: tuple[PhaseInterval, ...]) -> float:
    """What one in a thousand samples of the labelled phases, or of the whole without any, exceeds."""
    pieces = [sound[phase.start_sample : phase.end_sample] for phase in phases] or [sound]
    # Every fourth sample of sound below 2 kHz says as much.
    magnitudes = np.abs(np.concatenate(pieces)[::4])
    index = min(round(_PEAK_SHARE * len(magnitudes)), len(magnitudes) - 1)
    return float(np.partition(magnitudes, index)[index])


def octave_uniform(limits: Range, rng: np.random.Generator) -> float:
    """A number between the limits, drawn evenly in octaves."""
    return float(np.exp(rng.uniform(*np.log(limits))))
