"""Scores of shown phases, on cases whose answers were counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import RATE_HZ
from realtime.events import Frame, Phase, PhaseEvent
from realtime.labels import PhaseInterval
from realtime.metrics import (
    BREATH_PHASES,
    calibration_error,
    codes_from_frames,
    codes_from_intervals,
    confidence_bins,
    confusion_from_codes,
    f1_from_confusion,
    f1_from_counts,
    intervals_from_events,
    matched_onsets,
    mean_of_known,
    onset_counts,
    segment_counts,
    stretches_without_breath,
)

NONE, INHALE, EXHALE = Phase.NONE, Phase.INHALE, Phase.EXHALE
TEN_SECONDS = 10 * RATE_HZ
EARLY, LATE = round(0.3 * RATE_HZ), RATE_HZ

# Four seconds of each phase after one second of none: 1-5 in, 5-9 out, 9-10 none.
TRUTH = [(1.0, 5.0, INHALE), (5.0, 9.0, EXHALE)]


def at(seconds):
    return round(seconds * RATE_HZ)


def phases(rows):
    return [PhaseInterval(at(start_s), at(end_s), phase) for start_s, end_s, phase in rows]


def frame(end_s, phase):
    return Frame(at(end_s), 0.5, phase, 1.0, -30.0)


def late(rows, delay_s):
    return [(start_s + delay_s, end_s + delay_s, phase) for start_s, end_s, phase in rows]


def live_f1(truth, shown, n_samples=TEN_SECONDS):
    """F1 of none, inhale and exhale, and their mean."""
    codes = [codes_from_intervals(phases(side), n_samples) for side in (truth, shown)]
    each = f1_from_confusion(confusion_from_codes(*codes))
    return each, mean_of_known(each)


def segment_f1(truth, shown, n_samples=TEN_SECONDS):
    return f1_from_counts(segment_counts(phases(truth), phases(shown), n_samples))


def test_a_perfect_stream():
    each, macro = live_f1(TRUTH, TRUTH)
    assert each.tolist() == [1.0, 1.0, 1.0]
    assert macro == 1.0
    assert segment_f1(TRUTH, TRUTH).tolist() == [1.0, 1.0]
    assert matched_onsets([at(1), at(4)], [at(1), at(4)], EARLY, LATE) == [(0, 0), (1, 1)]


def test_everything_a_quarter_second_late():
    each, macro = live_f1(TRUTH, late(TRUTH, 0.25))
    # Of 400 instants of a phase 375 are shown, and 25 more show it wrongly. None: 100 + 100 instants, of
    # which 100 + 75 are shown, and 25 more at the start.
    assert each.tolist() == pytest.approx([2 * 175 / (200 + 200), 375 / 400, 375 / 400])
    assert macro == pytest.approx((175 / 200 + 2 * 375 / 400) / 3)
    # Shown 1.25-5.25 and 5.25-9.25. Segments of 0.1 s: true 10-49 and 50-89, shown 12-52 and 52-92 (41 each).
    assert segment_f1(TRUTH, late(TRUTH, 0.25)).tolist() == pytest.approx([2 * 38 / (40 + 41)] * 2)
    assert matched_onsets([at(1)], [at(1.25)], EARLY, LATE) == [(0, 0)]
    assert matched_onsets([at(1)], [at(1.25)], at(0.2), at(0.2)) == []


def test_a_phase_missed():
    each, macro = live_f1(TRUTH, TRUTH[:1])
    # None is shown for 600 instants, 200 of them rightly.
    assert each.tolist() == pytest.approx([2 * 200 / (200 + 600), 1.0, 0.0])
    assert macro == pytest.approx((0.5 + 1 + 0) / 3)
    assert segment_f1(TRUTH, TRUTH[:1]).tolist() == [1.0, 0.0]
    counts = onset_counts(1, n_true=2, n_shown=1)
    assert counts.tolist() == [1, 0, 1]
    assert f1_from_counts(counts) == pytest.approx(2 / 3)


def test_twice_as_many_phases_as_there_are():
    split = [(1.0, 2.9, INHALE), (3.1, 5.0, INHALE), (5.0, 6.9, EXHALE), (7.1, 9.0, EXHALE)]
    each, _ = live_f1(TRUTH, split)
    assert each.tolist() == pytest.approx([2 * 200 / (200 + 240), 2 * 380 / (400 + 380), 2 * 380 / 780])
    # 0.2 s are two segments.
    assert segment_f1(TRUTH, split).tolist() == pytest.approx([2 * 38 / (40 + 38)] * 2)
    inhale = matched_onsets([at(1)], [at(1), at(3.1)], EARLY, LATE)
    assert inhale == [(0, 0)]
    assert f1_from_counts(onset_counts(1, n_true=1, n_shown=2)) == pytest.approx(2 / 3)


def test_nothing_true():
    each, macro = live_f1([], [(2.0, 3.0, INHALE)])
    # 900 of 1000 instants are rightly none; an exhalation is neither there nor shown, and does not count.
    assert each[:2].tolist() == pytest.approx([2 * 900 / (1000 + 900), 0.0])
    assert np.isnan(each[2])
    assert macro == pytest.approx((1800 / 1900) / 2)
    assert np.isnan(segment_f1([], [])).all()
    assert matched_onsets([], [at(1)], EARLY, LATE) == []


def test_nothing_shown():
    each, macro = live_f1(TRUTH, [])
    assert each.tolist() == pytest.approx([2 * 200 / (200 + 1000), 0.0, 0.0])
    assert macro == pytest.approx(1 / 9)
    assert segment_f1(TRUTH, []).tolist() == [0.0, 0.0]
    assert matched_onsets([at(1)], [], EARLY, LATE) == []


def test_what_is_shown_is_the_newest_frame_that_has_ended():
    frames = [frame(1.0, NONE), frame(1.1, INHALE), frame(1.2, INHALE), frame(1.305, EXHALE)]
    codes = codes_from_frames(frames, at(1.5))
    assert len(codes) == 150
    # From the frame's end on; 1.305 s lies between the instants 1.30 and 1.31.
    assert [int(np.flatnonzero(codes == code)[0]) for code in (1, 2)] == [110, 131]
    assert set(codes[:110].tolist()) == {0}
    assert set(codes[131:].tolist()) == {2}
    assert codes_from_frames([], at(0.1)).tolist() == [0] * 10


def test_an_interval_holds_its_start_and_not_its_end():
    codes = codes_from_intervals([PhaseInterval(160, 480, INHALE), PhaseInterval(480, 481, EXHALE)], 800)
    assert codes.tolist() == [0, 1, 1, 2, 0]
    assert codes_from_intervals([PhaseInterval(161, 320, INHALE)], 481).tolist() == [0, 0, 0, 0]


def test_shown_phases_last_from_their_report_to_the_next():
    events = [
        PhaseEvent(INHALE, at(0.9), at(1.2), 1.0),
        PhaseEvent(NONE, at(2.0), at(2.1), 1.0),
        PhaseEvent(EXHALE, at(2.4), at(2.5), 1.0),
    ]
    shown = intervals_from_events(events, at(4))
    assert shown == phases([(1.2, 2.1, INHALE), (2.5, 4.0, EXHALE)])
    assert intervals_from_events([], at(4)) == []


def test_onsets_are_shown_between_early_and_late_limits_included():
    for shown_s, is_match in ((0.69, False), (0.7, True), (2.0, True), (2.01, False)):
        assert bool(matched_onsets([at(1)], [at(shown_s)], EARLY, LATE)) == is_match


def test_as_many_onsets_as_possible_are_matched():
    # The nearest of the first would take the only one that the second can have.
    assert matched_onsets([at(1.0), at(1.9)], [at(1.5), at(1.65)], EARLY, LATE) == [(0, 0), (1, 1)]
    assert matched_onsets([at(1.0), at(1.9)], [at(1.65), at(2.85)], EARLY, LATE) == [(0, 0), (1, 1)]


def test_of_several_ways_to_match_the_nearest_is_taken():
    assert matched_onsets([at(1)], [at(1.8), at(1.1)], EARLY, LATE) == [(0, 1)]


# Counts that sed_eval 0.2.1 gives for `drawn_stream(2 * case)` against `drawn_stream(2 * case + 1)`.
@pytest.mark.parametrize(
    ("case", "segments", "within_200ms", "within_500ms"),
    [
        (0, [[13, 53, 42], [10, 46, 62]], [2, 1], [3, 2]),
        (1, [[19, 32, 44], [29, 71, 33]], [2, 2], [3, 5]),
        (2, [[21, 67, 15], [21, 21, 57]], [2, 2], [4, 3]),
        (3, [[0, 35, 37], [24, 48, 65]], [0, 1], [0, 4]),
    ],
)
def test_counts_are_those_of_sed_eval(case, segments, within_200ms, within_500ms):
    truth, shown = drawn_stream(2 * case), drawn_stream(2 * case + 1)
    assert segment_counts(truth, shown, 20 * RATE_HZ).tolist() == segments
    for collar_s, expected in ((0.2, within_200ms), (0.5, within_500ms)):
        found = [
            len(matched_onsets(onsets(truth, phase), onsets(shown, phase), at(collar_s), at(collar_s)))
            for phase in BREATH_PHASES
        ]
        assert found == expected


def drawn_stream(seed):
    """Twenty seconds of phases that never begin or end on a segment's border, where floats would decide."""
    random = np.random.default_rng(seed)
    stream, start = [], 0
    while True:
        start += int(random.integers(0, 160)) * 100 + 7
        end = start + int(random.integers(40, 200)) * 100 + 3
        if end > 20 * RATE_HZ:
            return stream
        stream.append(PhaseInterval(start, end, BREATH_PHASES[random.integers(2)]))
        start = end


