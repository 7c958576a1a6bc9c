"""Lengths of phases: hazards that are probabilities, and that follow who is breathing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from realtime.lengths import (
    AFTER_EXHALE,
    AFTER_INHALE,
    EXHALE,
    INHALE,
    LONGEST_S,
    N_STATES,
    Lengths,
    LengthSettings,
)

SETTINGS = LengthSettings(
    pause_after_inhale=0.3,
    pause_after_exhale=0.6,
    repeat_share=0.05,
    sigma=0.3,
    prior_breaths=1.0,
    memory=0.8,
)


def ending(lengths, state):
    """(n_ages,) probability of ending at each age."""
    lasting = np.concatenate([[1.0], np.cumprod(1 - lengths.hazard[state])[:-1]])
    return lasting * lengths.hazard[state]


def median_s(lengths, state):
    return (1 + np.searchsorted(np.cumsum(ending(lengths, state)), 0.5)) * lengths.hop_s


def after(lengths_s, state=INHALE, settings=SETTINGS, hop_s=0.1):
    lengths = Lengths.initial(settings, hop_s)
    for length_s in lengths_s:
        lengths = lengths.heard(state, length_s, settings)
    return lengths


SOMETHING_HEARD = st.one_of(
    st.tuples(st.just("heard"), st.integers(0, N_STATES - 1), st.floats(0, 1e5)),
    st.tuples(st.just("followed"), st.sampled_from([INHALE, EXHALE]), st.booleans()),
)


@trying(max_examples=40, deadline=None)
@given(
    hop_s=st.sampled_from([0.03, 0.1, 0.4, 1.0]),
    repeat_share=st.sampled_from([0.0, 0.02, 0.99]),
    sigma=st.sampled_from([0.05, 0.3, 2.0]),
    memory=st.sampled_from([0.0, 0.8, 1.0]),
    said=st.lists(SOMETHING_HEARD, max_size=12),
)
def test_whatever_is_heard_they_are_probabilities(hop_s, repeat_share, sigma, memory, said):
    settings = LengthSettings(0.01, 0.99, repeat_share, sigma, 0.01, memory)
    lengths = Lengths.initial(settings, hop_s)
    for method, state, value in said:
        lengths = getattr(lengths, method)(state, value, settings)
    assert lengths.hazard.shape == (N_STATES, round(LONGEST_S / hop_s))
    assert ((lengths.hazard > 0) & (lengths.hazard < 1)).all()
    assert (lengths.successor >= 0).all()
    np.testing.assert_allclose(lengths.successor.sum(axis=1), 1)
    np.testing.assert_array_equal(np.diag(lengths.successor), 0)


def test_at_first_the_shares_are_those_of_the_settings():
    successor = Lengths.initial(SETTINGS, 0.1).successor
    expected = np.zeros((N_STATES, N_STATES))
    expected[INHALE, [EXHALE, AFTER_INHALE]] = 0.7, 0.3
    expected[EXHALE, [INHALE, AFTER_EXHALE]] = 0.4, 0.6
    expected[AFTER_INHALE, [EXHALE, INHALE]] = 0.95, 0.05
    expected[AFTER_EXHALE, [INHALE, EXHALE]] = 0.95, 0.05
    np.testing.assert_allclose(successor, expected)


@pytest.mark.parametrize("state", [INHALE, EXHALE])
@pytest.mark.parametrize("length_s", [0.4, 1.0, 2.0, 3.5])
def test_after_regular_breaths_a_phase_is_expected_to_end_there(state, length_s):
    lengths = after([length_s] * 6, state)
    peak_s = (1 + ending(lengths, state).argmax()) * lengths.hop_s
    assert peak_s == pytest.approx(length_s, rel=0.25)
    assert median_s(lengths, state) == pytest.approx(length_s, rel=0.25)
    others = [other for other in range(N_STATES) if other != state]
    np.testing.assert_array_equal(lengths.hazard[others], Lengths.initial(SETTINGS, 0.1).hazard[others])


def test_a_new_pace_is_learned_within_a_few_breaths():
    slow = [3.0] * 10
    medians_s = [median_s(after([*slow, *[0.6] * n]), INHALE) for n in range(0, 9, 2)]
    assert medians_s == sorted(medians_s, reverse=True)
    assert medians_s[-1] < 1.1


def test_the_more_is_heard_the_less_everybody_counts():
    def distance(n):
        return abs(median_s(after([2.5] * n, hop_s=0.02), INHALE) - 2.5)

    assert distance(8) < distance(1) < distance(0)
    stubborn = LengthSettings(prior_breaths=1000.0, memory=0.8)
    kept, everybody = after([2.5] * 8, settings=stubborn), Lengths.initial(stubborn, 0.1)
    np.testing.assert_allclose(ending(kept, INHALE), ending(everybody, INHALE), atol=0.005)


def test_steady_breathers_are_surer_with_a_smaller_sigma():
    wide, narrow = (
        ending(after([1.5] * 8, settings=LengthSettings(sigma=sigma, prior_breaths=0.01)), INHALE)
        for sigma in (0.6, 0.1)
    )
    assert narrow.max() > 2 * wide.max()


def test_a_hop_is_only_a_step_in_time():
    coarse, fine = (after([1.4] * 4, hop_s=hop_s) for hop_s in (0.1, 0.05))
    for state in range(N_STATES):
        lasting = np.cumprod(1 - coarse.hazard[state])[:30]
        same = np.cumprod(1 - fine.hazard[state])[1:60:2]
        np.testing.assert_allclose(lasting, same, atol=0.01)


@pytest.mark.parametrize(("phase", "pause"), [(INHALE, AFTER_INHALE), (EXHALE, AFTER_EXHALE)])
def test_whether_a_pause_follows_is_learned_and_never_impossible(phase, pause):
    """After hours without any pause the first one must still be heard."""
    for by_pause, other in ((False, pause), (True, EXHALE if phase == INHALE else INHALE)):
        lengths = Lengths.initial(SETTINGS, 1.0)
        shares = [lengths.successor[phase, other]]
        for _ in range(300):
            lengths = lengths.followed(phase, by_pause, SETTINGS)
            shares.append(lengths.successor[phase, other])
        assert (np.diff(shares) <= 1e-12).all()
        assert 0.001 < shares[-1] < 0.05


def test_what_is_heard_leaves_what_was_known_alone():
    before = Lengths.initial(SETTINGS, 0.1)
    kept = before.hazard.copy(), before.counts.copy(), before.pause_counts.copy()
    before.heard(EXHALE, 1.0, SETTINGS).followed(EXHALE, False, SETTINGS)
    for array, copy in zip((before.hazard, before.counts, before.pause_counts), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
