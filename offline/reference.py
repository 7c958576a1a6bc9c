"""The slow, plain version of every feature, float64 with librosa and scipy: the fast one is held against it.

It follows the feature contract's words and nothing else, one function per channel, so that agreement with
`realtime.features` means that both read the contract the same way. Needs the `train` extra.
"""

import warnings

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from engines.contract import HOP_SAMPLES, N_ROWS, RATE_HZ, WINDOW_SAMPLES
from engines.spec import FeatureSpec
from offline.reference_scalars import reference_scalars

Array = NDArray[np.float64]

LOWPASS_TAPS = 255
DELTA_WIDTH = 9
N_MFCC = 40
N_CHROMA = 12
CENS_THRESHOLDS = (0.4, 0.2, 0.1, 0.05)
CENS_SMOOTHING_FRAMES = 41
N_GAMMATONE = 64
N_MODULATION = 40
TEMPOGRAM_FRAMES = 384

# Below float32's smallest normal number a frame counts as silent, whatever the precision of the sum.
SILENT_NORM = float(np.finfo(np.float32).tiny)


def reference_features(window: NDArray[np.floating], spec: FeatureSpec) -> tuple[Array, Array]:
    """All features of one window.

    Args:
        window: (16000,) samples in [-1, 1] at 16 kHz, finite.
        spec: the parameters inside the channels. With `lowpass_hz`, channels and scalars alike are
            computed from `lowpassed(window, lowpass_hz)`.

    Returns:
        spectrograms (9, 128, 63) and scalars (39,), float64, in the contract's order.
    """
    assert window.shape == (WINDOW_SAMPLES,), window.shape
    samples = np.asarray(window, dtype=np.float64)
    if spec.lowpass_hz is not None:
        samples = lowpassed(samples, spec.lowpass_hz)
    spectrum = complex_spectrum(samples, spec)
    power = np.abs(spectrum) ** 2
    mel = mel_db(power, spec)
    images = (
        stft_channel(spectrum, spec),
        standardised(mel),
        standardised(librosa.feature.delta(mel, width=DELTA_WIDTH, order=1)),
        standardised(librosa.feature.delta(mel, width=DELTA_WIDTH, order=2)),
        mfcc_channel(mel),
        chroma_channel(power, spec),
        gammatone_channel(power, spec),
        modulation_channel(mel),
        tempogram_channel(mel, spec),
    )
    return np.stack(images), reference_scalars(samples, mel)


def lowpassed(samples: Array, cutoff_hz: float) -> Array:
    """Linear-phase low-pass without delay, same length: 255-tap Hamming design, zeros beyond both ends."""
    taps = signal.firwin(LOWPASS_TAPS, cutoff_hz, window="hamming", fs=RATE_HZ)
    return np.asarray(np.convolve(samples, taps, mode="same"), dtype=np.float64)


def complex_spectrum(samples: Array, spec: FeatureSpec) -> NDArray[np.complex128]:
    """The transform all channels share: periodic Hann of `window_samples`, hop 256, centred, zeros outside.

    Shape (n_fft / 2 + 1, 63).
    """
    return np.asarray(
        librosa.stft(
            samples,
            n_fft=spec.n_fft,
            win_length=spec.window_samples,
            hop_length=HOP_SAMPLES,
            window="hann",
            center=True,
            pad_mode="constant",
        )
    )


def standardised(image: Array) -> Array:
    """Subtract the image's mean, divide by its standard deviation + 1e-8."""
    return np.asarray((image - image.mean()) / (image.std() + 1e-8))


def standardised_rows(image: Array) -> Array:
    """Subtract each row's mean, divide by the row's standard deviation + 1e-8."""
    mean = image.mean(axis=1, keepdims=True)
    return np.asarray((image - mean) / (image.std(axis=1, keepdims=True) + 1e-8))


def padded(image: Array) -> Array:
    """Up to 128 rows, the missing ones at the bottom filled with the (normalised) image's own minimum."""
    return np.pad(image, ((0, N_ROWS - image.shape[0]), (0, 0)), constant_values=image.min())


def stft_channel(spectrum: NDArray[np.complex128], spec: FeatureSpec) -> Array:
    """Channel 0: lowest 128 of every `stft_stride`-th bin, dB relative to their own maximum, floor -80 dB; z.

    The maximum is that of these rows and frames only: louder sound elsewhere does not move it.
    """
    magnitude = np.abs(spectrum[:: spec.stft_stride][:N_ROWS])
    return standardised(librosa.amplitude_to_db(magnitude, ref=np.max, amin=1e-5, top_db=80.0))


def mel_db(power: Array, spec: FeatureSpec) -> Array:
    """The mel image before z, (128, 63), dB relative to its maximum, -80 to 0: Slaney scale and area norm."""
    with warnings.catch_warnings():
        # On a short transform some of the lowest of 128 bands hold no bin: the contract keeps them.
        warnings.filterwarnings("ignore", message="Empty filters detected", category=UserWarning)
        bank = librosa.filters.mel(
            sr=RATE_HZ,
            n_fft=spec.n_fft,
            n_mels=N_ROWS,
            fmin=0.0,
            fmax=spec.mel_fmax_hz,
            htk=False,
            norm="slaney",
            dtype=np.float64,
        )
    return np.asarray(librosa.power_to_db(bank @ power, ref=np.max, amin=1e-10, top_db=80.0))


