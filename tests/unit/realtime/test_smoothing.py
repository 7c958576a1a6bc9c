import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import RATE_HZ
from realtime.events import Phase
from realtime.presence import Presence
from realtime.smoothing import SmoothingSettings, SmoothingState, advance

HOP = 1600
BREATH, NO_BREATH = Presence(True, 12.0), Presence(False, -12.0)


def run(inputs, settings=None, first_end=16_000):
    settings = settings or SmoothingSettings()
    state, outputs = SmoothingState.initial(), []
    for i, (prob, presence) in enumerate(inputs):
        state, shown = advance(state, prob, presence, first_end + i * HOP, settings)
        outputs.append(shown)
    return outputs


def events_of(outputs):
    return [shown.event for shown in outputs if shown.event is not None]


def test_a_clear_alternation_is_followed():
    inputs = [(0.95, BREATH)] * 10 + [(0.05, BREATH)] * 10
    phases = [event.phase for event in events_of(run(inputs))]
    assert phases == [Phase.EXHALE, Phase.INHALE]


def test_the_first_breath_is_shown_at_once():
    assert run([(0.9, BREATH)])[0].phase is Phase.EXHALE


def test_no_breath_is_none_from_the_start_without_an_event():
    outputs = run([(0.99, NO_BREATH)] * 20)
    assert {shown.phase for shown in outputs} == {Phase.NONE}
    assert events_of(outputs) == []


def test_wobbling_about_one_half_changes_nothing():
    inputs = [(0.9, BREATH)] * 5 + [(0.47, BREATH), (0.53, BREATH)] * 20
    assert [event.phase for event in events_of(run(inputs))] == [Phase.EXHALE]


def test_a_single_outlier_does_not_flip_the_phase():
    inputs = [(0.9, BREATH)] * 8 + [(0.2, BREATH)] + [(0.9, BREATH)] * 8
    outputs = run(inputs, SmoothingSettings(time_constant_s=0.3))
    assert [event.phase for event in events_of(outputs)] == [Phase.EXHALE]


def test_an_onset_lies_where_the_input_turned_not_where_it_was_reported():
    inputs = [(0.9, BREATH)] + [(0.1, BREATH)] * 10
    settings = SmoothingSettings(time_constant_s=0.0, min_phase_s=0.4)
    first, second = events_of(run(inputs, settings))
    assert second.onset_sample == 16_000 + HOP
    assert second.reported_sample == 16_000 + 4 * HOP
    assert first.onset_sample == first.reported_sample == 16_000


def test_confidence_is_that_of_the_shown_phase():
    outputs = run([(0.8, BREATH)])
    assert outputs[0].confidence == pytest.approx(0.8)
    outputs = run([(0.2, BREATH)])
    assert outputs[0].confidence == pytest.approx(0.8)
    assert run([(0.5, NO_BREATH)])[0].confidence > 0.9


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([BREATH, NO_BREATH])), max_size=120),
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.floats(0.05, 1.0),
)
def test_properties(inputs, time_constant_s, hysteresis, min_phase_s):
    settings = SmoothingSettings(time_constant_s, hysteresis, min_phase_s)
    outputs = run(inputs, settings)
    events = events_of(outputs)
    for shown in outputs:
        assert 0 <= shown.confidence <= 1
    for before, after in itertools.pairwise(events):
        assert before.phase is not after.phase
        assert after.reported_sample - before.reported_sample >= min_phase_s * RATE_HZ
        assert before.reported_sample <= after.onset_sample <= after.reported_sample
