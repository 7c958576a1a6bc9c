"""What sounds behind the breath: the recording's own floor, coloured noise, the mains' hum, a heart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from engines.contract import RATE_HZ
from offline.compose.levels import amplitude_from_db
from offline.compose.material import DayMaterial
from offline.compose.settings import ComposeSettings

# Power falls by this exponent of the frequency.
COLOURS: dict[str, float] = {"white": 0.0, "pink": 1.0, "brown": 2.0}

_LOWEST_HZ = 30.0
_MAINS_HZ = (50.0, 60.0)
_N_HARMONICS = 8
_BEATS_PER_MIN = (50.0, 100.0)
_THUMP_HZ = (40.0, 80.0)
_THUMP_S = 0.12
# The second sound comes after a third of a second or so, shorter and softer.
_SECOND_SOUND_S = (0.28, 0.36)
_SECOND_SOUND_LEVEL = 0.6


def coloured_noise(n_samples: int, colour: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n,) float32 noise of one of `COLOURS`, flat below 30 Hz, root mean square 1 before rounding."""
    exponent = COLOURS[colour]
    if exponent == 0:
        return rng.standard_normal(n_samples, dtype=np.float32)
    n_fft = int(fft.next_fast_len(n_samples, real=True))
    frequency = np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(RATE_HZ / n_fft)
    shape = np.maximum(frequency, np.float32(_LOWEST_HZ)) ** np.float32(-exponent / 2)
    return _shaped_noise(n_samples, n_fft, shape, rng)


def recording_floor(n_samples: int, day: DayMaterial, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n,) float32 noise like what a day's recordings hold below the breath, at its level."""
    n_fft = int(fft.next_fast_len(n_samples, real=True))
    bins = np.linspace(0, 1, n_fft // 2 + 1, dtype=np.float32)
    shape = np.interp(bins, np.linspace(0, 1, len(day.floor_density)), day.floor_density)
    return _shaped_noise(n_samples, n_fft, shape.astype(np.float32), rng) * np.float32(
        np.sqrt(day.floor_power)
    )


def hum(n_samples: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The mains' hum with its harmonics, (n,) float32, root mean square 1; and what was drawn."""
    mains_hz = float(rng.choice(_MAINS_HZ))
    harmonics = np.arange(1, _N_HARMONICS + 1)
    amplitudes = rng.uniform(0.3, 1, _N_HARMONICS) / harmonics ** rng.uniform(0.5, 1.5)
    phases = rng.uniform(0, 2 * np.pi, _N_HARMONICS)
    # One second holds whole periods of every harmonic, so it can be repeated.
    turn = 2 * np.pi * np.arange(RATE_HZ) * mains_hz / RATE_HZ
    second = np.sum(amplitudes[:, None] * np.sin(np.outer(harmonics, turn) + phases[:, None]), axis=0)
    second /= np.sqrt(np.mean(second**2))
    return np.resize(second.astype(np.float32), n_samples), {"mains_hz": mains_hz}


def heart_beats(n_samples: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Two thumps a beat as a stethoscope hears them, (n,) float32, loudest at 1; and what was drawn."""
    rate_per_min = rng.uniform(*_BEATS_PER_MIN)
    low_hz, high_hz = np.sort(rng.uniform(*_THUMP_HZ, size=2))
    time_s = np.arange(round(_THUMP_S * RATE_HZ)) / RATE_HZ
    swell = np.sin(np.pi * time_s / _THUMP_S) ** 2 * np.exp(-time_s / 0.03)
    thumps = [swell * np.sin(2 * np.pi * pitch_hz * time_s) for pitch_hz in (low_hz, high_hz)]
    loud, soft = (np.asarray(thump / np.abs(thump).max(), np.float32) for thump in thumps)
    sound = np.zeros(n_samples + 2 * RATE_HZ, np.float32)
    second_sound = round(rng.uniform(*_SECOND_SOUND_S) * RATE_HZ)
    at = int(rng.integers(RATE_HZ))
    while at < n_samples:
        level = np.float32(rng.uniform(0.7, 1.0))
        sound[at : at + len(loud)] += level * loud
        sound[at + second_sound : at + second_sound + len(soft)] += level * _SECOND_SOUND_LEVEL * soft
        at += round(RATE_HZ * 60 / rate_per_min * np.exp(0.04 * rng.standard_normal()))
    return sound[:n_samples], {"rate_per_min": round(rate_per_min, 1)}


def surrounding_noise(
    n_samples: int, settings: ComposeSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Coloured noise, in some streams with hum, (n,) float32 at no certain level; and what was drawn."""
    colour = str(rng.choice(list(COLOURS)))
    noise = coloured_noise(n_samples, colour, rng)
    drawn: dict[str, Any] = {"colour": colour}
    if rng.random() < settings.hum_share:
        hum_db = rng.uniform(*settings.hum_db)
        tone, drawn_hum = hum(n_samples, rng)
        noise = noise + tone * np.float32(amplitude_from_db(hum_db))
        drawn["hum"] = {**drawn_hum, "level_db": round(hum_db, 2)}
    return noise, drawn


def _shaped_noise(
    n_samples: int, n_fft: int, shape: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise with this amplitude at each bin of a real FFT, root mean square 1."""
    white = rng.standard_normal((len(shape), 2), dtype=np.float32).view(np.complex64)[:, 0]
    # An offset is no sound.
    spectrum = white * shape
    spectrum[0] = 0
    power = 2 * 2 * float(np.sum(shape[1:] ** 2, dtype=np.float64)) / n_fft**2
    noise: NDArray[np.float32] = fft.irfft(spectrum, n_fft)[:n_samples]
    return noise / np.float32(np.sqrt(power) or 1.0)
