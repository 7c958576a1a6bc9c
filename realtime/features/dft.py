"""Discrete Fourier transforms of real signals as matrix products.

Matrix products run on every back end (torch, ONNX Runtime, TensorRT) at full speed, which can not be said
of an FFT operator, and lengths such as 16,000 need no padding. A length n = n1 * n2 is transformed in two
steps (Cooley and Tukey, Math. Comp. 19, 1965): with time t = n2 * t1 + t2 and bin k = k1 + n1 * k2,

    X[k1 + n1 k2] = sum_t2 W(n2)^(t2 k2) [ W(n)^(t2 k1) sum_t1 W(n1)^(t1 k1) x[n2 t1 + t2] ],
    W(n) = exp(-2 pi i / n).

The spectrum stays in its (k1, k2) grid, of which only k2 <= n2 / 2 is computed.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class RealDft(nn.Module):
    """Transform of real signals of length n1 * n2 to half a spectrum, and back."""

    cos1: Tensor
    sin1: Tensor
    twiddle_cos: Tensor
    twiddle_sin: Tensor
    step2: Tensor
    analytic_gain: Tensor
    back2: Tensor

    def __init__(self, n1: int, n2: int) -> None:
        super().__init__()
        n = n1 * n2
        self.n1, self.n2, self.n = n1, n2, n
        self.n_bins = n // 2 + 1
        self.n_columns = math.ceil(self.n_bins / n1)
        k1, t1, t2, k2 = np.arange(n1), np.arange(n1), np.arange(n2), np.arange(self.n_columns)
        angle1 = 2 * np.pi * np.outer(k1, t1) / n1
        angle_twiddle = 2 * np.pi * np.outer(k1, t2) / n
        angle2 = 2 * np.pi * np.outer(t2, k2) / n2
        # (re, im) @ step2 = (re, im) of the product with exp(-i angle2).
        step2 = np.block([[np.cos(angle2), -np.sin(angle2)], [np.sin(angle2), np.cos(angle2)]])
        back2 = np.block([[np.cos(angle2.T), np.sin(angle2.T)], [-np.sin(angle2.T), np.cos(angle2.T)]])
        bins = k1[:, None] + n1 * k2[None, :]
        gain = np.where(bins <= n // 2, 2.0, 0.0)
        gain[(bins == 0) | (2 * bins == n)] = 1.0
        for name, value in {
            "cos1": np.cos(angle1),
            "sin1": np.sin(angle1),
            "twiddle_cos": np.cos(angle_twiddle),
            "twiddle_sin": np.sin(angle_twiddle),
            "step2": step2,
            "back2": back2,
            "analytic_gain": gain / n,
        }.items():
            self.register_buffer(name, _float32(value), persistent=False)

    @classmethod
    def of_length(cls, n: int) -> "RealDft":
        """Transform of length `n`, split into the two factors nearest to one another."""
        n1 = max(d for d in range(1, math.isqrt(n) + 1) if n % d == 0)
        return cls(n1, n // n1)

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """(..., n) real -> real and imaginary part of the grid, each (..., n1, n_columns)."""
        grid = signal.reshape(*signal.shape[:-1], self.n1, self.n2)
        re, im = self.cos1 @ grid, -(self.sin1 @ grid)
        turned_re = re * self.twiddle_cos + im * self.twiddle_sin
        turned_im = im * self.twiddle_cos - re * self.twiddle_sin
        both = torch.cat([turned_re, turned_im], dim=-1) @ self.step2
        return both[..., : self.n_columns], both[..., self.n_columns :]

    def power(self, signal: Tensor) -> Tensor:
        """(..., n) real -> squared magnitudes in the order of frequency, (..., n // 2 + 1)."""
        re, im = self(signal)
        grid: Tensor = (re * re + im * im).transpose(-1, -2)
        return grid.reshape(*grid.shape[:-2], self.n1 * self.n_columns)[..., : self.n_bins]

    def analytic(self, re: Tensor, im: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
        """Grid of a half spectrum -> real and imaginary part of its analytic signal's first samples.

        The real part is the inverse transform, the imaginary part its Hilbert transform; (..., n_samples).
        """
        n_rows = math.ceil(n_samples / self.n2)
        both = torch.cat([re * self.analytic_gain, im * self.analytic_gain], dim=-1) @ self.back2
        part_re, part_im = both[..., : self.n2], both[..., self.n2 :]
        turned_re = part_re * self.twiddle_cos - part_im * self.twiddle_sin
        turned_im = part_im * self.twiddle_cos + part_re * self.twiddle_sin
        cos1, sin1 = self.cos1[:n_rows], self.sin1[:n_rows]
        out_re = cos1 @ turned_re - sin1 @ turned_im
        out_im = cos1 @ turned_im + sin1 @ turned_re
        shape = (*re.shape[:-2], n_rows * self.n2)
        return out_re.reshape(shape)[..., :n_samples], out_im.reshape(shape)[..., :n_samples]

    def autocorrelation(self, signal: Tensor, n_lags: int) -> Tensor:
        """(..., m) real, zero-padded to n -> sum_t x[t] x[t + lag] for lags 0..n_lags-1.

        Exact where m + n_lags - 1 <= n (Wiener-Khinchin on a padded signal).
        """
        re, im = self(nn.functional.pad(signal, (0, self.n - signal.shape[-1])))
        lags, _ = self.analytic(re * re + im * im, torch.zeros_like(re), n_lags)
        return lags


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
