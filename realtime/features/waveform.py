"""What the scalars take from the samples themselves: level, zero crossings, percentiles, autocorrelation."""

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_FRAMES, RATE_HZ, WINDOW_SAMPLES
from realtime.features.division import TINY, or_one

FRAME_SAMPLES = 2048
ZERO_CROSSING_FLOOR = 1e-10
MAX_LAG = RATE_HZ // 20
BLOCK_SAMPLES = 80
N_BLOCKS = WINDOW_SAMPLES // BLOCK_SAMPLES


class LevelAndCrossings(nn.Module):
    """(B, 16000) -> RMS and zero-crossing rate of the 63 centred frames of 2,048 samples, (B, 2, 63).

    A zero crossing is a sample whose sign differs from that of the one before; a frame's first sample never
    counts. The rate is per sample.
    """

    frame_of_hop: Tensor

    def __init__(self) -> None:
        super().__init__()
        half = FRAME_SAMPLES // HOP_SAMPLES // 2
        hop, frame = np.ogrid[:N_FRAMES, :N_FRAMES]
        is_inside = (hop >= frame - half) & (hop < frame + half)
        starts = hop == frame - half
        frame_of_hop = np.concatenate([is_inside, -1.0 * starts]) / FRAME_SAMPLES
        self.register_buffer(
            "frame_of_hop", torch.from_numpy(frame_of_hop.astype(np.float32)), persistent=False
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return both series."""
        is_negative = (windows < -ZERO_CROSSING_FLOOR).to(windows.dtype)
        changes = nn.functional.pad((is_negative[:, 1:] - is_negative[:, :-1]).square(), (1, 0))
        both = torch.stack([windows.square(), changes], dim=1)
        hops = nn.functional.pad(both, (0, N_FRAMES * HOP_SAMPLES - WINDOW_SAMPLES))
        hops = hops.reshape(-1, 2, N_FRAMES, HOP_SAMPLES)
        power, rate = (hops.sum(dim=3) @ self.frame_of_hop[:N_FRAMES]).unbind(dim=1)
        firsts = hops[:, 1, :, 0] @ self.frame_of_hop[N_FRAMES:]
        return torch.stack([power.sqrt(), rate + firsts], dim=1)


def percentiles(magnitude: Tensor) -> Tensor:
    """90th and 10th percentile of (B, 16000), linear between the two nearest order statistics; (B, 2)."""
    position = 0.1 * (WINDOW_SAMPLES - 1)
    below, weight = int(position), position - int(position)
    both = torch.stack([magnitude, -magnitude], dim=1)
    largest = both.topk(below + 2, dim=2, sorted=False).values
    further, nearer = largest.topk(2, dim=2, largest=False).values.unbind(dim=2)
    return (nearer * (1 - weight) + further * weight).abs()


def autocorrelation(windows: Tensor) -> Tensor:
    """Normalised autocorrelation at 10 and 20 ms, and the lag (s) of its minimum within 50 ms; (B, 3).

    With the samples in rows of 80, x[80 r + j], the products of column j with column c >= j of the rows and
    what follows them, summed over r, belong to the lag c - j. Reading the matrix of these sums in rows that
    are one longer puts the entries of a lag into one column.
    """
    n_columns = BLOCK_SAMPLES + MAX_LAG
    blocks = windows.reshape(-1, N_BLOCKS, BLOCK_SAMPLES)
    extended = nn.functional.pad(blocks, (0, 0, 0, MAX_LAG // BLOCK_SAMPLES))
    followed = [extended[:, first : first + N_BLOCKS] for first in range(n_columns // BLOCK_SAMPLES)]
    products = blocks.transpose(1, 2) @ torch.cat(followed, dim=2)
    skewed = nn.functional.pad(products.reshape(-1, BLOCK_SAMPLES * n_columns), (0, BLOCK_SAMPLES))
    ones = torch.ones(1, BLOCK_SAMPLES, device=windows.device)
    # A product with ones is a faster sum over rows than a reduction.
    lags = (ones @ skewed.reshape(-1, BLOCK_SAMPLES, n_columns + 1))[:, 0, :MAX_LAG]
    energy = lags[:, :1]
    normalised = lags / or_one(energy)
    lowest_s = normalised.argmin(dim=1, keepdim=True).to(lags.dtype) / RATE_HZ
    lowest_s = torch.where(energy < TINY, 0.0, lowest_s)
    at = [normalised[:, lag : lag + 1] for lag in (RATE_HZ // 100, RATE_HZ // 50)]
    return torch.cat([*at, lowest_s], dim=1)
