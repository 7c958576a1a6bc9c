"""Streams in batches, with an engine whose cost is known, on a clock that only moves when it is told to."""

import numpy as np
import pytest

from engines.backend import Inference
from engines.contract import WINDOW_SAMPLES
from engines.manifest import SplitDays
from offline.benchmark.lanes import Lane
from offline.benchmark.measurement import demo_sound
from offline.benchmark.statistics import distribution_from_durations
from offline.benchmark.streams import (
    StreamBank,
    StreamTrial,
    find_most_streams,
    search_streams,
    try_streams,
)
from realtime.pipeline import PipelineSettings
from realtime.sound.pacing import WallClock

HOP_S = 0.1
SETTINGS = PipelineSettings(hop_s=HOP_S)


class Costly:
    """Takes 10 ms for a batch and 5 ms for each window of it, on a clock of its own."""

    def __init__(self, slow_from=None):
        self.now_s = 0.0
        self.batches = []
        self.slow_from = slow_from
        self.clock = WallClock(lambda: self.now_s, self.sleep)

    def sleep(self, seconds):
        self.now_s += seconds

    def infer(self, windows):
        self.batches.append(windows.copy())
        self.now_s += 0.010 + 0.005 * len(windows)
        if self.slow_from is not None and len(self.batches) > self.slow_from:
            self.now_s += 1.0
        logits = np.zeros((len(windows), 2), np.float32)
        return Inference(logits, {}, logits)


@pytest.fixture(scope="module")
def sound():
    return demo_sound(4.0)


@pytest.fixture
def manifest(make_pack):
    return make_pack(SplitDays()).manifest


def test_the_most_streams_are_those_that_fit_into_a_hop(manifest, sound):
    engine = Costly()
    trials = search_streams(None, engine, manifest, SETTINGS, sound, 1.0, engine.clock)
    # 10 ms + 18 * 5 ms = 100 ms: just within the hop, but for rounding.
    assert trials[-1].n_streams in (17, 18)
    assert trials[-1].is_carried
    assert [trial.n_streams for trial in trials][:6] == [1, 2, 4, 8, 16, 32]
    assert trials[-1].batch.p99 == pytest.approx(10 + 5 * trials[-1].n_streams)
    assert trials[-1].n_hops == 30


def test_a_number_of_streams_is_tried_once(manifest, sound):
    engine = Costly()
    (trial,) = search_streams(30, engine, manifest, SETTINGS, sound, 1.0, engine.clock)
    assert (trial.n_streams, trial.n_hops, trial.n_dropped, trial.is_carried) == (30, 1, 30, False)
    assert trial.to_json()["dropped_windows"] == 30


def test_a_late_batch_drops_the_windows_of_every_hop_it_overruns(manifest, sound):
    engine = Costly(slow_from=8)
    trial = try_streams(4, engine, manifest, SETTINGS, sound, 2.0, engine.clock)
    assert trial.n_hops == 6  # after three to warm up
    assert trial.n_dropped == 4 * 10
    assert trial.batch.max == pytest.approx(1030)


def test_where_not_even_one_is_carried_the_last_trial_says_so():
    def refuse(n_streams):
        return StreamTrial(n_streams, 1, n_streams, distribution_from_durations([1.0]))

    trials = find_most_streams(refuse, refuse)
    assert [trial.n_streams for trial in trials] == [1, 1]
    assert not trials[-1].is_carried


@pytest.mark.parametrize("limit", range(1, 41))
def test_every_limit_is_found_in_few_trials(limit):
    def carry(n_streams):
        return StreamTrial(n_streams, 1, 0 if n_streams <= limit else 1, distribution_from_durations([0.1]))

    trials = find_most_streams(carry, carry, n_most=32)
    assert trials[-1].n_streams == min(limit, 32)
    assert len(trials) <= 12


def test_what_a_longer_trial_refuses_is_lowered_until_it_holds():
    def carry(limit):
        return lambda n_streams: StreamTrial(
            n_streams, 1, 0 if n_streams <= limit else 1, distribution_from_durations([0.1])
        )

    trials = find_most_streams(carry(20), carry(15))
    assert [trial.n_streams for trial in trials][-5:] == [20, 18, 17, 16, 15]
    assert [trial.is_carried for trial in trials][-5:] == [False] * 4 + [True]


@pytest.mark.parametrize("hop_s", [0.1, 0.3])
def test_a_bank_of_one_hears_what_a_lane_hears(manifest, sound, hop_s):
    settings = PipelineSettings(hop_s=hop_s)
    in_bank, in_lane = Costly(), Costly()
    in_lane.warm_up = lambda: None
    bank = StreamBank(1, in_bank, manifest, settings, sound)
    lane = Lane("lane", in_lane, manifest, settings, sound)
    lane.warm_up(1)
    bank.hear()
    for _ in range(60):
        bank.hear()
        lane.hear()
    np.testing.assert_array_equal(np.stack(in_bank.batches), np.stack(in_lane.batches))


def test_streams_of_a_bank_hear_different_places_in_one_batch(manifest, sound):
    engine = Costly()
    bank = StreamBank(3, engine, manifest, SETTINGS, sound)
    bank.hear()
    (batch,) = engine.batches
    assert batch.shape == (3, WINDOW_SAMPLES)
    for row, first in enumerate((0, len(sound) // 3, 2 * len(sound) // 3)):
        np.testing.assert_array_equal(batch[row], sound[first : first + WINDOW_SAMPLES])