def onsets(stream, phase):
    return [interval.start_sample for interval in stream if interval.phase is phase]


def test_stretches_without_breath():
    truth = phases([(2.0, 3.0, INHALE), (3.5, 5.0, EXHALE), (9.0, 9.5, INHALE)])
    assert stretches_without_breath(truth, TEN_SECONDS, at(1)) == [(0, at(2)), (at(5), at(9))]
    assert stretches_without_breath([], TEN_SECONDS, at(3)) == [(0, TEN_SECONDS)]
    assert stretches_without_breath(phases([(0.0, 10.0, INHALE)]), TEN_SECONDS, 0) == []


def test_calibration_error_counted_by_hand():
    # 0.9, 0.9 and 0.88 share the bin (13/15, 14/15], two of them right; 0.6 is alone in its own, and wrong.
    bins = confidence_bins([0.9, 0.9, 0.88, 0.6], [True, True, False, False])
    assert bins[0].sum() == 4
    expected = 3 / 4 * abs(2 / 3 - (0.9 + 0.9 + 0.88) / 3) + 1 / 4 * 0.6
    assert calibration_error(bins) == pytest.approx(expected)
    assert np.isnan(calibration_error(confidence_bins([], [])))


times = st.lists(st.integers(0, 12 * RATE_HZ), max_size=12)
streams = st.lists(
    st.tuples(st.integers(0, 30_000), st.integers(1, 30_000), st.sampled_from(BREATH_PHASES)), max_size=8
)


