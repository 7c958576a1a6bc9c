"""The constant matrices of the fast features are those of librosa and scipy, up to float32's rounding."""

import warnings

import librosa
import numpy as np
import pytest
from scipy import fft, ndimage, signal

from engines.contract import N_FRAMES, N_ROWS, RATE_HZ
from offline.reference import gammatone_bank
from realtime.features.banks import tempogram_padding
from realtime.features.stack import FeatureStack

# Half a unit in the last place, with room for a sum; the largest entry is 1.
ROUNDING = 1e-7
# torchaudio makes its mel bank and its DCT in float32, from angles and edges that are rounded themselves.
ROUNDED_WHEN_MADE = 2e-5


@pytest.fixture
def spec(spec_name, specs_by_name):
    return specs_by_name[spec_name]


@pytest.fixture
def stack(spec):
    return FeatureStack(spec)


def assert_is(tensor, expected, share):
    """Equal up to `share` of the largest expected entry."""
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=0, atol=share * np.abs(expected).max())


def test_mel_bank(stack, spec):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        expected = librosa.filters.mel(
            sr=RATE_HZ, n_fft=spec.n_fft, n_mels=N_ROWS, fmax=spec.mel_fmax_hz, dtype=np.float64
        )
    assert_is(stack.images.mel_bank, expected, ROUNDED_WHEN_MADE)


def test_chroma_bank(stack, spec):
    expected = librosa.filters.chroma(sr=RATE_HZ, n_fft=spec.n_fft, tuning=0.0, dtype=np.float64)
    assert_is(stack.images.chroma_bank, expected, ROUNDING)


def test_gammatone_bank(stack, spec):
    assert_is(stack.images.gammatone_bank, gammatone_bank(spec), ROUNDING)


def window_of(spectrogram):
    """The window in a spectrogram's inner matrices: where k1 = 0, the cosine is 1."""
    return spectrogram.inner[:, 0].T.flatten()


def test_analysis_windows(stack, spec):
    assert_is(window_of(stack.images.spectrogram), signal.get_window("hann", spec.window_samples), ROUNDING)
    tempogram_window = signal.get_window("hann", 384)
    for frame, seen in enumerate(stack.images.tempogram.segment_windows.T):
        assert_is(seen, tempogram_window[192 - frame : 255 - frame], ROUNDING)
    assert_is(window_of(stack.scalars.spectrogram), signal.get_window("hann", 2048), ROUNDING)


def test_cosine_transforms(stack):
    rows = fft.dct(np.eye(N_ROWS), type=2, norm="ortho", axis=0)[:40]
    assert_is(stack.images.dct_rows, rows, ROUNDED_WHEN_MADE)
    columns = fft.dct(np.eye(N_FRAMES), type=2, norm="ortho", axis=1)
    assert_is(stack.images.dct_time, columns, ROUNDED_WHEN_MADE)


@pytest.mark.parametrize("order", [1, 2])
def test_derivatives(stack, order):
    expected = librosa.feature.delta(np.eye(N_FRAMES), width=9, order=order)
    assert_is(getattr(stack.images, f"delta{order}"), expected, ROUNDING)


def test_cens_smoothing(stack):
    bump = signal.get_window("hann", 41 + 2, fftbins=False)
    expected = ndimage.convolve1d(np.eye(N_FRAMES), bump / bump.sum(), axis=1, mode="constant")
    assert_is(stack.images.cens_smoothing, expected, ROUNDING)


def test_tempogram_ramps():
    expected = np.stack([np.pad(row, 192, mode="linear_ramp") for row in np.eye(N_FRAMES)])
    np.testing.assert_allclose(tempogram_padding(384), expected, rtol=0, atol=ROUNDING)


def test_lowpass_taps(stack, spec):
    if spec.lowpass_hz is None:
        assert stack.lowpass is None
        return
    expected = signal.firwin(255, spec.lowpass_hz, window="hamming", fs=RATE_HZ)
    columns = np.stack([np.pad(expected, (sample, 129 - sample)) for sample in range(128)], axis=1)
    assert_is(stack.lowpass.taps_of_sample, columns, ROUNDING)
