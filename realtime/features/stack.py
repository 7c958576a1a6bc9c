"""From windows to the contract's two tensors: the module that training, export and the live path share."""

import torch
from torch import Tensor, nn

from engines.spec import FeatureSpec
from realtime.features.banks import lowpass_taps
from realtime.features.scalars import Scalars
from realtime.features.spectral import Images


class FeatureStack(nn.Module):
    """(B, 16000) float32 in [-1, 1] -> images (B, 9, 128, 63) and scalars (B, 39), float32, any device.

    Pure: samples that are not finite give features that are not finite; the guard against them is
    `realtime.features.guard.require_finite`.

    Args:
        spec: parameters inside the channels; the contract's reference parameters if left out.

    Raises:
        engines.errors.ConfigError: parameters that do not fit together.
    """

    lowpass: Tensor

    def __init__(self, spec: FeatureSpec | None = None) -> None:
        super().__init__()
        self.spec = spec or FeatureSpec()
        self.images = Images(self.spec)
        self.scalars = Scalars()
        if self.spec.lowpass_hz is not None:
            taps = torch.from_numpy(lowpass_taps(self.spec.lowpass_hz)).to(torch.float32)
            self.register_buffer("lowpass", taps[None, None], persistent=False)

    @torch.no_grad()
    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images and the scalars of each window."""
        if self.spec.lowpass_hz is not None:
            half = self.lowpass.shape[-1] // 2
            windows = nn.functional.conv1d(windows[:, None], self.lowpass, padding=half)[:, 0]
        images, mel = self.images(windows)
        return images, self.scalars(windows, mel)