def mfcc_channel(mel: Array) -> Array:
    """Channel 4: 40 cepstral coefficients, their delta and delta-delta; z per row.

    The coefficients are the first of the orthonormal DCT-II over the mel rows.
    """
    coefficients = librosa.feature.mfcc(S=mel, n_mfcc=N_MFCC, dct_type=2, norm="ortho")
    stack = [coefficients]
    stack += [librosa.feature.delta(coefficients, width=DELTA_WIDTH, order=order) for order in (1, 2)]
    return padded(standardised_rows(np.concatenate(stack)))


def chroma_channel(power: Array, spec: FeatureSpec) -> Array:
    """Channel 5: 12 chroma, each frame divided by its maximum, then 12 CENS of the same chroma; z per row.

    Concert pitch is taken as 440 Hz (tuning 0): estimating it from one second of breath would be noise.
    """
    bank = librosa.filters.chroma(
        sr=RATE_HZ, n_fft=spec.n_fft, tuning=0.0, n_chroma=N_CHROMA, dtype=np.float64
    )
    chroma = bank @ power
    per_frame = librosa.util.normalize(chroma, norm=np.inf, axis=0, threshold=SILENT_NORM)
    return padded(standardised_rows(np.concatenate([per_frame, energy_normalised(chroma)])))


def energy_normalised(chroma: Array) -> Array:
    """CENS of raw chroma (12, frames), after Mueller and Ewert, "Chroma Toolbox", ISMIR 2011.

    L1 per frame, a quarter for each threshold exceeded, 41-point Hann over time with zeros outside,
    L2 per frame. Silent frames stay zero.
    """
    shares = librosa.util.normalize(chroma, norm=1, axis=0, threshold=SILENT_NORM)
    steps = np.zeros_like(shares)
    for threshold in CENS_THRESHOLDS:
        steps += 0.25 * (shares > threshold)
    # Two points more, because the outermost ones of a symmetric Hann window are zero.
    kernel = signal.get_window("hann", CENS_SMOOTHING_FRAMES + 2, fftbins=False)
    smooth = ndimage.convolve1d(steps, kernel / kernel.sum(), axis=1, mode="constant", cval=0.0)
    return np.asarray(librosa.util.normalize(smooth, norm=2, axis=0, threshold=SILENT_NORM))


def gammatone_bank(spec: FeatureSpec) -> Array:
    """Power responses (64, n_fft / 2 + 1) of 4th-order gammatones, centres evenly spaced in ERB-rate.

    ERB-rate 21.4 log10(1 + 0.00437 f) and bandwidth 24.7 (0.00437 f + 1): Glasberg and Moore, Hearing
    Research 47, 1990. The response around the centre, (1 + ((f - fc) / b)^2)^-4 with b = 1.019 bandwidths,
    is that of Patterson et al., 1992, without its mirror image at -fc.
    """
    lowest, highest = (
        21.4 * np.log10(1.0 + 0.00437 * hz) for hz in (spec.gammatone_fmin_hz, spec.gammatone_fmax_hz)
    )
    centre_hz = (10.0 ** (np.linspace(lowest, highest, N_GAMMATONE) / 21.4) - 1.0) / 0.00437
    width_hz = 1.019 * 24.7 * (0.00437 * centre_hz + 1.0)
    bin_hz = np.arange(spec.n_fft // 2 + 1) * (RATE_HZ / spec.n_fft)
    detuning = (bin_hz[None, :] - centre_hz[:, None]) / width_hz[:, None]
    return np.asarray((1.0 + detuning**2) ** -4.0)


def gammatone_channel(power: Array, spec: FeatureSpec) -> Array:
    """Channel 6: log(1 + energy) in 64 gammatone bands; z over the image."""
    return padded(standardised(np.log1p(gammatone_bank(spec) @ power)))


def modulation_channel(mel: Array) -> Array:
    """Channel 7: orthonormal 2-D DCT-II of the mel image before z, first 40 rows, all columns; z."""
    return padded(standardised(fft.dctn(mel, type=2, norm="ortho")[:N_MODULATION]))


def onset_strength(mel: Array, spec: FeatureSpec) -> Array:
    """Mean rise of the mel bands over each frame, (63,) dB, half an analysis window late as in librosa."""
    return np.asarray(
        librosa.onset.onset_strength(S=mel, sr=RATE_HZ, hop_length=HOP_SAMPLES, n_fft=spec.window_samples)
    )


def tempogram_channel(mel: Array, spec: FeatureSpec) -> Array:
    """Channel 8: local autocorrelation of the onset strength under a 384-frame Hann, lags 0 to 127; z.

    Before z each frame is divided by its maximum over all 384 lags.
    """
    tempogram = librosa.feature.tempogram(
        onset_envelope=onset_strength(mel, spec),
        sr=RATE_HZ,
        hop_length=HOP_SAMPLES,
        win_length=TEMPOGRAM_FRAMES,
        center=True,
        window="hann",
        norm=np.inf,
    )
    return standardised(tempogram[:N_ROWS])
