"""The slow, plain version of the 39 scalars, in float64 with librosa and scipy.

One function per group, in the contract's order. Means, deviations and higher moments are those of the
population. Frames are 2048 samples, hop 256, centred; frequencies are divided by 8000 Hz.
"""

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from engines.contract import HOP_SAMPLES, RATE_HZ

Array = NDArray[np.float64]

FRAME_SAMPLES = 2048
NYQUIST_HZ = RATE_HZ / 2
ROLLOFF_SHARE = 0.85
CONTRAST_FLOOR = 1e-6
PEAK_DISTANCE_SAMPLES = 1600
LOW_BAND_HZ = 1000.0
LAG_10MS_SAMPLES = 160
LAG_20MS_SAMPLES = 320
MAX_LAG_SAMPLES = 800


def reference_scalars(samples: Array, mel: Array) -> Array:
    """The scalars (39,) of one window.

    Args:
        samples: (16000,) float64, low-passed already where the spec asks for it.
        mel: (128, 63) dB, the mel image before z; only the flux comes from it.
    """
    envelope = np.abs(signal.hilbert(samples))
    magnitude = np.abs(
        librosa.stft(samples, n_fft=FRAME_SAMPLES, hop_length=HOP_SAMPLES, window="hann", pad_mode="constant")
    )
    groups = (
        rms_scalars(samples),
        zero_crossing_scalars(samples),
        spectral_scalars(magnitude),
        envelope_scalars(envelope),
        peak_scalars(envelope),
        [low_energy_ratio(magnitude**2)],
        flux_scalars(mel),
        [skewness(samples), excess_kurtosis(samples)],
        [float(np.percentile(np.abs(samples), share)) for share in (90, 10)],
        autocorrelation_scalars(samples),
        [temporal_centroid(envelope), skewness(envelope), spectral_entropy(magnitude**2)],
    )
    return np.array([scalar for group in groups for scalar in group], dtype=np.float64)


def skewness(values: Array) -> float:
    """Third standardised moment; 0 where the variance is 0."""
    deviation = values - values.mean()
    variance = float(np.mean(deviation**2))
    return float(np.mean(deviation**3)) / variance**1.5 if variance > 0 else 0.0


def excess_kurtosis(values: Array) -> float:
    """Fourth standardised moment minus 3; 0 where the variance is 0."""
    deviation = values - values.mean()
    variance = float(np.mean(deviation**2))
    return float(np.mean(deviation**4)) / variance**2 - 3.0 if variance > 0 else 0.0


def rms_scalars(samples: Array) -> list[float]:
    """Scalars 0-3: mean, deviation, maximum and minimum of the frames' RMS, zeros outside the window."""
    rms = librosa.feature.rms(y=samples, frame_length=FRAME_SAMPLES, hop_length=HOP_SAMPLES)
    return [float(rms.mean()), float(rms.std()), float(rms.max()), float(rms.min())]


def zero_crossing_scalars(samples: Array) -> list[float]:
    """Scalars 4-7: mean, deviation, maximum and minimum of the share of samples that change sign.

    The window's ends are held, not zeroed, outside it; samples within 1e-10 of zero count as positive.
    """
    rate = librosa.feature.zero_crossing_rate(samples, frame_length=FRAME_SAMPLES, hop_length=HOP_SAMPLES)
    return [float(rate.mean()), float(rate.std()), float(rate.max()), float(rate.min())]


def spectral_scalars(magnitude: Array) -> list[float]:
    """Scalars 8-18, from the magnitudes (1025, 63): centroid, bandwidth, roll-off, flatness, contrast.

    In silent frames centroid, bandwidth, roll-off and contrast are 0 and flatness is 1, as librosa has it.
    For the contrast, bins more than 120 dB below the window's loudest are raised to there: librosa, which
    takes the decibels of magnitudes as if they were power, would go down to 160 dB, into rounding.
    """
    centroid = librosa.feature.spectral_centroid(S=magnitude, sr=RATE_HZ)[0] / NYQUIST_HZ
    bandwidth = librosa.feature.spectral_bandwidth(S=magnitude, sr=RATE_HZ)[0] / NYQUIST_HZ
    rolloff = (
        librosa.feature.spectral_rolloff(S=magnitude, sr=RATE_HZ, roll_percent=ROLLOFF_SHARE)[0] / NYQUIST_HZ
    )
    flatness = librosa.feature.spectral_flatness(S=magnitude)
    audible = np.maximum(magnitude, CONTRAST_FLOOR * magnitude.max())
    contrast = librosa.feature.spectral_contrast(S=audible, sr=RATE_HZ)
    return [
        *(float(centroid.mean()), float(centroid.std()), skewness(centroid)),
        *(float(bandwidth.mean()), float(bandwidth.std())),
        *(float(rolloff.mean()), float(rolloff.std())),
        *(float(flatness.mean()), float(flatness.std())),
        *(float(contrast.mean()), float(contrast.std())),
    ]


