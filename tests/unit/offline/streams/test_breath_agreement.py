"""Rows of breaths against the truth: who is whose, and the figures of Bland and Altman."""

import json
from itertools import pairwise

import numpy as np
import pytest

from engines.contract import RATE_HZ
from offline.streams.breath_agreement import QUANTITIES, breath_agreement, breaths_from_truth
from realtime.events import Phase
from realtime.labels import PhaseInterval


def at(seconds):
    return round(seconds * RATE_HZ)


def phases(*lengths_s, start_s=1.0):
    """Inhalations and exhalations in turn, without pauses, and an inhalation that ends the last breath."""
    edges = start_s + np.concatenate([[0.0], np.cumsum([*lengths_s, 0.5])])
    return [
        PhaseInterval(at(start), at(end), Phase.EXHALE if number % 2 else Phase.INHALE)
        for number, (start, end) in enumerate(pairwise(edges))
    ]


def test_what_is_true_agrees_with_itself():
    truth = phases(1.0, 2.0, 1.5, 1.0)
    found = breath_agreement([(truth, breaths_from_truth(truth))])
    assert (found.n_true, found.n_shown, found.n_matched) == (2, 2, 2)
    for quantity in QUANTITIES:
        agreement = found.by_quantity[quantity.name]
        assert (agreement.bias, agreement.sd, agreement.limits) == (0, 0, (0, 0))
    assert found.by_quantity["inhale_s"].mean_true == 1.25


def test_bias_and_limits_are_those_of_the_differences():
    truth = phases(1.0, 2.0, 1.0, 2.0, 1.0, 2.0)
    shown = phases(1.1, 1.9, 1.3, 1.7, 1.2, 1.8)
    found = breath_agreement([(truth, breaths_from_truth(shown))])
    inhale = found.by_quantity["inhale_s"]
    differences = np.array([0.1, 0.3, 0.2])
    assert inhale.bias == pytest.approx(0.2)
    assert inhale.sd == pytest.approx(differences.std(ddof=1))
    assert inhale.limits == pytest.approx((0.2 - 0.196, 0.2 + 0.196))
    assert (inhale.mean_true, inhale.mean_shown) == pytest.approx((1.0, 1.2))
    assert found.by_quantity["cycle_s"].bias == pytest.approx(0)
    text = QUANTITIES[2].text(inhale)
    assert text == ("+0.20 s", "+0.00 to +0.40", "1.20 for 1.00")
    onset = QUANTITIES[1].text(found.by_quantity["exhale_onset_s"])
    assert onset == ("+0.20 s", "+0.00 to +0.40")


def test_a_breath_is_matched_once_and_by_the_nearest():
    truth = phases(1.0, 2.0, 1.0, 2.0, start_s=1.0)
    late = breaths_from_truth(phases(1.0, 2.0, start_s=1.3))
    near = breaths_from_truth(phases(1.0, 2.0, start_s=4.1))
    far = breaths_from_truth(phases(1.0, 2.0, start_s=4.6))
    found = breath_agreement([(truth, [*late, *near, *far])])
    assert (found.n_true, found.n_shown, found.n_matched) == (2, 3, 2)
    assert found.by_quantity["inhale_onset_s"].bias == pytest.approx(0.2)
    assert found.caption == "2 of 2 true breaths are found among 3 rows"


def test_a_night_is_matched_breath_by_breath():
    truth = phases(*[1.0, 2.0] * 10_000)
    shown = breaths_from_truth(truth)
    found = breath_agreement([(truth, shown[::2])])
    assert (found.n_true, found.n_matched) == (10_000, 5_000)
    assert found.by_quantity["cycle_s"].bias == 0


def test_where_nothing_matches_there_are_no_figures():
    truth = phases(1.0, 2.0)
    for shown in ([], breaths_from_truth(phases(1.0, 2.0, start_s=20.0))):
        found = breath_agreement([(truth, shown)])
        assert found.n_matched == 0
        assert QUANTITIES[0].text(found.by_quantity["inhale_onset_s"]) == ("-",)
        content = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert content["cycle_s"]["bias"] is None
    one = breath_agreement([(truth, breaths_from_truth(truth))])
    assert QUANTITIES[6].text(one.by_quantity["cycle_s"]) == ("+0.00 s", "3.00 for 3.00")
    assert one.to_json()["cycle_s"]["limits_of_agreement"] == [None, None]
    assert breath_agreement([]).n_true == 0
