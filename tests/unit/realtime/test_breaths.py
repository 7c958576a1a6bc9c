import pytest

from engines.contract import RATE_HZ
from realtime.breaths import RateState, advance
from realtime.events import Phase, PhaseEvent


def after(*phases_at_s):
    state = RateState.initial()
    for phase, onset_s in phases_at_s:
        onset = round(onset_s * RATE_HZ)
        state = advance(state, PhaseEvent(phase, onset, onset + 1600, 0.9))
    return state


IN, OUT, NONE = Phase.INHALE, Phase.EXHALE, Phase.NONE


def test_no_rate_before_the_first_breath_is_complete():
    assert after((IN, 1), (OUT, 2)).breaths_per_min is None


def test_the_rate_of_regular_breathing():
    state = after((IN, 0), (OUT, 2), (IN, 4), (OUT, 6), (IN, 8))
    assert state.breaths_per_min == pytest.approx(15.0)
    assert state.n_breaths == 2


def test_a_pause_within_an_inhalation_does_not_make_two_breaths_of_it():
    with_pause = after((IN, 0), (NONE, 0.5), (IN, 1), (OUT, 2), (IN, 4))
    assert with_pause.breaths_per_min == pytest.approx(15.0)


def test_a_missed_exhalation_does_not_count_twice():
    assert after((IN, 0), (IN, 2)).breaths_per_min is None


def test_breaths_older_than_a_minute_are_forgotten():
    slow = [(phase, t) for t in range(0, 60, 10) for phase, t in ((IN, t), (OUT, t + 5))]
    fast = [(phase, t) for t in range(60, 180, 2) for phase, t in ((IN, t), (OUT, t + 1))]
    assert after(*slow, *fast).breaths_per_min == pytest.approx(30.0)
