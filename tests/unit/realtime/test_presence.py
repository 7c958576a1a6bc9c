"""Is anybody breathing: the level, and what the networks say, in one probability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from engines.contract import RATE_HZ, WINDOW_SAMPLES
from realtime.presence import (
    SILENCE_DBFS,
    PresenceSettings,
    PresenceState,
    advance,
    level_from_window,
    rise_from_window,
)

SETTINGS = PresenceSettings(
    gate_dbfs=-60.0,
    below_peak_db=10.0,
    below_peak_db_alone=10.0,
    peak_decay_db_per_s=2.0,
    log_odds_per_db=0.1,
    log_odds_per_db_alone=0.5,
)
HOP = 1600
LEVEL = st.floats(-120, 0)
PROB = st.floats(0, 1)


def tone(freq_hz, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * freq_hz * np.arange(WINDOW_SAMPLES) / RATE_HZ)).astype(np.float32)


def after(levels_dbfs, prob_breath=None, settings=SETTINGS):
    """P(breath) for levels that come every hop."""
    state, probs = PresenceState.initial(), []
    for k, level_dbfs in enumerate(levels_dbfs):
        state, prob = advance(state, level_dbfs, prob_breath, RATE_HZ + k * HOP, settings)
        probs.append(prob)
    return probs


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


@pytest.mark.parametrize("later_db", [-6.0, 0.0, 6.0])
def test_the_rise_is_that_over_three_tenths_of_a_second(later_db):
    window = tone(440.0, 0.01)
    window[-2048:] *= 10 ** (later_db / 20)
    level_dbfs = level_from_window(window, 2000.0)
    assert rise_from_window(window, level_dbfs, 2000.0) == pytest.approx(later_db, abs=0.05)
    # What was before that is forgotten.
    window[: -4800 - 2048] = 0.5
    assert rise_from_window(window, level_dbfs, 2000.0) == pytest.approx(later_db, abs=0.05)


def test_a_rise_out_of_digital_silence_has_an_end_and_so_has_a_fall():
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    assert rise_from_window(window, SILENCE_DBFS, 2000.0) == 0.0
    window[-2048:] = tone(440.0)[-2048:]
    assert rise_from_window(window, level_from_window(window, 2000.0), 2000.0) == 10.0
    fallen = window[::-1].copy()
    fallen[-4800 - 2048 :] = 0.0
    fallen[-4800 - 2048 : -4800] = tone(440.0)[:2048]
    assert rise_from_window(fallen, SILENCE_DBFS, 2000.0) == -10.0


@given(levels_dbfs=st.lists(LEVEL, min_size=1, max_size=40), prob_breath=st.none() | PROB)
def test_below_the_gate_nothing_is_breath_and_above_it_nothing_is_certain(levels_dbfs, prob_breath):
    for level_dbfs, prob in zip(levels_dbfs, after(levels_dbfs, prob_breath), strict=True):
        if level_dbfs <= SETTINGS.gate_dbfs:
            assert prob == 0.0
        else:
            assert 0 < prob < 1


@given(before=st.lists(LEVEL, max_size=10), levels=st.tuples(LEVEL, LEVEL), prob_breath=st.none() | PROB)
def test_the_louder_the_likelier(before, levels, prob_breath):
    softer, louder = sorted(levels)
    assert after([*before, softer], prob_breath)[-1] <= after([*before, louder], prob_breath)[-1]


@given(levels_dbfs=st.lists(LEVEL, min_size=1, max_size=10), probs=st.tuples(PROB, PROB))
def test_the_surer_the_networks_the_likelier(levels_dbfs, probs):
    less, more = sorted(probs)
    assert after(levels_dbfs, less)[-1] <= after(levels_dbfs, more)[-1]


def test_so_far_below_the_loudest_the_level_says_nothing():
    loudest, at_the_edge = -20.0, -20.2 - SETTINGS.below_peak_db
    assert after([loudest, at_the_edge])[1] == pytest.approx(0.5)
    for prob_breath in (0.2, 0.5, 0.9):
        assert after([loudest, at_the_edge], prob_breath)[1] == pytest.approx(prob_breath)
    assert after([loudest, at_the_edge - 5])[1] < 0.1
    assert after([loudest, at_the_edge + 5])[1] > 0.9


def test_networks_that_know_nothing_leave_less_weight_to_the_level_than_none_at_all():
    pause = [-20.0, -50.0]
    assert after(pause, 0.5)[1] > after(pause)[1]
    deaf = PresenceSettings(gate_dbfs=-60.0, below_peak_db=10.0, log_odds_per_db=0.0)
    assert after(pause, 0.7, deaf)[1] == pytest.approx(0.7)


def test_level_alone_and_level_beside_networks_that_do_not_know_are_the_same_sum():
    alike = PresenceSettings(
        gate_dbfs=-60.0,
        below_peak_db=10.0,
        below_peak_db_alone=10.0,
        log_odds_per_db=0.3,
        log_odds_per_db_alone=0.3,
    )
    levels_dbfs = [-30.0, -45.0, -39.0, -21.0]
    assert after(levels_dbfs, None, alike) == pytest.approx(after(levels_dbfs, 0.5, alike))


@pytest.mark.parametrize("gone_by_hops", [1, 7])
def test_the_loudest_sound_is_forgotten_in_time_not_in_windows(gone_by_hops):
    settings = PresenceSettings(gate_dbfs=-90.0, below_peak_db=10.0, peak_decay_db_per_s=20.0)
    state, _ = advance(PresenceState.initial(), -10.0, None, RATE_HZ, settings)
    state, soon = advance(state, -45.0, None, RATE_HZ + HOP, settings)
    for end in range(RATE_HZ + HOP * (1 + gone_by_hops), 3 * RATE_HZ + 1, HOP * gone_by_hops):
        state, late = advance(state, -45.0, None, end, settings)
    assert soon < 0.1
    assert late > 0.9
    assert state.peak_dbfs == pytest.approx(max(-45.0, -10.0 - 20.0 * (state.end_sample / RATE_HZ - 1)))


@trying(max_examples=20)
@given(levels_dbfs=st.lists(LEVEL, max_size=20), last_dbfs=LEVEL)
def test_the_loudest_sound_is_never_softer_than_the_newest(levels_dbfs, last_dbfs):
    state = PresenceState.initial()
    for k, level_dbfs in enumerate([*levels_dbfs, last_dbfs]):
        state, _ = advance(state, level_dbfs, 0.5, RATE_HZ + k * HOP, SETTINGS)
    assert last_dbfs <= state.peak_dbfs <= max([*levels_dbfs, last_dbfs])


def gates(levels_dbfs, settings):
    """Which of the levels, one a hop, pass."""
    return [prob > 0 for prob in after(levels_dbfs, 0.9, settings)]


def breathing(room_dbfs):
    """Ten breaths, each of two seconds, with half a second of the room between them."""
    return ([room_dbfs + 20.0] * 20 + [room_dbfs] * 5) * 10


def test_after_a_calibration_the_gate_rises_with_the_room_and_falls_with_it():
    settings = PresenceSettings(gate_dbfs=-50.0, noise_dbfs=-60.0, floor_rise_db_per_s=0.5)
    fan, quiet = [-45.0] * 400, [-60.0] * 10
    passed = gates([*breathing(-60.0), *fan, *breathing(-45.0), *quiet, *breathing(-60.0)], settings)
    assert sum(passed[:250]) == 200
    # Half a dB a second: it is as loud as the gate after ten.
    assert all(passed[250:345])
    assert not any(passed[355:650])
    assert sum(passed[650:900]) == 200
    assert not any(passed[900:910])
    assert sum(passed[910:]) == 200


def test_without_a_calibration_the_gate_stays():
    assert all(gates([-50.0] * 3000, PresenceSettings(gate_dbfs=-60.0)))
