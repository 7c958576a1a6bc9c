import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.presence import (
    SILENCE_DBFS,
    PresenceSettings,
    PresenceState,
    advance,
    level_from_window,
)

SETTINGS = PresenceSettings(gate_dbfs=-60.0, below_peak_db=20.0, peak_decay_db_per_s=2.0, hysteresis_db=3.0)


def tone(freq_hz, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * freq_hz * np.arange(WINDOW_SAMPLES) / RATE_HZ)).astype(np.float32)


def after(levels_dbfs, hop=1600, settings=SETTINGS):
    state, answers = PresenceState.initial(), []
    for i, level_dbfs in enumerate(levels_dbfs):
        state, answer = advance(state, level_dbfs, (i + 1) * hop, settings)
        answers.append(answer)
    return answers


@pytest.mark.parametrize("amplitude", [1.0, 0.1, 0.001])
def test_a_sine_in_the_band_reads_its_effective_level(amplitude):
    expected_dbfs = 20 * np.log10(amplitude / np.sqrt(2))
    assert level_from_window(tone(500, amplitude), 2000.0) == pytest.approx(expected_dbfs, abs=0.05)


@pytest.mark.parametrize("freq_hz", [50, 100, 2500, 6000])
def test_what_lies_outside_the_band_does_not_count(freq_hz):
    assert level_from_window(tone(freq_hz), 2000.0) < -50


def test_only_the_newest_part_counts():
    window = tone(500)
    window[-2048:] = 0
    assert level_from_window(window, 2000.0) == SILENCE_DBFS


def test_silence_is_never_breath():
    assert not any(answer.is_present for answer in after([SILENCE_DBFS] * 50))


def test_below_the_gate_nothing_is_breath_and_above_it_the_first_sound_is():
    assert [answer.is_present for answer in after([-61.0, -59.0])] == [False, True]


def test_a_gap_far_below_the_breath_is_a_pause():
    answers = after([-30.0, -30.0, -56.0, -56.0, -30.0])
    assert [answer.is_present for answer in answers] == [True, True, False, False, True]


def test_hysteresis_keeps_what_is_there_and_asks_more_of_what_is_not():
    # 21 dB below the peak: between the threshold for going on (23) and the one for beginning (20).
    assert after([-30.0, -51.0])[1].is_present
    assert not after([-30.0, -56.0, -51.0])[2].is_present


def test_the_loudest_sound_is_forgotten_in_time():
    settings = PresenceSettings(peak_decay_db_per_s=20.0)
    answers = after([-10.0, *[-45.0] * 10], settings=settings)
    assert not answers[1].is_present
    assert answers[-1].is_present


@given(st.lists(st.floats(-120, 0), max_size=60))
def test_the_margin_says_what_the_answer_says(levels_dbfs):
    for answer in after(levels_dbfs):
        assert answer.is_present == (answer.margin_db > 0)
