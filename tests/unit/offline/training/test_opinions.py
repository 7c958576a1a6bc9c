from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS
from engines.spec import NARROWBAND
from offline.clips import Clip, ClipSet
from offline.store import FeatureStore
from offline.training.opinions import Opinions, coarse_pictures, opinions_of_other_days

N_CLIPS, N_DAYS = 96, 12
WRONG = np.array([7, 40, 77])


@pytest.fixture(scope="module")
def store():
    """A store whose clips are plain to tell apart, all but three of which are labelled rightly."""
    rng = np.random.default_rng(3)
    truth = np.arange(N_CLIPS) % 2
    images = rng.standard_normal((N_CLIPS, N_CHANNELS, N_ROWS, N_FRAMES)).astype(np.float16)
    images[truth == 1, 1, :64] += 2
    labels = truth.copy()
    labels[WRONG] = 1 - labels[WRONG]
    return FeatureStore(
        images=images,
        scalars=rng.standard_normal((N_CLIPS, N_SCALARS)).astype(np.float32),
        labels=labels.astype(np.int64),
        days=np.array([f"day-{row % N_DAYS:02d}" for row in range(N_CLIPS)]),
        paths=tuple(Path(f"{row:03d}.wav") for row in range(N_CLIPS)),
        natural_samples=np.full(N_CLIPS, 16_000),
        spec=NARROWBAND,
        fingerprint="of-nothing",
    )


@pytest.fixture(scope="module")
def clips(store):
    """Of the store, each day in a folder of its own, with the same names in all of them."""
    root = Path("set")
    found = tuple(
        Clip(root / name_of(row), int(store.labels[row]), f"r{row}", str(store.days[row]), None, row)
        for row in range(N_CLIPS)
    )
    return ClipSet(root, found)


def name_of(row):
    return f"day-{row % N_DAYS:02d}/{row // N_DAYS}.wav"


def prob_of(opinions, rows):
    return np.array([opinions.prob_exhale[name_of(row)] for row in rows])


def test_the_other_days_contradict_wrong_labels_and_agree_with_right_ones(store, clips):
    rows = np.arange(N_CLIPS)
    opinions = opinions_of_other_days(store, clips, rows, share=0.5)
    says_exhale = prob_of(opinions, rows) > 0.5
    np.testing.assert_array_equal(np.flatnonzero(says_exhale != store.labels), WRONG)


def test_nothing_of_its_own_day_says_anything_of_a_clip(store, clips):
    """All labels of one day turned round: the opinions of that day move only with those of the others."""
    rows = np.arange(N_CLIPS)
    is_day = store.days == "day-03"
    turned = replace(store, labels=np.where(is_day, 1 - store.labels, store.labels))
    before, after = (
        prob_of(opinions_of_other_days(one, clips, rows, share=1.0), rows) for one in (store, turned)
    )
    truth = rows % 2
    assert ((after[is_day] > 0.5) == truth[is_day]).all()
    assert ((before[is_day] > 0.5) == truth[is_day]).all()


def test_only_the_given_rows_are_heard_and_judged(store, clips):
    rows = np.flatnonzero(store.days < "day-08")
    elsewhere = replace(store, labels=np.where(store.days < "day-08", store.labels, 0))
    opinions = opinions_of_other_days(store, clips, rows, share=1.0)
    assert set(opinions.prob_exhale) == {name_of(row) for row in rows}
    assert opinions == opinions_of_other_days(elsewhere, clips, rows, share=1.0)


def test_a_target_lies_between_the_label_and_the_opinion():
    opinions = Opinions(0.6, {"a.wav": 0.25})
    assert opinions.target("a.wav", 1.0) == pytest.approx(0.4 * 1.0 + 0.6 * 0.25)
    assert opinions.target("a.wav", 0.0) == pytest.approx(0.6 * 0.25)
    assert opinions.target("b.wav", 1.0) == 1.0
    assert Opinions(0.0, {"a.wav": 0.25}).target("a.wav", 1.0) == 1.0


def test_where_nobody_can_judge_the_label_stands(store, clips):
    """All exhalations are of one day: who learns of the others knows only inhalations."""
    one_day = replace(store, days=np.where(store.labels == 1, "day-03", store.days))
    opinions = opinions_of_other_days(one_day, clips, np.arange(N_CLIPS), share=1.0)
    exhalations = np.flatnonzero(store.labels)
    assert not {name_of(row) for row in exhalations} & set(opinions.prob_exhale)
    assert opinions.target(name_of(exhalations[0]), 1.0) == 1.0


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        (np.arange(N_CLIPS), 0.0),
        (np.flatnonzero(np.arange(N_CLIPS) % N_DAYS < 5), 0.5),
        (np.arange(0, N_CLIPS, 2)[:20], 0.5),
    ],
)
def test_without_a_share_or_enough_days_the_labels_stand(store, clips, rows, share):
    assert opinions_of_other_days(store, clips, rows, share).prob_exhale == {}


def test_pictures_are_finite_and_of_one_length(store):
    pictures = coarse_pictures(store, np.arange(3))
    assert pictures.shape == (3, 96 + 80 + N_SCALARS + 32)
    assert np.isfinite(pictures).all()
