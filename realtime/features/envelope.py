"""The Hilbert envelope of a window, and its peaks."""

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.features.division import ratio

# Of the factors of 16,000, the first one odd.
N1, N2 = 125, 128
PEAK_REACH = RATE_HZ // 10
BLOCK_SAMPLES = 100
N_BLOCKS = WINDOW_SAMPLES // BLOCK_SAMPLES
BLOCKS_IN_REACH = PEAK_REACH // BLOCK_SAMPLES


class Envelope(nn.Module):
    """(B, 16000) -> magnitude of the analytic signal, (B, 16000).

    The Hilbert transform turns positive frequencies by -90 degrees, negative ones by 90, and drops 0 Hz and
    the Nyquist frequency (the analytic signal of Marple, IEEE Trans. Signal Processing 47, 1999). With time
    t = N2 * t1 + t2 and bin k = k1 + N1 * k2, N1 odd, the sign of a frequency depends on k2 alone for every
    k1 from 1 to (N1 - 1) / 2. So what lies between the two transforms over t1, to the (k1, t2) grid and
    back, is one matrix over t2, between two turns by the angle 2 pi k1 t2 / 16000; and k1 = 0, which is the
    sum over t1, has a real matrix of its own.
    """

    analysis_cos: Tensor
    analysis_sin: Tensor
    turn_cos: Tensor
    turn_sin: Tensor
    filter_re: Tensor
    filter_im: Tensor
    filter_sums: Tensor
    synthesis_cos: Tensor
    synthesis_sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        k1, t1, t2 = np.arange(1, N1 // 2 + 1), np.arange(N1), np.arange(N2)
        analysis = 2 * np.pi * np.outer(k1, t1) / N1
        turn = 2 * np.pi * np.outer(k1, t2) / WINDOW_SAMPLES
        fourier = np.exp(-2j * np.pi * np.outer(t2, t2) / N2)
        quarter_turns = np.where(t2 < N2 // 2, -1j, 1j)
        grid_filter = fourier @ np.diag(quarter_turns) @ fourier.conj()
        is_kept = t2 % (N2 // 2) != 0
        sums_filter = fourier @ np.diag(quarter_turns * is_kept) @ fourier.conj()
        for name, value in {
            "analysis_cos": np.cos(analysis),
            "analysis_sin": np.sin(analysis),
            "turn_cos": np.cos(turn),
            "turn_sin": np.sin(turn),
            "filter_re": np.concatenate([grid_filter.real, grid_filter.imag]),
            "filter_im": np.concatenate([grid_filter.imag, -grid_filter.real]),
            "filter_sums": sums_filter.real / WINDOW_SAMPLES,
            "synthesis_cos": np.cos(analysis.T) * 2 / WINDOW_SAMPLES,
            "synthesis_sin": -np.sin(analysis.T) * 2 / WINDOW_SAMPLES,
        }.items():
            buffer = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the envelope."""
        return (windows.square() + self.hilbert(windows).square()).sqrt()

    def hilbert(self, windows: Tensor) -> Tensor:
        """Return the Hilbert transform, (B, 16000)."""
        grid = windows.reshape(-1, N1, N2)
        cos, sin = self.analysis_cos @ grid, self.analysis_sin @ grid
        turned_cos = cos * self.turn_cos - sin * self.turn_sin
        turned_sin = cos * self.turn_sin + sin * self.turn_cos
        turned = torch.cat([turned_cos, turned_sin], dim=-1)
        re, im = turned @ self.filter_re, turned @ self.filter_im
        back_re = re * self.turn_cos - im * self.turn_sin
        back_im = re * self.turn_sin + im * self.turn_cos
        sums = grid.sum(dim=1, keepdim=True) @ self.filter_sums
        out = self.synthesis_cos @ back_re + self.synthesis_sin @ back_im + sums
        return out.reshape(-1, WINDOW_SAMPLES)


def envelope_peaks(envelope: Tensor, mean: Tensor) -> Tensor:
    """Envelope (B, 16000) and its mean (B, 1) -> count, mean and std of the heights of its peaks, (B, 3).

    A peak is the maximum of its +-0.1 s neighbourhood, at least the envelope's mean, and above the sample
    before it, so that a plateau counts once. Zeros where there is none.

    A peak is the maximum of its own block of 100 samples too, and its neighbourhood is 31 whole blocks, the
    end of a block before them and the beginning of one after them. So each block has one candidate, its
    first maximum, and only the two blocks at the ends are looked at sample by sample.
    """
    blocks = envelope.reshape(-1, N_BLOCKS, BLOCK_SAMPLES)
    height = blocks.amax(dim=2)
    offset = torch.arange(BLOCK_SAMPLES, dtype=envelope.dtype, device=envelope.device)
    # The first one that is as high; back ends are slow to search for it.
    is_top = (blocks == height[..., None]).to(envelope.dtype)
    at = BLOCK_SAMPLES - (is_top * (BLOCK_SAMPLES - offset)).amax(dim=2, keepdim=True)
    whole_blocks = nn.functional.max_pool1d(
        height[:, None], 2 * BLOCKS_IN_REACH - 1, stride=1, padding=BLOCKS_IN_REACH - 1
    )[:, 0]
    outside = nn.functional.pad(blocks, (0, 0, BLOCKS_IN_REACH, BLOCKS_IN_REACH), value=-1.0)
    earlier = torch.where(offset >= at, outside[:, :N_BLOCKS], -1.0).amax(dim=2)
    later = torch.where(offset <= at, outside[:, 2 * BLOCKS_IN_REACH :], -1.0).amax(dim=2)
    before = nn.functional.pad(blocks[:, :-1, -1], (1, 0), value=-1.0)
    is_rising = (at[..., 0] > 0) | (height > before)
    is_highest = height >= torch.maximum(whole_blocks, torch.maximum(earlier, later))
    is_peak = (is_highest & is_rising & (height >= mean)).to(envelope.dtype)
    count = is_peak.sum(dim=1, keepdim=True)
    peak_mean = ratio((height * is_peak).sum(dim=1, keepdim=True), count)
    variance = ratio(((height - peak_mean).square() * is_peak).sum(dim=1, keepdim=True), count)
    return torch.cat([count, peak_mean, variance.sqrt()], dim=1)
