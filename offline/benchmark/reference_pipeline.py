"""The published pipeline's shape, to be timed against: librosa on the CPU, then eager torch.

After the released extractor of Lim and Won, SeoulTech, 2025: every image and every group of scalars from a
librosa call of its own, on a 512-point transform, nothing kept from one call to the next, the smoothed chroma
over a constant-Q transform, the autocorrelation by direct sums. Only the first image is the paper's
spectrogram and not the released code's linear prediction, which would take longer. For timing: the features
that networks are trained on are those of `realtime.features`.
"""

import warnings

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, signal, stats
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_FRAMES, N_ROWS, N_SCALARS, RATE_HZ
from engines.pack import Pack
from engines.torch_backend import ARCHITECTURES, TorchEngine, load_networks

Floats = NDArray[np.float32]

_N_FFT = 512
_MEL_FMAX_HZ = 4500.0
_N_MFCC = 40
_N_GAMMATONE = 64
_N_MODULATION = 40


class PublishedFeatures(nn.Module):
    """Windows (B, 16000) to images (B, 9, 128, 63) and scalars (B, 39), one window after another."""

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Compute them; float32 on the CPU."""
        pairs = [published_features(window) for window in windows.numpy()]
        images, scalars = (np.stack(side) for side in zip(*pairs, strict=True))
        return torch.from_numpy(images), torch.from_numpy(scalars)


def open_reference(pack: Pack, n_threads: int | None = None) -> TorchEngine:
    """The published pipeline as an engine, with the pack's networks.

    Networks whose weights the pack does not hold get random ones, which take just as long; their answers
    then mean nothing.

    Args:
        pack: the pack that it is timed against.
        n_threads: of torch, for the whole process; None: as they are.

    Raises:
        EngineError: the pack's weights cannot be used.
    """
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    networks = load_networks(pack) if pack.has_weights else _random_networks(pack)
    return TorchEngine(networks, PublishedFeatures())


def published_features(window: Floats) -> tuple[Floats, Floats]:
    """Images (9, 128, 63) and scalars (39,), float32, of a window (16000,); the last three scalars are 0."""
    with warnings.catch_warnings():
        # Empty mel bands, and transforms longer than the sound: the published parameters bring both.
        warnings.simplefilter("ignore", UserWarning)
        mel = librosa.power_to_db(_mel(window, _N_FFT), ref=np.max)
        images = np.stack([_image(channel) for channel in (*_spectral(window, mel), *_temporal(window, mel))])
        scalars = np.zeros(N_SCALARS, np.float32)
        found = [*_frame_scalars(window), *_wave_scalars(window)]
        scalars[: len(found)] = found
    return images, np.nan_to_num(scalars)


def _mel(window: Floats, n_fft: int) -> Floats:
    return np.asarray(
        librosa.feature.melspectrogram(
            y=window, sr=RATE_HZ, n_fft=n_fft, hop_length=HOP_SAMPLES, n_mels=N_ROWS, fmax=_MEL_FMAX_HZ
        )
    )


def _magnitude(window: Floats) -> Floats:
    return np.asarray(np.abs(librosa.stft(window, n_fft=_N_FFT, hop_length=HOP_SAMPLES)))


def _spectral(window: Floats, mel: Floats) -> list[Floats]:
    mfcc = librosa.feature.mfcc(y=window, sr=RATE_HZ, n_mfcc=_N_MFCC, n_fft=_N_FFT, hop_length=HOP_SAMPLES)
    deltas = [librosa.feature.delta(mfcc, order=order) for order in (1, 2)]
    return [
        librosa.amplitude_to_db(_magnitude(window)[:N_ROWS], ref=np.max),
        mel,
        librosa.feature.delta(mel, order=1),
        librosa.feature.delta(mel, order=2),
        np.concatenate([mfcc, *deltas]),
    ]


def _temporal(window: Floats, mel: Floats) -> list[Floats]:
    chroma = librosa.feature.chroma_stft(y=window, sr=RATE_HZ, n_fft=_N_FFT, hop_length=HOP_SAMPLES)
    cens = librosa.feature.chroma_cens(y=window, sr=RATE_HZ, hop_length=HOP_SAMPLES)
    bank = librosa.filters.mel(sr=RATE_HZ, n_fft=_N_FFT, n_mels=_N_GAMMATONE)
    onset = librosa.onset.onset_strength(y=window, sr=RATE_HZ, hop_length=HOP_SAMPLES)
    return [
        np.concatenate([chroma, cens[:, : chroma.shape[1]]]),
        np.log1p(bank @ _magnitude(window)),
        fft.dctn(mel, norm="ortho")[:_N_MODULATION],
        librosa.feature.tempogram(onset_envelope=onset, sr=RATE_HZ, hop_length=HOP_SAMPLES)[:N_ROWS],
    ]


def _image(channel: Floats) -> Floats:
    """Standardised, cut or padded with its minimum to (128, 63)."""
    z = ((channel - channel.mean()) / (channel.std() + 1e-8))[:N_ROWS, :N_FRAMES]
    missing = ((0, N_ROWS - z.shape[0]), (0, N_FRAMES - z.shape[1]))
    return np.pad(z, missing, constant_values=z.min()).astype(np.float32)


def _frame_scalars(window: Floats) -> list[float]:
    rms = librosa.feature.rms(y=window, hop_length=HOP_SAMPLES)
    crossings = librosa.feature.zero_crossing_rate(window, hop_length=HOP_SAMPLES)
    centroid = librosa.feature.spectral_centroid(y=window, sr=RATE_HZ, hop_length=HOP_SAMPLES)
    bandwidth = librosa.feature.spectral_bandwidth(y=window, sr=RATE_HZ, hop_length=HOP_SAMPLES)
    rolloff = librosa.feature.spectral_rolloff(y=window, sr=RATE_HZ, hop_length=HOP_SAMPLES)
    flatness = librosa.feature.spectral_flatness(y=window, hop_length=HOP_SAMPLES)
    contrast = librosa.feature.spectral_contrast(y=window, sr=RATE_HZ, hop_length=HOP_SAMPLES)
    of_levels = [
        float(take(series)) for series in (rms, crossings) for take in (np.mean, np.std, np.max, np.min)
    ]
    nyquist_hz = RATE_HZ / 2
    of_spectra = [float(centroid.mean()), float(centroid.std()), float(stats.skew(centroid[0]) * nyquist_hz)]
    of_spectra += [float(take(series)) for series in (bandwidth, rolloff) for take in (np.mean, np.std)]
    of_shapes = [float(take(series)) for series in (flatness, contrast) for take in (np.mean, np.std)]
    return [*of_levels, *(value / nyquist_hz for value in of_spectra), *of_shapes]


def _wave_scalars(window: Floats) -> list[float]:
    envelope = np.abs(signal.hilbert(window))
    peaks, _ = signal.find_peaks(envelope, height=envelope.mean(), distance=RATE_HZ // 10)
    heights = envelope[peaks] if len(peaks) else np.zeros(1)
    power = _magnitude(window) ** 2
    rises = np.diff(librosa.power_to_db(_mel(window, 4 * _N_FFT), ref=np.max), axis=1)
    flux = np.sqrt(np.sum(rises**2, axis=0))
    loudness = np.abs(window)
    lags = np.correlate(window, window, mode="full")[len(window) - 1 :]
    lags = lags / (lags[0] + 1e-12)
    values = [
        *(envelope.mean(), envelope.std(), envelope.mean() / (envelope.std() + 1e-8)),
        *(len(peaks), heights.mean(), heights.std()),
        power[: 1000 * _N_FFT // RATE_HZ].sum() / (power.sum() + 1e-8),
        *(flux.mean(), flux.std(), flux.max()),
        *(stats.skew(window), stats.kurtosis(window)),
        *(np.percentile(loudness, 90), np.percentile(loudness, 10)),
        *(lags[RATE_HZ // 100], lags[RATE_HZ // 50], np.argmin(lags[: RATE_HZ // 20]) / RATE_HZ),
    ]
    return [float(value) for value in values]


def _random_networks(pack: Pack) -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            info.name: ARCHITECTURES[info.architecture](n_outputs=info.n_outputs)
            for info in pack.manifest.networks
        }
