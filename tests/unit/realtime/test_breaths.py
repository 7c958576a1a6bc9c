"""From phases to breaths: every number against what it was made from, and everything that breaks a breath."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import RATE_HZ
from realtime.breaths import BreathCounter, BreathSettings, BreathState, advance
from realtime.events import Apnoea, Breath, Frame, Gap, Phase, PhaseEvent

IN, OUT, NONE = Phase.INHALE, Phase.EXHALE, Phase.NONE
SETTINGS = BreathSettings()


def at(seconds):
    return round(seconds * RATE_HZ)


def change(phase, onset_s):
    return PhaseEvent(phase, at(onset_s), at(onset_s) + 1600, 0.9)


def frame(end_s):
    return Frame(at(end_s), 0.5, NONE, 0.9, -40.0)


def heard(*said, settings=SETTINGS):
    """Events, and pairs of a phase and its onset in seconds; the rows and the state after them."""
    counter = BreathCounter(settings)
    events = [change(*event) if isinstance(event, tuple) else event for event in said]
    return counter.push(*events), counter.state


def rows(*said, **kwargs):
    return heard(*said, **kwargs)[0]


def regular(n, cycle_s=4.0, start_s=0.0):
    """The phases of `n` breaths, and the onset that completes the last."""
    halves = [(start_s + i * cycle_s, IN, start_s + i * cycle_s + 0.4 * cycle_s) for i in range(n)]
    return [pair for onset, _, middle in halves for pair in ((IN, onset), (OUT, middle))] + [
        (IN, start_s + n * cycle_s)
    ]


def test_a_breath_has_all_its_times():
    (breath,) = rows((IN, 1), (NONE, 2.5), (OUT, 3), (NONE, 5), (IN, 6))
    assert breath.number == 1
    assert (breath.inhale_s, breath.inhale_pause_s, breath.exhale_s, breath.exhale_pause_s) == (
        1.5,
        0.5,
        2,
        1,
    )
    assert breath.cycle_s == 5.0
    assert breath.ie_ratio == 0.75
    assert breath.rate_per_min == 12.0
    assert breath.minute_rate_per_min == 12.0
    assert breath.end_sample == at(6)
    assert breath.reported_sample == at(6) + 1600


def test_a_breath_without_pauses_has_pauses_of_zero():
    (breath,) = rows((IN, 0), (OUT, 2), (IN, 5))
    assert (breath.inhale_s, breath.inhale_pause_s, breath.exhale_s, breath.exhale_pause_s) == (2, 0, 3, 0)


def test_a_breath_counts_only_when_the_next_inhalation_has_begun():
    assert rows((IN, 1), (OUT, 2), (NONE, 4)) == ()
    assert rows((OUT, 1), (NONE, 2), (IN, 3)) == ()


def test_no_rate_before_the_first_breath_is_complete():
    assert heard((IN, 1), (OUT, 2))[1].breaths_per_min is None


def test_the_rate_of_regular_breathing():
    found, state = heard(*regular(5))
    assert state.breaths_per_min == pytest.approx(15.0)
    assert [breath.number for breath in found] == [1, 2, 3, 4, 5]


def test_a_short_pause_within_a_half_belongs_to_it():
    (breath,) = rows((IN, 0), (NONE, 0.5), (IN, 1), (OUT, 2), (NONE, 2.5), (OUT, 3.5), (NONE, 4), (IN, 5))
    assert (breath.inhale_s, breath.inhale_pause_s, breath.exhale_s, breath.exhale_pause_s) == (2, 0, 2, 1)


def test_after_a_long_pause_a_repeated_inhalation_begins_the_next_breath():
    (breath,) = rows((IN, 0), (NONE, 1), (IN, 4), (OUT, 5), (IN, 8))
    assert breath.inhale_onset_sample == at(4)


def test_after_a_long_pause_a_repeated_exhalation_belongs_to_no_breath():
    (breath,) = rows((IN, 0), (OUT, 1), (NONE, 2), (OUT, 4), (IN, 6), (OUT, 7), (IN, 9))
    assert breath.inhale_onset_sample == at(6)
    assert breath.number == 1


def test_a_breath_that_did_not_count_leaves_the_rate_of_the_others_alone():
    said = [*regular(2), (OUT, 9), (NONE, 10), (OUT, 13), (NONE, 14), *regular(2, start_s=16.0)]
    found, state = heard(*said)
    assert len(found) == 4
    assert state.breaths_per_min == pytest.approx(15.0)


def test_breaths_older_than_a_minute_are_forgotten():
    state = heard(*regular(6, 10.0), *regular(60, 2.0, start_s=60.0))[1]
    assert state.breaths_per_min == pytest.approx(30.0)
    state, _ = advance(state, frame(300), SETTINGS)
    assert state.breaths_per_min is None


def test_a_hop_that_forgets_nothing_makes_no_new_tuple():
    """Made anew from a generator ten times a second, such tuples filled two megabytes within an hour."""
    _, before = heard(*regular(20))
    after, _ = advance(before, frame(81), SETTINGS)
    assert len(after.cycles) == 20
    assert after.cycles is before.cycles


def test_variability_is_that_of_neurokit():
    """By the formulas of rsp_rrv: numpy's standard deviation with ddof=1, root mean square of differences."""
    lengths_s = np.array([4.0, 5.0, 3.5, 4.25, 6.0])
    onsets_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    said = [pair for onset in onsets_s[:-1] for pair in ((IN, onset), (OUT, onset + 1))] + [
        (IN, onsets_s[-1])
    ]
    found = rows(*said)
    assert (found[0].sdbb_s, found[0].rmssd_s) == (None, None)
    assert found[-1].sdbb_s == pytest.approx(np.std(lengths_s, ddof=1))
    assert found[-1].rmssd_s == pytest.approx(np.sqrt(np.mean(np.diff(lengths_s) ** 2)))