def envelope_scalars(envelope: Array) -> list[float]:
    """Scalars 19-21: mean and deviation of the Hilbert envelope, mean over deviation (0 where that is 0)."""
    mean, deviation = float(envelope.mean()), float(envelope.std())
    return [mean, deviation, mean / deviation if deviation > 0 else 0.0]


def peak_scalars(envelope: Array) -> list[float]:
    """Scalars 22-24: number of envelope peaks, mean and deviation of their heights (0 where there is none).

    A peak equals the maximum of the 1600 samples on either side, is at least the envelope's mean, and is
    larger than the sample before it, so that a plateau counts once; the first sample has none before it.
    """
    is_maximum = envelope == ndimage.maximum_filter1d(
        envelope, size=2 * PEAK_DISTANCE_SAMPLES + 1, mode="constant", cval=-np.inf
    )
    is_rising = np.diff(envelope, prepend=-np.inf) > 0
    heights = envelope[is_maximum & is_rising & (envelope >= envelope.mean())]
    if heights.size == 0:
        return [0.0, 0.0, 0.0]
    return [float(heights.size), float(heights.mean()), float(heights.std())]


def low_energy_ratio(power: Array) -> float:
    """Scalar 25: energy in the bins below 1 kHz over that in all bins, 0 in silence."""
    bin_hz = librosa.fft_frequencies(sr=RATE_HZ, n_fft=FRAME_SAMPLES)
    total = float(power.sum())
    return float(power[bin_hz < LOW_BAND_HZ].sum()) / total if total > 0 else 0.0


def flux_scalars(mel: Array) -> list[float]:
    """Scalars 26-28: mean, deviation and maximum of the 62 distances (L2, dB) from mel frame to mel frame."""
    flux = np.linalg.norm(np.diff(mel, axis=1), axis=0)
    return [float(flux.mean()), float(flux.std()), float(flux.max())]


def autocorrelation_scalars(samples: Array) -> list[float]:
    """Scalars 33-35: r[l] / r[0] at 10 and 20 ms, and the lag (s) of the first minimum of r; 0 in silence.

    r[l] is the sum of x[i] x[i + l] over the window, its mean left in, for lags below 50 ms. Summed
    directly: the rounding of a transform would make up minima where r is exactly 0.
    """
    n = samples.size
    r = np.array([float(samples[: n - lag] @ samples[lag:]) for lag in range(MAX_LAG_SAMPLES)])
    if r[0] == 0:
        return [0.0, 0.0, 0.0]
    return [r[LAG_10MS_SAMPLES] / r[0], r[LAG_20MS_SAMPLES] / r[0], int(r.argmin()) / RATE_HZ]


def temporal_centroid(envelope: Array) -> float:
    """Scalar 36: where the envelope's weight lies, from 0 (first sample) to 1 (last); 0 in silence."""
    total = float(envelope.sum())
    position = np.arange(envelope.size) / (envelope.size - 1)
    return float(position @ envelope) / total if total > 0 else 0.0


def spectral_entropy(power: Array) -> float:
    """Scalar 38: mean over frames of the power spectrum's entropy, as a share of log2(1025); silent: 0."""
    total = power.sum(axis=0)
    shares = power / np.where(total > 0, total, 1.0)
    bits = -np.sum(shares * np.log2(np.where(shares > 0, shares, 1.0)), axis=0)
    return float(np.mean(bits)) / float(np.log2(power.shape[0]))
