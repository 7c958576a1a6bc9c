"""What the scalars take from the spectrum: shape of each frame, contrast of its octaves."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import N_FRAMES, RATE_HZ
from realtime.features.division import TINY, or_one, ratio
from realtime.features.waveform import FRAME_SAMPLES

N_BINS = FRAME_SAMPLES // 2 + 1
# The bins in rows, for the roll-off.
N_ROWS, N_PER_ROW = 41, 25
POWER_FLOOR = 1e-10
ROLLOFF = 0.85
CONTRAST_FLOOR = 1e-6


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


class SpectralShape(nn.Module):
    """(B, 63, 1025) power -> series of centroid, bandwidth, roll-off, flatness and entropy, (B, 5, 63).

    The first three are of the magnitude, in units of 8 kHz. Flatness is the geometric over the arithmetic
    mean of the power; entropy is Shannon's, of the power's shares, relative to its maximum (0-1).
    """

    freqs: Tensor
    freqs_and_rows: Tensor
    up_to_row: Tensor
    up_to_column: Tensor
    row_numbers: Tensor

    def __init__(self) -> None:
        super().__init__()
        freqs = np.linspace(0.0, 1.0, N_BINS)
        row_of_bin = np.arange(N_BINS) // N_PER_ROW
        is_in_row = row_of_bin[:, None] == np.arange(N_ROWS)
        for name, value in {
            "freqs": freqs,
            "freqs_and_rows": np.concatenate([freqs[:, None], is_in_row], axis=1),
            "up_to_row": np.triu(np.ones((N_ROWS, N_ROWS))),
            "up_to_column": np.triu(np.ones((N_PER_ROW, N_PER_ROW))),
            "row_numbers": np.arange(N_ROWS),
        }.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Return the five series."""
        magnitude = power.sqrt()
        sums = magnitude @ self.freqs_and_rows
        moment, row_sums = sums[..., :1], sums[..., 1:]
        divisor = or_one(row_sums.sum(dim=2, keepdim=True))
        centroid = moment / divisor
        spread = ((self.freqs - centroid).square() * magnitude).sum(dim=2, keepdim=True)
        bandwidth = (spread / divisor).sqrt()
        log_power = power.clamp_min(TINY).log()
        series = [centroid, bandwidth, self._rolloff(magnitude, row_sums), _flatness(power, log_power)]
        return torch.cat([*series, _entropy(power, log_power)], dim=2).transpose(1, 2)

    def _rolloff(self, magnitude: Tensor, row_sums: Tensor) -> Tensor:
        """Frequency below which 85 % of the magnitude lie: first its row of bins, then its place in it."""
        reached = row_sums @ self.up_to_row
        goal = ROLLOFF * reached[..., -1:]
        is_below = (reached < goal).to(magnitude.dtype)
        n_below = is_below.sum(dim=2, keepdim=True)
        is_row = (n_below == self.row_numbers).to(magnitude.dtype)
        row = (is_row[..., None, :] @ magnitude.reshape(-1, N_FRAMES, N_ROWS, N_PER_ROW))[..., 0, :]
        missing = goal - (row_sums * is_below).sum(dim=2, keepdim=True)
        n_more = (row @ self.up_to_column < missing).to(magnitude.dtype).sum(dim=2, keepdim=True)
        return (N_PER_ROW * n_below + n_more) * (2.0 / FRAME_SAMPLES)


class SpectralContrast(nn.Module):
    """Power spectrum (B, 1025, 63) -> decibels between peaks and valleys of the octaves, (B, 63, 7).

    The bins come before the frames: a search along them then looks at all frames at once.
    """

    mean_of_extremes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bands = contrast_bands()
        blocks = [
            torch.full((band.n_extreme, 1), 1.0 / band.n_extreme) for band in (*self.bands, *self.bands)
        ]
        weights = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        self.register_buffer("mean_of_extremes", weights, persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Return the contrast."""
        bands = [power[:, band.first : band.stop] for band in self.bands]
        sizes = [band.n_extreme for band in self.bands]
        peaks = [_largest(bins, size) for bins, size in zip(bands, sizes, strict=True)]
        valleys = [_smallest(bins, size) for bins, size in zip(bands, sizes, strict=True)]
        extremes = torch.cat([*peaks, *valleys], dim=1).transpose(1, 2).sqrt()
        # What lies 120 dB below the loudest bin is rounding, and differs from one machine to the next.
        floored = torch.maximum(extremes, CONTRAST_FLOOR * extremes.amax(dim=(1, 2), keepdim=True))
        means = (floored @ self.mean_of_extremes).reshape(-1, N_FRAMES, 2, len(self.bands))
        # Magnitudes in the place of powers, as librosa has it.
        level = 10.0 * torch.log10(means.clamp_min(POWER_FLOOR))
        level = torch.maximum(level, level.amax(dim=(1, 3), keepdim=True) - 80.0)
        return level[:, :, 0] - level[:, :, 1]


def _flatness(power: Tensor, log_power: Tensor) -> Tensor:
    geometric = log_power.clamp_min(math.log(POWER_FLOOR)).mean(dim=2, keepdim=True).exp()
    return geometric / power.clamp_min(POWER_FLOOR).mean(dim=2, keepdim=True)


def _entropy(power: Tensor, log_power: Tensor) -> Tensor:
    """-sum s log s of the shares s = p / P, as log P - sum p log p / P; 0 in silence."""
    total = power.sum(dim=2, keepdim=True)
    nats = or_one(total).log() - ratio((power * log_power).sum(dim=2, keepdim=True), total)
    return nats / math.log(N_BINS)


def _largest(bins: Tensor, n: int) -> Tensor:
    return bins.amax(dim=1, keepdim=True) if n == 1 else bins.topk(n, dim=1, sorted=False).values


def _smallest(bins: Tensor, n: int) -> Tensor:
    if n == 1:
        return bins.amin(dim=1, keepdim=True)
    return bins.topk(n, dim=1, largest=False, sorted=False).values
