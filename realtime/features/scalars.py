"""The 39 scalars of a window: what is computed together, and where each result stands in the contract."""

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import RATE_HZ, SCALARS, WINDOW_SAMPLES
from realtime.features.division import TINY, or_one, ratio
from realtime.features.envelope import Envelope, envelope_peaks
from realtime.features.spectral_shape import SpectralContrast, SpectralShape
from realtime.features.spectrogram import PowerSpectrogram
from realtime.features.waveform import FRAME_SAMPLES, LevelAndCrossings, autocorrelation, percentiles

# Those below 1 kHz.
N_LOW_BINS = 1000 * FRAME_SAMPLES // RATE_HZ
SERIES = ("rms", "zcr", "centroid", "bandwidth", "rolloff", "flatness", "spectral_entropy")
# The columns in the order in which `Scalars.forward` makes them. Some that the contract does not ask for come
# with their neighbours, since one reduction of a whole block is faster than several of its parts.
COMPUTED = (
    *(f"{series}_{statistic}" for statistic in ("mean", "std", "skewness") for series in SERIES),
    *(f"{series}_{extreme}" for extreme in ("max", "min") for series in SERIES),
    *(
        f"{signal}_{statistic}"
        for statistic in ("mean", "std", "skewness")
        for signal in ("wave", "envelope")
    ),
    *("wave_kurtosis", "envelope_kurtosis", "envelope_variation", "envelope_centroid"),
    *("peak_count", "peak_height_mean", "peak_height_std"),
    *("contrast_mean", "contrast_std"),
    *("abs_percentile_90", "abs_percentile_10"),
    *("autocorrelation_10ms", "autocorrelation_20ms", "autocorrelation_min_lag_s"),
    "low_energy_ratio",
    *("flux_mean", "flux_std", "flux_max"),
)


class Scalars(nn.Module):
    """(B, 16000) windows and their mel images (B, 128, 63) in dB -> (B, 39) in the contract's order.

    Frequencies are in units of 8 kHz, levels in full scale, contrast and flux in dB, lags in seconds.
    """

    ramp: Tensor
    column_of_scalar: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Periodic Hann, as all windows here.
        window = np.hanning(FRAME_SAMPLES + 1)[:-1]
        self.spectrogram = PowerSpectrogram(window, FRAME_SAMPLES)
        self.level_and_crossings = LevelAndCrossings()
        self.spectral_shape = SpectralShape()
        self.contrast = SpectralContrast()
        self.envelope = Envelope()
        ramp = torch.arange(WINDOW_SAMPLES, dtype=torch.float64) / (WINDOW_SAMPLES - 1)
        columns = torch.tensor([COMPUTED.index(name) for name in SCALARS])
        self.register_buffer("ramp", ramp.to(torch.float32), persistent=False)
        self.register_buffer("column_of_scalar", columns, persistent=False)

    def forward(self, windows: Tensor, mel: Tensor) -> Tensor:
        """Return the scalars, one row a window."""
        power = self.spectrogram(windows)
        frames = power.transpose(1, 2)
        series = torch.cat([self.level_and_crossings(windows), self.spectral_shape(frames)], dim=1)
        envelope = self.envelope(windows)
        mean, std, skewness, kurtosis = _moments(torch.stack([windows, envelope], dim=1))
        envelope_mean, envelope_std = mean[:, 1:], std[:, 1:]
        columns = [
            *_moments(series)[:3],
            *(series.amax(dim=2), series.amin(dim=2)),
            *(mean, std, skewness, kurtosis),
            ratio(envelope_mean, envelope_std),
            ratio((envelope * self.ramp).mean(dim=1, keepdim=True), envelope_mean),
            envelope_peaks(envelope, envelope_mean),
            *_moments(self.contrast(power).flatten(1)[:, None])[:2],
            percentiles(windows.abs()),
            autocorrelation(windows),
            _low_energy_ratio(frames),
        ]
        # Where images and scalars are computed apart there is one tensor to hand over, not one of each kind.
        of_sound = torch.cat(columns, dim=1)
        return torch.cat([of_sound, _flux(mel)], dim=1).index_select(1, self.column_of_scalar)


def _flux(mel: Tensor) -> Tensor:
    """Euclidean distance between neighbouring frames of the mel image, dB: mean, std, max; (B, 3)."""
    flux = (mel[..., 1:] - mel[..., :-1]).square().sum(dim=1, keepdim=True).sqrt()
    return torch.cat([*_moments(flux)[:2], flux.amax(dim=2)], dim=1)


def _low_energy_ratio(power: Tensor) -> Tensor:
    energy = power.sum(dim=1)
    return ratio(energy[:, :N_LOW_BINS].sum(dim=1, keepdim=True), energy.sum(dim=1, keepdim=True))


def _moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, std, skewness and excess kurtosis of a population along the last axis of (B, series, n).

    The last two are 0 where nothing varies.
    """
    mean = values.mean(dim=2, keepdim=True)
    centred = values - mean
    variance = centred.square().mean(dim=2)
    std = variance.sqrt()
    scaled = centred / or_one(std)[..., None]
    square = scaled.square()
    skewness, kurtosis = (square * scaled).mean(dim=2), square.square().mean(dim=2) - 3.0
    is_flat = variance < TINY
    return mean[..., 0], std, torch.where(is_flat, 0.0, skewness), torch.where(is_flat, 0.0, kurtosis)
