"""The decision: what is shown follows from evidence, and from nothing else."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from engines.contract import RATE_HZ
from realtime.api.saved_state import builtins_from_value, value_from_builtins
from realtime.decision import DecisionSettings, DecisionState, advance
from realtime.events import Phase
from realtime.evidence import Evidence, Observation
from realtime.lengths import AFTER_EXHALE, AFTER_INHALE, EXHALE, INHALE, Lengths, LengthSettings
from realtime.setting_ranges import RANGES

HOP = 1600
FIRST = RATE_HZ
LENGTHS = LengthSettings(
    pause_after_inhale=0.5,
    pause_after_exhale=0.7,
    repeat_share=0.02,
    sigma=0.3,
    prior_breaths=1.0,
    memory=0.0,
)
SETTINGS = DecisionSettings(
    phase_weight=0.5, presence_weight=1.0, breath_share=0.6, margin=0.2, lengths=LENGTHS
)
LEARNING = replace(SETTINGS, lengths=replace(LENGTHS, memory=0.8))
# Says nothing about anything.
NEUTRAL = (0.5, SETTINGS.breath_share)
CLEAR = {Phase.INHALE: (0.05, 0.95), Phase.EXHALE: (0.95, 0.95), Phase.NONE: (0.5, 0.05)}


def heard(evidence, settings=SETTINGS, hop=HOP, lookahead_s=0.0, state=None, first=FIRST):
    """Every state and decision, for evidence that comes every hop."""
    state = state or DecisionState.initial(settings, hop, lookahead_s)
    states, decisions = [], []
    for k, (prob_exhale, prob_breath) in enumerate(evidence):
        likelihood = Evidence.of(None, settings, state).likelihood(Observation(prob_exhale, prob_breath))
        state, decided = advance(state, likelihood, first + k * hop, settings)
        states.append(state)
        decisions.append(decided)
    return states, decisions


def events_of(decisions):
    return [decided.event for decided in decisions if decided.event is not None]


def clear(script, hop=HOP):
    """Evidence without doubt for (phase, seconds) one after another, and the end of each one's first hop."""
    evidence, starts = [], []
    for phase, length_s in script:
        starts.append((phase, FIRST + len(evidence) * hop))
        evidence += [CLEAR[phase]] * round(length_s * RATE_HZ / hop)
    return evidence, starts


BREATH = [(Phase.INHALE, 1.0), (Phase.NONE, 0.6), (Phase.EXHALE, 1.4), (Phase.NONE, 1.0)]
UNPAUSED = [(Phase.INHALE, 1.2), (Phase.EXHALE, 1.6)]


@pytest.mark.parametrize("lookahead_s", [0.0, 0.4])
@pytest.mark.parametrize("hop", [800, 1600, 3200])
@pytest.mark.parametrize("script", [BREATH * 3, UNPAUSED * 4, (UNPAUSED + BREATH) * 2])
def test_clear_phases_are_shown_as_they_are(script, hop, lookahead_s):
    evidence, starts = clear([*script, (Phase.NONE, 1.0)], hop)
    _, decisions = heard(evidence, hop=hop, lookahead_s=lookahead_s)
    events = events_of(decisions)
    merged = [start for k, start in enumerate(starts) if k == 0 or start[0] is not starts[k - 1][0]]
    assert [event.phase for event in events] == [phase for phase, _ in merged]
    for event, (_, start) in zip(events, merged, strict=True):
        assert abs(event.onset_sample - start) <= 2 * hop
        assert event.reported_sample - start <= 0.35 * RATE_HZ + lookahead_s * RATE_HZ


