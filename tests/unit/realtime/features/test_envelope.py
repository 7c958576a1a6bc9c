"""The Hilbert envelope and its peaks, against scipy and against the definition, sample by sample."""

import numpy as np
import pytest
import torch
from scipy import signal

from realtime.features.envelope import PEAK_REACH, Envelope, envelope_peaks


def peaks_by_definition(envelope):
    """Count, mean and std of the heights, from a look at every neighbourhood."""
    before = np.concatenate([[-1.0], envelope[:-1]])
    heights = []
    for i in np.flatnonzero((envelope >= envelope.mean()) & (envelope > before)):
        if envelope[i] >= envelope[max(i - PEAK_REACH, 0) : i + PEAK_REACH + 1].max():
            heights.append(envelope[i])
    return [len(heights), np.mean(heights), np.std(heights)]


@pytest.fixture
def noise():
    return np.random.default_rng(23).standard_normal((2, 16_000)).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 0.5], ids=["no mean", "a mean, which is not turned"])
def test_hilbert_transform_is_that_of_scipy(noise, offset):
    windows = noise + np.float32(offset)
    # At the Nyquist frequency too, nothing is turned.
    windows[1] += np.where(np.arange(16_000) % 2, -1.0, 1.0)
    expected = signal.hilbert(windows.astype(np.float64)).imag
    transform = Envelope().hilbert(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(transform, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("period", [40, 100, 1600, 1601, 3200, 5000])
def test_peaks_are_those_of_the_definition(noise, period):
    slow = np.sin(2 * np.pi * np.arange(16_000) / period)
    envelope = np.abs(slow + 0.3 * noise[0]).astype(np.float32)
    found = envelope_peaks(torch.from_numpy(envelope[None]), torch.tensor([[envelope.mean()]]))[0].numpy()
    np.testing.assert_allclose(found, peaks_by_definition(envelope), rtol=1e-5)


@pytest.mark.parametrize("gap", [1599, 1600, 1601])
@pytest.mark.parametrize("first", [0, 99, 100, 4050])
def test_a_lower_peak_counts_from_one_sample_beyond_the_reach(first, gap):
    envelope = np.zeros(16_000, dtype=np.float32)
    envelope[first], envelope[first + gap] = 1.0, 2.0
    found = envelope_peaks(torch.from_numpy(envelope[None]), torch.tensor([[envelope.mean()]]))[0].tolist()
    assert found[0] == (2 if gap > PEAK_REACH else 1)
    mirrored = np.ascontiguousarray(envelope[::-1])
    found = envelope_peaks(torch.from_numpy(mirrored[None]), torch.tensor([[envelope.mean()]]))[0].tolist()
    assert found[0] == (2 if gap > PEAK_REACH else 1)


@pytest.mark.parametrize("start", [4000, 4050, 4099])
def test_a_plateau_counts_once(start):
    envelope = np.zeros(16_000, dtype=np.float32)
    envelope[start : start + 300] = 0.5
    found = envelope_peaks(torch.from_numpy(envelope[None]), torch.tensor([[envelope.mean()]]))[0].tolist()
    assert found == [1.0, 0.5, 0.0]


def test_silence_has_finite_peaks():
    found = envelope_peaks(torch.zeros(1, 16_000), torch.zeros(1, 1))
    assert torch.isfinite(found).all()
