"""The 39 scalars of a window."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.features.dft import RealDft
from realtime.features.division import TINY, or_one, ratio
from realtime.features.framing import frame_sums, framed

FRAME_SAMPLES = 2048
N_BINS = FRAME_SAMPLES // 2 + 1
NYQUIST_HZ = RATE_HZ / 2
POWER_FLOOR = 1e-10
ZERO_CROSSING_FLOOR = 1e-10
ROLLOFF = 0.85
CONTRAST_FLOOR = 1e-6
PEAK_REACH = RATE_HZ // 10
MAX_LAG = RATE_HZ // 20


@dataclass(frozen=True)
class ContrastBand:
    """Bins [first, stop) of one octave band, and how many of them make its peak and its valley."""

    first: int
    stop: int
    n_extreme: int


def contrast_bands() -> tuple[ContrastBand, ...]:
    """Seven octave bands from 200 Hz up, 2 % quantile (Jiang et al., ICME 2002; librosa's band edges).

    Every band but the first starts one bin below its edge, every band but the last leaves out its top bin,
    and the last one ends at the Nyquist frequency.
    """
    freqs_hz = np.arange(N_BINS) * RATE_HZ / FRAME_SAMPLES
    edges_hz = [0.0, *(200.0 * 2.0**octave for octave in range(7))]
    bands = []
    for band in range(7):
        inside = np.flatnonzero((freqs_hz >= edges_hz[band]) & (freqs_hz <= edges_hz[band + 1]))
        first, stop = int(inside[0]) - (band > 0), int(inside[-1]) + 1
        if band == 6:
            stop = N_BINS
        n_extreme = max(round(0.02 * (stop - first)), 1)
        bands.append(ContrastBand(first, stop - (band < 6), n_extreme))
    return tuple(bands)


class Scalars(nn.Module):
    """(B, 16000) windows and their mel images (B, 128, 63) in dB -> (B, 39) in the contract's order.

    Frequencies are in units of 8 kHz, levels in full scale, contrast and flux in dB, lags in seconds.
    """

    window: Tensor
    freqs: Tensor
    is_low: Tensor
    ramp: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.dft = RealDft.of_length(FRAME_SAMPLES)
        self.envelope_dft = RealDft.of_length(WINDOW_SAMPLES)
        self.autocorrelation_dft = RealDft.of_length(WINDOW_SAMPLES + MAX_LAG)
        self.contrast_bands = contrast_bands()
        freqs_hz = torch.arange(N_BINS, dtype=torch.float64) * RATE_HZ / FRAME_SAMPLES
        for name, value in {
            "window": torch.hann_window(FRAME_SAMPLES, dtype=torch.float64),
            "freqs": freqs_hz / NYQUIST_HZ,
            "is_low": freqs_hz < 1000.0,
            "ramp": torch.arange(WINDOW_SAMPLES, dtype=torch.float64) / (WINDOW_SAMPLES - 1),
        }.items():
            self.register_buffer(name, value.to(torch.float32), persistent=False)

    def forward(self, windows: Tensor, mel: Tensor) -> Tensor:
        """Return the scalars, one row a window."""
        power = self.dft.power(framed(windows, FRAME_SAMPLES) * self.window)
        envelope = self._envelope(windows)
        columns = [
            *_rms(windows),
            *_zero_crossings(windows),
            *self._spectral_shape(power),
            *self._contrast(power),
            *_envelope_level(envelope),
            *_peaks(envelope),
            ratio((power @ self.is_low).sum(dim=1), power.sum(dim=(1, 2))),
            *_flux(mel),
            *_skewness_and_kurtosis(windows),
            *_percentiles(windows.abs()),
            *self._autocorrelation(windows),
            ratio(envelope @ self.ramp, envelope.sum(dim=1)),
            _skewness_and_kurtosis(envelope)[0],
            _entropy(power),
        ]
        return torch.stack(columns, dim=1)

    def _spectral_shape(self, power: Tensor) -> list[Tensor]:
        magnitude = power.sqrt()
        share = magnitude / or_one(magnitude.sum(dim=2, keepdim=True))
        centroid = share @ self.freqs
        distance = (self.freqs - centroid[..., None]).abs()
        bandwidth = (share * distance.square()).sum(dim=2).sqrt()
        cumulative = magnitude.cumsum(dim=2)
        below = cumulative < ROLLOFF * cumulative[..., -1:]
        rolloff = below.to(power.dtype).sum(dim=2) * (2.0 / FRAME_SAMPLES)
        thresholded = power.clamp_min(POWER_FLOOR)
        flatness = thresholded.log().mean(dim=2).exp() / thresholded.mean(dim=2)
        return [
            *_mean_std(centroid),
            _skewness_and_kurtosis(centroid)[0],
            *_mean_std(bandwidth),
            *_mean_std(rolloff),
            *_mean_std(flatness),
        ]

    def _contrast(self, power: Tensor) -> list[Tensor]:
        magnitude = power.sqrt()
        # What lies 120 dB below the loudest bin is rounding, and differs from one machine to the next.
        magnitude = torch.maximum(magnitude, CONTRAST_FLOOR * magnitude.amax(dim=(1, 2), keepdim=True))
        peaks, valleys = [], []
        for band in self.contrast_bands:
            bins = magnitude[..., band.first : band.stop]
            peaks.append(bins.topk(band.n_extreme, dim=2).values.mean(dim=2))
            valleys.append(bins.topk(band.n_extreme, dim=2, largest=False).values.mean(dim=2))
        contrast = _decibels(torch.stack(peaks, dim=1)) - _decibels(torch.stack(valleys, dim=1))
        return _mean_std(contrast.flatten(1))

    def _envelope(self, windows: Tensor) -> Tensor:
        """Magnitude of the analytic signal (B, 16000)."""
        re, im = self.envelope_dft(windows)
        _, hilbert = self.envelope_dft.analytic(re, im, WINDOW_SAMPLES)
        return (windows.square() + hilbert.square()).sqrt()

    def _autocorrelation(self, windows: Tensor) -> list[Tensor]:
        lags = self.autocorrelation_dft.autocorrelation(windows, MAX_LAG)
        normalised = lags / or_one(lags[:, :1])
        lowest_lag_s = normalised.argmin(dim=1).to(lags.dtype) / RATE_HZ
        is_silent = lags[:, 0] < TINY
        return [
            normalised[:, RATE_HZ // 100],
            normalised[:, RATE_HZ // 50],
            torch.where(is_silent, torch.zeros_like(lowest_lag_s), lowest_lag_s),
        ]


def _rms(windows: Tensor) -> list[Tensor]:
    rms = (frame_sums(windows.square(), FRAME_SAMPLES) / FRAME_SAMPLES).sqrt()
    return [*_mean_std(rms), rms.amax(dim=1), rms.amin(dim=1)]


def _zero_crossings(windows: Tensor) -> list[Tensor]:
    """Share of a frame's samples whose sign differs from the one before; a frame's first never counts."""
    is_negative = (windows < -ZERO_CROSSING_FLOOR).to(windows.dtype)
    changes = nn.functional.pad((is_negative[:, 1:] - is_negative[:, :-1]).abs(), (1, 0))
    firsts = framed(changes, FRAME_SAMPLES)[..., 0]
    rate = (frame_sums(changes, FRAME_SAMPLES) - firsts) / FRAME_SAMPLES
    return [*_mean_std(rate), rate.amax(dim=1), rate.amin(dim=1)]


def _envelope_level(envelope: Tensor) -> list[Tensor]:
    mean, std = _mean_std(envelope)
    return [mean, std, ratio(mean, std)]


def _peaks(envelope: Tensor) -> list[Tensor]:
    """Count, mean and std of the heights of the envelope's peaks, 0 where there is none.

    A peak is the maximum of its +-0.1 s neighbourhood, at least the envelope's mean, and above the sample
    before it, so that a plateau counts once.
    """
    before = nn.functional.pad(envelope[:, :-1], (1, 0), value=-1.0)
    is_peak = (
        (envelope >= _neighbourhood_maximum(envelope, PEAK_REACH))
        & (envelope >= envelope.mean(dim=1, keepdim=True))
        & (envelope > before)
    ).to(envelope.dtype)
    count = is_peak.sum(dim=1)
    mean = ratio((envelope * is_peak).sum(dim=1), count)
    variance = ratio(((envelope - mean[:, None]).square() * is_peak).sum(dim=1), count)
    return [count, mean, variance.sqrt()]


def _neighbourhood_maximum(values: Tensor, reach: int) -> Tensor:
    """Maximum over +-`reach` samples of non-negative `values` (B, n), by doubling: log2(reach) steps."""
    width = 2 * reach + 1
    best = nn.functional.pad(values, (reach, reach))
    span = 1
    while 2 * span <= width:
        best = torch.maximum(best[:, :-span], best[:, span:])
        span *= 2
    rest = width - span
    return torch.maximum(best[:, : best.shape[1] - rest], best[:, rest:])


def _flux(mel: Tensor) -> list[Tensor]:
    """Euclidean distance between neighbouring frames of the mel image, dB."""
    flux = (mel[..., 1:] - mel[..., :-1]).square().sum(dim=1).sqrt()
    return [*_mean_std(flux), flux.amax(dim=1)]


def _percentiles(magnitude: Tensor) -> list[Tensor]:
    """90th and 10th percentile of (B, 16000), linear between the two nearest order statistics."""
    position = 0.1 * (WINDOW_SAMPLES - 1)
    below, weight = int(position), position - int(position)
    largest = magnitude.topk(below + 2, dim=1).values
    smallest = magnitude.topk(below + 2, dim=1, largest=False).values
    return [
        extremes[:, below] * (1 - weight) + extremes[:, below + 1] * weight
        for extremes in (largest, smallest)
    ]


def _entropy(power: Tensor) -> Tensor:
    """Mean over frames of the Shannon entropy of the power spectrum, relative to its maximum (0-1)."""
    share = power / or_one(power.sum(dim=2, keepdim=True))
    bits = -(share * share.clamp_min(TINY).log2()).sum(dim=2)
    return bits.mean(dim=1) / float(np.log2(N_BINS))


def _skewness_and_kurtosis(values: Tensor) -> tuple[Tensor, Tensor]:
    """Population skewness and excess kurtosis along the last axis, 0 where nothing varies."""
    centred = values - values.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    scaled = centred / or_one(variance.sqrt())
    skewness, kurtosis = scaled.pow(3).mean(dim=-1), scaled.pow(4).mean(dim=-1) - 3.0
    is_flat = variance[..., 0] < TINY
    zero = torch.zeros_like(skewness)
    return torch.where(is_flat, zero, skewness), torch.where(is_flat, zero, kurtosis)


def _mean_std(values: Tensor) -> list[Tensor]:
    mean = values.mean(dim=1)
    return [mean, (values - mean[:, None]).square().mean(dim=1).sqrt()]


def _decibels(magnitude: Tensor) -> Tensor:
    """10 log10, floored 80 dB below each window's maximum (librosa's contrast has magnitudes in here)."""
    level = 10.0 * torch.log10(magnitude.clamp_min(POWER_FLOOR))
    return torch.maximum(level, level.amax(dim=(1, 2), keepdim=True) - 80.0)
