"""The feature contract: what one window is, and which tensors come from it.

Everything that trains, exports, runs or stores features agrees on this page. The parameters *inside*
a channel (FFT size, number of bands, ...) are not part of it: see `engines.spec`.
"""

import hashlib

RATE_HZ = 16_000
WINDOW_SAMPLES = 16_000
HOP_SAMPLES = 256
N_ROWS = 128
N_FRAMES = 63

CHANNELS: tuple[str, ...] = (
    "stft",
    "mel",
    "mel_delta",
    "mel_delta2",
    "mfcc",
    "chroma",
    "gammatone",
    "modulation",
    "tempogram",
)

SCALARS: tuple[str, ...] = (
    "rms_mean",
    "rms_std",
    "rms_max",
    "rms_min",
    "zcr_mean",
    "zcr_std",
    "zcr_max",
    "zcr_min",
    "centroid_mean",
    "centroid_std",
    "centroid_skewness",
    "bandwidth_mean",
    "bandwidth_std",
    "rolloff_mean",
    "rolloff_std",
    "flatness_mean",
    "flatness_std",
    "contrast_mean",
    "contrast_std",
    "envelope_mean",
    "envelope_std",
    "envelope_variation",
    "peak_count",
    "peak_height_mean",
    "peak_height_std",
    "low_energy_ratio",
    "flux_mean",
    "flux_std",
    "flux_max",
    "wave_skewness",
    "wave_kurtosis",
    "abs_percentile_90",
    "abs_percentile_10",
    "autocorrelation_10ms",
    "autocorrelation_20ms",
    "autocorrelation_min_lag_s",
    "envelope_centroid",
    "envelope_skewness",
    "spectral_entropy_mean",
)

N_CHANNELS = len(CHANNELS)
N_SCALARS = len(SCALARS)

LABEL_INHALE = 0
LABEL_EXHALE = 1


def contract_hash() -> str:
    """SHA-256 (hex) over the rate, the window, the shapes and the names in their order."""
    parts = [
        f"rate_hz={RATE_HZ}",
        f"window_samples={WINDOW_SAMPLES}",
        f"hop_samples={HOP_SAMPLES}",
        f"image={N_CHANNELS}x{N_ROWS}x{N_FRAMES}",
        "channels=" + ",".join(CHANNELS),
        "scalars=" + ",".join(SCALARS),
        f"labels=inhale:{LABEL_INHALE},exhale:{LABEL_EXHALE}",
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
