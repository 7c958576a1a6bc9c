"""Power spectrograms as matrix products: framing, window and Fourier transform in two of them.

Matrix products run on every back end (torch, ONNX Runtime, TensorRT) at full speed, which can not be said
of an FFT operator. A length n = n1 * n2 is transformed in two steps (Cooley and Tukey, Math. Comp. 19,
1965): with time t = n2 * t1 + t2, bin k = k1 + n1 * k2 and W(n) = exp(-2 pi i / n),

    X[k1 + n1 k2] = sum_t2 W(n2)^(t2 k2) [ sum_t1 W(n)^(k1 (n2 t1 + t2)) x[n2 t1 + t2] ].

The inner sum, windowed, is one matrix for each t2. The outer sum is one for all k1 and frames. Of a real
signal only k1 <= n1 / 2 is needed: the other half mirrors it.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.contract import HOP_SAMPLES, N_FRAMES, WINDOW_SAMPLES


class PowerSpectrogram(nn.Module):
    """(B, 16000) -> squared magnitudes (B, n_fft // 2 + 1, 63) of frames centred on every 256th sample.

    Beyond the edges of the signal there are zeros.

    Args:
        window: weights of a frame's samples, (frame_samples,) with frame_samples a multiple of 256.
        n_fft: length of the transform, samples, at least that of the frame.
    """

    inner: Tensor
    outer: Tensor
    row_of_bin: Tensor
    sample_order: Tensor

    def __init__(self, window: NDArray[np.float64], n_fft: int) -> None:
        super().__init__()
        self.n_per_frame = len(window) // HOP_SAMPLES
        self.n_hops = N_FRAMES - 1 + self.n_per_frame
        self.n2 = _inner_step(n_fft)
        self.n1 = n_fft // self.n2
        self.n_k1 = self.n1 // 2 + 1
        for name, value in {
            "inner": self._inner_matrices(window).astype(np.float32),
            "outer": self._outer_matrix().astype(np.float32),
            "row_of_bin": self._rows_of_bins(n_fft),
            # Of a hop: by t2, then by t1.
            "sample_order": np.arange(HOP_SAMPLES).reshape(-1, self.n2).T.flatten(),
        }.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the power of each bin and frame."""
        inner = self.inner @ self._frames(windows)
        outer = self.outer @ inner.reshape(-1, 2 * self.n2, self.n_k1 * N_FRAMES)
        re, im = outer[:, : self.n2], outer[:, self.n2 :]
        rows = (re * re + im * im).reshape(-1, self.n2 * self.n_k1, N_FRAMES)
        return rows.index_select(1, self.row_of_bin)

    def _frames(self, windows: Tensor) -> Tensor:
        """(B, n2, frame_samples / n2, 63): of each frame, sample n2 * t1 + t2 at [t2, t1]."""
        half = self.n_per_frame * HOP_SAMPLES // 2
        padded = nn.functional.pad(windows, (half, self.n_hops * HOP_SAMPLES - WINDOW_SAMPLES - half))
        columns = padded.reshape(-1, self.n_hops, HOP_SAMPLES).transpose(1, 2)
        ordered = columns.index_select(1, self.sample_order)
        hops = ordered.reshape(-1, self.n2, HOP_SAMPLES // self.n2, self.n_hops)
        return torch.cat([hops[..., hop : hop + N_FRAMES] for hop in range(self.n_per_frame)], dim=2)

    def _inner_matrices(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """Windowed cosines and sines, (n2, 2 * n_k1, frame_samples / n2)."""
        n_t1 = len(window) // self.n2
        t2, k1, t1 = np.ogrid[: self.n2, : self.n_k1, :n_t1]
        angles = 2 * np.pi * k1 * (self.n2 * t1 + t2) / (self.n1 * self.n2)
        weights = window.reshape(n_t1, self.n2).T[:, None]
        return np.concatenate([np.cos(angles) * weights, np.sin(angles) * weights], axis=1)

    def _outer_matrix(self) -> NDArray[np.float64]:
        """From the inner sums, (t2, cosine and sine), to real and negated imaginary parts, (2, k2)."""
        angles = 2 * np.pi * np.outer(np.arange(self.n2), np.arange(self.n2)) / self.n2
        cos, sin = np.cos(angles), np.sin(angles)
        real, imaginary = np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)
        return np.concatenate([real, imaginary]).reshape(2 * self.n2, 2 * self.n2)

    def _rows_of_bins(self, n_fft: int) -> NDArray[np.int64]:
        """Where bin k, or its mirror image n_fft - k, stands in the (k2, k1) grid."""
        bins = np.arange(n_fft // 2 + 1)
        is_mirrored = bins % self.n1 >= self.n_k1
        bins = np.where(is_mirrored, n_fft - bins, bins)
        rows: NDArray[np.int64] = bins // self.n1 * self.n_k1 + bins % self.n1
        return rows


def _inner_step(n_fft: int) -> int:
    """The power of two that divides the transform and the hop, and makes both steps about equally long."""
    step = math.gcd(n_fft, HOP_SAMPLES)
    while 2 * step * step > n_fft and step > 1:
        step //= 2
    return step
