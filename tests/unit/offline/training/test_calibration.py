import numpy as np
import pytest

from engines.ensemble import fuse, sigmoid
from offline.training.calibration import fitted_temperature, is_at_an_end


def drawn(n=20_000, seed=0):
    """Logits whose sigmoid is the true probability, and labels drawn from it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0.3, 1.5, size=n).astype(np.float32)
    return logits, (random.random(n) < sigmoid(logits)).astype(np.int64)


def cross_entropy(logits, labels, weights, temperature):
    prob = fuse(logits, weights, temperature).astype(np.float64).clip(1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels == 1, np.log(prob), np.log1p(-prob))))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_it_undoes_the_factor_by_which_logits_are_too_sure(factor):
    logits, labels = drawn()
    found = fitted_temperature(factor * logits[:, None], labels, [1.0])
    assert found == pytest.approx(factor, rel=0.05)


def test_one_temperature_serves_every_network():
    logits, labels = drawn()
    doubled = 2 * np.stack([logits, logits, logits], axis=1)
    assert fitted_temperature(doubled, labels, [0.5, 0.3, 0.2]) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_temperature_does_better(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 300)
    logits = (random.normal(size=(300, 2)) * [4, 1] + (labels * 2 - 1)[:, None]).astype(np.float32)
    weights = (0.6, 0.4)
    best = cross_entropy(logits, labels, weights, fitted_temperature(logits, labels, weights))
    for other in np.geomspace(0.2, 5, 60):
        assert best <= cross_entropy(logits, labels, weights, float(other)) + 1e-5


def test_it_stays_within_its_bounds():
    labels = np.array([0, 1] * 20)
    right = np.where(labels == 1, 1.0, -1.0).astype(np.float32)[:, None]
    lowest, highest = (fitted_temperature(logits, labels, [1.0]) for logits in (right, -10 * right))
    assert (lowest, highest) == (pytest.approx(0.2, abs=0.01), pytest.approx(5.0, abs=0.1))
    assert is_at_an_end(lowest)
    assert is_at_an_end(highest)
    assert not is_at_an_end(1.0)
