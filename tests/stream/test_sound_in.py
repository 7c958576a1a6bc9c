"""From a source to windows: the same windows for any block size, in their true place, also after a gap."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.errors import ConfigError, RateUnsupportedError
from realtime.intake import Intake
from realtime.sound.demo import DemoSource
from realtime.sound.files import FileSource
from realtime.sound.sources import ArraySource, AudioSource, Block
from realtime.window import Window

HOP_SAMPLES = 1600


def stereo(n: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal((n, 2))).astype(np.float32)


def windows_of(source: AudioSource, channel: int | None = None) -> list[Window]:
    intake = Intake(source, HOP_SAMPLES, channel)
    windows = [window for block in source.blocks() for window in intake.push(block)]
    return windows + intake.finish()


def assert_same(some: list[Window], others: list[Window]) -> None:
    assert [window.end_sample for window in some] == [window.end_sample for window in others]
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


@settings(max_examples=25, deadline=None)
@given(
    rate_hz=st.sampled_from((8000, 16000, 44100, 48000)),
    seconds=st.floats(0.5, 2.5),
    block_samples=st.integers(50, 60_000),
    channel=st.sampled_from((None, 0, 1)),
)
def test_any_block_size_gives_the_same_windows(
    rate_hz: int, seconds: float, block_samples: int, channel: int | None
) -> None:
    samples = stereo(int(seconds * rate_hz))
    whole = windows_of(ArraySource(samples, rate_hz, block_samples=len(samples)), channel)
    assert_same(windows_of(ArraySource(samples, rate_hz, block_samples=block_samples), channel), whole)
    n_heard = len(samples) * RATE_HZ / rate_hz
    assert len(whole) in {
        max(0, int((n - WINDOW_SAMPLES) // HOP_SAMPLES) + 1) for n in (n_heard - 1, n_heard + 1)
    }


def test_a_file_gives_the_windows_of_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, stereo(100_000), 44100, subtype="FLOAT")
    expected = windows_of(ArraySource(stereo(100_000), 44100))
    assert len(expected) > 10
    for block_samples in (97, 4410):
        with FileSource(path, block_samples=block_samples) as source:
            assert_same(windows_of(source), expected)


def test_the_demo_gives_the_same_windows_for_any_block_size() -> None:
    one, other = (windows_of(DemoSource(4, pace=None, block_samples=n)) for n in (320, 12_345))
    assert_same(one, other)
    assert len(one) == 31


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_after_gaps_the_windows_hold_only_new_sound_and_tell_its_true_time(rate_hz: int) -> None:
    time_s = np.arange(int(6.5 * rate_hz)) / rate_hz
    # A sine of 1 Hz says by its phase when it is, within its second.
    samples = np.sin(2 * np.pi * time_s).astype(np.float32)[:, np.newaxis]
    intake = Intake(ArraySource(samples, rate_hz), HOP_SAMPLES)
    windows = []
    for start_s, end_s in ((0.0, 1.9), (2.01, 3.37), (4.4444, 6.5)):
        start, end = round(start_s * rate_hz), round(end_s * rate_hz)
        for at in range(start, end, 500):
            windows += intake.push(Block(at, samples[at : min(at + 500, end)]))
        if start_s < 4:
            assert intake.is_warm
    windows += intake.finish()
    ends_s = [window.end_sample / RATE_HZ for window in windows]
    expected_s = [1.0 + 0.1 * k for k in range(10)] + [3.01 + 0.1 * k for k in range(4)]
    expected_s += [5.4444 + 0.1 * k for k in range(11)]
    np.testing.assert_allclose(ends_s, expected_s, atol=2 / RATE_HZ + 1 / rate_hz)
    for window in windows:
        true_s = (window.end_sample - WINDOW_SAMPLES + np.arange(WINDOW_SAMPLES)) / RATE_HZ
        inner = slice(1600, -1600)
        np.testing.assert_allclose(window.samples[inner], np.sin(2 * np.pi * true_s)[inner], atol=0.01)


def test_a_gap_makes_it_cold() -> None:
    intake = Intake(ArraySource(stereo(10), 16000), HOP_SAMPLES)
    intake.push(Block(0, stereo(20_000)))
    assert intake.is_warm
    assert intake.push(Block(30_000, stereo(100))) == []
    assert not intake.is_warm
    assert intake.next_sample == 30_100


def test_what_cannot_be_used_is_refused_before_the_first_block() -> None:
    with pytest.raises(ConfigError, match="2 channels"):
        Intake(ArraySource(stereo(10), 16000, name="x.wav"), HOP_SAMPLES, channel=2)
    with pytest.raises(RateUnsupportedError):
        Intake(ArraySource(stereo(10), 2000), HOP_SAMPLES)
