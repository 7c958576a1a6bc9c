"""The low-pass of a whole window, as one matrix product."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.contract import RATE_HZ, WINDOW_SAMPLES

N_TAPS = 255
BLOCK_SAMPLES = 128
N_BLOCKS = WINDOW_SAMPLES // BLOCK_SAMPLES


def lowpass_taps(cutoff_hz: float, n_taps: int = N_TAPS) -> NDArray[np.float64]:
    """Linear-phase low-pass by the window method (Hamming), unit gain at 0 Hz, (n_taps,)."""
    offsets = np.arange(n_taps) - (n_taps - 1) / 2
    taps = np.sinc(2 * cutoff_hz / RATE_HZ * offsets) * np.hamming(n_taps)
    normalised: NDArray[np.float64] = taps / taps.sum()
    return normalised


class Lowpass(nn.Module):
    """(B, 16000) -> the same without what lies above `cutoff_hz`, (B, 16000); no delay, zeros at the edges.

    A block of 128 output samples depends on three blocks of input: a convolution is the product of these
    384 samples with a matrix that holds the taps in each of its columns, one row lower from one to the next.
    """

    taps_of_sample: Tensor

    def __init__(self, cutoff_hz: float) -> None:
        super().__init__()
        taps = lowpass_taps(cutoff_hz)
        matrix = np.zeros((3 * BLOCK_SAMPLES, BLOCK_SAMPLES))
        for sample in range(BLOCK_SAMPLES):
            matrix[sample : sample + N_TAPS, sample] = taps
        taps_of_sample = torch.from_numpy(matrix.astype(np.float32))
        self.register_buffer("taps_of_sample", taps_of_sample, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the low-passed windows."""
        half = N_TAPS // 2
        padded = nn.functional.pad(windows, (half, 2 * BLOCK_SAMPLES - half))
        blocks = padded.reshape(-1, N_BLOCKS + 2, BLOCK_SAMPLES)
        near = torch.cat([blocks[:, first : first + N_BLOCKS] for first in range(3)], dim=2)
        return (near @ self.taps_of_sample).reshape(-1, WINDOW_SAMPLES)
