"""The tempogram: how the onsets of a window repeat."""

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_FRAMES, N_ROWS
from realtime.features.banks import tempogram_padding
from realtime.features.division import or_one

WIDTH = 384
# Long enough that the lags in use do not wrap around.
N_DFT = 511


class Tempogram(nn.Module):
    """Mel image (B, 128, 63) in dB -> local autocorrelation of its onset strength, (B, 128 lags, 63).

    Onset strength is the mean rise of the mel bands, delayed to where the frames are centred; beyond its ends
    it runs to zero along ramps. Each frame sees 384 frames around it through a Hann window and is relative to
    lag 0 (Grosche, Müller and Kurth, ICASSP 2010). The autocorrelation of such a segment is the cosine
    transform of its power spectrum (Wiener and Khinchin). All segments hold the whole onset strength and
    differ in their windows, and in how much they see of the ramps, which only the first and the last value
    scale: so their spectra are a product with one short Fourier matrix, and two constants.

    Args:
        window_samples: length of the analysis window behind the mel image.
    """

    segment_windows: Tensor
    fourier: Tensor
    left_ramp: Tensor
    right_ramp: Tensor
    lag_of_part: Tensor

    def __init__(self, window_samples: int) -> None:
        super().__init__()
        self.delay = 1 + window_samples // (2 * HOP_SAMPLES)
        half, end = WIDTH // 2, WIDTH // 2 + N_FRAMES
        padding = tempogram_padding(WIDTH)
        frame, at = np.ogrid[:N_FRAMES, : N_FRAMES + WIDTH]
        is_seen = (at >= frame) & (at < frame + WIDTH)
        windows = np.where(is_seen, np.hanning(WIDTH + 1)[(at - frame).clip(0, WIDTH)], 0.0)
        bins = np.arange(N_DFT // 2 + 1)
        angles = 2 * np.pi * np.outer(bins, at) / N_DFT
        fourier = np.concatenate([np.cos(angles), np.sin(angles)])
        lag_of_bin = np.cos(angles[:, :N_ROWS]).T * np.where(bins > 0, 2.0, 1.0) / N_DFT
        for name, value in {
            "segment_windows": windows[:, half:end].T,
            "fourier": fourier[:, half:end],
            "left_ramp": fourier[:, :half] @ (windows[:, :half] * padding[0, :half]).T,
            "right_ramp": fourier[:, end:] @ (windows[:, end:] * padding[-1, end:]).T,
            "lag_of_part": np.concatenate([lag_of_bin, lag_of_bin], axis=1),
        }.items():
            buffer = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the tempogram."""
        rise = (mel[..., 1:] - mel[..., :-1]).clamp_min(0.0).mean(dim=1)
        onset = nn.functional.pad(rise, (self.delay, N_FRAMES - rise.shape[-1] - self.delay))[..., None]
        inside = self.fourier @ (onset * self.segment_windows)
        parts = inside + onset[:, :1] * self.left_ramp + onset[:, -1:] * self.right_ramp
        lags = self.lag_of_part @ (parts * parts)
        return lags / or_one(lags[:, :1])