def laid_out(parts):
    intervals, start = [], 0
    for gap, length, phase in parts:
        intervals.append(PhaseInterval(start + gap, start + gap + length, phase))
        start = intervals[-1].end_sample
    return intervals


@given(streams, streams)
def test_scores_lie_between_0_and_1_and_do_not_change_when_truth_and_shown_swap_places(one, other):
    one, other = laid_out(one), laid_out(other)
    there, back = segment_counts(one, other, 2**19), segment_counts(other, one, 2**19)
    np.testing.assert_array_equal(there, back[:, [0, 2, 1]])
    np.testing.assert_array_equal(f1_from_counts(there), f1_from_counts(back))
    codes = codes_from_intervals(one, 2**19), codes_from_intervals(other, 2**19)
    confusion = confusion_from_codes(*codes)
    assert confusion.sum() == len(codes[0])
    np.testing.assert_array_equal(confusion.T, confusion_from_codes(*codes[::-1]))
    for scores in (f1_from_confusion(confusion), f1_from_counts(there)):
        known = scores[~np.isnan(scores)]
        assert ((known >= 0) & (known <= 1)).all()


@given(times, times)
def test_matches_are_one_to_one_within_limits_and_as_many_as_a_greedy_walk_finds(truth, shown):
    pairs = matched_onsets(truth, shown, EARLY, LATE)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(-EARLY <= shown[column] - truth[row] <= LATE for row, column in pairs)
    # Limits are the same for all, so taking the earliest that fits, from left to right, finds the most.
    waiting, n_greedy = sorted(shown), 0
    for onset in sorted(truth):
        fitting = next((one for one in waiting if -EARLY <= one - onset <= LATE), None)
        if fitting is not None:
            waiting.remove(fitting)
            n_greedy += 1
    assert len(pairs) == n_greedy
    mirrored = matched_onsets([-one for one in shown], [-one for one in truth], EARLY, LATE)
    assert len(mirrored) == len(pairs)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_add_up(pairs):
    said, right = zip(*pairs, strict=True)
    half = len(pairs) // 2
    parts = confidence_bins(said[:half], right[:half]) + confidence_bins(said[half:], right[half:])
    whole = confidence_bins(said, right)
    np.testing.assert_allclose(parts, whole)
    assert 0 <= calibration_error(whole) <= 1
