"""Windows: in their place, of the right samples, however the sound arrives."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.contract import WINDOW_SAMPLES
from engines.errors import ConfigError
from realtime.window import Window, WindowState, advance, gap


def ramp(start: int, n: int) -> NDArray[np.float32]:
    """Every sample says its own index (exact in float32 up to 16.7 million)."""
    return np.arange(start, start + n, dtype=np.float32)


def fed(
    state: WindowState, samples: NDArray[np.float32], sizes: list[int]
) -> tuple[WindowState, list[Window]]:
    windows = []
    for piece in np.split(samples, list(itertools.accumulate(sizes))):
        state, completed = advance(state, piece)
        windows += completed
    return state, windows


def assert_true(windows: list[Window]) -> None:
    for window in windows:
        assert window.samples.shape == (WINDOW_SAMPLES,)
        assert window.samples.dtype == np.float32
        np.testing.assert_array_equal(
            window.samples, ramp(window.end_sample - WINDOW_SAMPLES, WINDOW_SAMPLES)
        )


@settings(max_examples=40, deadline=None)
@given(
    hop_samples=st.sampled_from((160, 1600, 1601, 7000, 16000, 23456)),
    n=st.integers(0, 150_000),
    sizes=st.lists(st.integers(0, 70_000), max_size=8),
)
def test_windows_are_where_they_should_be_for_any_cutting(hop_samples: int, n: int, sizes: list[int]) -> None:
    state, windows = fed(WindowState.initial(hop_samples), ramp(0, n), sizes)
    assert [w.end_sample for w in windows] == list(range(WINDOW_SAMPLES, n + 1, hop_samples))
    assert_true(windows)
    assert state.next_sample == n
    assert state.is_warm == (n >= WINDOW_SAMPLES)


@pytest.mark.parametrize("size", [1, 160, 333])
def test_small_blocks_over_several_tapes(size: int) -> None:
    n = 12_000 if size == 1 else 100_000
    state, _ = advance(WindowState.initial(800), ramp(0, 10_000))
    state, windows = fed(state, ramp(10_000, n), [size] * (n // size))
    assert [w.end_sample for w in windows] == list(range(WINDOW_SAMPLES, n + 10_001, 800))
    assert_true(windows)


def test_it_is_warm_with_the_sample_that_completes_the_first_window() -> None:
    state, windows = advance(WindowState.initial(1600), ramp(0, WINDOW_SAMPLES - 1))
    assert not windows
    assert not state.is_warm
    state, windows = advance(state, ramp(WINDOW_SAMPLES - 1, 1))
    assert [w.end_sample for w in windows] == [WINDOW_SAMPLES]
    assert state.is_warm


def test_after_a_gap_the_index_goes_on_and_no_window_spans_it() -> None:
    state, _ = advance(WindowState.initial(1600), ramp(0, 20_000))
    state = gap(state, 5000)
    assert (state.next_sample, state.is_warm) == (25_000, False)
    state, windows = advance(state, ramp(25_000, 20_000))
    assert [w.end_sample for w in windows] == [25_000 + 16_000 + k * 1600 for k in range(3)]
    assert_true(windows)
    again = gap(state, 0)
    assert (again.next_sample, again.is_warm) == (45_000, False)
    with pytest.raises(ValueError, match="gap of -1"):
        gap(state, -1)


def test_an_old_state_can_be_continued_twice() -> None:
    start, _ = advance(WindowState.initial(1600), ramp(0, 15_000))
    _, one = advance(start, np.full(2000, -1, np.float32))
    _, other = advance(start, ramp(15_000, 2000))
    assert_true(other)
    np.testing.assert_array_equal(one[0].samples[-1000:], np.full(1000, -1, np.float32))


@pytest.mark.parametrize("saved", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_state_can_be_saved_and_restored(saved) -> None:  # type: ignore[no-untyped-def]
    state, _ = advance(WindowState.initial(1600), ramp(0, 70_001))
    restored = saved(state)
    _, expected = advance(state, ramp(70_001, 9000))
    _, windows = advance(restored, ramp(70_001, 9000))
    assert [w.end_sample for w in windows] == [w.end_sample for w in expected]
    assert_true(windows)


def test_windows_never_change_and_cannot_be_written() -> None:
    state, windows = advance(WindowState.initial(1600), ramp(0, 30_000))
    fed(state, ramp(30_000, 200_000), [1000] * 200)
    assert_true(windows)
    with pytest.raises(ValueError, match="read-only"):
        windows[0].samples[0] = 1


def test_one_huge_push_is_copied_once() -> None:
    n = 4_000_000
    _, windows = advance(WindowState.initial(160), np.zeros(n, np.float32))
    assert len(windows) == (n - WINDOW_SAMPLES) // 160 + 1
    assert np.shares_memory(windows[0].samples, windows[1].samples)


@pytest.mark.parametrize("hop_samples", [0, -1600])
def test_an_impossible_hop_is_refused(hop_samples: int) -> None:
    with pytest.raises(ConfigError, match="hop"):
        WindowState.initial(hop_samples)