def test_an_onset_lies_in_the_middle_of_the_hop_in_which_it_came():
    evidence, starts = clear(BREATH * 6)
    events = events_of(heard(evidence)[1])
    apart = [event.onset_sample - start for event, (_, start) in zip(events, starts, strict=True)]
    assert {one % HOP for one in apart} == {HOP // 2}
    # What begins anywhere within a hop is noticed at its end.
    assert np.median(apart) == -HOP // 2
    assert all(event.onset_sample < event.reported_sample for event in events)


@trying(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.6, 2.5),
            st.one_of(st.none(), st.floats(0.4, 2.0)),
            st.floats(0.7, 3.0),
            st.one_of(st.none(), st.floats(0.4, 4.0)),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_phases_are_as_long_as_the_evidence_says(breaths):
    script = []
    for inhale_s, pause_s, exhale_s, rest_s in breaths:
        script += [(Phase.INHALE, inhale_s), (Phase.NONE, pause_s), (Phase.EXHALE, exhale_s)]
        script += [(Phase.NONE, rest_s)]
    script = [part for part in script if part[1] is not None]
    evidence, starts = clear([*script, (Phase.INHALE, 1.0)])
    events = events_of(heard(evidence)[1])
    assert [event.phase for event in events] == [phase for phase, _ in starts]
    shown = np.diff([event.onset_sample for event in events])
    said = np.diff([start for _, start in starts])
    assert np.abs(shown - said).max() <= 3 * HOP


def test_twice_as_many_windows_say_the_same_in_the_same_time():
    slow, fast = (events_of(heard(clear(BREATH * 4, hop)[0], hop=hop)[1]) for hop in (1600, 800))
    assert [event.phase for event in slow] == [event.phase for event in fast]
    for one, other in zip(slow, fast, strict=True):
        assert abs(one.onset_sample - other.onset_sample) <= 1600
        assert abs(one.reported_sample - other.reported_sample) <= 3200


@pytest.mark.parametrize(("going_on", "slip"), [(Phase.INHALE, Phase.EXHALE), (Phase.EXHALE, Phase.INHALE)])
@pytest.mark.parametrize("at", range(3, 8))
def test_one_window_against_the_others_does_not_change_the_phase(going_on, slip, at):
    evidence = [CLEAR[going_on]] * 12
    evidence[at] = CLEAR[slip]
    assert [event.phase for event in events_of(heard(evidence)[1])] == [going_on]


@pytest.mark.parametrize("prob_exhale", [0.0, 0.3, 0.5, 1.0])
def test_silence_is_none_for_ever(prob_exhale):
    states, decisions = heard([(prob_exhale, 0.0)] * 400)
    assert {decided.phase for decided in decisions} == {Phase.NONE}
    assert events_of(decisions) == []
    assert min(decided.confidence for decided in decisions) > 0.9
    assert states[-1].last_phase is Phase.NONE


def test_silence_after_breath_is_one_event():
    evidence, starts = clear([*BREATH, (Phase.INHALE, 1.0), (Phase.NONE, 40.0)])
    events = events_of(heard(evidence, LEARNING)[1])
    assert [event.phase for event in events] == [phase for phase, _ in starts]


def test_what_is_in_doubt_changes_nothing():
    evidence = [CLEAR[Phase.EXHALE]] * 5 + [(0.45, 0.9), (0.55, 0.9)] * 3
    assert [event.phase for event in events_of(heard(evidence)[1])] == [Phase.EXHALE]


@trying(max_examples=20, deadline=None)
@given(n_missing=st.integers(0, 12), before=st.integers(1, 30), n_ahead=st.integers(0, 6))
def test_windows_that_are_left_out_are_windows_that_say_nothing(n_missing, before, n_ahead):
    evidence = clear(BREATH * 2)[0]
    start, rest = evidence[:before], evidence[before : before + 5]
    begun = heard(start, lookahead_s=n_ahead * HOP / RATE_HZ)[0][-1]
    there = begun.end_sample + HOP
    told, _ = heard([NEUTRAL] * n_missing + rest, state=begun, first=there)
    skipped, _ = heard(rest, state=begun, first=there + n_missing * HOP)
    for one, other in zip(told[n_missing:], skipped, strict=True):
        np.testing.assert_allclose(one.belief, other.belief, rtol=1e-9, atol=1e-15)
        assert len(one.recent) == len(other.recent)
        for (belief, likelihood), (same_belief, same_likelihood) in zip(
            one.recent, other.recent, strict=True
        ):
            np.testing.assert_allclose(belief, same_belief, rtol=1e-9, atol=1e-15)
            np.testing.assert_allclose(likelihood, same_likelihood, rtol=1e-12)


def test_an_hour_without_sound_ends_what_was_shown():
    evidence = clear([(Phase.INHALE, 1.0)])[0]
    state = heard(evidence, LEARNING)[0][-1]
    states, decisions = heard([CLEAR[Phase.NONE]] * 9, LEARNING, state=state, first=3600 * RATE_HZ)
    assert decisions[-1].phase is Phase.NONE
    assert states[-1].belief.sum() == pytest.approx(1)
    # An inhalation of an hour is none.
    np.testing.assert_array_equal(states[-1].lengths.counts, 0)


@pytest.mark.parametrize("n_ahead", [1, 3, 5])
def test_lookahead_tells_the_same_later(n_ahead):
    evidence = clear([(Phase.NONE, 0.6), *BREATH * 2, (Phase.NONE, 1.0)])[0]
    _, causal = heard(evidence)
    _, late = heard(evidence, lookahead_s=n_ahead * HOP / RATE_HZ)
    assert [event.phase for event in events_of(causal)] == [event.phase for event in events_of(late)]
    for event, later in zip(events_of(causal), events_of(late), strict=True):
        assert abs(later.onset_sample - event.onset_sample) <= 2 * HOP
        assert later.reported_sample - later.onset_sample >= n_ahead * HOP
        # Later by all the hops, less what a causal decision needs to be sure.
        assert event.reported_sample <= later.reported_sample <= event.reported_sample + n_ahead * HOP


def test_lookahead_corrects_what_a_causal_decision_gets_wrong():
    evidence = [CLEAR[Phase.EXHALE]] * 14
    evidence[7:10] = [CLEAR[Phase.INHALE]] * 3
    causal, late = (events_of(heard(evidence, lookahead_s=ahead_s)[1]) for ahead_s in (0.0, 0.6))
    assert [event.phase for event in causal] == [Phase.EXHALE, Phase.INHALE, Phase.EXHALE]
    assert [event.phase for event in late] == [Phase.EXHALE]


def _transitions(lengths):
    """Of the same model as one matrix over (state, age)."""
    n_states, n_ages = lengths.hazard.shape
    matrix = np.zeros((n_states, n_ages, n_states, n_ages))
    for state, age in np.ndindex(n_states, n_ages):
        ends = lengths.hazard[state, age]
        matrix[state, age, state, min(age + 1, n_ages - 1)] += 1 - ends
        matrix[state, age, :, 0] += ends * lengths.successor[state]
    return matrix.reshape(n_states * n_ages, n_states * n_ages)


@pytest.mark.parametrize("n_ahead", [0, 1, 3])
def test_what_is_shown_is_the_posterior_of_all_paths(n_ahead):
    """The same sum by forward and backward passes over a matrix of all pairs of state and age."""
    hop, settings = RATE_HZ // 2, replace(SETTINGS, margin=0.0, confidence_weight=1.0)
    state = initial = DecisionState.initial(settings, hop, n_ahead * hop / RATE_HZ)
    n_ages = initial.belief.shape[1]
    # Evidence that tells the ages apart, as that of a pack with an emission.
    weighed = list(np.random.default_rng(2).lognormal(0.0, 1.5, (24, 4 * n_ages)))
    decisions = []
    for k, likelihood in enumerate(weighed):
        state, decided = advance(state, likelihood.reshape(4, n_ages), FIRST + k * hop, settings)
        decisions.append(decided)
    matrix = _transitions(initial.lengths)
    forward, past = [], initial.belief.reshape(-1)
    for likelihood in weighed:
        past = (past @ matrix) * likelihood
        forward.append(past)
    for now, decided in enumerate(decisions):
        about = max(0, now - n_ahead)
        backward = np.ones_like(past)
        for likelihood in reversed(weighed[about + 1 : now + 1]):
            backward = matrix @ (likelihood * backward)
        both = (forward[about] * backward).reshape(4, n_ages).sum(axis=1)
        both /= both.sum()
        prob = {
            Phase.INHALE: both[INHALE],
            Phase.EXHALE: both[EXHALE],
            Phase.NONE: both[AFTER_INHALE] + both[AFTER_EXHALE],
        }
        assert decided.phase is max(prob, key=prob.__getitem__)
        assert decided.confidence == pytest.approx(prob[decided.phase], rel=1e-9)


def test_confidence_draws_the_odds_together_and_changes_nothing_else():
    evidence = np.random.default_rng(3).uniform(0.05, 0.95, (60, 2))
    (_, plain), (_, drawn) = (
        heard(evidence, replace(SETTINGS, confidence_weight=weight)) for weight in (1.0, 0.25)
    )
    for one, other in zip(plain, drawn, strict=True):
        odds, its_odds = (found.confidence / (1 - found.confidence) for found in (one, other))
        assert its_odds == pytest.approx(odds**0.25, rel=1e-6)
        assert other.phase is one.phase
        assert (other.event is None) == (one.event is None)


def _median_s(lengths: Lengths, state: int) -> float:
    lasting = np.cumprod(1 - lengths.hazard[state])
    return float((1 + np.argmax(lasting < 0.5)) * lengths.hop_s)


@pytest.mark.parametrize(("inhale_s", "exhale_s"), [(0.5, 0.8), (1.8, 2.6)])
def test_the_lengths_of_a_breather_are_learned(inhale_s, exhale_s):
    script = [(Phase.INHALE, inhale_s), (Phase.NONE, 0.5), (Phase.EXHALE, exhale_s), (Phase.NONE, 1.0)]
    evidence = clear(script * 7)[0]
    lengths = heard(evidence, LEARNING)[0][-1].lengths
    for state, length_s in ((INHALE, inhale_s), (EXHALE, exhale_s)):
        before = _median_s(Lengths.initial(LENGTHS, HOP / RATE_HZ), state)
        after = _median_s(lengths, state)
        assert abs(after - length_s) < abs(before - length_s)
        assert after == pytest.approx(length_s, rel=0.35)
        assert lengths.counts[state] > 2


def test_pauses_are_learned_and_a_long_silence_is_not():
    lengths = heard(clear(BREATH * 6)[0], LEARNING)[0][-1].lengths
    assert lengths.counts[AFTER_EXHALE] > 2
    assert np.exp(lengths.log_means[AFTER_INHALE]) == pytest.approx(0.6, rel=0.3)
    assert np.exp(lengths.log_means[AFTER_EXHALE]) == pytest.approx(1.0, rel=0.3)
    evidence = clear([(Phase.EXHALE, 1.5), (Phase.NONE, 20.0), (Phase.INHALE, 1.0)])[0]
    assert heard(evidence, LEARNING)[0][-1].lengths.counts[AFTER_EXHALE] == 0


@pytest.mark.parametrize("missing_s", [0.1, 4.0])
def test_a_phase_of_which_a_part_is_missing_teaches_no_length(missing_s):
    """The gap ends within an inhalation, which goes on; what comes next is learned again."""
    before = heard(clear([(Phase.INHALE, 1.0), (Phase.EXHALE, 1.0)] * 3 + [(Phase.INHALE, 0.5)])[0], LEARNING)
    state = before[0][-1]
    after_gap = [CLEAR[Phase.INHALE]] * 5 + [CLEAR[Phase.EXHALE]] * 10
    first = state.end_sample + round(missing_s * RATE_HZ) + RATE_HZ
    states, decisions = heard(after_gap, LEARNING, state=state, first=first)
    assert [event.phase for event in events_of(decisions)] == [Phase.EXHALE]
    np.testing.assert_array_equal(states[-1].lengths.hazard, state.lengths.hazard)
    first = states[-1].end_sample + HOP
    later, _ = heard([CLEAR[Phase.INHALE]] * 10, LEARNING, state=states[-1], first=first)
    assert later[-1].lengths.counts[EXHALE] > state.lengths.counts[EXHALE]
    assert later[-1].lengths.counts[INHALE] == state.lengths.counts[INHALE]


def test_whether_pauses_follow_is_learned():
    lengths = heard(clear(UNPAUSED * 8)[0], LEARNING)[0][-1].lengths
    assert lengths.successor[INHALE, AFTER_INHALE] < LENGTHS.pause_after_inhale - 0.1
    assert lengths.successor[EXHALE, AFTER_EXHALE] < LENGTHS.pause_after_exhale - 0.1


def test_without_memory_nothing_is_learned():
    states, _ = heard(clear(BREATH * 4 + UNPAUSED * 3)[0])
    first = DecisionState.initial(SETTINGS, HOP).lengths
    np.testing.assert_array_equal(states[-1].lengths.hazard, first.hazard)
    np.testing.assert_array_equal(states[-1].lengths.successor, first.successor)


def _within(key):
    lowest, highest, _ = RANGES[key]
    return st.one_of(st.sampled_from([lowest, highest]), st.floats(lowest, highest))


ANY_SETTINGS = st.builds(
    DecisionSettings,
    **{name: _within(f"decision.{name}") for name in ("phase_weight", "presence_weight", "breath_share")},
    margin=_within("decision.margin"),
    lengths=st.builds(
        LengthSettings,
        **{
            key.removeprefix("decision.lengths."): _within(key)
            for key in RANGES
            if key.startswith("decision.lengths.")
        },
    ),
)
PROBABILITY = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@trying(max_examples=40, deadline=None)
@given(
    settings=ANY_SETTINGS,
    hop=st.sampled_from([480, 1600, 5000, 16000]),
    n_ahead=st.integers(0, 4),
    runs=st.lists(st.tuples(PROBABILITY, PROBABILITY, st.integers(1, 12), st.integers(1, 30)), max_size=6),
)
def test_whatever_is_heard_it_is_a_belief(settings, hop, n_ahead, runs):
    state = DecisionState.initial(settings, hop, n_ahead * hop / RATE_HZ)
    now, shown, onset = FIRST, Phase.NONE, 0
    for prob_exhale, prob_breath, times, skip in runs:
        for k in range(times):
            now += hop * (skip if k == 0 else 1)
            likelihood = Evidence.of(None, settings, state).likelihood(Observation(prob_exhale, prob_breath))
            state, decided = advance(state, likelihood, now, settings)
            assert state.belief.sum() == pytest.approx(1)
            assert (state.belief >= 0).all()
            assert 0 <= decided.confidence <= 1
            assert len(state.recent) <= n_ahead + 1
            event = decided.event
            assert (decided.phase is shown) == (event is None)
            if event is not None:
                assert event.phase is decided.phase
                assert event.reported_sample == now
                assert onset <= event.onset_sample <= now
                shown, onset = event.phase, event.onset_sample


@pytest.mark.parametrize(("prob_exhale", "prob_breath"), list(itertools.product([0.0, 0.5, 1.0], repeat=2)))
def test_the_same_for_a_minute_stays_finite(prob_exhale, prob_breath):
    states, decisions = heard([(prob_exhale, prob_breath)] * 600, LEARNING)
    assert np.isfinite(states[-1].belief).all()
    assert states[-1].belief.sum() == pytest.approx(1)
    assert all(np.isfinite(decided.confidence) for decided in decisions)


def test_a_saved_state_goes_on_alike():
    evidence = clear(BREATH * 4)[0]
    states, decisions = heard(evidence, LEARNING, lookahead_s=0.3)
    for at in (1, 43):
        text = json.dumps(builtins_from_value(states[at]), allow_nan=False)
        restored = value_from_builtins(DecisionState, json.loads(text))
        _, rest = heard(evidence[at + 1 :], LEARNING, state=restored, first=states[at].end_sample + HOP)
        assert rest == decisions[at + 1 :]


@pytest.mark.parametrize(
    ("lookahead_s", "hop_s", "n_ahead"), [(0.1, 0.2, 1), (0.5, 1.0, 1), (0.3, 0.1, 3), (0, 1, 0)]
)
def test_lookahead_is_never_less_than_was_asked_for(lookahead_s, hop_s, n_ahead):
    assert DecisionState.initial(SETTINGS, round(hop_s * RATE_HZ), lookahead_s).n_ahead == n_ahead
