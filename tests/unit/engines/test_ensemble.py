import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engines.ensemble import fuse, fuse_presence, sigmoid, weights_from_scores
from engines.errors import ConfigError

METHODS = ("softmax", "normalised")
finite = st.floats(-1e6, 1e6)
scores = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8)
logits = arrays(np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-1e4, 1e4, width=32))


@given(scores, st.sampled_from(METHODS))
def test_weights_are_shares_of_one_in_the_order_of_the_scores(values, method):
    weights = weights_from_scores(values, method)
    assert all(0 <= weight <= 1 for weight in weights)
    assert math.isclose(sum(weights), 1, abs_tol=1e-9)
    for first in range(len(values)):
        for second in range(len(values)):
            if values[first] <= values[second]:
                assert weights[first] <= weights[second] * (1 + 1e-9)


@given(st.lists(st.floats(-700, 700), min_size=2, max_size=5), finite)
def test_softmax_knows_differences_only(values, shift):
    shifted = weights_from_scores([value + shift for value in values])
    np.testing.assert_allclose(shifted, weights_from_scores(values), atol=1e-6)


def test_the_two_methods_on_figures_worked_out_by_hand():
    e = math.e
    np.testing.assert_allclose(weights_from_scores([1.0, 0.0]), [e / (e + 1), 1 / (e + 1)])
    np.testing.assert_allclose(weights_from_scores([0.9, 0.6], "normalised"), [0.6, 0.4])
    np.testing.assert_allclose(weights_from_scores([1e308, 1e308], "normalised"), [0.5, 0.5])
    np.testing.assert_allclose(weights_from_scores([1e6, -1e6]), [1, 0])


@pytest.mark.parametrize("values", [[], [math.nan], [0.5, math.inf]])
@pytest.mark.parametrize("method", METHODS)
def test_scores_that_are_no_numbers_are_refused(values, method):
    with pytest.raises(ConfigError, match="finite"):
        weights_from_scores(values, method)


@pytest.mark.parametrize("values", [[0.0], [0.5, -0.1]])
def test_shares_need_positive_scores(values):
    with pytest.raises(ConfigError, match="positive"):
        weights_from_scores(values, "normalised")


@given(arrays(np.float32, 4, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_sigmoid_neither_overflows_nor_leaves_its_range(values):
    prob = sigmoid(values)
    assert prob.dtype == np.float32
    assert ((prob >= 0) & (prob <= 1)).all()
    exact = np.array([math.exp(-np.logaddexp(0, -float(value))) for value in values])
    np.testing.assert_allclose(prob, exact, atol=1e-6)
    np.testing.assert_allclose(sigmoid(-values), 1 - prob, atol=1e-6)


@given(logits, scores.filter(lambda values: len(values) == 3), st.sampled_from(METHODS), st.floats(0.2, 5))
def test_the_fused_probability_lies_between_those_of_the_networks(values, three, method, temperature):
    prob = fuse(values, weights_from_scores(three, method), temperature)
    each = sigmoid(values / np.float32(temperature))
    assert prob.shape == values.shape[:1]
    assert prob.dtype == np.float32
    assert ((prob >= 0) & (prob <= 1)).all()
    assert (prob >= each.min(axis=1) - 1e-6).all()
    assert (prob <= each.max(axis=1) + 1e-6).all()


@given(logits)
def test_equal_weights_are_a_mean_and_all_weight_on_one_is_that_one(values):
    np.testing.assert_allclose(fuse(values, [1 / 3] * 3), sigmoid(values).mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(fuse(values, [0, 1, 0]), sigmoid(values[:, 1]))


def test_weights_whose_rounded_sum_exceeds_one_do_not_make_more_than_certainty():
    assert fuse(np.full((1, 3), 50, np.float32), [0.334, 0.333, 0.3330002])[0] == 1


@given(logits, scores.filter(lambda values: len(values) == 3))
def test_presence_has_the_weights_of_the_phase_and_no_temperature(values, three):
    weights = weights_from_scores(three)
    prob = fuse_presence(values, weights)
    assert prob.dtype == np.float32
    np.testing.assert_allclose(prob, sigmoid(values).astype(np.float64) @ weights, atol=1e-6)


@given(st.floats(-20, 20, width=32))
def test_a_temperature_above_one_doubts_and_never_changes_the_decision(logit):
    values = np.array([[logit]], np.float32)
    sharp, soft = fuse(values, [1.0])[0], fuse(values, [1.0], 2.0)[0]
    assert abs(soft - 0.5) <= abs(sharp - 0.5) + 1e-7
    # Closer to 0.5 than rounding, the side is a matter of rounding.
    if abs(sharp - 0.5) > 1e-6:
        assert (soft >= 0.5) == (sharp >= 0.5)
