"""From windows to the contract's two tensors: the module that training, export and the live path share."""

import torch
from torch import Tensor, nn

from engines.spec import FeatureSpec
from realtime.features.lowpass import Lowpass
from realtime.features.scalars import Scalars
from realtime.features.spectral import Images


class FeatureStack(nn.Module):
    """(B, 16000) float32 in [-1, 1] -> images (B, 9, 128, 63) and scalars (B, 39), float32, any device.

    Pure: samples that are not finite give features that are not finite; sources and clips hold none, see
    `realtime.sound.sources.finite_from_samples` and `offline.sound.read_clip`.

    Args:
        spec: parameters inside the channels; the contract's reference parameters if left out.

    Raises:
        engines.errors.ConfigError: parameters that do not fit together.
    """

    def __init__(self, spec: FeatureSpec | None = None) -> None:
        super().__init__()
        self.spec = spec or FeatureSpec()
        self.images = Images(self.spec)
        self.scalars = Scalars()
        self.lowpass = None if self.spec.lowpass_hz is None else Lowpass(self.spec.lowpass_hz)

    @torch.no_grad()
    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images and the scalars of each window."""
        if self.lowpass is not None:
            windows = self.lowpass(windows)
        images, mel = self.images(windows)
        return images, self.scalars(windows, mel)