def test_variability_forgets_what_lies_before_its_window():
    said = [*regular(3, 8.0), *regular(20, 2.0, start_s=24.0)]
    assert rows(*said, settings=BreathSettings(variability_window_s=30.0))[-1].sdbb_s == 0.0
    assert rows(*said)[-1].sdbb_s > 1.0


def test_cycles_on_two_sides_of_a_gap_are_not_successive():
    said = [*regular(2), Gap(at(9), at(10), "device lost"), (NONE, 11), *regular(2, 6.0, start_s=12.0)]
    found = rows(*said)
    assert [breath.cycle_s for breath in found] == [4, 4, 6, 6]
    assert found[-1].rmssd_s == 0.0
    assert found[-1].sdbb_s == pytest.approx(np.std([4, 4, 6, 6], ddof=1))


def test_a_gap_breaks_the_breath():
    assert rows((IN, 0), (OUT, 2), Gap(at(3), at(4), "device lost"), (IN, 6)) == ()
    (breath,) = rows((IN, 0), Gap(at(1), at(2), "x"), (OUT, 3), (IN, 4), (OUT, 5), (IN, 7))
    assert breath.inhale_onset_sample == at(4)


def test_an_inhalation_that_seems_to_begin_within_a_gap_begins_no_breath():
    assert rows(Gap(at(1), at(3), "x"), (IN, 2), (OUT, 4), (IN, 6)) == ()


def test_a_long_absence_is_told_when_it_is_one_and_when_it_ends_and_breaks_the_breath():
    said = [
        (IN, 0),
        (OUT, 1),
        (NONE, 2),
        *(frame(2 + i / 10) for i in range(1, 130)),
        (IN, 15),
        (OUT, 16),
        (IN, 19),
    ]
    begins, ends, breath = rows(*said)
    assert begins == Apnoea(True, at(2), at(12))
    assert ends == Apnoea(False, at(2), at(15))
    assert (begins.duration_s, ends.duration_s) == (10.0, 13.0)
    assert breath.inhale_onset_sample == at(15)


def test_a_pause_that_becomes_too_long_in_the_window_in_which_it_ends_is_told_twice_at_once():
    assert rows((IN, 0), (NONE, 2), (OUT, 12)) == (Apnoea(True, at(2), at(12)), Apnoea(False, at(2), at(12)))


def test_a_shorter_pause_is_none_and_the_time_can_be_chosen():
    said = [(IN, 0), (OUT, 1), (NONE, 2), frame(11.9), (IN, 11.95)]
    assert [type(row) for row in rows(*said)] == [Breath]
    assert [type(row) for row in rows(*said, settings=BreathSettings(apnoea_s=5.0))] == [Apnoea, Apnoea]


