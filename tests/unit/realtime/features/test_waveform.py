"""Percentiles, autocorrelation, level and zero crossings, against numpy in float64."""

import numpy as np
import pytest
import torch

from realtime.features.waveform import LevelAndCrossings, autocorrelation, percentiles


@pytest.fixture
def windows():
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((3, 16_000))
    noise[1] = np.convolve(noise[1], np.ones(50) / 50, mode="same")
    noise[2, :8000] = 0.0
    return noise.astype(np.float32)


def frames_of(windows, mode):
    """Frames of 2,048 samples centred on every 256th, (B, 63, 2048), with numpy's padding of that mode."""
    padded = np.pad(windows.astype(np.float64), ((0, 0), (1024, 1024)), mode=mode)
    return np.stack([padded[:, 256 * f : 256 * f + 2048] for f in range(63)], axis=1)


def test_percentiles(windows):
    magnitude = np.abs(windows)
    expected = np.percentile(magnitude.astype(np.float64), [90, 10], axis=1).T
    found = percentiles(torch.from_numpy(magnitude)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_autocorrelation(windows):
    found = autocorrelation(torch.from_numpy(windows)).numpy()
    for window, (at_10ms, at_20ms, lowest_s) in zip(windows.astype(np.float64), found, strict=True):
        lags = np.array([window[: 16_000 - lag] @ window[lag:] for lag in range(800)])
        lags /= lags[0]
        assert at_10ms == pytest.approx(lags[160], abs=2e-6)
        assert at_20ms == pytest.approx(lags[320], abs=2e-6)
        assert lowest_s == pytest.approx(lags.argmin() / 16_000)


def test_silence_has_no_autocorrelation():
    assert autocorrelation(torch.zeros(2, 16_000)).tolist() == [[0.0, 0.0, 0.0]] * 2


def test_level_and_crossings(windows):
    found = LevelAndCrossings()(torch.from_numpy(windows)).numpy()
    frames = frames_of(windows, "constant")
    np.testing.assert_allclose(found[:, 0], np.sqrt((frames**2).mean(axis=2)), rtol=1e-5)
    # The edges themselves are no crossings: beyond them, the sign stays.
    frames = frames_of(windows, "edge")
    crossings = (np.diff((frames < -1e-10).astype(int), axis=2) != 0).sum(axis=2) / 2048
    np.testing.assert_allclose(found[:, 1], crossings, rtol=1e-6, atol=1e-9)
