from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import LabelsError
from engines.manifest import SplitDays
from offline.clips import Clip, ClipSet
from offline.split import PARTS, Split, split_by_day, with_known_days, with_smaller_validation

SHARED_CLIPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "hf_lung_clips"


def clips_from(counts: list[tuple[int, int]]) -> list[Clip]:
    """Days with so many inhalations and exhalations each."""
    clips: list[Clip] = []
    for number, by_label in enumerate(counts):
        day = f"day{number:03d}"
        for label, n_clips in enumerate(by_label):
            clips += [Clip(Path(f"{day}_{label}_{n}.wav"), label, day, day) for n in range(n_clips)]
    return clips


counts_of_days = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(any), min_size=3, max_size=30
).filter(lambda counts: all(sum(1 for count in counts if count[label]) >= 3 for label in (0, 1)))


@given(counts_of_days, st.integers(0, 1000), st.randoms())
def test_parts_are_disjoint_complete_and_hold_both_classes(counts, seed, random):
    clips = clips_from(counts)
    split = split_by_day(clips, seed)
    assert sorted(split.train + split.validation + split.test) == sorted({clip.day for clip in clips})
    for part in PARTS:
        assert {clip.label for clip in clips if clip.day in split.days_of(part)} == {0, 1}
    shuffled = list(clips)
    random.shuffle(shuffled)
    assert split_by_day(shuffled, seed) == split


@given(st.lists(st.integers(2, 40), min_size=40, max_size=80), st.integers(0, 1000))
def test_no_part_has_a_day_too_many_nor_lacks_more_than_the_others_have(sizes, seed):
    clips = clips_from([(size // 2, size - size // 2) for size in sizes])
    split = split_by_day(clips, seed)
    for part, share in zip(PARTS, split.fractions, strict=True):
        n_clips = sum(clip.day in split.days_of(part) for clip in clips)
        # A day is dealt to a part that lacks some of its share; what two have too much, the third lacks.
        assert -2 * max(sizes) <= n_clips - share * len(clips) <= max(sizes)


def test_seeds_differ_and_a_seed_does_not():
    clips = clips_from([(5, 5)] * 40)
    assert split_by_day(clips, 1) == split_by_day(clips, 1)
    assert len({split_by_day(clips, seed).test for seed in range(10)}) == 10


def test_a_share_of_nothing_is_an_empty_part():
    split = split_by_day(clips_from([(3, 3)] * 10), fractions=(0.8, 0.2, 0.0))
    assert split.test == ()
    assert len(split.validation) == 2


@given(counts_of_days, st.integers(0, 1000), st.floats(0.001, 0.129))
def test_a_smaller_validation_gives_its_days_to_training_and_keeps_both_classes(counts, seed, share):
    clips = clips_from(counts)
    before = split_by_day(clips, seed)
    after = with_smaller_validation(before, reversed(clips), share)
    assert after.test == before.test
    assert set(after.validation) <= set(before.validation)
    assert sorted(after.train + after.validation) == sorted(before.train + before.validation)
    assert {clip.label for clip in clips if clip.day in after.validation} == {0, 1}
    assert sum(after.fractions) == pytest.approx(1)
    # What a day too many would hold was not kept.
    kept = Counter(clip.day for clip in clips if clip.day in after.validation)
    lacking = [
        day
        for day in kept
        if kept.total() - kept[day] < share * len(clips)
        or {clip.label for clip in clips if clip.day in kept.keys() - {day}} != {0, 1}
    ]
    assert lacking


def test_days_that_only_a_pack_knows_stay_in_its_validation():
    clips = clips_from([(5, 5)] * 30)
    split = with_known_days(split_by_day(clips), SplitDays((), ("elsewhere",), ()), clips)
    after = with_smaller_validation(split, clips, 0.05)
    assert "elsewhere" in after.validation
    assert len(after.validation) < len(split.validation)


@pytest.mark.parametrize("share", [0.0, 0.13, 0.5])
def test_validation_cannot_keep_more_than_it_has(share):
    clips = clips_from([(3, 3)] * 10)
    with pytest.raises(LabelsError, match=f"share of 0.13 of the clips and cannot keep {share:g}"):
        with_smaller_validation(split_by_day(clips), clips, share)


def test_too_few_days_is_an_error_that_says_so():
    with pytest.raises(LabelsError, match="only 2 of 2 days hold exhalations; 3 parts need one each"):
        split_by_day(clips_from([(3, 3)] * 2))
    with pytest.raises(LabelsError, match="only 1 of 5 days hold inhalations"):
        split_by_day(clips_from([(3, 3), (0, 2), (0, 2), (0, 2), (0, 2)]))


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_shares_must_be_shares(fractions):
    with pytest.raises(LabelsError, match="add up to 1"):
        split_by_day(clips_from([(3, 3)] * 10), fractions=fractions)


def test_a_split_with_a_day_on_two_sides_cannot_be_made():
    with pytest.raises(LabelsError, match="two sides: b"):
        Split(("a", "b"), ("c",), ("b",), (0.6, 0.2, 0.2))


@pytest.mark.data
def test_the_shared_clips_split_as_wanted():
    if not SHARED_CLIPS.is_dir():
        pytest.skip(f"no clips at {SHARED_CLIPS}")
    clips = ClipSet.read(SHARED_CLIPS)
    split = split_by_day(clips)
    for part, share in zip(PARTS, split.fractions, strict=True):
        labels = clips.of_days(split.days_of(part)).labels
        assert len(labels) / len(clips) == pytest.approx(share, abs=0.01)
        assert labels.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_days_that_a_pack_knows_stay_on_their_side(seed):
    """More days have come, and the deal is another: nothing that was trained on becomes a test."""
    clips = clips_from([(5, 5)] * 30)
    before = split_by_day([clip for clip in clips if clip.day < "day020"], seed=9)
    known = SplitDays(before.train, before.validation, before.test)
    split = with_known_days(split_by_day(clips, seed), known, clips)
    for part in PARTS:
        assert set(before.days_of(part)) <= set(split.days_of(part))
    assert sorted(split.train + split.validation + split.test) == sorted({clip.day for clip in clips})


def test_days_of_the_pack_that_are_not_here_are_remembered():
    clips = clips_from([(5, 5)] * 10)
    split = with_known_days(split_by_day(clips), SplitDays(("elsewhere",), (), ("far",)), clips)
    assert "elsewhere" in split.train
    assert "far" in split.test


def test_a_part_for_which_the_pack_leaves_no_days_is_refused():
    clips = clips_from([(5, 5)] * 10)
    everything = SplitDays(tuple(sorted({clip.day for clip in clips})), (), ())
    with pytest.raises(LabelsError, match="no clips of both phases for validation"):
        with_known_days(split_by_day(clips), everything, clips)
