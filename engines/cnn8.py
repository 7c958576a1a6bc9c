"""CNN8: eight convolutions on the images, a small branch for the scalars, about 2.43 M parameters."""

from typing import cast

import torch
from torch import Tensor, nn

from engines.contract import N_CHANNELS, N_SCALARS
from engines.standardise import Standardise

WIDTHS = (32, 64, 128, 128, 256, 256, 256, 256)
POOLED_AFTER = (2, 4)


class CNN8(nn.Module):
    """Images (B, 9, 128, 63) and raw scalars (B, 39) -> one logit (B,); sigmoid(logit) = P(exhale).

    With a second output, (B, 2): the sigmoid of the other is P(breath), and the first holds given breath.

    The architecture of Lim and Won, "A Deep Learning Approach to Respiratory Phase Detection from Audio
    Spectrograms", SeoulTech, 2025.

    Args:
        dropout: probability of dropout in both branches and the head.
        n_outputs: 1, as published, or 2.
    """

    def __init__(self, dropout: float = 0.3, n_outputs: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = N_CHANNELS
        for number, width in enumerate(WIDTHS, start=1):
            layers += [nn.Conv2d(width_in, width, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
            if number in POOLED_AFTER:
                layers.append(nn.MaxPool2d(2))
            if number == POOLED_AFTER[-1]:
                layers.append(nn.Dropout2d(dropout))
            width_in = width
        self.images = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.standardise = Standardise()
        self.scalars = nn.Sequential(
            *_dense(N_SCALARS, 64), nn.Dropout(dropout),
            *_dense(64, 64),
        )  # fmt: skip
        self.head = nn.Sequential(
            *_dense(WIDTHS[-1] + 64, 256), nn.Dropout(dropout),
            *_dense(256, 128),
            nn.Linear(128, n_outputs),
        )  # fmt: skip

    def forward(self, images: Tensor, scalars: Tensor) -> Tensor:
        """Return the logits: (B,) of one output, (B, n_outputs) of several."""
        joined = torch.cat([self.images(images), self.scalars(self.standardise(scalars))], dim=1)
        logits = cast(Tensor, self.head(joined))
        return logits[:, 0] if logits.shape[1] == 1 else logits


def _dense(width_in: int, width_out: int) -> list[nn.Module]:
    return [nn.Linear(width_in, width_out), nn.ReLU(), nn.BatchNorm1d(width_out)]
