"""Engines in turn, each behind a real pipeline; no assertion on how long anything takes."""

import itertools

import numpy as np
import pytest

from engines.contract import WINDOW_SAMPLES
from engines.manifest import SplitDays
from offline.benchmark.lanes import Lane, interleave, looped_blocks
from offline.benchmark.measurement import demo_sound
from realtime.pipeline import PipelineSettings


@pytest.fixture(scope="module")
def sound():
    return demo_sound(3.0)


class Recorder:
    """Engine of known answers that writes down what it was given, and when among the others."""

    def __init__(self, name, log, inference):
        self.name, self.log, self.inference = name, log, inference

    def warm_up(self):
        self.log.append((self.name, "warm-up"))

    def infer(self, windows):
        self.log.append((self.name, windows.copy()))
        return self.inference


@pytest.fixture
def make_lane(loudness_engine, sound, make_pack):
    manifest = make_pack(SplitDays()).manifest
    silence = loudness_engine.infer(np.zeros((1, WINDOW_SAMPLES), np.float32))

    def make(name, log, hop_s=0.1, share=1.0):
        settings = PipelineSettings(hop_s=hop_s)
        return Lane(name, Recorder(name, log, silence), manifest, settings, sound, share=share)

    return make


def order_of(log):
    return [name for name, what in log if not isinstance(what, str)]


def measured(lanes, log, **more):
    for lane in lanes:
        lane.warm_up(1)
    log.clear()
    settings = {"n_windows": 40, "seconds": 0.0, "seed": 0} | more
    interleave(lanes, **settings)


def test_blocks_go_round_without_a_seam():
    sound = np.arange(10, dtype=np.float32)
    blocks = list(itertools.islice(looped_blocks(sound, 4, first=7), 5))
    assert [block.start for block in blocks] == [0, 4, 8, 12, 16]
    heard = np.concatenate([block.samples[:, 0] for block in blocks])
    np.testing.assert_array_equal(heard, np.arange(7, 27) % 10)


@pytest.mark.parametrize("hop_s", [0.01, 0.1, 0.3, 1.0])
def test_every_hop_is_one_window_of_the_sound_and_warm_up_is_not_kept(make_lane, sound, hop_s):
    log = []
    lane = make_lane("a", log, hop_s=hop_s)
    lane.warm_up(3)
    assert log[0] == ("a", "warm-up")
    assert len(log) == 4
    assert not lane.hops_s
    for _ in range(5):
        lane.hear()
    assert len(lane.hops_s) == 5
    hop_samples = round(16_000 * hop_s)
    twice = np.concatenate([sound] * 4)
    for number, (_, windows) in enumerate(log[1:]):
        at = number * hop_samples % len(sound)
        np.testing.assert_array_equal(windows[0], twice[at : at + WINDOW_SAMPLES])


def test_the_stages_of_the_pipeline_are_kept_in_order(tiny_lane):
    tiny_lane.warm_up(1)
    tiny_lane.hear()
    assert list(tiny_lane.stages_s) == ["window", "features", "cnn8", "vgg", "fusion", "decision"]
    stages_s = [duration for (duration,) in tiny_lane.stages_s.values()]
    assert all(duration >= 0 for duration in stages_s)
    assert sum(stages_s) <= tiny_lane.hops_s[0]


@pytest.fixture
def tiny_lane(tiny_pack, sound):
    from engines.onnx_backend import OnnxEngine
    from engines.pack import load_pack

    pack = load_pack(tiny_pack)
    with OnnxEngine(pack, 1) as engine:
        yield Lane("tiny", engine, pack.manifest, PipelineSettings(), sound)


def test_every_round_holds_every_engine_once_in_a_drawn_order(make_lane):
    log = []
    lanes = [make_lane(name, log) for name in "abc"]
    measured(lanes, log)
    order = order_of(log)
    rounds = ["".join(order[first : first + 3]) for first in range(0, len(order), 3)]
    assert len(rounds) == 40
    assert all(sorted(one) == list("abc") for one in rounds)
    assert len(set(rounds)) == 6


def test_turns_of_several_windows_and_what_follows_another_engine_is_not_kept(make_lane):
    log = []
    lanes = [make_lane(name, log) for name in "ab"]
    measured(lanes, log, n_windows=12, n_in_turn=4, n_settling=2)
    assert [len(lane.hops_s) for lane in lanes] == [12, 12]
    turns = [(name, len(list(heard))) for name, heard in itertools.groupby(order_of(log))]
    # The first turn of all follows nobody, and who ends a round may begin the next one.
    assert turns[0][1] in (4, 8)
    assert {n_heard for _, n_heard in turns[1:]} <= {6, 10}
    assert sum(n_heard for _, n_heard in turns) == 2 * 12 + 2 * (len(turns) - 1)


def test_who_is_alone_follows_nobody(make_lane):
    log = []
    measured([make_lane("a", log)], log, n_windows=8, n_in_turn=4, n_settling=2)
    assert len(order_of(log)) == 8


def test_the_same_seed_draws_the_same_order(make_lane):
    orders = []
    for seed in (1, 1, 2):
        log = []
        measured([make_lane(name, log) for name in "ab"], log, seed=seed)
        orders.append(order_of(log))
    assert orders[0] == orders[1] != orders[2]


def test_all_engines_hear_the_same_sound(make_lane):
    log = []
    measured([make_lane(name, log) for name in "ab"], log, n_windows=10)
    heard = {name: [windows for other, windows in log if other == name] for name in "ab"}
    np.testing.assert_array_equal(heard["a"], heard["b"])


def test_a_slow_engine_gets_its_share_spread_over_the_run(make_lane):
    log = []
    lanes = [make_lane("fast", log), make_lane("slow", log, share=0.1)]
    measured(lanes, log, n_windows=100)
    order = order_of(log)
    assert (order.count("fast"), order.count("slow")) == (100, 10)
    places = [place for place, name in enumerate(order) if name == "slow"]
    assert max(np.diff(places)) <= 13


def test_the_run_goes_on_until_enough_was_measured_of_both_windows_and_seconds(make_lane):
    log = []
    lane = make_lane("a", log)
    measured([lane], log, n_windows=3, seconds=0.02)
    assert len(lane.hops_s) >= 3
    assert sum(lane.hops_s) >= 0.02
    assert sum(lane.hops_s[:-1]) < 0.02 or len(lane.hops_s) == 3


def test_progress_reaches_the_end(make_lane):
    told, log = [], []
    measured([make_lane("a", log)], log, n_windows=10, progress=lambda done, _n: told.append(done))
    assert told == sorted(set(told))
    assert told[-1] == 100
