"""Centred, overlapping frames of a window without a loop over frames."""

import torch
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_FRAMES


def framed(windows: Tensor, frame_samples: int) -> Tensor:
    """(B, 16000) -> (B, 63, frame_samples): frames centred on every 256th sample, zeros beyond the edges.

    `frame_samples` is a multiple of 512, so that frames are runs of whole hops.
    """
    hops = _hops(windows, frame_samples)
    n_per_frame = frame_samples // HOP_SAMPLES
    return torch.cat([hops[:, first : first + N_FRAMES] for first in range(n_per_frame)], dim=-1)


def frame_sums(windows: Tensor, frame_samples: int) -> Tensor:
    """(B, 16000) -> (B, 63): the sum over each frame of `framed`, without building the frames."""
    sums = _hops(windows, frame_samples).sum(dim=-1)
    n_per_frame = frame_samples // HOP_SAMPLES
    return torch.stack([sums[:, first : first + N_FRAMES] for first in range(n_per_frame)]).sum(dim=0)


def _hops(windows: Tensor, frame_samples: int) -> Tensor:
    half = frame_samples // 2
    n_hops = N_FRAMES - 1 + frame_samples // HOP_SAMPLES
    padded = nn.functional.pad(windows, (half, half))[:, : n_hops * HOP_SAMPLES]
    return padded.reshape(-1, n_hops, HOP_SAMPLES)
