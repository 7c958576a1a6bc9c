"""Power spectrograms and the low-pass as matrix products, against numpy's transforms of plain frames."""

import numpy as np
import pytest
import torch

from realtime.features.lowpass import Lowpass, lowpass_taps
from realtime.features.spectrogram import PowerSpectrogram


@pytest.fixture
def windows():
    rng = np.random.default_rng(11)
    return rng.standard_normal((3, 16_000)).astype(np.float32)


@pytest.mark.parametrize(
    ("frame_samples", "n_fft"),
    [(512, 512), (1024, 2048), (2048, 2048), (256, 600), (768, 1001)],
    ids=["one of a kind", "zeros behind the frame", "long", "odd factors", "odd length"],
)
def test_power_is_that_of_the_frames(windows, frame_samples, n_fft):
    weights = np.random.default_rng(5).uniform(0.1, 1.0, frame_samples)
    half = frame_samples // 2
    padded = np.pad(windows.astype(np.float64), ((0, 0), (half, half)))
    frames = np.stack([padded[:, 256 * f : 256 * f + frame_samples] for f in range(63)], axis=-1)
    expected = np.abs(np.fft.rfft(frames * weights[:, None], n_fft, axis=1)) ** 2
    power = PowerSpectrogram(weights, n_fft)(torch.from_numpy(windows)).numpy()
    assert power.shape == (3, n_fft // 2 + 1, 63)
    np.testing.assert_allclose(power, expected, rtol=0, atol=1e-6 * expected.max())


def test_lowpass_is_a_convolution_with_zeros_at_the_edges(windows):
    taps = lowpass_taps(2000.0)
    expected = np.stack([np.convolve(window.astype(np.float64), taps, mode="same") for window in windows])
    filtered = Lowpass(2000.0)(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(filtered, expected, rtol=0, atol=3e-6)