def test_silence_before_the_first_breath_is_no_pause():
    assert rows(frame(5), frame(60)) == ()


def test_a_gap_ends_a_pause_and_the_next_is_counted_from_its_end():
    said = [(IN, 0), (NONE, 2), frame(13), Gap(at(14), at(20), "x"), frame(25), frame(29.9), frame(30)]
    assert rows(*said) == (
        Apnoea(True, at(2), at(13)), Apnoea(False, at(2), at(14)), Apnoea(True, at(20), at(30)),
    )  # fmt: skip


def test_a_pause_that_is_told_after_a_short_gap_began_before_it():
    begins, _ = rows((IN, 0), Gap(at(3), at(3.02), "x"), (NONE, 2.9), frame(13), (IN, 14))
    assert begins == Apnoea(True, at(2.9), at(13))


def test_a_gap_without_room_for_a_breath_ends_no_pause_but_breaks_the_breath():
    gap = Gap(at(14), at(14.02), "this machine was too busy")
    assert rows((IN, 0), (NONE, 2), frame(13), gap, frame(25), (IN, 30)) == (
        Apnoea(True, at(2), at(13)), Apnoea(False, at(2), at(30)),
    )  # fmt: skip
    assert rows((IN, 0), (OUT, 2), Gap(at(3), at(3.02), "x"), (IN, 6)) == ()


@pytest.mark.parametrize("between", [[], [(NONE, 3.0)], [(IN, 3.0), (OUT, 3.0)]])
def test_where_the_exhalation_was_taken_back_there_is_no_row(between):
    """Mostly there was one, at another place: two breaths would be one."""
    (breath,) = rows((IN, 2), (OUT, 3), *between, (IN, 3.0), (OUT, 4), (IN, 7))
    assert (breath.inhale_onset_sample, breath.inhale_s, breath.exhale_s) == (at(3), 1.0, 3.0)


def test_an_exhalation_that_seems_to_come_again_for_no_time_is_over_where_it_ended():
    (breath,) = rows((IN, 2), (OUT, 3), (NONE, 4), (OUT, 4.5), (IN, 4.5))
    assert (breath.exhale_s, breath.exhale_pause_s) == (1.0, 0.5)


def test_what_was_taken_back_swallows_no_pause():
    (breath,) = rows((IN, 3.1), (NONE, 3.7), (IN, 3.9), (OUT, 3.9), (NONE, 5), (OUT, 5.5), (IN, 5.5))
    times = (breath.inhale_s, breath.inhale_pause_s, breath.exhale_s, breath.exhale_pause_s)
    assert times == pytest.approx((0.6, 0.2, 1.1, 0.5))


def test_a_breath_whose_end_was_taken_back_stays_as_it_was_told():
    first, second = rows((IN, 0), (OUT, 1), (IN, 3), (OUT, 3), (IN, 5), (OUT, 6), (IN, 8))
    assert (first.end_sample, second.inhale_onset_sample) == (at(3), at(5))


def test_the_confidence_of_a_breath_is_that_of_its_answers():
    def answer(end_s, confidence):
        return Frame(at(end_s), 0.5, NONE, confidence, -40.0)

    said = [
        answer(0.5, 0.1),
        (IN, 1),
        answer(1.5, 0.6),
        (OUT, 2),
        answer(2.5, 0.8),
        (IN, 3),
        answer(3.5, 0.9),
    ]
    first, second = rows(*said, (OUT, 4), (IN, 5))
    assert (first.confidence, second.confidence) == pytest.approx((0.7, 0.9))
    # Of a breath that seemed to be over, and went on, all of them.
    said = [
        (IN, 0),
        answer(1, 0.2),
        (NONE, 1),
        answer(3, 0.4),
        (IN, 3.5),
        answer(4, 0.9),
        (OUT, 3.5),
        answer(5, 0.5),
    ]
    (whole,) = rows(*said, (IN, 6))
    assert (whole.inhale_onset_sample, whole.confidence) == (0, pytest.approx(0.5))
    assert rows(*regular(1))[0].confidence is None


def test_a_pause_never_includes_a_gap():
    begins, ends = rows((IN, 0), Gap(at(3), at(20), "x"), (NONE, 2.9), frame(29.9), frame(30), (OUT, 31))
    assert begins == Apnoea(True, at(20), at(30))
    assert ends.duration_s == 11.0


