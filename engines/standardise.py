"""Scalar standardisation inside a network, so that every back end is fed raw scalars."""

import torch
from torch import Tensor, nn

from engines.contract import N_SCALARS


class Standardise(nn.Module):
    """(B, 39) raw scalars -> (x - mean) / std, clipped to +-10; mean and std come from the training clips.

    Constant scalars (std 0) come out as zero. The clip keeps one wild scalar of an unusual sound from
    drowning the image branch.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_SCALARS))
        self.register_buffer("std", torch.ones(N_SCALARS))

    def fit(self, scalars: Tensor) -> None:
        """Take mean and standard deviation from the training scalars (N, 39)."""
        self.mean.copy_(scalars.mean(dim=0))
        std = scalars.std(dim=0, unbiased=False)
        self.std.copy_(torch.where(std > 0, std, torch.full_like(std, float("inf"))))

    def forward(self, scalars: Tensor) -> Tensor:
        """Return the standardised scalars."""
        return ((scalars - self.mean) / self.std).clamp(-10.0, 10.0)
