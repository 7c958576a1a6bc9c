"""The chance level: what a metronome shows, and that it is scored as the live path is."""

import json
from pathlib import Path

import numpy as np
import pytest

from engines.contract import RATE_HZ
from offline.streams.chance import (
    N_STARTS,
    Metronome,
    chance_level,
    metronome_from_truth,
    replay_from_metronome,
)
from offline.streams.files import Stream
from offline.streams.scores import all_measures, tally_from_replay
from realtime.events import Phase
from realtime.labels import PhaseInterval
from realtime.metrics import intervals_from_events

LENGTHS_S = (1.0, 0.25, 1.5, 0.5)
CYCLE_S = sum(LENGTHS_S)
NO_SENSE = {
    "macro_f1_forgiven",
    "phases_per_true",
    "rate_error_per_min",
    "phase_calibration_error",
    "phase_brier",
    "shown_calibration_error",
    "false_phases_per_min",
    "false_breaths_per_min",
}


def at(seconds):
    return round(seconds * RATE_HZ)


def interval(start_s, length_s, phase):
    return PhaseInterval(at(start_s), at(start_s + length_s), phase)


def regular(n_breaths, inhale_s=1.0, inhale_pause_s=0.25, exhale_s=1.5, exhale_pause_s=0.5, from_s=0.0):
    """Breaths that are all alike."""
    phases = []
    for number in range(n_breaths):
        start_s = from_s + number * (inhale_s + inhale_pause_s + exhale_s + exhale_pause_s)
        phases.append(interval(start_s, inhale_s, Phase.INHALE))
        phases.append(interval(start_s + inhale_s + inhale_pause_s, exhale_s, Phase.EXHALE))
    return phases


def stream(truth, kind="slow", name="a"):
    return Stream(name, Path(f"{name}.wav"), tuple(truth), kind)


METRONOME = Metronome(*(at(length_s) for length_s in LENGTHS_S))


def test_lengths_are_the_means_of_every_stream_and_long_pauses_are_none_of_breathing():
    one = [interval(1, 1.0, Phase.INHALE), interval(2.1, 2.0, Phase.EXHALE), interval(9, 3.0, Phase.INHALE)]
    other = [
        interval(0, 4.0, Phase.EXHALE),
        interval(4.5, 2.0, Phase.INHALE),
        interval(6.8, 1.0, Phase.EXHALE),
    ]
    found = metronome_from_truth([one, other])
    assert found.lengths_s == pytest.approx(
        {"inhale_s": 2.0, "inhale_pause_s": 0.2, "exhale_s": 7 / 3, "exhale_pause_s": 0.5}, abs=1e-4
    )
    assert metronome_from_truth([regular(4), regular(2)]) == METRONOME


def test_a_metronome_goes_round_from_wherever_it_starts_to_the_end_of_the_sound():
    heard = replay_from_metronome(METRONOME, at(1.5), at(5))
    shown = intervals_from_events(heard.events, heard.n_samples)
    assert shown == [
        PhaseInterval(0, at(1.25), Phase.EXHALE),
        interval(1.75, 1.0, Phase.INHALE),
        interval(3.0, 1.5, Phase.EXHALE),
    ]
    assert [(frame.end_sample, frame.phase) for frame in heard.frames] == [
        (event.reported_sample, event.phase) for event in heard.events
    ]


def test_a_metronome_at_the_right_start_is_perfect_so_it_is_scored_as_a_listener():
    truth = regular(4)
    tally, delays_s = tally_from_replay(replay_from_metronome(METRONOME, 0, at(4 * CYCLE_S)), truth)
    measures = all_measures(tally, delays_s)
    assert measures["macro_f1_live"] == measures["onset_f1"] == measures["segment_f1_inhale"] == 1.0
    assert measures["onset_delay_p90_s"] == 0.0


def test_chance_is_the_counts_of_all_starts_together():
    truth, n_samples = regular(5, from_s=0.7), at(5 * CYCLE_S)
    chance = chance_level([(stream(truth), n_samples)])
    starts = [METRONOME.cycle * number // N_STARTS for number in range(N_STARTS)]
    scored = [
        tally_from_replay(replay_from_metronome(METRONOME, start, n_samples), truth) for start in starts
    ]
    hits, false_alarms, misses = sum(tally.onsets[0].sum(axis=0) for tally, _ in scored)
    assert chance.overall["onset_f1"] == pytest.approx(2 * hits / (2 * hits + false_alarms + misses))
    delays_s = np.concatenate([found for _, found in scored])
    assert chance.overall["onset_delay_p50_s"] == pytest.approx(np.median(delays_s))
    # Shown at any moment from 0.3 s before to 1 s after an onset: the middle of these.
    assert chance.overall["onset_delay_p50_s"] == pytest.approx(0.35, abs=0.1)
    assert chance.by_kind == {"slow": chance.overall}


def test_where_phases_are_short_chance_finds_most_onsets_and_where_they_are_long_few():
    fast = stream(regular(40, 0.7, 0.1, 0.7, 0.1, from_s=0.5), "fast")
    slow = stream(regular(10, 1.5, 0.3, 2.5, 2.0, from_s=0.5), "slow")
    chance = chance_level([(fast, at(66)), (slow, at(66))])
    fast_f1, slow_f1 = chance.by_kind["fast"]["onset_f1"], chance.by_kind["slow"]["onset_f1"]
    assert slow_f1 < 0.3 < chance.overall["onset_f1"] < fast_f1
    assert fast_f1 > 0.6
    assert chance.by_kind["fast"]["macro_f1_live"] < 0.5
    assert {kind: one.cycle for kind, one in chance.metronomes.items()} == {"fast": at(1.6), "slow": at(6.3)}


def test_overall_leaves_out_the_streams_without_breath_and_their_kind_has_none():
    breathing, silent = (stream(regular(4)), at(14)), (stream([], "slow", "b"), at(30))
    chance = chance_level([breathing, silent, (stream([], "negative", "c"), at(9))])
    alone = chance_level([breathing])
    assert chance.overall == alone.overall
    assert set(chance.metronomes) == set(chance.by_kind) == {"slow"}
    # As in the figures beside it, a kind is all of its streams.
    assert chance.by_kind["slow"]["onset_precision"] < alone.by_kind["slow"]["onset_precision"]
    nothing = chance_level([silent])
    assert nothing.overall == nothing.by_kind == nothing.metronomes == {}


def test_a_truth_of_one_phase_alone_has_a_metronome_too():
    chance = chance_level([(stream([interval(1, 2.0, Phase.EXHALE)]), at(10))])
    assert chance.metronomes["slow"].parts == ((Phase.EXHALE, at(2)),)
    assert 0 < chance.overall["f1_live_exhale"] < 1
    assert json.loads(json.dumps(chance.to_json(), allow_nan=False))["overall"]["segment_f1_inhale"] is None


def test_measures_that_follow_from_the_lengths_alone_are_left_out():
    truth, n_samples = regular(4), at(14)
    every = all_measures(*tally_from_replay(replay_from_metronome(METRONOME, 0, n_samples), truth))
    chance = chance_level([(stream(truth), n_samples)])
    assert set(every) - set(chance.overall) == NO_SENSE
    content = json.loads(json.dumps(chance.to_json(), allow_nan=False))
    assert list(content) == ["n_starts", "lengths_s", "overall", "by_kind"]
    assert content["lengths_s"]["slow"] == {
        "inhale_s": 1.0,
        "inhale_pause_s": 0.25,
        "exhale_s": 1.5,
        "exhale_pause_s": 0.5,
    }
