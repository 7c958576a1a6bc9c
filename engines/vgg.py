"""VGG: four blocks of three convolutions, a shortcut in the last, about 8.15 M parameters."""

from typing import cast

import torch
from torch import Tensor, nn

from engines.contract import N_CHANNELS, N_SCALARS
from engines.standardise import Standardise

WIDTHS = (64, 128, 256, 512)


class VGG(nn.Module):
    """Images (B, 9, 128, 63) and raw scalars (B, 39) -> one logit (B,); sigmoid(logit) = P(exhale).

    With a second output, (B, 2): the sigmoid of the other is P(breath), and the first holds given breath.

    The architecture of Lim and Won, "A Deep Learning Approach to Respiratory Phase Detection from Audio
    Spectrograms", SeoulTech, 2025.

    Args:
        dropout: probability of dropout in the scalar branch and the head; half of it after each block.
        n_outputs: 1, as published, or 2.
    """

    def __init__(self, dropout: float = 0.3, n_outputs: int = 1) -> None:
        super().__init__()
        w1, w2, w3, w4 = WIDTHS
        block_dropout = dropout / 2
        self.block1 = nn.Sequential(*_block(N_CHANNELS, w1, last_stride=2), nn.Dropout2d(block_dropout))
        self.block2 = nn.Sequential(*_block(w1, w2), _pool(), nn.Dropout2d(block_dropout))
        self.block3 = nn.Sequential(*_block(w2, w3), _pool(), nn.Dropout2d(block_dropout))
        self.block4 = nn.Sequential(*_block(w3, w4))
        self.shortcut = nn.Sequential(nn.Conv2d(w3, w4, 1, bias=False), nn.BatchNorm2d(w4))
        self.pooled = nn.Sequential(nn.Dropout2d(block_dropout), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.standardise = Standardise()
        self.scalars = nn.Sequential(
            *_dense(N_SCALARS, 64, bias=False), nn.Dropout(dropout),
            *_dense(64, 64, bias=False),
        )  # fmt: skip
        self.head = nn.Sequential(
            *_dense(w4 + 64, 256), nn.Dropout(dropout),
            *_dense(256, 128), nn.Dropout(dropout),
            nn.Linear(128, n_outputs),
        )  # fmt: skip

    def forward(self, images: Tensor, scalars: Tensor) -> Tensor:
        """Return the logits: (B,) of one output, (B, n_outputs) of several."""
        block3 = self.block3(self.block2(self.block1(images)))
        pooled = self.pooled(self.block4(block3) + self.shortcut(block3))
        joined = torch.cat([pooled, self.scalars(self.standardise(scalars))], dim=1)
        logits = cast(Tensor, self.head(joined))
        return logits[:, 0] if logits.shape[1] == 1 else logits


def _block(width_in: int, width: int, last_stride: int = 1) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number in range(3):
        stride = last_stride if number == 2 else 1
        layers += [
            nn.Conv2d(width_in if number == 0 else width, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
        ]
    return layers


def _pool() -> nn.Module:
    return nn.MaxPool2d(2, ceil_mode=True)


def _dense(width_in: int, width_out: int, *, bias: bool = True) -> list[nn.Module]:
    return [nn.Linear(width_in, width_out, bias=bias), nn.BatchNorm1d(width_out), nn.GELU()]
