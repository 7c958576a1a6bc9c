from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from engines.errors import ConfigError, LabelsError
from offline.compose.phase_times import DEFAULT_PHASE_TIMES, PhaseTimes
from offline.compose.settings import ComposeSettings
from offline.compose.timeline import draw_timeline
from realtime.events import Phase

FAST = ComposeSettings(long_pauses_per_min=(0, 0), unheard_exhale_share=(0, 0))
SLOW = replace(FAST, kind="slow")


def drawn(settings, n=40):
    return [draw_timeline(settings, np.random.default_rng(seed)) for seed in range(n)]


def lengths_s(timelines, phase):
    intervals = [slot.interval for timeline in timelines for slot in timeline.slots]
    return np.array([(i.end_sample - i.start_sample) / 16_000 for i in intervals if i.phase is phase])


def gaps_s(timelines, after):
    return np.array(
        [
            (later.interval.start_sample - earlier.interval.end_sample) / 16_000
            for timeline in timelines
            for earlier, later in pairwise(timeline.slots)
            if earlier.interval.phase is after
        ]
    )


@pytest.mark.parametrize("kind", ["fast", "slow", "mixed"])
def test_phases_take_turns_within_the_stream_and_never_overlap(kind):
    for timeline in drawn(replace(FAST, kind=kind), 10):
        assert timeline.n_samples == 960_000
        assert len(timeline.slots) > 10
        assert timeline.slots[0].interval.start_sample >= 0.2 * 16_000
        assert timeline.slots[-1].interval.end_sample <= timeline.n_samples
        for earlier, later in pairwise(timeline.slots):
            assert earlier.interval.end_sample <= later.interval.start_sample
            assert earlier.interval.phase is not later.interval.phase


@pytest.mark.parametrize(("phase", "name"), [(Phase.INHALE, "inhale_s"), (Phase.EXHALE, "exhale_s")])
def test_fast_phases_have_the_quantiles_of_the_table(phase, name):
    found = lengths_s(drawn(FAST, 150), phase)
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(found, share) == pytest.approx(DEFAULT_PHASE_TIMES.at(name, share), rel=0.12)


def test_fast_gaps_are_short_with_a_long_tail():
    timelines = drawn(FAST, 150)
    for after, name in ((Phase.INHALE, "gap_after_inhale_s"), (Phase.EXHALE, "gap_after_exhale_s")):
        found = gaps_s(timelines, after)
        assert found.min() >= 0
        assert np.median(found) == pytest.approx(DEFAULT_PHASE_TIMES.at(name, 0.5), abs=0.03)
        assert found.max() > DEFAULT_PHASE_TIMES.at(name, 0.95)


def test_phases_of_one_fast_stream_are_alike_as_far_as_is_asked():
    def spread_of_means(correlation):
        timelines = drawn(replace(FAST, tempo_correlation=correlation), 60)
        return np.std([lengths_s([timeline], Phase.INHALE).mean() for timeline in timelines])

    assert spread_of_means(0.8) > 2 * spread_of_means(0.0)


def test_slow_streams_are_breathing_at_rest():
    timelines = drawn(SLOW)
    for found, (low, high) in (
        (lengths_s(timelines, Phase.INHALE), (1, 2)),
        (lengths_s(timelines, Phase.EXHALE), (1.5, 3)),
        (gaps_s(timelines, Phase.EXHALE), (0.3, 2)),
        (gaps_s(timelines, Phase.INHALE), (0.03, 0.25)),
    ):
        assert low - 1e-4 <= found.min()
        assert found.max() <= high + 1e-4
    for timeline in timelines:
        starts = [
            slot.interval.start_sample for slot in timeline.slots if slot.interval.phase is Phase.INHALE
        ]
        assert 7.5 < 60 * 16_000 / np.mean(np.diff(starts)) < 17


def test_a_mixed_stream_holds_sections_of_both():
    timelines = drawn(replace(FAST, kind="mixed", seconds=120), 10)
    for timeline in timelines:
        assert {slot.is_slow for slot in timeline.slots} == {True, False}
        assert sum(a.is_slow is not b.is_slow for a, b in pairwise(timeline.slots)) <= 10


def test_long_pauses_follow_exhalations_and_are_told():
    timelines = drawn(replace(FAST, long_pauses_per_min=(3, 3)))
    pauses = [(timeline, pause) for timeline in timelines for pause in timeline.pauses]
    assert 1 < len(pauses) / len(timelines) < 4
    for timeline, (start, end) in pauses:
        before = [slot.interval for slot in timeline.slots if slot.interval.end_sample <= start]
        assert before[-1].phase is Phase.EXHALE
        assert before[-1].end_sample == start
        assert 2 <= (end - start) / 16_000 <= 8 or end == timeline.n_samples
        assert not any(start < slot.interval.start_sample < end for slot in timeline.slots)


@pytest.mark.parametrize("kind", ["fast", "slow"])
def test_an_unheard_exhalation_leaves_a_gap_between_two_inhalations(kind):
    timelines = drawn(replace(FAST, kind=kind, unheard_exhale_share=(0.3, 0.3)), 10)
    for timeline in timelines:
        pairs = [(a.interval, b.interval) for a, b in pairwise(timeline.slots)]
        in_a_row = [(a, b) for a, b in pairs if a.phase is b.phase]
        assert all(a.phase is Phase.INHALE for a, _ in in_a_row)
        assert timeline.n_unheard - 1 <= len(in_a_row) <= timeline.n_unheard
        assert all(b.start_sample - a.end_sample > 0.4 * 16_000 for a, b in in_a_row)
    assert sum(timeline.n_unheard for timeline in timelines) > 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "quick"}, "fast, slow or mixed"),
        ({"seconds": 0.1}, "1 to 3600"),
        ({"release_s": (0.2, 0.1)}, "release_s"),
        ({"long_pause_s": (-1, 3)}, "below 0"),
        ({"clean_share": 1.5}, "clean_share"),
        ({"level_spread": (0.5, 2)}, "level_spread"),
        ({"lowpass_hz": (0, 2000)}, "lowpass_hz"),
        ({"slow_rate_per_min": (40, 60)}, "slow_rate_per_min"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        ComposeSettings(**changes)


def test_tables_are_measured_from_a_csv(tmp_path):
    path = tmp_path / "phases.csv"
    rows = ["a,I,0.0,1.0", "a,E,1.1,2.1", "a,I,2.4,3.4", "a,I,5.4,6.4", "b,E,0,1.0"]
    path.write_text("recording,phase,start_s,end_s\n" + "\n".join(rows) + "\n")
    times = PhaseTimes.read(path)
    assert times.at("inhale_s", 0.5) == times.at("exhale_s", 0.5) == 1.0
    assert times.at("gap_after_inhale_s", 0.3) == pytest.approx(0.1)
    assert times.at("gap_after_exhale_s", 0.3) == pytest.approx(0.3)
    assert times.at("gap_unheard_exhale_s", 0.3) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "text",
    ["a,b\n", "recording,phase,start_s,end_s\na,I,1,0.5\n", "recording,phase,start_s,end_s\na,I,0,1\n"],
)
def test_a_csv_without_timelines_is_refused(tmp_path, text):
    path = tmp_path / "phases.csv"
    path.write_text(text)
    with pytest.raises(LabelsError, match=r"phases\.csv"):
        PhaseTimes.read(path)


@pytest.mark.data
def test_the_default_table_is_that_of_the_real_timelines(shared_timelines):
    assert PhaseTimes.read(shared_timelines) == DEFAULT_PHASE_TIMES
