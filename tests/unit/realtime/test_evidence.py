"""The evidence: what a window says of every state and age."""

from dataclasses import replace

import numpy as np
import pytest

from engines.contract import RATE_HZ
from engines.manifest import Emission, NormalByAge
from engines.pack import load_pack
from realtime.decision import DecisionSettings, DecisionState, advance
from realtime.events import Phase
from realtime.evidence import Evidence, Observation
from realtime.lengths import AFTER_EXHALE, AFTER_INHALE, EXHALE, INHALE

SETTINGS = DecisionSettings(phase_weight=0.5, presence_weight=1.0, presence_caution=0.0, breath_share=0.6)
HOP = 1600
# Just after its onset a phase still sounds like the one before.
PHASE = NormalByAge(
    mean=((1.0, -2.0, -3.0), (-1.0, 2.0, 3.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    sd=((1.0,), (1.0,), (1.0,), (0.5,)),
)
PRESENCE = NormalByAge(
    mean=((1.0, 2.0, 2.0), (1.0, 2.0, 2.0), (-1.0, -2.0, -2.0), (-1.0, -2.0, -2.0)), sd=((1.0,),) * 4
)
# What begins gets louder, by how much varies; later on a level stays as it is.
RISE = NormalByAge(
    mean=((6.0, 0.0, 0.0), (6.0, 0.0, 0.0), (-6.0, 0.0, 0.0), (-6.0, 0.0, 0.0)),
    sd=((4.0, 2.0, 1.0), (4.0, 2.0, 1.0), (4.0, 2.0, 1.0), (4.0, 2.0, 1.0)),
)
EMISSION = Emission((0.2, 0.5), PHASE, PRESENCE, n_windows=1000, streams="")
WITH_RISE = Emission((0.2, 0.5), PHASE, PRESENCE, n_windows=1000, streams="", rise=RISE)


def prob(log_odds):
    return 1 / (1 + np.exp(-log_odds))


def evidence_of(emission=EMISSION, settings=SETTINGS, hop=HOP):
    return Evidence.of(emission, settings, DecisionState.initial(settings, hop))


def test_without_an_emission_posteriors_are_divided_by_their_priors():
    likelihood = evidence_of(None).likelihood(Observation(0.9, 0.8))
    assert likelihood.shape == DecisionState.initial(SETTINGS, HOP).belief.shape
    present, absent = 0.8 / 0.6, 0.2 / 0.4
    for state, expected in {
        INHALE: (2 * 0.1) ** 0.5 * present,
        EXHALE: (2 * 0.9) ** 0.5 * present,
        AFTER_INHALE: absent,
        AFTER_EXHALE: absent,
    }.items():
        np.testing.assert_allclose(likelihood[state], expected)


def test_with_an_emission_ages_are_told_apart():
    """Up to 0.2 s there are two ages, at 0.05 and 0.15 s; up to 0.5 s three more."""
    likelihood = evidence_of().likelihood(Observation(prob(-2.0), prob(2.0)))
    for column in ([0, 1], [2, 3, 4], [5, 6, 59]):
        np.testing.assert_allclose(likelihood[:, column], likelihood[:, [column[0]] * len(column)])
    # The same window by hand: normal densities, tempered.
    log_likelihood = np.log(likelihood)
    middle_over_young = 0.5 * (3.0**2 / 2) + 1.0**2 / 2
    assert log_likelihood[INHALE, 2] - log_likelihood[INHALE, 0] == pytest.approx(middle_over_young)
    assert log_likelihood[INHALE, 2] - log_likelihood[INHALE, 5] == pytest.approx(0.5 * 1.0**2 / 2)
    inhale_over_pause = 0.5 * (2.0**2 / 2) + 4.0**2 / 2
    assert log_likelihood[INHALE, 2] - log_likelihood[AFTER_INHALE, 2] == pytest.approx(inhale_over_pause)
    of_deviation = 0.5 * (np.log(0.5) + (2.0 / 0.5) ** 2 / 2 - 2.0**2 / 2)
    assert log_likelihood[AFTER_INHALE, 2] - log_likelihood[AFTER_EXHALE, 2] == pytest.approx(
        min(of_deviation, 12.0 - inhale_over_pause)
    )


def test_what_gets_louder_has_just_begun():
    quiet = evidence_of().likelihood(Observation(0.5, 0.5, 5.0))
    np.testing.assert_array_equal(quiet, evidence_of().likelihood(Observation(0.5, 0.5)))
    settings = replace(SETTINGS, rise_weight=0.25)
    by_rise = np.log(evidence_of(WITH_RISE, settings).likelihood(Observation(0.5, 0.5, 5.0)) / quiet)
    young, middle = -0.5 * ((5.0 - 6.0) / 4.0) ** 2 - np.log(4.0), -0.5 * (5.0 / 2.0) ** 2 - np.log(2.0)
    for state in (INHALE, EXHALE):
        assert by_rise[state, 0] - by_rise[state, 2] == pytest.approx(0.25 * (young - middle))
    fallen = -0.5 * ((5.0 + 6.0) / 4.0) ** 2 - np.log(4.0)
    assert by_rise[INHALE, 0] - by_rise[AFTER_INHALE, 0] == pytest.approx(0.25 * (young - fallen))


@pytest.mark.parametrize("hop", [800, 3200, 4000, 8000, 5000])
def test_an_age_in_hops_has_its_share_of_every_range_that_it_touches(hop):
    fine, coarse = (evidence_of(hop=one).overlap for one in (1, hop))
    whole = fine[:, : coarse.shape[1] * hop].reshape(3, -1, hop).mean(axis=2)
    np.testing.assert_allclose(coarse[:, : whole.shape[1]], whole, atol=1e-12)
    np.testing.assert_allclose(coarse.sum(axis=0), 1.0)
    assert (coarse.sum(axis=1) > 0).all()


@pytest.mark.parametrize("prob_breath", [0.9, 0.95, 0.98, 0.9975, 1.0])
@pytest.mark.parametrize("phase", [Phase.INHALE, Phase.EXHALE])
@pytest.mark.parametrize("sure", [0.75, 0.88, 0.95, 0.99])
def test_with_the_shipped_pack_a_loud_breath_that_does_not_fade_is_one_phase(phase, sure, prob_breath):
    """Three seconds, after two of a quiet room; the streams that it was fitted to fade sooner.

    What comes first after silence is a guess, and an onset so loud is rather an inhalation's: that may be
    corrected within 0.7 s, and then nothing changes. The level of the newest eighth of a second is compared
    with that 0.3 s before, so it has risen for three windows.
    """
    settings = DecisionSettings()
    state = DecisionState.initial(settings, HOP)
    evidence = Evidence.of(load_pack("default").manifest.emission, settings, state)
    prob_exhale = sure if phase is Phase.EXHALE else 1 - sure
    begun, going_on = (Observation(prob_exhale, prob_breath, rise_db) for rise_db in (10.0, 0.0))
    heard = [Observation(0.6, 0.1)] * 20 + [begun] * 3 + [going_on] * 27
    events = []
    for k, observation in enumerate(heard):
        state, decided = advance(state, evidence.likelihood(observation), 16000 + k * HOP, settings)
        events += [decided.event] if decided.event else []
    assert events[-1].phase is phase
    assert events[-1].reported_sample <= 16000 + 20 * HOP + 0.7 * RATE_HZ


def test_with_caution_more_presence_says_as_much():
    cautious = replace(SETTINGS, presence_caution=0.5)
    np.testing.assert_allclose(
        evidence_of(settings=cautious).likelihood(Observation(0.3, prob(1.5))),
        evidence_of().likelihood(Observation(0.3, prob(1.0))),
    )


def test_under_the_gate_there_is_no_phase_whatever_the_networks_say():
    likelihood = evidence_of().likelihood(Observation(0.999, 0.0))
    np.testing.assert_allclose(likelihood[[AFTER_INHALE, AFTER_EXHALE]], 1.0)
    np.testing.assert_allclose(likelihood[[INHALE, EXHALE]], np.exp(-9.0))


@pytest.mark.parametrize("emission", [None, EMISSION, WITH_RISE])
def test_no_window_says_that_something_is_impossible(emission):
    for prob_exhale in (0.0, 1e-30, 0.5, 1.0):
        for prob_breath in (0.0, 1e-30, 0.5, 1.0):
            for rise_db in (-10.0, 0.0, 10.0):
                heard = Observation(prob_exhale, prob_breath, rise_db)
                likelihood = evidence_of(emission).likelihood(heard)
                assert np.isfinite(likelihood).all()
                assert likelihood.min() > 1e-6 * likelihood.max()


@pytest.mark.parametrize("emission", [None, EMISSION, WITH_RISE])
def test_two_windows_at_half_the_hop_say_as_much_as_one(emission):
    whole = evidence_of(emission).likelihood(Observation(0.7, 0.6, 4.0))[:, 30]
    half = evidence_of(emission, hop=HOP // 2).likelihood(Observation(0.7, 0.6, 4.0))[:, 60]
    np.testing.assert_allclose(half**2, whole)


@pytest.mark.parametrize("prob_breath", [0.0, 0.4])
def test_a_weight_of_nothing_hears_nothing(prob_breath):
    deaf = replace(SETTINGS, phase_weight=0.0, presence_weight=0.0, rise_weight=0.0)
    likelihood = evidence_of(WITH_RISE, deaf).likelihood(Observation(0.9, prob_breath, 8.0))
    if prob_breath:
        np.testing.assert_allclose(likelihood, 1.0)
    else:  # the gate has no weight: it is the user's word
        assert likelihood[INHALE, 0] < 1e-3


def test_a_phase_that_begins_with_the_sound_of_the_one_before_is_shown_without_a_detour():
    """The first two windows of an exhalation sound like an inhalation; a blind decision would wait longer."""
    beginning, inhaling = (prob(1.0), prob(1.0)), (prob(-2.0), prob(2.0))
    turning, exhaling = (prob(-1.0), prob(1.0)), (prob(2.0), prob(2.0))
    heard = [beginning] * 2 + [inhaling] * 8 + [turning] * 2 + [exhaling] * 8

    def shown(emission):
        state = DecisionState.initial(SETTINGS, HOP)
        evidence = Evidence.of(emission, SETTINGS, state)
        events = []
        for k, probs in enumerate(heard):
            state, decided = advance(
                state, evidence.likelihood(Observation(*probs)), 16000 + k * HOP, SETTINGS
            )
            events += [decided.event] if decided.event else []
        return events

    aware, blind = shown(EMISSION), shown(None)
    assert [event.phase for event in aware] == [Phase.INHALE, Phase.EXHALE]
    assert aware[-1].reported_sample <= blind[-1].reported_sample
    true_onset = 16000 + 9 * HOP
    assert abs(aware[-1].onset_sample - true_onset) <= HOP
    assert abs(aware[-1].onset_sample - true_onset) < abs(blind[-1].onset_sample - true_onset)