@st.composite
def stories(draw):
    """Phases, frames and gaps in the order of time; no phase twice in a row."""
    now, phase, story = 0, NONE, []
    for _ in range(draw(st.integers(0, 40))):
        step = draw(st.integers(1, 20 * RATE_HZ))
        kind = draw(st.sampled_from(["phase", "phase", "phase", "frame", "gap"]))
        if kind == "phase":
            phase = draw(st.sampled_from([other for other in Phase if other is not phase]))
            story.append(PhaseEvent(phase, now + step, now + step + draw(st.integers(0, 100)), 0.9))
            step += 100
        elif kind == "frame":
            story.append(Frame(now + step, 0.5, phase, 0.9, -40.0))
        else:
            story.append(Gap(now, now + step, "x"))
        now += step
    return story


@given(stories())
def test_whatever_is_heard_the_rows_make_sense(story):
    state = BreathState.initial()
    found = []
    gaps = [event for event in story if isinstance(event, Gap)]
    for event in story:
        state, new = advance(state, event, SETTINGS)
        found += new
    breaths = [row for row in found if isinstance(row, Breath)]
    assert [breath.number for breath in breaths] == list(range(1, len(breaths) + 1))
    assert state.n_breaths == len(breaths)
    for before, breath in zip([None, *breaths], breaths, strict=False):
        parts = (breath.inhale_s, breath.inhale_pause_s, breath.exhale_s, breath.exhale_pause_s)
        assert parts[0] > 0
        assert parts[2] > 0
        assert min(parts) >= 0
        assert max(parts[1], parts[3]) < SETTINGS.apnoea_s
        assert sum(parts) == pytest.approx(breath.cycle_s, abs=1e-5)
        assert before is None or before.end_sample <= breath.inhale_onset_sample
        assert not any(breath.inhale_onset_sample < gap.to_sample <= breath.end_sample for gap in gaps)
    pauses = [row for row in found if isinstance(row, Apnoea)]
    assert [pause.is_beginning for pause in pauses] == [i % 2 == 0 for i in range(len(pauses))]
    assert all(pause.duration_s >= SETTINGS.apnoea_s for pause in pauses if pause.is_beginning)


def test_an_inhalation_under_way_at_the_first_answer_makes_no_breath():
    counter = BreathCounter(SETTINGS, blind_samples=RATE_HZ)

    def onsets_s(*said):
        found = counter.push(*(change(*event) if isinstance(event, tuple) else event for event in said))
        return [row.inhale_onset_sample / RATE_HZ for row in found if isinstance(row, Breath)]

    assert onsets_s((IN, 1.0), (OUT, 2.0), (IN, 4.0), (OUT, 5.0)) == []
    assert onsets_s((IN, 7.0)) == [4.0]
    assert onsets_s(Gap(at(8), at(9), "lost"), (IN, 9.5), (OUT, 10.5), (IN, 12.0)) == []
    assert onsets_s((OUT, 13.0), (IN, 14.0)) == [12.0]


def test_the_end_of_a_long_pause_is_not_before_it_was_told():
    told = rows((IN, 2.0), (NONE, 3.0), frame(6.0), (IN, 5.8), settings=BreathSettings(apnoea_s=3.0))
    assert told == (Apnoea(True, at(3), at(6)), Apnoea(False, at(3), at(6)))


def test_an_exhalation_that_comes_after_one_that_was_taken_back_counts_from_its_own_onset():
    (breath,) = rows((IN, 5), (NONE, 6), (OUT, 7), (NONE, 7), (OUT, 7.9), (NONE, 9), (IN, 10))
    assert (breath.exhale_onset_sample, breath.inhale_pause_s, breath.exhale_s) == (at(7.9), 1.9, 1.1)
    (breath,) = rows((IN, 5), (NONE, 6), (OUT, 7), (NONE, 7), (OUT, 8.5), (NONE, 9), (IN, 10))
    assert (breath.exhale_onset_sample, breath.inhale_pause_s, breath.exhale_s) == (at(8.5), 2.5, 0.5)


def test_exhalations_that_are_all_taken_back_give_no_row():
    assert rows((IN, 5), (NONE, 6), (OUT, 7), (NONE, 7), (OUT, 7.9), (NONE, 7.9), (IN, 10)) == ()
