"""Resampling: the same however the sound is cut, as long as it should be, and in its place."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import RateUnsupportedError
from realtime.resample import Resampler

RATES_HZ = (4000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000, 384000, 44099.5)


def resampled(resampler: Resampler, pieces: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])


def noise(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    rate_hz=st.sampled_from((8000, 11025, 16000, 44100, 48000, 96000)),
    n=st.integers(0, 20000),
    sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=8),
    seed=st.integers(0, 9),
)
def test_any_cutting_gives_the_same_bits(rate_hz: int, n: int, sizes: list[int], seed: int) -> None:
    samples = noise(n, seed)
    ends = list(itertools.accumulate(sizes))
    whole = resampled(Resampler(rate_hz), [samples])
    np.testing.assert_array_equal(resampled(Resampler(rate_hz), np.split(samples, ends)), whole)
    assert abs(len(whole) - n * RATE_HZ / rate_hz) <= 1
    assert whole.dtype == np.float32


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_sine_keeps_its_phase_and_size(rate_hz: float) -> None:
    n = int(0.7 * rate_hz)
    frequency_hz = 900.0
    sine = np.sin(2 * np.pi * frequency_hz * np.arange(n) / rate_hz).astype(np.float32)
    out = resampled(Resampler(rate_hz), [sine])
    expected = np.sin(2 * np.pi * frequency_hz * np.arange(len(out)) / RATE_HZ)
    inner = slice(len(out) // 4, -len(out) // 4)
    np.testing.assert_allclose(out[inner], expected[inner], atol=2e-4)


@pytest.mark.parametrize("rate_hz", [8000, 48000, 96000])
def test_a_click_stays_where_it_was(rate_hz: int) -> None:
    samples = np.zeros(rate_hz, np.float32)
    samples[rate_hz // 4] = 1.0
    assert int(np.argmax(resampled(Resampler(rate_hz), [samples]))) == RATE_HZ // 4


@pytest.mark.parametrize("rate_hz", [44100, 48000, 192000])
def test_what_does_not_fit_under_8_khz_is_gone(rate_hz: int) -> None:
    sine = np.sin(2 * np.pi * 10_000 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    out = resampled(Resampler(rate_hz), [sine])
    assert np.abs(out[2000:-2000]).max() < 1e-3


def test_sixteen_kilohertz_passes_at_once_and_unchanged() -> None:
    samples = noise(777)
    resampler = Resampler(16000)
    np.testing.assert_array_equal(resampler.push(samples), samples)
    assert len(resampler.finish()) == 0


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000, 96000])
def test_no_more_is_held_back_than_the_docstring_says(rate_hz: int) -> None:
    resampler = Resampler(rate_hz)
    n_out = 0
    held_back_s = []
    for i in range(1, 200):
        n_out += len(resampler.push(noise(rate_hz // 100)))
        held_back_s.append(i * (rate_hz // 100) / rate_hz - n_out / RATE_HZ)
    assert max(held_back_s) < {8000: 0.12, 44100: 0.045, 48000: 0.045, 96000: 0.085}[rate_hz]


@pytest.mark.parametrize("how", ["reset", "finish"])
def test_it_starts_anew_as_if_just_made(how: str) -> None:
    resampler = Resampler(44100)
    resampler.push(noise(12345, seed=1))
    getattr(resampler, how)()
    fresh = resampled(Resampler(44100), [noise(9000)])
    np.testing.assert_array_equal(resampled(resampler, [noise(9000)]), fresh)


def test_strided_and_read_only_input_is_read_right() -> None:
    stereo = noise(8000).reshape(-1, 2)
    stereo.setflags(write=False)
    np.testing.assert_array_equal(
        resampled(Resampler(8000), [stereo[:, 1]]), resampled(Resampler(8000), [stereo[:, 1].copy()])
    )


@pytest.mark.parametrize("rate_hz", [0, -8000, 3999, 384001, float("nan"), float("inf")])
def test_rates_out_of_range_are_refused(rate_hz: float) -> None:
    with pytest.raises(RateUnsupportedError, match="4000 to 384000"):
        Resampler(rate_hz)
