"""The temperature that makes the ensemble's probabilities honest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from engines.ensemble import fuse

LOWEST, HIGHEST = 0.2, 5.0


def fitted_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int64] | NDArray[np.bool_], weights: Sequence[float]
) -> float:
    """The temperature, `LOWEST` to `HIGHEST`, with the smallest cross-entropy of the fused probability.

    Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; here one
    temperature is shared by the networks of the ensemble.

    Args:
        logits: (N, n_networks) float32, of validation days.
        labels: (N,) 1 = exhale.
        weights: of the networks.
    """

    def cross_entropy(log_temperature: float) -> float:
        prob = fuse(logits, weights, float(np.exp(log_temperature))).astype(np.float64).clip(1e-7, 1 - 1e-7)
        return float(-np.mean(np.where(labels == 1, np.log(prob), np.log1p(-prob))))

    found = minimize_scalar(cross_entropy, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def is_at_an_end(temperature: float) -> bool:
    """Whether a fitted temperature would be beyond `LOWEST` or `HIGHEST` if it could."""
    return not LOWEST * 1.01 < temperature < HIGHEST * 0.99
