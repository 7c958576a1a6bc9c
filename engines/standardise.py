"""Scalar standardisation inside a network, so that every back end is fed raw scalars."""

import torch
from torch import Tensor, nn

from engines.contract import N_SCALARS

# Far below any scalar's spread, far above what a back end may flush to zero.
SMALLEST_STD = 1e-12


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
        exact = scalars.double()
        self.mean.copy_(exact.mean(dim=0))
        std = exact.std(dim=0, unbiased=False).clamp_min(SMALLEST_STD)
        # Not "std > 0": the mean of equal numbers is rounded, and a std of 1e-9 would blow that up.
        is_constant = scalars.amin(dim=0) == scalars.amax(dim=0)
        self.std.copy_(std.masked_fill(is_constant, float("inf")))

    def forward(self, scalars: Tensor) -> Tensor:
        """Return the standardised scalars."""
        return ((scalars - self.mean) / self.std).clamp(-10.0, 10.0)
