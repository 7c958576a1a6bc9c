import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.metrics import (
    SCORE_NAMES,
    binary_metrics,
    bootstrap_scores,
    expected_calibration_error,
)

pairs = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


def test_scores_of_a_case_counted_by_hand():
    labels = [1, 1, 1, 0, 0]
    probs = [0.9, 0.6, 0.2, 0.7, 0.1]
    scores = binary_metrics(labels, probs)
    assert scores.confusion == ((1, 1), (1, 2))
    assert scores.accuracy == pytest.approx(3 / 5)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx(2 / 3)
    # Of the 6 pairs of an exhalation and an inhalation, 4 are in the right order.
    assert scores.auc == pytest.approx(4 / 6)
    assert scores.brier == pytest.approx((0.01 + 0.16 + 0.64 + 0.49 + 0.01) / 5)


def test_calibration_error_of_a_case_counted_by_hand():
    # Bins of 1/15. Confidence 0.9, 0.9, 0.88: (13/15, 14/15], 2 of 3 right. 0.6: its own bin, wrong.
    labels = [1, 0, 0, 0]
    probs = [0.9, 0.1, 0.88, 0.6]
    expected = 3 / 4 * abs(2 / 3 - (0.9 + 0.9 + 0.88) / 3) + 1 / 4 * abs(0 - 0.6)
    assert expected_calibration_error(labels, probs) == pytest.approx(expected)


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_the_worst():
    perfect = binary_metrics([0, 1], [0.0, 1.0])
    assert (perfect.accuracy, perfect.auc, perfect.calibration_error, perfect.brier) == (1, 1, 0, 0)
    worst = binary_metrics([0, 1], [1.0, 0.0])
    assert (worst.accuracy, worst.auc, worst.calibration_error, worst.brier) == (0, 0, 1, 1)


@given(pairs)
def test_scores_lie_between_0_and_1_and_survive_json(pairs):
    labels, probs = zip(*pairs, strict=True)
    scores = binary_metrics(labels, probs)
    has_both = len(set(labels)) == 2
    for name in SCORE_NAMES:
        value = getattr(scores, name)
        assert np.isnan(value) if name == "auc" and not has_both else 0 <= value <= 1
    assert sum(map(sum, scores.confusion)) == scores.n == len(labels)
    as_json = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert (as_json["auc"] is None) == (not has_both)


@given(pairs)
def test_swapping_the_classes_swaps_the_confusion(pairs):
    labels, probs = zip(*[(label, prob) for label, prob in pairs if prob != 0.5] or [(1, 1.0)], strict=True)
    there = binary_metrics(labels, probs)
    back = binary_metrics(1 - np.array(labels), 1 - np.array(probs))
    assert back.accuracy == pytest.approx(there.accuracy)
    assert back.brier == pytest.approx(there.brier)
    assert np.array_equal(np.array(back.confusion), np.array(there.confusion)[::-1, ::-1])


@pytest.mark.parametrize(
    ("labels", "probs"),
    [([], []), ([1], [0.5, 0.5]), ([2], [0.5]), ([1], [1.1]), ([1], [np.nan]), ([[1]], [[0.5]])],
)
def test_what_cannot_be_scored_is_refused(labels, probs):
    with pytest.raises(ValueError, match=r"labels|probabilities"):
        binary_metrics(labels, probs)


def accuracy(labels, probs):
    return float(np.mean((probs >= 0.5) == labels))


def days_that_differ(n_days=12, per_day=30):
    """Days that are each all right or all wrong: single clips would seem far surer than they are."""
    labels = np.tile([0, 1], n_days * per_day // 2)
    days = np.repeat([f"day{number}" for number in range(n_days)], per_day)
    is_right = np.repeat(np.arange(n_days) % 3 > 0, per_day)
    return labels, np.where(is_right == (labels == 1), 0.9, 0.1), days


def test_whole_days_are_drawn():
    labels, probs, days = days_that_differ()
    low, high = bootstrap_scores(labels, probs, days, seed=1)["accuracy"]
    assert low < accuracy(labels, probs) < high
    # Eight of twelve days are right: the spread of a binomial of 12, not of 360.
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(2 / 9 / 12), rel=0.15)
    each_its_own = bootstrap_scores(labels, probs, np.arange(len(labels)), seed=1)["accuracy"]
    assert each_its_own[1] - each_its_own[0] < (high - low) / 3


def test_a_seed_gives_the_same_interval_and_the_order_of_clips_does_not_matter():
    labels, probs, days = days_that_differ()
    once = bootstrap_scores(labels, probs, days, n=200, seed=3)
    assert tuple(once) == SCORE_NAMES
    assert bootstrap_scores(labels, probs, days, n=200, seed=3) == once
    order = np.random.default_rng(0).permutation(len(labels))
    again = bootstrap_scores(labels[order], probs[order], days[order], n=200, seed=3)
    assert all(again[name] == pytest.approx(once[name]) for name in SCORE_NAMES)


def test_one_day_has_no_interval_and_draws_without_a_class_are_left_out():
    assert all(np.isnan(bootstrap_scores([0, 1], [0.1, 0.9], ["a", "a"])["accuracy"]))
    intervals = bootstrap_scores([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], ["a", "a", "b", "b"], n=50)
    assert intervals["auc"] == (1.0, 1.0)
